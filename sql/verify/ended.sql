-- Which of these things are known here to be dead. $1 kinds, $2 keys.
select i.kind, i.key
from unnest($1::text[], $2::text[]) i(kind, key)
where case i.kind when 'user' then exists (select from dbmail_mesh.account a where a.account = i.key and a.died_at is not null)
                  when 'mailbox' then exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr::text = i.key)
                  else exists (select from dbmail_mesh.entry e where e.kind = i.kind and e.key = i.key::jsonb and not e.present) end
