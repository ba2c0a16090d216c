//! The content of a message: parts, headers, references, envelope, each in a transaction of its own.

use jiff::civil::DateTime;
use tokio_postgres::error::SqlState;

use super::mail::{Mail, hash};
use super::session::{Parameters, Session, is_sqlstate};
use super::sql::{self, Sql};
use crate::error::Result;

/// How often a part or a header is looked up again when `dbmail-util` deleted it, as unused, between two transactions.
const PURGE_RACES_MAX: u32 = 10;

/// The longest text of `sortfield` and `referencesfield`.
const FIELD_CHARS_MAX: usize = 255;

impl Session {
    pub(super) async fn store_content(&mut self, physmessage: i64, mail: &Mail) -> Result<()> {
        self.store_part(physmessage, 0, &mail.header_block()).await?;
        for (order, part) in (1..).zip(&mail.parts) {
            self.store_part(physmessage, order, part).await?;
        }
        for (name, value) in &mail.headers {
            self.store_header(physmessage, name, value).await?;
        }
        for reference in references(mail) {
            self.execute(sql::INSERT_REFERENCE, &[&physmessage, &reference]).await?;
        }
        self.execute(sql::INSERT_ENVELOPE, &[&physmessage, &envelope(mail)]).await?;
        Ok(())
    }

    /// Part 0 is the header.
    async fn store_part(&mut self, physmessage: i64, order: i32, data: &[u8]) -> Result<()> {
        let (hash, size) = (hash(data), i64::try_from(data.len()).unwrap_or(i64::MAX));
        let is_header = i16::from(order == 0);
        for race in 0.. {
            let found = self.query_opt(sql::FIND_MIMEPART, &[&hash, &size, &data]).await?;
            let part: Option<i64> = match found {
                Some(row) => Some(row.get(0)),
                None => self.returned(sql::INSERT_MIMEPART, &[&hash, &size, &data]).await?,
            };
            let link: Parameters<'_> = &[&physmessage, &is_header, &1_i32, &0_i32, &order, &part];
            let linked = self.execute(sql::INSERT_PARTLIST, link).await;
            if !lost_a_purge_race(&linked, race) {
                return linked.map(|_| ());
            }
        }
        Ok(())
    }

    async fn store_header(&mut self, physmessage: i64, name: &str, value: &str) -> Result<()> {
        let hash = hash(value.as_bytes());
        let sortfield: String = value.chars().take(FIELD_CHARS_MAX).collect();
        let date = if name.eq_ignore_ascii_case("date") { date(value) } else { None };
        for race in 0.. {
            let name_id = self.headername(name).await?;
            let found = self.query_opt(sql::FIND_HEADERVALUE, &[&hash, &value]).await?;
            let value_id: Option<i64> = match found {
                Some(row) => Some(row.get(0)),
                None => self.returned(sql::INSERT_HEADERVALUE, &[&hash, &value, &sortfield, &date]).await?,
            };
            let linked = self.execute(sql::INSERT_HEADER, &[&physmessage, &name_id, &value_id]).await;
            if !lost_a_purge_race(&linked, race) {
                return linked.map(|_| ());
            }
        }
        Ok(())
    }

    /// Names are unique: who loses the race to insert one finds the other's.
    async fn headername(&mut self, name: &str) -> Result<Option<i64>> {
        if let Some(row) = self.query_opt(sql::FIND_HEADERNAME, &[&name]).await? {
            return Ok(Some(row.get(0)));
        }
        match self.returned(sql::INSERT_HEADERNAME, &[&name]).await? {
            Some(id) => Ok(Some(id)),
            None => self.returned(sql::FIND_HEADERNAME, &[&name]).await,
        }
    }

    async fn returned(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<Option<i64>> {
        Ok(self.query_opt(sql, parameters).await?.map(|row| row.get(0)))
    }
}

fn lost_a_purge_race<T>(outcome: &Result<T>, race: u32) -> bool {
    let lost = |state| matches!(outcome, Err(error) if is_sqlstate(error, state));
    // Not null: the header name that another session's insert won was purged before we read it.
    race < PURGE_RACES_MAX && (lost(&SqlState::FOREIGN_KEY_VIOLATION) || lost(&SqlState::NOT_NULL_VIOLATION))
}

/// The Date field as dbmail keeps it for sorting.
fn date(value: &str) -> Option<DateTime> {
    jiff::fmt::rfc2822::parse(value).ok().map(|date| date.datetime())
}

/// The distinct message ids of the References field.
fn references(mail: &Mail) -> Vec<String> {
    let mut references: Vec<String> = mail
        .header("References")
        .unwrap_or_default()
        .split_whitespace()
        .map(|id| id.chars().take(FIELD_CHARS_MAX).collect())
        .collect();
    references.sort_unstable();
    references.dedup();
    references
}

/// Something of the shape of an IMAP envelope (RFC 3501, 7.4.2).
fn envelope(mail: &Mail) -> String {
    let fields = ["Date", "Subject", "From", "To", "Message-ID"];
    let quoted: Vec<String> =
        fields.iter().map(|name| format!("{:?}", mail.header(name).unwrap_or_default())).collect();
    format!("({})", quoted.join(" "))
}
