select format('login %s is %s, allow %s, deny %s', login, userid, sock_allow, sock_deny) as key, '{}'::text[] as fields
from dbmail_usermap
