-- The links into this node: how much each has brought, and why it is refused, if that was said after $1.
select i.source_id, coalesce(c.copy_stage is null and c.source_id is not null, false) as is_copied, coalesce(c.messages, 0) as messages,
       case when s.last_error_at > $1 and s.state = 'refused' then s.last_error end as refused
from (select c.source_id from dbmail_mesh.cursor c union select s.source_id from dbmail_mesh.link_status s) i
left join dbmail_mesh.cursor c using (source_id)
left join dbmail_mesh.link_status s using (source_id)
