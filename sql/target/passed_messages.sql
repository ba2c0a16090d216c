-- Messages that clients of a source have passed without having been given their last change.
-- $1 the source, $2 its HIGHESTMODSEQs, $3 its cursors, $4 the most rows.
select p.row_idnr, p.mailbox_idnr, p.above, p.is_own from dbmail_mesh.passed_messages($1, $2, $3, $4) p
