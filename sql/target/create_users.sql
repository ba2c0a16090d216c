-- $1 born_as, $2 generation, $3 userid, $4 passwd, $5 client_idnr, $6 maxmail_size, $7 maxsieve_size, $8 encryption_type, $9 spasswd,
-- $10 saction, $11 active.
with incoming as (
  select i.*
  from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::text[],
              $10::smallint[], $11::smallint[])
    i(born_as, generation, userid, passwd, client_idnr, maxmail_size, maxsieve_size, encryption_type, spasswd, saction, active)
  where not exists (select from dbmail_mesh.account a where a.born_as = i.born_as and a.generation = i.generation)
), made as (
  insert into public.dbmail_users (userid, passwd, client_idnr, maxmail_size, maxsieve_size, encryption_type, spasswd, saction, active)
  select i.userid, i.passwd, i.client_idnr, i.maxmail_size, i.maxsieve_size, i.encryption_type, i.spasswd, i.saction, i.active
  from incoming i
  order by i.userid
  on conflict do nothing
  returning user_idnr, userid
)
insert into dbmail_mesh.account (born_as, generation, user_idnr)
select i.born_as, i.generation, m.user_idnr from incoming i join made m on m.userid = i.userid
order by i.born_as, i.generation
on conflict do nothing
