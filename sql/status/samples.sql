-- How far this node's numbers had been used up 30, 7 and 1 days ago, and when that was first noted. What is not known gives no row.
(select w.days, floor(extract(epoch from s.at))::bigint as at_s, s.uid, s.physmessage_id, s.mailbox_idnr
 from (values (30::smallint), (7::smallint), (1::smallint)) w(days)
 cross join lateral (select * from dbmail_mesh.number_sample s where s.at <= clock_timestamp() - make_interval(days => w.days)
                     order by s.at desc limit 1) s)
union all
(select null, floor(extract(epoch from s.at))::bigint, s.uid, s.physmessage_id, s.mailbox_idnr
 from dbmail_mesh.number_sample s order by s.at limit 1)
