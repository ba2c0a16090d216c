//! What can be done about an SQLSTATE (PostgreSQL documentation, appendix A), and whether a row is to blame for it.
//!
//! [`Kind::Data`] means that the row is: a link sets it aside by itself and goes on. So it must be what only some rows bring about.
//! Whatever would meet every row (a full disk, a missing right, a server that only reads) stops the link, which tries again.

use crate::error::Kind;

/// The family of an SQLSTATE.
pub(crate) fn kind(code: &str) -> Kind {
    match code {
        // Ours: the schema does not admit this program (dbmail_mesh.admit_program).
        "DM001" => Kind::Refused,
        // Ours: the term of this worker is over (dbmail_mesh.hold_term).
        "DM002" => Kind::Superseded,
        // lock_not_available, query_canceled, and the time-outs of an idle, or of any, transaction: whoever is in the way goes.
        "55P03" | "57014" | "25P03" | "25P04" => Kind::Transient,
        // Wrong password, no such role, no such database: nobody's retry helps, but it is the database that says so.
        "28000" | "28P01" | "3D000" => Kind::Unreachable,
        // object_not_in_prerequisite_state: a database that lets nobody in (alter database … allow_connections false).
        "55000" => Kind::Unreachable,
        // read_only_sql_transaction: a standby, or somebody made it read-only. It passes, and no row is the reason.
        "25006" => Kind::Unreachable,
        // sequence_generator_limit_exceeded: the numbers of the target are used up, whatever comes.
        "2200H" => Kind::Refused,
        // data_corrupted, internal_error: as a rule one damaged row, of the source or of the target, at which every read of it fails.
        // A link that waited for it would wait until a person has mended it; the others need not. Where every row fails so, see `node::alike`.
        "XX000" | "XX001" => Kind::Data,
        _ => kind_of_class(code.get(..2).unwrap_or(code)),
    }
}

fn kind_of_class(class: &str) -> Kind {
    match class {
        // connection exception, operator intervention (shutdown, crash, cannot connect now), system error (I/O, files).
        "08" | "57" | "58" => Kind::Unreachable,
        // insufficient resources (disk full, out of memory, too many connections), transaction rollback (serialization, deadlock),
        // object in use.
        "53" | "40" | "55" => Kind::Transient,
        // feature not supported, no such schema, access rule violation (no such table, column or function; no right): as the server is set
        // up, every row would meet it.
        "0A" | "3F" | "42" => Kind::Refused,
        // data exception (encoding, overflow, too long), integrity constraint violation, WITH CHECK OPTION, cardinality and triggered data
        // change violations, program limit exceeded (too large for an index, nested too deep).
        "22" | "23" | "44" | "21" | "27" | "54" => Kind::Data,
        // What a trigger of the DBA's raises, in PL/pgSQL or another language: it has looked at the row.
        "09" | "20" | "2F" | "38" | "39" | "P0" => Kind::Data,
        // The rest of PostgreSQL's own: a statement of ours that is wrong, or a damaged index.
        "00" | "01" | "02" | "03" | "0B" | "0F" | "0L" | "0P" | "0Z" | "24" | "25" | "26" | "28" | "2B" | "2D"
        | "34" | "3B" | "3D" | "72" | "F0" | "HV" | "XX" => Kind::Internal,
        // A code that somebody has made up: `raise exception using errcode = …` in a trigger.
        _ => Kind::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One a line: the code, its name, what it is taken for.
    #[test]
    fn sqlstates_are_sorted_by_who_is_to_blame() {
        for (code, name, expected) in [
            // The row.
            ("55000", "object_not_in_prerequisite_state", Kind::Unreachable),
            ("22001", "string_data_right_truncation", Kind::Data),
            ("22003", "numeric_value_out_of_range", Kind::Data),
            ("22008", "datetime_field_overflow", Kind::Data),
            ("22021", "character_not_in_repertoire", Kind::Data),
            ("22P02", "invalid_text_representation", Kind::Data),
            ("22P05", "untranslatable_character", Kind::Data),
            ("23502", "not_null_violation", Kind::Data),
            ("23503", "foreign_key_violation", Kind::Data),
            ("23505", "unique_violation", Kind::Data),
            ("23514", "check_violation", Kind::Data),
            ("23P01", "exclusion_violation", Kind::Data),
            ("21000", "cardinality_violation", Kind::Data),
            ("44000", "with_check_option_violation", Kind::Data),
            ("P0001", "raise_exception", Kind::Data),
            ("P0002", "no_data_found", Kind::Data),
            ("P0004", "assert_failure", Kind::Data),
            ("38000", "external_routine_exception", Kind::Data),
            ("09000", "triggered_action_exception", Kind::Data),
            ("20000", "case_not_found", Kind::Data),
            ("54000", "program_limit_exceeded", Kind::Data),
            ("54001", "statement_too_complex", Kind::Data),
            ("XX000", "internal_error", Kind::Data),
            ("XX001", "data_corrupted", Kind::Data),
            ("MY042", "made up by a trigger", Kind::Data),
            // What passes by itself.
            ("40001", "serialization_failure", Kind::Transient),
            ("40P01", "deadlock_detected", Kind::Transient),
            ("55P03", "lock_not_available", Kind::Transient),
            ("55006", "object_in_use", Kind::Transient),
            ("57014", "query_canceled", Kind::Transient),
            ("25P03", "idle_in_transaction_session_timeout", Kind::Transient),
            ("25P04", "transaction_timeout", Kind::Transient),
            ("53100", "disk_full", Kind::Transient),
            ("53200", "out_of_memory", Kind::Transient),
            ("53300", "too_many_connections", Kind::Transient),
            // The server, or the way to it.
            ("08006", "connection_failure", Kind::Unreachable),
            ("08P01", "protocol_violation", Kind::Unreachable),
            ("57P01", "admin_shutdown", Kind::Unreachable),
            ("57P03", "cannot_connect_now", Kind::Unreachable),
            ("58030", "io_error", Kind::Unreachable),
            ("58P01", "undefined_file", Kind::Unreachable),
            ("25006", "read_only_sql_transaction", Kind::Unreachable),
            ("28P01", "invalid_password", Kind::Unreachable),
            ("3D000", "invalid_catalog_name", Kind::Unreachable),
            // How it is set up.
            ("2200H", "sequence_generator_limit_exceeded", Kind::Refused),
            ("42501", "insufficient_privilege", Kind::Refused),
            ("42804", "datatype_mismatch", Kind::Refused),
            ("42883", "undefined_function", Kind::Refused),
            ("42P01", "undefined_table", Kind::Refused),
            ("0A000", "feature_not_supported", Kind::Refused),
            ("DM001", "the program is too old", Kind::Refused),
            // A defect, or a damaged index.
            ("25P02", "in_failed_sql_transaction", Kind::Internal),
            ("26000", "invalid_sql_statement_name", Kind::Internal),
            ("XX002", "index_corrupted", Kind::Internal),
        ] {
            assert_eq!(kind(code), expected, "{code} {name}");
        }
    }

    #[test]
    fn a_code_that_is_none_is_no_reason_to_panic() {
        for code in ["", "2", "é", "22", "ééééé"] {
            kind(code);
        }
    }
}
