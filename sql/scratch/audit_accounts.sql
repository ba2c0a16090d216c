-- What all nodes must agree on about an account; passwords are shown as digests.
select userid as key,
    array[
        md5(passwd), client_idnr::text, maxmail_size::text, maxsieve_size::text, encryption_type, md5(spasswd), saction::text,
        active::text
    ]::text[] as fields
from dbmail_users
