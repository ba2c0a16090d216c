-- $1 the source, $2 its cursors.
select dbmail_mesh.has_all_of($1, $2) as has_all
