-- What became of a UID. $1 the UID.
select state, current_uid from dbmail_mesh.resolve($1)
