select part.data
from dbmail_partlists as partlist
join dbmail_mimeparts as part on part.id = partlist.part_id
where partlist.physmessage_id = $1
order by partlist.part_key, partlist.part_depth, partlist.part_order
