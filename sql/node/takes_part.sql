-- Whether this node takes part in settlements: not while it is paused.
select dbmail_mesh.takes_part() as takes_part
