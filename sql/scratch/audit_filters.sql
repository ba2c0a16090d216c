select format('%s: %s with %s to %s', account.userid, filter.headername, filter.headervalue, filter.mailbox) as key, '{}'::text[] as fields
from dbmail_filters as filter
join dbmail_users as account on account.user_idnr = filter.user_id
