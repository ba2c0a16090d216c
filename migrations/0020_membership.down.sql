-- dbmail-mesh 0020, down.

set local lock_timeout = '250ms';

drop function dbmail_mesh.dismiss(smallint);
drop function dbmail_mesh.is_what_it_was();
drop function dbmail_mesh.come_back();
drop function dbmail_mesh.forget_changes(bigint);
drop function dbmail_mesh.forget_death(bigint[]);
drop function dbmail_mesh.is_born_as(bigint, bigint);
drop function dbmail_mesh.readmit(smallint, text, uuid);
drop function dbmail_mesh.forget_peer(smallint);
drop function dbmail_mesh.become(smallint, text, text);
drop function dbmail_mesh.forget_progress();
drop function dbmail_mesh.readdress(bigint[]);
drop function dbmail_mesh.found_again(bigint);
drop function dbmail_mesh.bear_again(bigint);
drop function dbmail_mesh.has_gone_back(bigint, xid8, timestamptz);
drop function dbmail_mesh.stay_out(text);
drop function dbmail_mesh.fence(bigint, bigint, bigint, bigint);
drop function dbmail_mesh.raise_sequence(regclass, bigint, bigint, bigint);
drop function dbmail_mesh.highest_known(smallint);
drop function dbmail_mesh.purge_outbox(interval, bigint);
create function dbmail_mesh.purge_outbox(keep interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  below xid8;
  purged bigint;
begin
  if exists (select from dbmail_mesh.overtaking)
     or not exists (select from dbmail_mesh.peer)
     or exists (select from dbmail_mesh.peer p left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
                where a.target_id is null) then
    return 0;
  end if;
  select pg_snapshot_xmin(a.snapshot) into below
  from dbmail_mesh.acknowledged a join dbmail_mesh.peer p on p.node_id = a.target_id
  order by pg_snapshot_xmin(a.snapshot) limit 1;
  delete from dbmail_mesh.outbox o
  where o.ctid = any (array(select x.ctid from dbmail_mesh.outbox x
                            where x.txid < below and x.at < clock_timestamp() - keep order by x.txid limit 10000));
  get diagnostics purged = row_count;
  return purged;
end
$$;
comment on function dbmail_mesh.purge_outbox is 'Removes what every peer holds durably; returns how many rows.';
drop table dbmail_mesh.former_incarnation;
alter table dbmail_mesh.local_node drop column left_at, drop column left_why, drop column trimmed, drop column cut;
alter table dbmail_mesh.peer drop column left_at;
alter table dbmail_mesh.cursor drop column witness_id, drop column witness_xid, drop column witness_at;
revoke execute on all functions in schema dbmail_mesh from public;

delete from dbmail_mesh.migration where version = 20;
