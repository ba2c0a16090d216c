-- What is to leave this node now. $1 the most of each kind.
select d.kind, d.id
from dbmail_mesh.doomed($1) d
