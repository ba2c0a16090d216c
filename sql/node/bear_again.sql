-- $1 birth UIDs.
select b.birth_uid, b.new_uid from dbmail_mesh.bear_again($1) b
