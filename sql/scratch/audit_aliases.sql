-- A number that is an account's user_idnr means this account: the number itself differs between nodes.
select format('%s -> %s, client %s', alias.alias,
        case when account.userid is null then alias.deliver_to else format('account %s', account.userid) end, alias.client_idnr) as key,
    '{}'::text[] as fields
from dbmail_aliases as alias
left join dbmail_users as account on account.user_idnr::text = alias.deliver_to
