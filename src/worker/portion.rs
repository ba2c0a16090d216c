//! How many keys a batch takes: as many as go, and fewer on the way to a row that the target refuses.

/// The size of the next batch of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    keys: i64,
    most: i64,
    /// Whether a row that is refused is among the next ones: what is left to look through is halved every time.
    hunts: bool,
}

impl Portion {
    /// As large as the settings allow.
    pub(crate) fn new(most: i64) -> Self {
        let most = most.max(1);
        Self { keys: most, most, hunts: false }
    }

    /// How many keys.
    pub(crate) fn keys(&self) -> i64 {
        self.keys
    }

    /// A batch failed. What does not go in one piece may go in smaller ones. Returns whether it was for a row (`of_a_row`) and the next
    /// batch is a smaller one.
    pub(crate) fn failed(&mut self, of_a_row: bool) -> bool {
        let smaller = self.keys > 1;
        self.hunts |= of_a_row && smaller;
        self.keys = (self.keys / 2).max(1);
        of_a_row && smaller
    }

    /// A batch went through. While a row is hunted, it is among the other half.
    pub(crate) fn went(&mut self) {
        if self.hunts && self.keys > 1 {
            self.keys /= 2;
        } else {
            self.keys = (self.keys * 2).min(self.most);
            self.hunts = false;
        }
    }

    /// The row was found. The next may be another such: they tend to come together.
    pub(crate) fn found(&mut self) {
        self.hunts = false;
        self.keys = 1;
    }
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
}
