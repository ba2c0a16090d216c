//! Every metric that is exported: its name, its labels, and what it says. `docs/watch.md` lists the same; a test compares.

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with the unit at its end.
    pub name: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const NODE: &[&str] = &["node"];
const LINK: &[&str] = &["source", "target"];

/// Defines the constants, and the list of all.
macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric { name: $name, labels: $labels, help: $help };
        )*
        /// All of them.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO = "dbmail_mesh_build_info", &["version"], "1; the version of the program.";
    START_TIME = "dbmail_mesh_start_time_seconds", &[], "When the process was started, in seconds since 1970.";

    BATCHES = "dbmail_mesh_batches_total", LINK, "Batches that this worker has applied.";
    BATCH_SECONDS = "dbmail_mesh_batch_seconds_total", LINK, "Time that these batches took.";
    APPLIED = "dbmail_mesh_messages_applied_total", LINK, "Message states that this worker has joined, news or not.";
    WRITTEN = "dbmail_mesh_messages_written_total", LINK, "Messages that became visible, moved or died thereby.";
    LATE = "dbmail_mesh_messages_late_total", LINK, "Messages that arrived late.";
    SET_ASIDE = "dbmail_mesh_rows_set_aside_total", LINK, "Times that a row could not be joined.";
    RELAYED = "dbmail_mesh_messages_relayed_total", LINK, "Message states of third nodes that this worker took over from the source, because they are not heard of themselves.";
    LINK_STARTS = "dbmail_mesh_link_starts_total", LINK, "Times that a link began, or began again after an error.";
    LINK_ERRORS = "dbmail_mesh_link_errors_total", &["source", "target", "kind"], "Errors that stopped a link for a while, by kind.";
    BELLS_LOST = "dbmail_mesh_listener_errors_total", NODE, "Times that the session which is notified of changes was lost.";
    SETTLEMENTS = "dbmail_mesh_settlements_total", &[], "Settlements in which this worker gave out UIDs.";
    RENUMBERED = "dbmail_mesh_messages_renumbered_total", &[], "Messages to which it gave new UIDs.";
    SETTLEMENT_ERRORS = "dbmail_mesh_settlement_errors_total", &["kind"], "Settlements that broke off, by kind of error; they are tried again.";
    LOCK_REFUSALS = "dbmail_mesh_lock_refusals_total", NODE, "Times that a node did not give a settlement its lock in time.";
    LOCK_HELD = "dbmail_mesh_settlement_lock_held_seconds", &[], "How long settlements held the locks that deliveries wait for.";

    STATUS_AGE = "dbmail_mesh_status_age_seconds", &[], "How old the knowledge from the databases is.";
    STATUS_SECONDS = "dbmail_mesh_status_read_seconds", &[], "How long the last reading of all nodes took.";
    PROBLEMS = "dbmail_mesh_problems", &["code", "level"], "Problems that status --check would tell.";
    CLOCK_SKEW = "dbmail_mesh_clock_skew_seconds", &[], "The largest difference between the clocks of two nodes.";

    NODE_UP = "dbmail_mesh_node_up", NODE, "1: the node answered everything it was asked.";
    NODE_READY = "dbmail_mesh_node_ready", NODE, "1: /readyz says that clients can be sent there.";
    NODE_WORKER = "dbmail_mesh_node_worker_active", NODE, "1: some worker drives the links into the node.";
    NODE_SCHEMA = "dbmail_mesh_node_schema_version", NODE, "The last migration that was run there.";
    NODE_CLOCK = "dbmail_mesh_node_clock_offset_seconds", NODE, "How far its clock is ahead of this machine's.";
    NODE_CLOCK_ERROR = "dbmail_mesh_node_clock_error_seconds", NODE, "By how much that may be wrong.";
    NODE_LATE = "dbmail_mesh_node_late_messages", NODE, "Messages that wait there for a new UID.";
    NODE_LATE_SECONDS = "dbmail_mesh_node_late_oldest_seconds", NODE, "How long the first of them has been waiting.";
    NODE_RENUMBERS = "dbmail_mesh_node_renumber_log_rows", NODE, "Rows of the node's renumber log.";
    NODE_OUTBOX = "dbmail_mesh_node_outbox_rows", NODE, "Rows of the outbox, those that peers have applied included.";
    NODE_OUTBOX_BYTES = "dbmail_mesh_node_outbox_bytes", NODE, "What the outbox takes on disk.";
    NODE_SET_ASIDE = "dbmail_mesh_node_set_aside_rows", NODE, "Rows of sources that could not be joined, and are tried again.";
    NODE_ASIDE_OLDEST = "dbmail_mesh_node_set_aside_oldest_seconds", NODE, "How long ago the first of them was tried first.";
    NODE_KEPT = "dbmail_mesh_node_kept_messages", NODE, "Messages of deleted users that are kept aside.";
    NODE_READERS = "dbmail_mesh_node_moved_readers_waiting", NODE, "Users who came from a node that is gone, and whose messages are still looked through.";
    NODE_CONFLICTS = "dbmail_mesh_node_conflicts", &["node", "kind"], "Conflicts of names: mailbox_merged, mailbox_displaced, account_displaced (those that are called so now).";
    NODE_FAULTS = "dbmail_mesh_node_trigger_faults", NODE, "Triggers that are not at work.";
    NODE_HIGHEST = "dbmail_mesh_node_numbers_highest", &["node", "space"], "The highest number in use: uids, physmessage_ids, mailbox_ids.";
    NODE_USED = "dbmail_mesh_node_numbers_used_ratio", &["node", "space"], "The same as a share of the last that can be used.";
    NODE_ENDS = "dbmail_mesh_node_numbers_end_time_seconds", &["node", "space"], "When the last one is reached at the measured rate, in seconds since 1970; absent: never, or not known.";

    LINK_STATE = "dbmail_mesh_link_state", &["source", "target", "state"], "1 for the state that the link is in.";
    LINK_LAG = "dbmail_mesh_link_lag_messages", LINK, "Changes to messages that the target has not applied.";
    LINK_LAG_SECONDS = "dbmail_mesh_link_lag_seconds", LINK, "How long the first of them has been waiting.";
    LINK_CHANGES = "dbmail_mesh_link_changes_waiting", LINK, "Changes of any kind that the target has not applied, but for HIGHESTMODSEQs.";
    LINK_OLDEST = "dbmail_mesh_link_oldest_change_seconds", LINK, "How long the first of them has been waiting.";
    LINK_BEHIND = "dbmail_mesh_link_modseq_wait_seconds", LINK, "How long the first HIGHESTMODSEQ has been waiting to be taken over.";
    LINK_COPY = "dbmail_mesh_link_first_copy", LINK, "1: a first copy is under way.";
    LINK_ASIDE = "dbmail_mesh_link_set_aside_rows", LINK, "Rows of the source that could not be joined.";
}
