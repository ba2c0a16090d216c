-- Marks messages for shipping: the links take them over as if they had changed here. $1 birth UIDs.
with noted as (
  insert into dbmail_mesh.outbox (kind, key) select 'm', i.birth from unnest($1::bigint[]) i(birth) order by i.birth
  returning 1
)
select dbmail_mesh.ring() from (select count(*) from noted) n
