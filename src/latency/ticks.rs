//! How long an actor's ticks keep its thread.

use crate::clock::Mono;
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of the buckets in seconds: from less than a bid takes to what no bid could wait for.
const BOUNDS_S: [f64; 10] = [1e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 5e-2, 2.5e-1];

/// Times of one actor's ticks. Each tick counts once, whatever there was to do in it: how many pieces it
/// came in would tell how much users did. It is time on the wall, so what others took of the core
/// meanwhile is in it. Clones count together.
#[derive(Clone, Debug)]
pub struct TickTimes {
    whole: Histogram,
    longest: Histogram,
}

impl TickTimes {
    /// Begins a tick.
    #[must_use]
    pub fn begin(&self) -> TickWatch {
        TickWatch { times: self.clone(), whole_ns: 0, longest_ns: 0 }
    }

    /// Seconds of work of each tick, all of its pieces together.
    #[must_use]
    pub const fn whole(&self) -> &Histogram {
        &self.whole
    }

    /// Seconds of each tick's longest piece: so long somebody on its thread may have waited for it.
    #[must_use]
    pub const fn longest(&self) -> &Histogram {
        &self.longest
    }
}

impl Default for TickTimes {
    fn default() -> Self {
        Self { whole: Histogram::new(BOUNDS_S), longest: Histogram::new(BOUNDS_S) }
    }
}

/// Times one tick, which counts when this is dropped.
#[derive(Debug)]
pub struct TickWatch {
    times: TickTimes,
    whole_ns: u64,
    longest_ns: u64,
}

impl TickWatch {
    /// Does `work`, all that the tick does before others on its thread get their turn.
    pub fn piece<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = Mono::now();
        let result = work();
        let nanos = Mono::now().nanos_since(start);
        self.whole_ns += nanos;
        self.longest_ns = self.longest_ns.max(nanos);
        result
    }
}

impl Drop for TickWatch {
    fn drop(&mut self) {
        self.times.whole.observe(self.whole_ns as f64 / 1e9);
        self.times.longest.observe(self.longest_ns as f64 / 1e9);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn a_tick_of_many_pieces_counts_once() {
        let times = TickTimes::default();
        let mut watch = times.begin();
        let mut longest_ns = 0;
        let start = Mono::now();
        for millis in [0, 3, 1] {
            let began = Mono::now();
            watch.piece(|| {
                let until = Mono::now().plus_millis(millis);
                while Mono::now() < until {}
            });
            longest_ns = longest_ns.max(Mono::now().nanos_since(began));
        }
        let whole_ns = Mono::now().nanos_since(start);
        assert!((3_000_000..=longest_ns).contains(&watch.longest_ns));
        assert!((watch.longest_ns + 1_000_000..=whole_ns).contains(&watch.whole_ns));
        drop(watch);
        let mut registry = Registry::default();
        registry.register("whole", "", times.whole().clone());
        registry.register("longest", "", times.longest().clone());
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        for line in ["whole_count 1", "longest_count 1", "longest_bucket{le=\"0.0025\"} 0"] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }
}
