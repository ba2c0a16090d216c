-- dbmail-mesh 0029: for a worker that owns none of dbmail's tables. What rights it gets is in sql/rights.
--
-- Only the owner of a table may analyze it; for anybody else PostgreSQL leaves the table out with a warning.

set local lock_timeout = '250ms';

create function dbmail_mesh.refresh_statistics() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  analyze public.dbmail_messages, public.dbmail_physmessage, public.dbmail_mimeparts, public.dbmail_partlists, public.dbmail_headername,
    public.dbmail_headervalue, public.dbmail_header, dbmail_mesh.content;
end
$$;
comment on function dbmail_mesh.refresh_statistics is 'Analyzes the tables that a batch looks things up in, with the rights of its owner. The worker calls it while an empty node is being filled.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name, needs) values (29, 'rights', 28);
