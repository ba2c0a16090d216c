//! Chance, from a seed.

use fastrand::Rng;

use super::queue::Micros;

/// Whose turn it is to draw. Each draws from a stream of its own, so that a change of one setting leaves what the others draw alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Arrivals,
    Network,
    Faults,
    Clients,
    Worker,
}

/// One stream of chance.
#[derive(Debug)]
pub(super) struct Random(Rng);

impl Random {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        // Seeds that lie side by side must not give streams that do.
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut rng =
            Rng::with_seed(seed.wrapping_mul(SPREAD) ^ (stream as u64 + 1).wrapping_mul(SPREAD.rotate_left(17)));
        rng.u64(..);
        Self(rng)
    }

    /// In `0.0..1.0`.
    pub(super) fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// Whether something happens that does so with this probability. Draws in any case.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// In `0..below`; 0 where there is nothing to choose from.
    pub(super) fn below(&mut self, below: usize) -> usize {
        self.0.usize(..below.max(1))
    }

    /// The time until something that happens every `mean` on average, at any moment as likely as at any other.
    pub(super) fn wait(&mut self, mean: Micros) -> Micros {
        Micros((-(1.0 - self.share()).ln() * mean.0 as f64).round() as i64)
    }

    /// In `0..below`.
    pub(super) fn up_to(&mut self, below: Micros) -> Micros {
        Micros(self.0.i64(0..below.0.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_itself_and_no_other() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            std::array::from_fn::<_, 8, _>(|_| random.below(1 << 30))
        };
        assert_eq!(draw(1, Stream::Arrivals), draw(1, Stream::Arrivals));
        assert_ne!(draw(1, Stream::Arrivals), draw(1, Stream::Network));
        assert_ne!(draw(1, Stream::Arrivals), draw(2, Stream::Arrivals));
    }

    #[test]
    fn waits_have_the_mean_that_was_asked_for() {
        let mut random = Random::new(7, Stream::Faults);
        let count = 20_000;
        let sum: i64 = (0..count).map(|_| random.wait(Micros::from_ms(500)).0).sum();
        let mean_ms = sum / count / 1000;
        assert!((480..520).contains(&mean_ms), "{mean_ms}");
    }
}
