-- $1 the node whose physmessage ids are meant.
select k.uid, k.mailbox, k.physmessage from dbmail_mesh.highest_known($1) k
