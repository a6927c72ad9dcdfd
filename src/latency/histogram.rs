//! Recorders (one owner each), the board where they publish, and what a reader merges from it.

use super::stage::Stage;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Smallest value that is told apart, in nanoseconds (in fact 64: a power of two).
const LOW_NS: u64 = 100;
/// Largest value: longer ones count as this, since no bid waits for ten seconds.
const HIGH_NS_MAX: u64 = 10_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;
/// Places on a board: more than a machine has cores; recorders beyond it share places.
const PLACES_MAX: usize = 256;

/// One histogram a stage.
type Set<C> = [Histogram<C>; Stage::COUNT];

fn empty<C: hdrhistogram::Counter>() -> Set<C> {
    std::array::from_fn(|_| {
        Histogram::new_with_bounds(LOW_NS, HIGH_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("constant bounds that the crate accepts; a test makes one")
    })
}

/// A place on the board. The lock is taken once a second by the owner, which never waits for it,
/// and by readers.
type Place = Arc<Mutex<Box<Set<u64>>>>;

/// Where recorders publish and readers look. Clones share one board.
#[derive(Clone, Default)]
pub struct LatencyBoard {
    places: Arc<Mutex<Vec<Place>>>,
    /// Recorders made so far; only the count matters, so relaxed order is enough.
    made: Arc<AtomicUsize>,
}

impl LatencyBoard {
    /// A recorder for one more owner.
    #[must_use]
    pub fn recorder(&self) -> StageRecorder {
        let number = self.made.fetch_add(1, Ordering::Relaxed) % PLACES_MAX;
        let mut places = self.places.lock();
        while places.len() <= number {
            places.push(Arc::new(Mutex::new(Box::new(empty()))));
        }
        StageRecorder { interval: Box::new(empty()), place: Arc::clone(&places[number]) }
    }

    /// All that was published since the start.
    #[must_use]
    pub fn merged(&self) -> Merged {
        let mut total = Box::new(empty());
        // Cloned, so that the list is free while the places are added up.
        let places = self.places.lock().clone();
        for place in places {
            let published = place.lock();
            for (sum, part) in total.iter_mut().zip(published.iter()) {
                // Both have the same bounds: nothing can be out of range.
                let _ = sum.add(part);
            }
        }
        Merged { stages: total }
    }
}

/// Records the stages of one worker or actor, without locks.
pub struct StageRecorder {
    interval: Box<Set<u32>>,
    place: Place,
}

impl StageRecorder {
    /// Counts one stage that took `nanos`; values outside of 100 ns to 10 s count as the nearest.
    pub fn record(&mut self, stage: Stage, nanos: u64) {
        self.interval[stage as usize].saturating_record(nanos.min(HIGH_NS_MAX));
    }

    /// Adds what was recorded since the last time to the board. Call it about once a second: 32
    /// bits count 4e9. Returns false, with nothing lost, when a reader holds the place.
    pub fn publish(&mut self) -> bool {
        let Some(mut published) = self.place.try_lock() else { return false };
        drain(&mut self.interval, &mut published);
        true
    }
}

/// Moves the counts of `interval` into `total`.
fn drain(interval: &mut Set<u32>, total: &mut Set<u64>) {
    for (part, total) in interval.iter_mut().zip(total) {
        if part.is_empty() {
            continue;
        }
        for step in part.iter_recorded() {
            total.saturating_record_n(step.value_iterated_to(), u64::from(step.count_at_value()));
        }
        part.reset();
    }
}

impl Drop for StageRecorder {
    /// The last interval is published too; an owner that ends may wait for a reader.
    fn drop(&mut self) {
        drain(&mut self.interval, &mut self.place.lock());
    }
}

/// The stages of all recorders together, as of one moment.
pub struct Merged {
    stages: Box<Set<u64>>,
}

/// One stage in numbers: microseconds, and how many were recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageSummary {
    /// How many were recorded.
    pub count: u64,
    /// Mean, from the middle of each bucket.
    pub mean_us: f64,
    /// Half took at most this.
    pub p50_us: f64,
    /// 90 % took at most this.
    pub p90_us: f64,
    /// 99 % took at most this.
    pub p99_us: f64,
    /// 99.9 % took at most this.
    pub p999_us: f64,
    /// The longest, to two digits, upwards.
    pub max_us: f64,
}

impl Merged {
    /// The value below or at which the share `quantile` (0 to 1) of a stage lies, in nanoseconds;
    /// 0 where nothing was recorded.
    #[must_use]
    pub fn quantile_ns(&self, stage: Stage, quantile: f64) -> u64 {
        self.of(stage).value_at_quantile(quantile)
    }

    /// One stage in numbers; all zero where nothing was recorded.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> StageSummary {
        let histogram = self.of(stage);
        if histogram.is_empty() {
            return StageSummary::default();
        }
        let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        StageSummary {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: micros(0.5),
            p90_us: micros(0.9),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
            max_us: histogram.max() as f64 / 1e3,
        }
    }

    /// All stages by name, for JSON.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<&'static str, StageSummary> {
        Stage::ALL.into_iter().map(|stage| (stage.name(), self.stage(stage))).collect()
    }

    pub(super) fn of(&self, stage: Stage) -> &Histogram<u64> {
        &self.stages[stage as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mono;
    use crate::latency::Lap;

    #[test]
    fn quantiles_are_within_a_hundredth() {
        let board = LatencyBoard::default();
        let mut recorder = board.recorder();
        for micros in 1..=10_000 {
            recorder.record(Stage::Parse, micros * 1_000);
        }
        assert!(recorder.publish());
        let summary = board.merged().stage(Stage::Parse);
        assert_eq!(summary.count, 10_000);
        for (got, exact) in [
            (summary.p50_us, 5_000.0),
            (summary.p90_us, 9_000.0),
            (summary.p99_us, 9_900.0),
            (summary.p999_us, 9_990.0),
            (summary.max_us, 10_000.0),
            (summary.mean_us, 5_000.5),
        ] {
            assert!((got / exact - 1.0).abs() < 0.01, "{got} for {exact}");
        }
        assert_eq!(board.merged().stage(Stage::Hold), StageSummary::default());
    }

    #[test]
    fn all_recorders_count_and_a_dropped_one_still_does() {
        let board = LatencyBoard::default();
        let threads: Vec<_> = (1..=4u64)
            .map(|number| {
                let mut recorder = board.recorder();
                std::thread::spawn(move || {
                    for turn in 0..10_000 {
                        recorder.record(Stage::Total, number * 1_000);
                        if turn % 100 == 0 {
                            recorder.publish();
                        }
                    }
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            assert!(board.merged().stage(Stage::Total).count <= 40_000);
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        let merged = board.merged();
        assert_eq!(merged.stage(Stage::Total).count, 40_000);
        assert_eq!(merged.quantile_ns(Stage::Total, 0.25) / 100, 10);
    }

    #[test]
    fn a_reader_never_holds_an_owner_up() {
        let board = LatencyBoard::default();
        let mut recorder = board.recorder();
        recorder.record(Stage::Score, 5_000);
        let place = Arc::clone(&recorder.place);
        let reading = place.lock();
        assert!(!recorder.publish());
        recorder.record(Stage::Score, 6_000);
        drop(reading);
        assert!(recorder.publish());
        assert_eq!(board.merged().stage(Stage::Score).count, 2);
        assert!(recorder.publish());
        assert_eq!(board.merged().stage(Stage::Score).count, 2);
    }

    #[test]
    fn extremes_are_counted_at_the_ends() {
        let board = LatencyBoard::default();
        let mut recorder = board.recorder();
        for nanos in [0, 1, u64::MAX] {
            recorder.record(Stage::Encode, nanos);
        }
        recorder.publish();
        let merged = board.merged();
        assert_eq!(merged.stage(Stage::Encode).count, 3);
        assert!(merged.quantile_ns(Stage::Encode, 0.5) < LOW_NS);
        let max = merged.quantile_ns(Stage::Encode, 1.0) as f64;
        assert!((max / HIGH_NS_MAX as f64 - 1.0).abs() < 0.01, "{max}");
    }

    #[test]
    fn recorders_beyond_the_bound_share_places() {
        let board = LatencyBoard::default();
        for _ in 0..PLACES_MAX + 2 {
            board.recorder().record(Stage::Consent, 1_000);
        }
        assert_eq!(board.places.lock().len(), PLACES_MAX);
        assert_eq!(board.merged().stage(Stage::Consent).count, PLACES_MAX as u64 + 2);
    }

    #[test]
    fn a_lap_cuts_a_bid_into_its_stages() {
        let board = LatencyBoard::default();
        let mut recorder = board.recorder();
        let start = Mono::now();
        let mut lap = Lap::start(start);
        lap.mark(&mut recorder, Stage::Parse, start.plus_millis(1));
        lap.skip(start.plus_millis(3));
        lap.mark(&mut recorder, Stage::Score, start.plus_millis(7));
        lap.finish(&mut recorder, start.plus_millis(8));
        recorder.publish();
        let merged = board.merged();
        for (stage, millis) in [(Stage::Parse, 1.0), (Stage::Score, 4.0), (Stage::Total, 8.0)] {
            let got = merged.stage(stage).max_us / 1e3;
            assert!((got / millis - 1.0).abs() < 0.01, "{stage:?} {got}");
        }
    }

    #[test]
    fn the_summary_names_every_stage() {
        let json = serde_json::to_value(LatencyBoard::default().merged().summary()).expect("JSON");
        for stage in Stage::ALL {
            let keys: Vec<_> = json[stage.name()].as_object().expect("an object").keys().collect();
            assert_eq!(
                keys,
                ["count", "max_us", "mean_us", "p50_us", "p90_us", "p999_us", "p99_us"]
            );
        }
    }
}
