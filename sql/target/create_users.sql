-- $1 userid, $2 passwd, $3 client_idnr, $4 maxmail_size, $5 maxsieve_size, $6 encryption_type, $7 spasswd, $8 saction, $9 active.
insert into public.dbmail_users (userid, passwd, client_idnr, maxmail_size, maxsieve_size, encryption_type, spasswd, saction, active)
select i.userid, i.passwd, i.client_idnr, i.maxmail_size, i.maxsieve_size, i.encryption_type, i.spasswd, i.saction, i.active
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::smallint[],
            $9::smallint[])
  i(userid, passwd, client_idnr, maxmail_size, maxsieve_size, encryption_type, spasswd, saction, active)
order by i.userid
on conflict do nothing
