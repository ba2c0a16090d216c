-- Where mail for these mailboxes belongs on this node. $1 mailbox_idnr.
select p.id, p.place, p.verdict from dbmail_mesh.places_of($1) p
