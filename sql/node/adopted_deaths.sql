-- Mail from before the install that has died or was renumbered since. $1 the highest UID to compare.
select t.birth_uid from dbmail_mesh.tombstone t where t.birth_uid <= $1
union
select n.birth_uid from dbmail_mesh.number n where n.birth_uid <= $1
