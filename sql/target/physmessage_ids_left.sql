-- How many ids of dbmail_physmessage are left up to $1.
select $1::bigint - case when s.is_called then s.last_value else s.last_value - 1 end as ids_left from public.dbmail_physmessage_id_seq s
