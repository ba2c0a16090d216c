-- What this node can see of itself now, and how far it has taken over what its sources have: of each, what is surely here (not known
-- during a first copy), and what may be.
select clock_timestamp() as at, pg_current_snapshot()::text as snapshot, k.sources, k.here, k.may_be
from (select coalesce(array_agg(c.source_id), '{}') as sources,
             coalesce(array_agg(case when c.copy_stage is null then c.from_snapshot::text end), '{}') as here,
             coalesce(array_agg(coalesce(c.to_snapshot, c.from_snapshot)::text), '{}') as may_be
      from dbmail_mesh.cursor c) k
