-- Those that lead to the account, and those that lead to one of these.
with direct as (
    select alias from dbmail_aliases where deliver_to = $1::bigint::text
)
select alias from direct
union
select indirect.alias from dbmail_aliases as indirect join direct on direct.alias = indirect.deliver_to
order by alias
