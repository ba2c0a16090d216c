//! How many keys a batch takes: as many as go, and fewer on the way to a row that the target refuses.

/// The size of the next batch of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    keys: i64,
    most: i64,
    /// So many of the next keys have a row among them that is refused: they are looked through by halves.
    suspects: Option<i64>,
}

impl Portion {
    /// As large as the settings allow.
    pub(crate) fn new(most: i64) -> Self {
        let most = most.max(1);
        Self { keys: most, most, suspects: None }
    }

    /// How many keys.
    pub(crate) fn keys(&self) -> i64 {
        self.keys
    }

    /// Whether batches are as large as the settings allow.
    pub(crate) fn is_whole(&self) -> bool {
        self.keys == self.most
    }

    /// A batch failed: for a row in it, or not. What does not go in one piece may go in smaller ones. Returns whether the row is to be
    /// looked for at once.
    pub(crate) fn failed(&mut self, of_a_row: bool) -> bool {
        let hunts = of_a_row && self.keys > 1;
        self.suspects = hunts.then_some(self.keys);
        self.keys = (self.keys / 2).max(1);
        hunts
    }

    /// A batch went through. While a row is looked for, it is among the rest.
    pub(crate) fn went(&mut self) {
        self.suspects = self.suspects.map(|suspects| suspects - self.keys).filter(|left| *left > 0);
        self.keys = match self.suspects {
            Some(left) => (left / 2).max(1),
            None => (self.keys * 2).min(self.most),
        };
    }

    /// As [`went`](Self::went), with so many bytes of at most so many: the next ones weigh as much, as a rule.
    pub(crate) fn went_with(&mut self, weighed: u64, most: u64) {
        let before = self.keys;
        self.went();
        if weighed > most / 2 {
            self.keys = self.keys.min(before);
        }
    }

    /// Whether a batch of so many keys, and messages, weighs more than it may, and can be cut; the next one is lighter then.
    pub(crate) fn is_too_heavy(&mut self, keys: usize, messages: usize, weighs: u64, most: u64) -> bool {
        if weighs <= most || messages < 2 || self.keys < 2 {
            return false;
        }
        self.keys = lighter(self.keys.min(i64::try_from(keys).unwrap_or(i64::MAX)), weighs, most);
        true
    }

    /// The row was found. The next may be another such: they tend to come together.
    pub(crate) fn found(&mut self) {
        self.suspects = None;
        self.keys = 1;
    }
}

/// How many rows a batch may have, where so many weighed more than they may.
fn lighter(rows: i64, weighed: u64, most: u64) -> i64 {
    let fitting = u128::from(most) * u128::from(rows.unsigned_abs()) / u128::from(weighed.max(1));
    i64::try_from(fitting).unwrap_or(i64::MAX).clamp(1, (rows - 1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works through `rows`, of which those that are true are refused. Returns how many batches were tried until the first was found, and in
    /// all.
    fn work(rows: &[bool], most: i64) -> (usize, usize) {
        let mut portion = Portion::new(most);
        let (mut at, mut tried, mut first) = (0, 0, 0);
        while at < rows.len() {
            tried += 1;
            let batch = &rows[at..rows.len().min(at + usize::try_from(portion.keys()).unwrap())];
            match (batch, batch.contains(&true)) {
                ([true], _) => {
                    portion.failed(true);
                    portion.found();
                    at += 1;
                    first = if first == 0 { tried } else { first };
                }
                (_, true) => drop(portion.failed(true)),
                (_, false) => {
                    portion.went();
                    at += batch.len();
                }
            }
        }
        (first, tried)
    }

    #[test]
    fn one_row_among_two_hundred_is_found_by_halves() {
        for poison in 0..200 {
            let rows: Vec<bool> = (0..200).map(|row| row == poison).collect();
            let (first, all) = work(&rows, 200);
            assert!(first <= 10, "row {poison}: {first} batches until it was found");
            assert!(all <= 20, "row {poison}: {all} batches in all");
        }
    }

    #[test]
    fn many_of_them_do_not_make_a_link_crawl() {
        let (_, together) = work(&(0..1000).map(|row| (400..600).contains(&row)).collect::<Vec<_>>(), 200);
        assert!(together <= 240, "200 in a row, a batch each: {together} batches");
        let (_, apart) = work(&(0..10_000).map(|row| row % 100 == 50).collect::<Vec<_>>(), 200);
        assert!(apart <= 100 * 16, "one in a hundred: {apart} batches");
        let mut portion = Portion::new(200);
        portion.failed(true);
        portion.found();
        for _ in 0..8 {
            portion.went();
        }
        assert_eq!(portion, Portion::new(200), "and then it goes on as before");
    }

    #[test]
    fn what_is_no_rows_fault_makes_batches_smaller_and_hunts_nobody() {
        let mut portion = Portion::new(200);
        assert!(!portion.failed(false));
        assert_eq!(portion.keys(), 100);
        portion.went();
        assert_eq!(portion.keys(), 200);
        let mut smallest = Portion::new(1);
        assert!(!smallest.failed(true), "there is nothing smaller");
    }

    #[test]
    fn a_batch_that_weighs_too_much_is_cut_to_what_fits_and_always_gets_smaller() {
        for (rows, weighed, most, fits) in [
            (200, 20, 10, 100),
            (200, 2000, 10, 1),
            (200, 11, 10, 181),
            (2, 11, 10, 1),
            (3, u64::MAX, 1, 1),
            (10, 11, 10, 9),
        ] {
            assert_eq!(lighter(rows, weighed, most), fits, "{rows} of {weighed}");
        }
    }
}
