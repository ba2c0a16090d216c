//! How people write durations and sizes, both ways.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads "250ms", "2s", "1min", "12h", "30d".
///
/// # Errors
/// How to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    scaled(text, &DURATION_UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| "not a duration: write a whole number and its unit (ms, s, min, h, d), such as \"250ms\"".into())
}

/// Reads "8MiB", "512KiB", "100B"; the result is in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZE_UNITS)
        .ok_or_else(|| "not a size: write a whole number and its unit (B, KiB, MiB, GiB), such as \"8MiB\"".into())
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = text[digits..].trim();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    text[..digits].parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a duration in the largest unit that holds it exactly.
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(ms, &DURATION_UNITS).unwrap_or_else(|| "0s".into())
}

/// Writes a size in the largest unit that holds it exactly.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS).unwrap_or_else(|| "0B".into())
}

fn show(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let (name, factor) = units.iter().find(|(_, factor)| number > 0 && number.is_multiple_of(*factor))?;
    Some(format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in [("250ms", 250), ("2s", 2_000), ("1min", 60_000), ("30d", 30 * 86_400_000), ("0s", 0)] {
            let duration = duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(show_duration(duration), text);
        }
        assert_eq!(duration("10 s").unwrap(), Duration::from_secs(10), "a space is no harm");
        for text in ["", "5", "soon", "-1s", "1.5s", "1s2", "99999999999999999d"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("8MiB", 8 << 20), ("1GiB", 1 << 30), ("100B", 100), ("0B", 0)] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
            assert_eq!(show_size(bytes), text);
        }
        for text in ["8", "8MB", "MiB", ""] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn sizes_are_read_as_they_are_written(bytes: u64, text in "[0-9]{0,20} ?[A-Za-z]{0,4}") {
            proptest::prop_assert_eq!(size(&show_size(bytes)).unwrap(), bytes);
            if let Ok(bytes) = size(&text) {
                proptest::prop_assert_eq!(size(&show_size(bytes)).unwrap(), bytes);
            }
        }
    }
}
