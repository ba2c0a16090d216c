-- Notes a mark: each link from here stores how far it is as soon as it comes by.
select dbmail_mesh.note('w', 0)
