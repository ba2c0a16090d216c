//! The stand-in's statements, one in each file of `sql/scratch/standin/`.

/// A statement and the name of its file.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    /// The file's name without `.sql`.
    pub name: &'static str,
    /// The statement.
    pub text: &'static str,
}

macro_rules! statements {
    ($($constant:ident = $name:literal,)*) => {
        $(pub(super) const $constant: Sql =
            Sql { name: $name, text: include_str!(concat!("../../../sql/scratch/standin/", $name, ".sql")) };)*

        /// Every statement that the stand-in can issue.
        pub const ALL: &[Sql] = &[$($constant),*];
    };
}

statements! {
    ADD_QUOTA = "add_quota",
    BUMP_SEQ = "bump_seq",
    CLEAR_RECENT = "clear_recent",
    COPY_KEYWORDS = "copy_keywords",
    COUNT_MESSAGES = "count_messages",
    CREATE_MAILBOX = "create_mailbox",
    CREATE_USER = "create_user",
    DELETE_KEYWORD = "delete_keyword",
    DELETE_KEYWORDS = "delete_keywords",
    DELETE_MAILBOX = "delete_mailbox",
    DELETE_STAGING = "delete_staging",
    DELETE_UNUSED_HEADERNAMES = "delete_unused_headernames",
    DELETE_UNUSED_HEADERVALUES = "delete_unused_headervalues",
    DELETE_UNUSED_MIMEPARTS = "delete_unused_mimeparts",
    DELETE_UNUSED_PHYSMESSAGES = "delete_unused_physmessages",
    EMPTY_MAILBOX = "empty_mailbox",
    EXPUNGE_MESSAGE = "expunge_message",
    FETCH_MESSAGE = "fetch_message",
    FIND_HEADERNAME = "find_headername",
    FIND_HEADERVALUE = "find_headervalue",
    FIND_MAILBOX = "find_mailbox",
    FIND_MIMEPART = "find_mimepart",
    FIND_USER = "find_user",
    INSERT_ENVELOPE = "insert_envelope",
    INSERT_HEADER = "insert_header",
    INSERT_HEADERNAME = "insert_headername",
    INSERT_HEADERVALUE = "insert_headervalue",
    INSERT_KEYWORD = "insert_keyword",
    INSERT_MESSAGE = "insert_message",
    INSERT_MIMEPART = "insert_mimepart",
    INSERT_PARTLIST = "insert_partlist",
    INSERT_PHYSMESSAGE = "insert_physmessage",
    INSERT_REFERENCE = "insert_reference",
    INSERT_STAGING = "insert_staging",
    LIST_DELETED = "list_deleted",
    LIST_KEYWORDS = "list_keywords",
    LIST_MESSAGES = "list_messages",
    LIST_PARTS = "list_parts",
    LIST_SHOWN = "list_shown",
    LOCK_UNUSED_HEADERNAMES = "lock_unused_headernames",
    LOCK_UNUSED_HEADERVALUES = "lock_unused_headervalues",
    LOCK_UNUSED_MIMEPARTS = "lock_unused_mimeparts",
    LOCK_UNUSED_PHYSMESSAGES = "lock_unused_physmessages",
    MAILBOX_HAS_CHILDREN = "mailbox_has_children",
    MAILBOX_OWNER = "mailbox_owner",
    MAILBOX_SIZE = "mailbox_size",
    MESSAGE_SIZE = "message_size",
    PURGE_DELETED = "purge_deleted",
    PURGE_EXPUNGED = "purge_expunged",
    PURGE_PARTLISTS = "purge_partlists",
    READ_ROW = "read_row",
    READ_SEQ = "read_seq",
    RECORD_LOGIN = "record_login",
    SET_NO_SELECT = "set_no_select",
    SET_SIZES = "set_sizes",
    SET_STAGED = "set_staged",
    STAMP_MESSAGE = "stamp_message",
    STORE_FLAGS = "store_flags",
}
