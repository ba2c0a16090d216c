-- Rows of content that refer to one that is not there.
select (select count(*) from dbmail_partlists l left join dbmail_physmessage p on p.id = l.physmessage_id
        left join dbmail_mimeparts m on m.id = l.part_id where p.id is null or m.id is null)
     + (select count(*) from dbmail_header h left join dbmail_physmessage p on p.id = h.physmessage_id
        left join dbmail_headername n on n.id = h.headername_id left join dbmail_headervalue v on v.id = h.headervalue_id
        where p.id is null or n.id is null or v.id is null)
     + (select count(*) from dbmail_envelope e where not exists (select from dbmail_physmessage p where p.id = e.physmessage_id))
     + (select count(*) from dbmail_referencesfield r where not exists (select from dbmail_physmessage p where p.id = r.physmessage_id))
