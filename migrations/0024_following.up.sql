-- dbmail-mesh 0024: whether a node has taken over the HIGHESTMODSEQs of its sources.
--
-- What waits there is in the memory of the worker that drives the link. Whoever asks whether clients can be sent to this node may be
-- another process: so the worker writes it down, where it takes longer than a moment.

set local lock_timeout = '250ms';

alter table dbmail_mesh.link_status add column behind_since timestamptz;
comment on column dbmail_mesh.link_status.behind_since is 'Since when HIGHESTMODSEQs of the source wait to be taken over, because this node lacks what the source has from others, or has not looked yet; null: none has been waiting for longer than a second.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (24, 'following');
