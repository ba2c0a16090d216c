-- Accounts or mailboxes have come, from whichever source: what waits for one may go on.
update dbmail_mesh.set_aside a set next_try = clock_timestamp() where a.waits and a.next_try > clock_timestamp()
