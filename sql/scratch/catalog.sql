with relation as (
    select oid, relname, relkind, relacl, relowner
    from pg_class
    where relnamespace = 'public'::regnamespace
)
select line collate "C"
from (
    select format('column %s.%s: %s', relation.relname, attribute.attname,
               format_type(attribute.atttypid, attribute.atttypmod))
           || case when attribute.attnotnull then ' not null' else '' end
           || coalesce(' default ' || pg_get_expr(fallback.adbin, fallback.adrelid), '')
    from relation
    join pg_attribute as attribute on attribute.attrelid = relation.oid
    left join pg_attrdef as fallback
        on fallback.adrelid = attribute.attrelid and fallback.adnum = attribute.attnum
    where relation.relkind in ('r', 'p') and attribute.attnum > 0 and not attribute.attisdropped

    union all
    select format('constraint %s.%s: %s', relation.relname, found.conname, pg_get_constraintdef(found.oid))
    from relation
    -- PostgreSQL 18 lists NOT NULL as constraints; the columns tell that.
    join pg_constraint as found on found.conrelid = relation.oid and found.contype <> 'n'

    union all
    select format('index %s.%s: %s', relation.relname, entry.relname, substring(pg_get_indexdef(entry.oid) from ' USING (.*)'))
           || case when index.indisunique then ' unique' else '' end
    from relation
    join pg_index as index on index.indrelid = relation.oid
    join pg_class as entry on entry.oid = index.indexrelid

    union all
    select format('sequence %s: %s start %s increment %s minimum %s maximum %s cache %s%s', relation.relname,
               format_type(sequence.seqtypid, null), sequence.seqstart, sequence.seqincrement, sequence.seqmin,
               sequence.seqmax, sequence.seqcache, case when sequence.seqcycle then ' cycle' else '' end)
    from relation
    join pg_sequence as sequence on sequence.seqrelid = relation.oid

    union all
    select format('view %s: %s', relation.relname, regexp_replace(pg_get_viewdef(relation.oid), '\s+', ' ', 'g'))
    from relation
    where relation.relkind in ('v', 'm')

    union all
    select format('trigger %s.%s: %s', relation.relname, found.tgname, pg_get_triggerdef(found.oid))
    from relation
    join pg_trigger as found on found.tgrelid = relation.oid
    where not found.tgisinternal

    union all
    select format('function %s: %s', oid::regprocedure, md5(prosrc))
    from pg_proc
    where pronamespace = 'public'::regnamespace

    union all
    select format('rights on %s: %s', relname, relacl)
    from relation
    -- Once somebody had a right, the owner's own are written down as well.
    where relacl <> acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)

    union all
    select format('rights on %s.%s: %s', relation.relname, attribute.attname, attribute.attacl)
    from relation
    join pg_attribute as attribute on attribute.attrelid = relation.oid
    where attribute.attacl is not null

    union all
    select format('comment on %s%s: %s', relation.relname, coalesce('.' || attribute.attname, ''), found.description)
    from relation
    join pg_description as found on found.classoid = 'pg_class'::regclass and found.objoid = relation.oid
    left join pg_attribute as attribute
        on attribute.attrelid = found.objoid and attribute.attnum = found.objsubid and found.objsubid > 0
) as everything (line)
order by 1
