-- A message that has died under the UID that it had needs no new one.
delete from dbmail_mesh.late l
using dbmail_mesh.tombstone t
where t.birth_uid = l.birth_uid and l.row_idnr < 281474976710656
