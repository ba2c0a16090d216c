//! How something that was measured often is distributed.

use std::fmt::Write as _;
use std::time::Duration;

/// The upper ends of the classes, in milliseconds; the last two are what a delivery waits at most for each lock, and in all.
const CLASSES_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 150, 200, 250, 500];

/// Durations.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<Duration>);

impl Spread {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that this part of them does not exceed.
    pub fn at(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }

    /// `count, p50, p90, p99, max` in milliseconds.
    pub fn row(&self, name: &str) -> String {
        let ms = |part: f64| self.at(part).as_secs_f64() * 1000.0;
        format!("  {name:34} {:>7} {:>9.1} {:>9.1} {:>9.1} {:>9.1}", self.count(), ms(0.5), ms(0.9), ms(0.99), ms(1.0))
    }

    /// The head of such rows.
    pub fn head() -> String {
        format!("  {:34} {:>7} {:>9} {:>9} {:>9} {:>9}", "MILLISECONDS", "COUNT", "P50", "P90", "P99", "MAX")
    }

    /// How many there are in each class.
    fn classes(&self) -> Vec<usize> {
        let mut classes = vec![0; CLASSES_MS.len() + 1];
        for took in &self.0 {
            let class = CLASSES_MS.iter().position(|end| *took <= Duration::from_millis(*end));
            classes[class.unwrap_or(CLASSES_MS.len())] += 1;
        }
        classes
    }
}

/// Several side by side, class by class.
pub fn histogram(spreads: &[(&str, &Spread)]) -> String {
    let mut text = format!("  {:>12}", "UP TO");
    for (name, _) in spreads {
        let _ = write!(text, " {name:>18}");
    }
    let classes: Vec<_> = spreads.iter().map(|(_, spread)| (spread.classes(), spread.count())).collect();
    for class in 0..=CLASSES_MS.len() {
        let end = CLASSES_MS.get(class).map_or("more".to_owned(), |end| format!("{end} ms"));
        let _ = write!(text, "\n  {end:>12}");
        for (counts, all) in &classes {
            let percent = 100.0 * counts[class] as f64 / (*all).max(1) as f64;
            let _ = write!(text, " {:>9} {percent:>7.2}%", counts[class]);
        }
    }
    text
}
