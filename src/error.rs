//! The library's one error type: what went wrong, where, whether trying again can help, and what to do.

mod postgres;

use std::error::Error as StdError;
use std::fmt;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What family an error belongs to; the command turns it into its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the settings cannot be used (exit code 2).
    Usage,
    /// A database cannot be reached or asked (exit code 3).
    Unreachable,
    /// Going on would put mail or numbers at risk, so it was not done (exit code 4).
    Refused,
    /// A statement failed in a way that is likely to pass: lock or statement time-out, serialization, shutdown.
    Transient,
    /// Another worker writes to the node now, in a term of its own: this one stands by.
    Superseded,
    /// Data that cannot be read or written: a value, a row, a constraint.
    Data,
    /// A defect of this program.
    Internal,
}

/// An error with its context and, where a person can do something about it, the remedy.
pub struct Error {
    kind: Kind,
    what: String,
    remedy: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `what` happened.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), remedy: None, source: None }
    }

    /// A refusal for safety's sake, with what to do about it.
    pub fn refused(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Refused, what).remedy(remedy)
    }

    /// Adds what the reader can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Puts `context` (where it happened, doing what) in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.what = format!("{context}: {}", self.what);
        self
    }

    /// The family of the error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the same call may succeed later without anyone's help.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::Unreachable | Kind::Superseded)
    }

    /// What the reader can do, if there is something.
    pub fn to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Unreachable | Kind::Transient | Kind::Superseded => 3,
            Kind::Refused => 4,
            Kind::Data | Kind::Internal => 5,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<tokio_postgres::Error> for Error {
    /// PostgreSQL's own message with its SQLSTATE, sorted by what can be done about it. Holds no values, see `postgres`.
    fn from(error: tokio_postgres::Error) -> Self {
        let (kind, what) = match error.as_db_error() {
            Some(db) => (crate::sqlstate::kind(db.code().code()), postgres::told(db)),
            None => {
                let mut what = error.to_string();
                if let Some(cause) = StdError::source(&error) {
                    what = format!("{what}: {cause}");
                }
                let conversion = what.contains("serializing parameter") || what.contains("deserializing column");
                (if conversion { Kind::Internal } else { Kind::Unreachable }, what)
            }
        };
        Self::new(kind, what).source(error)
    }
}
