//! Nodes brought to one state, link by link in a chosen order, and what they hold then.

use super::Mesh;

/// Accounts with all their registers, as text.
const ACCOUNTS: &str =
    "select coalesce(string_agg(concat_ws(' ', account, state, stamps, vals), e'\\n' order by account), '')
    from dbmail_mesh.account_state where born_as not in ('anyone', '__public__', '__@!internal_delivery_user!@__')";

/// Entries with their registers; markers of [`Mesh::bring`] left out.
const ENTRIES: &str =
    "select coalesce(string_agg(concat_ws(' ', kind, key, stamp, present, case when present then value end), e'\\n'
                                                  order by kind, key), '')
    from dbmail_mesh.entry where kind <> 'usermap' or key ->> 'login' not like 'marker%'";

/// The rows of dbmail's small tables in the form of entries: what the tables say must be what the entries say.
const ROWS: &str = "select coalesce(string_agg(line, e'\\n' order by line), '') from (
    select concat_ws(' ', x.kind, e.key, e.value) as line
    from (select 'alias' as kind, to_jsonb(t) as r from dbmail_aliases t
          union all select 'usermap', to_jsonb(t) from dbmail_usermap t where login not like 'marker%'
          union all select 'subscription', to_jsonb(t) from dbmail_subscription t
          union all select 'acl', to_jsonb(t) from dbmail_acl t
          union all select 'script', to_jsonb(t) from dbmail_sievescripts t
          union all select 'filter', to_jsonb(t) from dbmail_filters t
          union all select 'reply', to_jsonb(t) from dbmail_auto_replies t
          union all select 'notification', to_jsonb(t) from dbmail_auto_notifications t) x,
         dbmail_mesh.entry_of(x.kind, x.r) e where e.key is not null
    union all
    select concat_ws(' ', 'active', jsonb_build_object('account', dbmail_mesh.account_of(s.owner_idnr)), jsonb_build_object('name', s.name))
    from dbmail_sievescripts s where active = 1) x";

/// The entries in the same form.
const PRESENT: &str = "select coalesce(string_agg(concat_ws(' ', kind, key, value), e'\\n' order by concat_ws(' ', kind, key, value)), '')
    from dbmail_mesh.entry
    where present and (kind <> 'usermap' or key ->> 'login' not like 'marker%') and value <> '{\"name\": null}'";

impl Mesh {
    /// The text that a query returns on a node.
    pub async fn text(&self, id: i16, sql: &str) -> String {
        self.psql(id).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Statements as dbmail issues them.
    pub async fn run(&self, id: i16, sql: &str) {
        self.psql(id).await.batch_execute(sql).await.unwrap();
    }

    /// Brings into a node what all others have now: a last change on each of them shows that all before it have come.
    pub async fn bring(&self, into: i16) {
        let worker = self.work_for(&[into]);
        for source in self.nodes.iter().map(|node| node.id.0).filter(|&source| source != into) {
            let insert = "insert into dbmail_usermap values ('marker' || gen_random_uuid(), '', '', '')
                          returning pg_current_xact_id()::text";
            let last: String = self.text(source, insert).await;
            let applied = format!(
                "select count(*) from dbmail_mesh.cursor where source_id = {source} and copy_stage is null
                 and pg_visible_in_snapshot('{last}'::xid8, from_snapshot)"
            );
            self.await_count(into, &applied, 1).await;
        }
        worker.stop().await;
    }

    /// Brings the nodes to one state, first the links into the first of `order`, and so on. All accounts and entries must be the same
    /// then, and dbmail's tables must say what the entries say. Returns the accounts.
    pub async fn settle(&self, order: &[i16]) -> String {
        // A decision of the last node of a round reaches the first in the next.
        for _ in 0..order.len() {
            for &into in order {
                self.bring(into).await;
            }
        }
        self.assert_same().await
    }

    /// All accounts and entries are the same on all nodes.
    pub async fn assert_same(&self) -> String {
        let (accounts, entries) = (self.text(1, ACCOUNTS).await, self.text(1, ENTRIES).await);
        for node in &self.nodes {
            let id = node.id.0;
            assert_eq!(self.text(id, ACCOUNTS).await, accounts, "node {id}");
            assert_eq!(self.text(id, ENTRIES).await, entries, "node {id}");
            assert_eq!(self.text(id, ROWS).await, self.text(id, PRESENT).await, "node {id}: tables and entries");
            let aside =
                "select coalesce(string_agg(concat_ws(' ', kind, key, reason), '; '), '') from dbmail_mesh.set_aside";
            assert_eq!(self.text(id, aside).await, "", "node {id}");
        }
        accounts
    }

    /// Joins everything once more; nothing may change, and nothing be noted as a node's own.
    pub async fn replay(&self) {
        let before = self.assert_same().await;
        let entries = self.text(1, ENTRIES).await;
        let noted = "select count(*) from dbmail_mesh.outbox where origin is null and kind = 'u'";
        let mut own = Vec::new();
        for node in &self.nodes {
            own.push(self.count(node.id.0, noted).await);
            self.run(node.id.0, "delete from dbmail_mesh.cursor").await;
        }
        for node in &self.nodes {
            self.bring(node.id.0).await;
        }
        assert_eq!(self.assert_same().await, before);
        assert_eq!(self.text(1, ENTRIES).await, entries);
        for (node, own) in self.nodes.iter().zip(own) {
            assert_eq!(self.count(node.id.0, noted).await, own, "node {}", node.name);
        }
    }
}
