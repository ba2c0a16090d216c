select format('%s/%s', account.userid, script.name) as key, array[script.script, script.active::text] as fields
from dbmail_sievescripts as script
join dbmail_users as account on account.user_idnr = script.owner_idnr
