-- A dbmail 3.5 database (schema step 35002) as the installation leaves it, for throwaway nodes only.
-- Written from the catalog of such a database: the same tables, columns, keys, indexes and sequences.

-- Sequences. As in dbmail, no column owns its sequence.

create sequence dbmail_alias_idnr_seq;
create sequence dbmail_authlog_id_seq;
create sequence dbmail_envelope_idnr_seq;
create sequence dbmail_filters_id_seq;
create sequence dbmail_headername_id_seq;
create sequence dbmail_headervalue_id_seq;
create sequence dbmail_mailbox_idnr_seq;
create sequence dbmail_message_idnr_seq;
create sequence dbmail_messageblk_idnr_seq;
create sequence dbmail_mimeparts_id_seq;
create sequence dbmail_physmessage_id_seq;
create sequence dbmail_referencesfield_idnr_seq;
create sequence dbmail_seq_pbsp_id;
create sequence dbmail_sievescripts_idnr_seq;
create sequence dbmail_user_idnr_seq;

-- Accounts.

create table dbmail_users (
    user_idnr bigint not null default nextval('dbmail_user_idnr_seq'),
    userid varchar(100) not null,
    passwd varchar(130) not null,
    client_idnr bigint not null default '0'::bigint,
    maxmail_size bigint not null default '0'::bigint,
    curmail_size bigint not null default '0'::bigint,
    maxsieve_size bigint not null default '0'::bigint,
    cursieve_size bigint not null default '0'::bigint,
    encryption_type varchar(20) not null default ''::character varying,
    last_login timestamp not null default '1979-11-03 22:05:58'::timestamp without time zone,
    spasswd varchar(130) not null default ''::character varying,
    saction smallint not null default '0'::smallint,
    active smallint not null default '1'::smallint,
    primary key (user_idnr)
);
create index dbmail_users_2 on dbmail_users (lower(userid));
create unique index dbmail_users_name_idx on dbmail_users (userid);

create table dbmail_aliases (
    alias_idnr bigint not null default nextval('dbmail_alias_idnr_seq'),
    alias varchar(100) not null,
    deliver_to varchar(250) not null,
    client_idnr bigint not null default '0'::bigint,
    primary key (alias_idnr)
);
create index dbmail_aliases_alias_idx on dbmail_aliases (alias);
create index dbmail_aliases_alias_low_idx on dbmail_aliases (lower(alias));

create table dbmail_usermap (
    login varchar(100) not null,
    sock_allow varchar(100) not null,
    sock_deny varchar(100) not null,
    userid varchar(100) not null
);
create unique index usermap_idx_1 on dbmail_usermap (login, sock_allow, userid);

create table dbmail_authlog (
    id bigint not null default nextval('dbmail_authlog_id_seq'),
    userid varchar(100),
    service varchar(32),
    login_time timestamp,
    logout_time timestamp,
    src_ip varchar(40),
    src_port bigint,
    dst_ip varchar(40),
    dst_port bigint,
    status varchar(32) default 'active'::character varying,
    bytes_rx bigint not null default '0'::bigint,
    bytes_tx bigint not null default '0'::bigint,
    primary key (id)
);

create table dbmail_pbsp (
    idnr bigint not null default nextval('dbmail_seq_pbsp_id'),
    since timestamp not null default '1970-01-01 00:00:00'::timestamp without time zone,
    ipnumber inet not null default '0.0.0.0'::inet,
    primary key (idnr)
);
create unique index dbmail_idx_ipnumber on dbmail_pbsp (ipnumber);
create index dbmail_idx_since on dbmail_pbsp (since);

-- Mailboxes.

create table dbmail_mailboxes (
    mailbox_idnr bigint not null default nextval('dbmail_mailbox_idnr_seq'),
    owner_idnr bigint,
    name varchar(255) not null,
    seen_flag smallint not null default '0'::smallint,
    answered_flag smallint not null default '0'::smallint,
    deleted_flag smallint not null default '0'::smallint,
    flagged_flag smallint not null default '0'::smallint,
    recent_flag smallint not null default '0'::smallint,
    draft_flag smallint not null default '0'::smallint,
    no_inferiors smallint not null default '0'::smallint,
    no_select smallint not null default '0'::smallint,
    permission smallint not null default '2'::smallint,
    seq bigint not null default '0'::bigint,
    primary key (mailbox_idnr),
    foreign key (owner_idnr) references dbmail_users (user_idnr) on delete cascade on update cascade
);
create index dbmail_mailboxes_name_idx on dbmail_mailboxes (name);
create index dbmail_mailboxes_owner_idx on dbmail_mailboxes (owner_idnr);
create unique index dbmail_mailboxes_owner_name_idx on dbmail_mailboxes (owner_idnr, name);
create index dbmail_mailboxes_seq on dbmail_mailboxes (seq);

create table dbmail_acl (
    user_id bigint not null,
    mailbox_id bigint not null,
    lookup_flag smallint not null default '0'::smallint,
    read_flag smallint not null default '0'::smallint,
    seen_flag smallint not null default '0'::smallint,
    write_flag smallint not null default '0'::smallint,
    insert_flag smallint not null default '0'::smallint,
    post_flag smallint not null default '0'::smallint,
    create_flag smallint not null default '0'::smallint,
    delete_flag smallint not null default '0'::smallint,
    deleted_flag smallint not null default '0'::smallint,
    expunge_flag smallint not null default '0'::smallint,
    administer_flag smallint not null default '0'::smallint,
    primary key (user_id, mailbox_id),
    foreign key (user_id) references dbmail_users (user_idnr) on delete cascade on update cascade,
    foreign key (mailbox_id) references dbmail_mailboxes (mailbox_idnr) on delete cascade on update cascade
);

create table dbmail_subscription (
    user_id bigint not null,
    mailbox_id bigint not null,
    primary key (user_id, mailbox_id),
    foreign key (user_id) references dbmail_users (user_idnr) on delete cascade on update cascade,
    foreign key (mailbox_id) references dbmail_mailboxes (mailbox_idnr) on delete cascade on update cascade
);

-- Messages.

create table dbmail_physmessage (
    id bigint not null default nextval('dbmail_physmessage_id_seq'),
    messagesize bigint not null default '0'::bigint,
    rfcsize bigint not null default '0'::bigint,
    internal_date timestamp,
    primary key (id)
);

create table dbmail_messages (
    message_idnr bigint not null default nextval('dbmail_message_idnr_seq'),
    mailbox_idnr bigint,
    physmessage_id bigint,
    seen_flag smallint not null default '0'::smallint,
    answered_flag smallint not null default '0'::smallint,
    deleted_flag smallint not null default '0'::smallint,
    flagged_flag smallint not null default '0'::smallint,
    recent_flag smallint not null default '0'::smallint,
    draft_flag smallint not null default '0'::smallint,
    unique_id varchar(70) not null,
    status smallint not null default '0'::smallint,
    seq bigint not null default '0'::bigint,
    primary key (message_idnr),
    foreign key (mailbox_idnr) references dbmail_mailboxes (mailbox_idnr) on delete cascade on update cascade,
    foreign key (physmessage_id) references dbmail_physmessage (id) on delete cascade on update cascade
);
create index dbmail_messages_1 on dbmail_messages (mailbox_idnr);
create index dbmail_messages_2 on dbmail_messages (physmessage_id);
create index dbmail_messages_3 on dbmail_messages (seen_flag);
create index dbmail_messages_4 on dbmail_messages (unique_id);
create index dbmail_messages_5 on dbmail_messages (status);
create index dbmail_messages_6 on dbmail_messages (status) where status < '2'::smallint;
create index dbmail_messages_7 on dbmail_messages (mailbox_idnr, status, seen_flag);
create index dbmail_messages_8 on dbmail_messages (mailbox_idnr, status, recent_flag);
create index dbmail_messages_seq_index on dbmail_messages (seq);

create table dbmail_keywords (
    message_idnr bigint not null,
    keyword varchar(64) not null,
    primary key (message_idnr, keyword),
    foreign key (message_idnr) references dbmail_messages (message_idnr) on delete cascade on update cascade
);

-- Content of messages.

create table dbmail_messageblks (
    messageblk_idnr bigint not null default nextval('dbmail_messageblk_idnr_seq'),
    physmessage_id bigint,
    messageblk bytea not null,
    blocksize bigint not null default '0'::bigint,
    is_header smallint not null default '0'::smallint,
    primary key (messageblk_idnr),
    foreign key (physmessage_id) references dbmail_physmessage (id) on delete cascade on update cascade
);
create index dbmail_messageblks_physmessage_idx on dbmail_messageblks (physmessage_id);
create index dbmail_messageblks_physmessage_is_header_idx on dbmail_messageblks (physmessage_id, is_header);

create table dbmail_mimeparts (
    id bigint not null default nextval('dbmail_mimeparts_id_seq'),
    hash char(256) not null,
    data bytea not null,
    size bigint not null,
    primary key (id)
);
create index dbmail_mimeparts_1 on dbmail_mimeparts (hash);

create table dbmail_partlists (
    physmessage_id bigint not null,
    is_header smallint not null default (0)::smallint,
    part_key integer not null default 0,
    part_depth integer not null default 0,
    part_order integer not null default 0,
    part_id bigint not null,
    foreign key (part_id) references dbmail_mimeparts (id) on delete cascade on update cascade,
    foreign key (physmessage_id) references dbmail_physmessage (id) on delete cascade on update cascade
);
create index dbmail_partlists_1 on dbmail_partlists (physmessage_id);
create index dbmail_partlists_2 on dbmail_partlists (part_id);
create unique index message_parts on dbmail_partlists (physmessage_id, part_key, part_depth, part_order);

create table dbmail_headername (
    id bigint not null default nextval('dbmail_headername_id_seq'),
    headername varchar(100) not null default 'BROKEN_HEADER'::character varying,
    primary key (id)
);
create unique index dbmail_headername_1 on dbmail_headername (lower(headername));

create table dbmail_headervalue (
    id bigint not null default nextval('dbmail_headervalue_id_seq'),
    hash varchar(256) not null,
    headervalue text not null default ''::text,
    sortfield varchar(255) default NULL::character varying,
    datefield timestamp,
    primary key (id)
);
create index dbmail_headervalue_1 on dbmail_headervalue (hash);
create index dbmail_headervalue_2 on dbmail_headervalue (sortfield);
create index dbmail_headervalue_3 on dbmail_headervalue (datefield);

create table dbmail_header (
    physmessage_id bigint not null,
    headername_id bigint not null,
    headervalue_id bigint not null,
    primary key (physmessage_id, headername_id, headervalue_id),
    foreign key (physmessage_id) references dbmail_physmessage (id) on delete cascade on update cascade,
    foreign key (headername_id) references dbmail_headername (id) on delete cascade on update cascade,
    foreign key (headervalue_id) references dbmail_headervalue (id) on delete cascade on update cascade
);
create index dbmail_header_headername_id_key on dbmail_header (headername_id);
create index dbmail_header_headervalue_id_key on dbmail_header (headervalue_id);
create index dbmail_header_physmessage_id_key on dbmail_header (physmessage_id);

create table dbmail_envelope (
    physmessage_id bigint not null,
    id bigint not null default nextval('dbmail_envelope_idnr_seq'),
    envelope text not null default ''::text,
    primary key (id),
    foreign key (physmessage_id) references dbmail_physmessage (id) on delete cascade on update cascade
);
create unique index dbmail_envelope_1 on dbmail_envelope (physmessage_id);
create unique index dbmail_envelope_2 on dbmail_envelope (physmessage_id, id);

create table dbmail_referencesfield (
    physmessage_id bigint not null,
    id bigint not null default nextval('dbmail_referencesfield_idnr_seq'),
    referencesfield varchar(255) not null default ''::character varying,
    primary key (id),
    foreign key (physmessage_id) references dbmail_physmessage (id) on delete cascade on update cascade
);
create unique index dbmail_referencesfield_1 on dbmail_referencesfield (physmessage_id, referencesfield);

-- What an account has set up.

create table dbmail_sievescripts (
    id bigint not null default nextval('dbmail_sievescripts_idnr_seq'),
    owner_idnr bigint not null,
    active smallint not null default '0'::smallint,
    name varchar(100) not null default ''::character varying,
    script text not null default ''::text,
    primary key (id),
    foreign key (owner_idnr) references dbmail_users (user_idnr) on delete cascade on update cascade
);
create unique index dbmail_sievescripts_1 on dbmail_sievescripts (owner_idnr, name);
create index dbmail_sievescripts_2 on dbmail_sievescripts (owner_idnr, active);

create table dbmail_filters (
    user_id bigint not null,
    id bigint not null default nextval('dbmail_filters_id_seq'),
    headername varchar(128) not null,
    headervalue varchar(255) not null,
    mailbox varchar(100) not null,
    primary key (user_id, id),
    foreign key (user_id) references dbmail_users (user_idnr) on delete cascade on update cascade
);

create table dbmail_auto_notifications (
    user_idnr bigint not null,
    notify_address varchar(100),
    primary key (user_idnr),
    foreign key (user_idnr) references dbmail_users (user_idnr) on delete cascade on update cascade
);

create table dbmail_auto_replies (
    user_idnr bigint not null,
    start_date timestamp not null,
    stop_date timestamp not null,
    reply_body text,
    primary key (user_idnr),
    foreign key (user_idnr) references dbmail_users (user_idnr) on delete cascade on update cascade
);

create table dbmail_replycache (
    to_addr varchar(100) not null default ''::character varying,
    from_addr varchar(100) not null default ''::character varying,
    handle varchar(100) default ''::character varying,
    lastseen timestamp not null
);
create unique index replycache_1 on dbmail_replycache (to_addr, from_addr, handle);

-- The installation itself.

create table dbmail_upgrade_steps (
    from_version integer not null,
    to_version integer not null,
    applied timestamp default now()
);
create unique index dbmail_upgrade_steps_index_1 on dbmail_upgrade_steps (from_version, to_version);

-- Views: the headers that clients sort and search by, one row for each header of that name.

create view dbmail_fromfield as
select header.physmessage_id, headervalue.sortfield as fromfield
from dbmail_header as header
join dbmail_headername as headername on headername.id = header.headername_id
join dbmail_headervalue as headervalue on headervalue.id = header.headervalue_id
where lower(headername.headername) = 'from';

create view dbmail_tofield as
select header.physmessage_id, headervalue.sortfield as tofield
from dbmail_header as header
join dbmail_headername as headername on headername.id = header.headername_id
join dbmail_headervalue as headervalue on headervalue.id = header.headervalue_id
where lower(headername.headername) = 'to';

create view dbmail_ccfield as
select header.physmessage_id, headervalue.sortfield as ccfield
from dbmail_header as header
join dbmail_headername as headername on headername.id = header.headername_id
join dbmail_headervalue as headervalue on headervalue.id = header.headervalue_id
where lower(headername.headername) = 'cc';

create view dbmail_subjectfield as
select header.physmessage_id, headervalue.sortfield as subjectfield
from dbmail_header as header
join dbmail_headername as headername on headername.id = header.headername_id
join dbmail_headervalue as headervalue on headervalue.id = header.headervalue_id
where lower(headername.headername) = 'subject';

create view dbmail_datefield as
select header.physmessage_id, headervalue.datefield as datefield
from dbmail_header as header
join dbmail_headername as headername on headername.id = header.headername_id
join dbmail_headervalue as headervalue on headervalue.id = header.headervalue_id
where lower(headername.headername) = 'date';

-- The rows of a fresh installation: the users that are no people, and the steps that led to this schema.

insert into dbmail_users (userid, passwd, encryption_type)
values
    ('__@!internal_delivery_user!@__', '', 'md5'),
    ('anyone', '', 'md5'),
    ('__public__', '', 'md5');

insert into dbmail_upgrade_steps (from_version, to_version)
values
    (0, 32001),
    (32001, 32002),
    (32001, 32003),
    (32001, 32004),
    (32001, 32005),
    (32001, 32006),
    (32006, 35001),
    (35001, 35002);
