-- Becomes the active worker of the node, if none is: the term that has begun, or null. held_by: who is active; deposed: he had been silent
-- for too long, and has lost his lock just now.
-- $1 who asks, $2 seconds.
select t.term, t.held_by, t.deposed from dbmail_mesh.seek_term($1, make_interval(secs => $2::double precision)) t
