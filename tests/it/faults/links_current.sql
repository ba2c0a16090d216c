-- How many links into this node are current, and how many rows they have set aside.
select (select count(*) from dbmail_mesh.link_status where state = 'current') as current,
       (select count(*) from dbmail_mesh.set_aside) as aside
