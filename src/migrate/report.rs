//! Several errors as one.

use crate::error::{Error, Kind, Result};

/// All of `errors` in one, of the kind that weighs most: a refusal, then wrong settings, then the others. One alone
/// stays as it is.
pub(super) fn together(what: &str, mut errors: Vec<Error>) -> Result<()> {
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(()), Err);
    }
    let has = |kind: Kind| errors.iter().any(|error| error.kind() == kind);
    let kind = [Kind::Refused, Kind::Usage].into_iter().find(|kind| has(*kind)).unwrap_or(errors[0].kind());
    let lines: Vec<_> = errors.iter().map(|error| format!("\n  {error}")).collect();
    Err(Error::new(kind, format!("{} problems, {what}:{}", errors.len(), lines.concat())))
}
