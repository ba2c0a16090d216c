-- dbmail-mesh 0021: what "dbmail-mesh verify" compares, and how it marks what differs so that the ordinary join mends it.

set local lock_timeout = '250ms';

-- One 64-bit number a message, over all that must be the same on every node. recent_flag, status, seq and the ids of contents are each
-- node's own. A content counts by its sizes, its date, and the places, sizes and hashes of its MIME parts, which dbmail made when it
-- stored them: no body is read. Each message is looked up by itself, through indexes: none of this can be planned as a pass over whole
-- tables, so that a range of UIDs costs what is in it.
create view dbmail_mesh.message_digest as
select g.message_idnr as uid, i.birth_uid, g.mailbox_idnr, g.physmessage_id,
       hashtextextended(concat_ws(chr(31), i.birth_uid, g.message_idnr, g.mailbox_idnr,
                                  (g.seen_flag <> 0)::integer, (g.answered_flag <> 0)::integer, (g.deleted_flag <> 0)::integer,
                                  (g.flagged_flag <> 0)::integer, (g.draft_flag <> 0)::integer, g.unique_id, k.keywords,
                                  coalesce((select concat_ws(' ', p.messagesize, p.rfcsize, p.internal_date)
                                            from public.dbmail_physmessage p where p.id = g.physmessage_id), '-'),
                                  c.parts, c.digest), 0) as digest
from public.dbmail_messages g
cross join lateral (select coalesce((select n.birth_uid from dbmail_mesh.number n where n.uid = g.message_idnr), g.message_idnr)
                             as birth_uid) i
cross join lateral (select coalesce(sum(hashtextextended(w.keyword::text, 0)), 0) as keywords
                    from public.dbmail_keywords w where w.message_idnr = g.message_idnr) k
cross join lateral (select count(*) as parts,
                           coalesce(sum(hashtextextended(concat_ws(' ', l.is_header, l.part_key, l.part_depth, l.part_order, m.size,
                                                                   m.hash::text), 0)), 0) as digest
                    from public.dbmail_partlists l join public.dbmail_mimeparts m on m.id = l.part_id
                    where l.physmessage_id = g.physmessage_id) c
where g.message_idnr < 281474976710656 and g.status < 2;
comment on view dbmail_mesh.message_digest is 'Visible messages, each with a digest of all that must be the same on every node.';
comment on column dbmail_mesh.message_digest.uid is 'Its UID.';
comment on column dbmail_mesh.message_digest.birth_uid is 'The first UID that it ever had.';
comment on column dbmail_mesh.message_digest.mailbox_idnr is 'Its mailbox.';
comment on column dbmail_mesh.message_digest.physmessage_id is 'Its content on this node.';
comment on column dbmail_mesh.message_digest.digest is 'Over birth UID, UID, mailbox, flags, keywords, unique_id, sizes, date, and the hashes of the MIME parts.';

create function dbmail_mesh.body_digest(physmessage bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select hashtextextended(concat_ws(chr(31),
    (select string_agg(concat_ws(' ', l.part_key, l.part_depth, l.part_order, encode(sha256(m.data), 'hex')), ','
                       order by l.part_key, l.part_depth, l.part_order)
     from public.dbmail_partlists l join public.dbmail_mimeparts m on m.id = l.part_id where l.physmessage_id = physmessage),
    -- The letter case of a header's name is that of the first message on the node that had one.
    (select sum(hashtextextended(concat_ws(chr(31), lower(n.headername), v.hash, v.headervalue, v.sortfield, v.datefield), 0))
     from public.dbmail_header h
     join public.dbmail_headername n on n.id = h.headername_id
     join public.dbmail_headervalue v on v.id = h.headervalue_id
     where h.physmessage_id = physmessage),
    (select sum(hashtextextended(r.referencesfield::text, 0)) from public.dbmail_referencesfield r where r.physmessage_id = physmessage),
    (select e.envelope from public.dbmail_envelope e where e.physmessage_id = physmessage)), 0)
$$;
comment on function dbmail_mesh.body_digest is 'A digest of a content as it is read: the bytes of its MIME parts, its header fields, references and envelope.';

create view dbmail_mesh.comparable as
select 'user' as kind, coalesce(a.account, format('%s (no account)', u.userid)) as key, null::bigint as mailbox_idnr,
       a.died_at is not null as pending,
       jsonb_build_object('userid', u.userid, 'credentials', md5(jsonb_build_array(u.passwd, u.encryption_type, u.spasswd)::text),
                          'maxmail_size', u.maxmail_size, 'maxsieve_size', u.maxsieve_size, 'client_idnr', u.client_idnr,
                          'saction', u.saction, 'active', u.active) as value
from public.dbmail_users u
left join dbmail_mesh.account a on a.user_idnr = u.user_idnr
where u.userid not in ('__@!internal_delivery_user!@__', '__public__', 'anyone')
union all
select 'mailbox', m.mailbox_idnr::text, m.mailbox_idnr,
       exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = m.mailbox_idnr),
       jsonb_build_object('owner', coalesce(a.account, ''), 'name', m.name, 'seen_flag', m.seen_flag, 'answered_flag', m.answered_flag,
                          'deleted_flag', m.deleted_flag, 'flagged_flag', m.flagged_flag, 'recent_flag', m.recent_flag,
                          'draft_flag', m.draft_flag, 'no_inferiors', m.no_inferiors, 'no_select', m.no_select,
                          'permission', m.permission)
from public.dbmail_mailboxes m
left join dbmail_mesh.account a on a.user_idnr = m.owner_idnr
where a.born_as is distinct from '__@!internal_delivery_user!@__'
union all
select distinct on (x.kind, e.key) x.kind, e.key::text, (e.key ->> 'mailbox')::bigint,
       exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = (e.key ->> 'mailbox')::bigint)
         or exists (select from dbmail_mesh.account d where d.account = e.key ->> 'account' and d.died_at is not null),
       e.value
from (select 'alias' as kind, to_jsonb(t) as r from public.dbmail_aliases t
      union all select 'usermap', to_jsonb(t) from public.dbmail_usermap t
      union all select 'subscription', to_jsonb(t) from public.dbmail_subscription t
      union all select 'acl', to_jsonb(t) from public.dbmail_acl t
      union all select 'script', to_jsonb(t) from public.dbmail_sievescripts t
      union all select 'filter', to_jsonb(t) from public.dbmail_filters t
      union all select 'reply', to_jsonb(t) from public.dbmail_auto_replies t
      union all select 'notification', to_jsonb(t) from public.dbmail_auto_notifications t) x
cross join lateral dbmail_mesh.entry_of(x.kind, x.r) e
where e.key is not null
union all
select 'active', jsonb_build_object('account', a.account)::text, null, a.died_at is not null,
       jsonb_build_object('name', min(s.name))
from public.dbmail_sievescripts s
join dbmail_mesh.account a on a.user_idnr = s.owner_idnr
where s.active = 1 and s.name <> '@!temp-script!@'
group by a.account, a.died_at;
comment on view dbmail_mesh.comparable is 'Users, mailboxes and the rows of the small tables, by the keys under which all nodes know them, with what must be the same everywhere.';
comment on column dbmail_mesh.comparable.kind is 'user, mailbox, or as in entry.';
comment on column dbmail_mesh.comparable.key is 'A user''s account, a mailbox''s id, an entry''s key.';
comment on column dbmail_mesh.comparable.mailbox_idnr is 'The mailbox that it is, or is about.';
comment on column dbmail_mesh.comparable.pending is 'It has ended, and stays until its messages have been taken out.';
comment on column dbmail_mesh.comparable.value is 'What must be the same. Of the credentials only an MD5 is shown.';

create function dbmail_mesh.stamp_above(known bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select ((known >> 12) + 1) * 4096 + n.node_id from dbmail_mesh.local_node n
$$;
comment on function dbmail_mesh.stamp_above is 'Part of verify --repair: the stamp that is just later than one that was seen. Not the clock''s: what somebody wrote since then has to win.';

-- A message is in different mailboxes, and no stamp says which is right: one node says so. One message a transaction, so that its row is
-- the only lock that dbmail may want.
create function dbmail_mesh.restamp_place(birth bigint, row_number bigint, mailbox bigint, above bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_messages g
  where g.message_idnr = row_number and g.mailbox_idnr = mailbox and g.status < 2 for no key update;
  if not found then
    return false;
  end if;
  insert into dbmail_mesh.message_register as r (birth_uid, place) values (birth, dbmail_mesh.stamp_above(above))
  on conflict (birth_uid) do update set place = dbmail_mesh.stamp_above(greatest(r.place, above));
  perform dbmail_mesh.note('m', birth);
  return true;
end
$$;
comment on function dbmail_mesh.restamp_place is 'Part of verify --repair: says anew that a message is in the mailbox that it is in here; its stamp will be above the one given. False: it is elsewhere by now.';

create function dbmail_mesh.restamp_entry(what text, which jsonb, is_there boolean, content jsonb, seen bigint, above bigint)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known bigint;
begin
  if seen is null then
    insert into dbmail_mesh.entry (kind, key, stamp, present, value)
    values (what, which, dbmail_mesh.stamp_above(above), is_there, coalesce(content, '{}'))
    on conflict do nothing
    returning id into known;
  else
    update dbmail_mesh.entry e
    set stamp = dbmail_mesh.stamp_above(greatest(e.stamp, above)), present = is_there, value = coalesce(content, e.value),
        dropped_in = null, stamp_before = null
    where e.kind = what and e.key = which and e.stamp = seen
    returning e.id into known;
  end if;
  if known is null then
    return false;
  end if;
  perform dbmail_mesh.note('e', known);
  return true;
end
$$;
comment on function dbmail_mesh.restamp_entry is 'Part of verify --repair: says anew that an entry is as it is here; its stamp will be above the one given. seen: the stamp that it had, null for none. False: it has changed since.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (21, 'verify');
