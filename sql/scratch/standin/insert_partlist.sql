insert into dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
values ($1, $2, $3, $4, $5, $6)
