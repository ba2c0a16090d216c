-- $1 the source, $2 who reads there: [{born_as, generation, seconds}].
select dbmail_mesh.write_readers($1, $2)
