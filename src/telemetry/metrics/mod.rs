//! Metrics in the text format of Prometheus (version 0.0.4).

pub mod counters;
pub mod gauges;
pub mod names;

use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, TextEncoder};

use crate::error::{Error, Kind, Result};

/// The content type of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics as text.
///
/// # Errors
/// `Internal` when one cannot be written.
pub fn render(families: &[MetricFamily]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(families, &mut text)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write the metrics: {error}")))?;
    Ok(text)
}
