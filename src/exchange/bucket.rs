//! A token bucket without a lock: the generic cell rate algorithm, one number for all workers.

use crate::clock::Mono;
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_NS: u64 = 1_000_000_000;
/// How many requests may come at once: those of a tenth of a second, so that any second sees at
/// most a tenth more than the limit, and a limit below ten a second still lets one through.
const BURSTS_A_SECOND: u64 = 10;

/// Lets so many through each second.
#[derive(Debug)]
pub struct Bucket {
    start: Mono,
    /// Nanoseconds that one request takes.
    each_ns: u64,
    /// Nanoseconds by which requests may be early.
    early_ns: u64,
    /// When the next request is due, in nanoseconds since `start`. Nothing else is published by
    /// it, so relaxed order is enough.
    due_ns: AtomicU64,
}

impl Bucket {
    /// A full bucket; `None` for 0, which is no limit.
    #[must_use]
    pub fn of(qps_max: u32, start: Mono) -> Option<Self> {
        let each_ns = SECOND_NS.checked_div(u64::from(qps_max))?.max(1);
        let early_ns = (SECOND_NS / BURSTS_A_SECOND).saturating_sub(each_ns);
        Some(Self { start, each_ns, early_ns, due_ns: AtomicU64::new(0) })
    }

    /// Whether one more may come now; it is counted if so.
    pub fn admits(&self, now: Mono) -> bool {
        let now_ns = now.nanos_since(self.start);
        let next = |due_ns: u64| {
            let is_early = due_ns > now_ns.saturating_add(self.early_ns);
            (!is_early).then(|| due_ns.max(now_ns).saturating_add(self.each_ns))
        };
        self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of one request a millisecond pass in each of `seconds`.
    fn passed(qps_max: u32, seconds: u64) -> Vec<u32> {
        let start = Mono::now();
        let bucket = Bucket::of(qps_max, start).expect("a limit");
        let second = |second: u64| {
            let times = (0..1_000).map(move |milli| start.plus_millis(second * 1_000 + milli));
            times.map(|now| u32::from(bucket.admits(now))).sum()
        };
        (0..seconds).map(second).collect()
    }

    #[test]
    fn each_second_lets_the_limit_through_and_the_first_a_tenth_more() {
        assert!(Bucket::of(0, Mono::now()).is_none());
        assert_eq!(passed(1, 4), [1, 1, 1, 1]);
        assert_eq!(passed(10, 3), [10, 10, 10]);
        assert_eq!(passed(100, 3), [109, 100, 100]);
        assert_eq!(passed(2_000, 3), [1_000, 1_000, 1_000], "below the limit all pass");
    }

    #[test]
    fn silence_saves_nothing_up() {
        let start = Mono::now();
        let bucket = Bucket::of(1_000, start).expect("a limit");
        for second in [0, 60] {
            let now = start.plus_millis(second * 1_000);
            assert_eq!((0..500).filter(|_| bucket.admits(now)).count(), 100, "second {second}");
        }
    }

    #[test]
    fn threads_share_one_limit() {
        let now = Mono::now();
        let bucket = Bucket::of(1_000, now).expect("a limit");
        let count = || (0..500).filter(|_| bucket.admits(now)).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().expect("counted")).sum()
        });
        assert_eq!(total, 100, "a tenth of a second's worth");
    }
}
