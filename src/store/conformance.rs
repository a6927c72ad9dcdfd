//! What every log promises, run on each of them: `conforms!(backend)` makes a test of each promise.

use super::*;
use crate::clock::Civil;
use crate::units::Timestamp;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Makes logs of one kind.
pub(super) trait Backend {
    /// The log of this backend; where it is durable, the same one each time. One is open at a time.
    fn open(&self, clock: &Civil, pauses: Pauses) -> Arc<dyn OrderedLog>;

    /// Whether what was acknowledged is there when it is opened again.
    fn is_durable(&self) -> bool;
}

/// Each promise as a test on the backend that `$make` makes.
macro_rules! conforms {
    ($make:expr) => {
        $crate::store::conformance::conforms!($make; a_key_is_in_the_log_once_and_times_never_go_back
            what_is_trimmed_is_refused_and_not_skipped tails_hand_over_without_a_gap
            a_tail_begins_wherever_it_is_told_to closing_completes_what_is_queued
            what_is_too_long_is_refused what_comes_together_is_one_batch_for_each_tail
            what_was_acknowledged_outlives_the_log copies_from_many_sides_are_one_record);
    };
    ($make:expr; $($promise:ident)*) => {
        $(#[test]
        fn $promise() {
            $crate::store::conformance::$promise(&$make);
        })*
    };
}
pub(super) use conforms;

fn clock() -> Civil {
    Civil::simulated(Timestamp(1_000))
}

/// Appends and waits for the outcome, which another thread tells.
pub(super) fn append(
    log: &dyn OrderedLog,
    idem: u128,
    body: &'static str,
) -> Result<Position, AppendError> {
    let (sender, receiver) = channel();
    let done = move |outcome| {
        sender.send((outcome, std::thread::current().id())).expect("the test waits");
    };
    log.append(idem, Bytes::from_static(body.as_bytes()), Box::new(done));
    let (outcome, thread) = receiver.recv().expect("completed");
    assert_ne!(thread, std::thread::current().id(), "completion comes from another thread");
    outcome
}

/// The next `count` records of a tail, and no batch without any.
pub(super) fn records(tail: &mut Tail, count: usize) -> Vec<Record> {
    let mut found = Vec::new();
    while found.len() < count {
        let batch = tail.blocking_recv().expect("the log goes on");
        assert!(!batch.is_empty(), "an empty batch");
        found.extend(batch.iter().cloned());
    }
    assert_eq!(found.len(), count, "no more than those");
    found
}

fn positions(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.position.0).collect()
}

pub(super) fn a_key_is_in_the_log_once_and_times_never_go_back(backend: &dyn Backend) {
    let clock = clock();
    let log = backend.open(&clock, Pauses::default());
    assert_eq!(append(&*log, 1, "one"), Ok(Position(1)));
    clock.advance(Timestamp(2_000));
    assert_eq!(append(&*log, 2, "two"), Ok(Position(2)));
    assert_eq!(append(&*log, 1, "one"), Ok(Position(1)));
    assert_eq!(log.head(), Position(2));
    let mut tail = log.tail(Position(1)).expect("all there");
    let [one, two] = &records(&mut tail, 2)[..] else { panic!("two records") };
    assert_eq!((one.at, two.at), (Timestamp(1_000), Timestamp(2_000)));
    assert_eq!((&one.body[..], two.idem), (&b"one"[..], 2));
    assert_eq!(append(&*log, 3, "three"), Ok(Position(3)));
    assert_eq!(positions(&records(&mut tail, 1)), [3]);
    if backend.is_durable() {
        drop((log, tail));
        let log = backend.open(&Civil::simulated(Timestamp(500)), Pauses::default());
        assert_eq!(append(&*log, 2, "two"), Ok(Position(2)), "keys are remembered");
        assert_eq!(append(&*log, 4, "four"), Ok(Position(4)));
        let last = records(&mut log.tail(Position(4)).expect("there"), 1);
        assert_eq!(last[0].at, Timestamp(2_000), "the clock was set back, the log was not");
    }
}

pub(super) fn what_is_trimmed_is_refused_and_not_skipped(backend: &dyn Backend) {
    let log = backend.open(&clock(), Pauses::default());
    for idem in 0..5 {
        append(&*log, idem, "x").expect("in");
    }
    log.trim(Position(3));
    assert_eq!(log.tail(Position(3)).expect_err("gone").first, Position(4));
    let mut tail = log.tail(Position(4)).expect("there");
    assert_eq!(positions(&records(&mut tail, 2)), [4, 5]);
    assert!(log.tail(Position(6)).expect("to come").try_recv().is_err(), "no empty batch");
    assert_eq!(log.head(), Position(5));
    log.trim(Position(100));
    assert_eq!(log.tail(Position(5)).expect_err("gone").first, Position(6));
    assert_eq!(append(&*log, 9, "x"), Ok(Position(6)));
    if backend.is_durable() {
        drop((log, tail));
        let log = backend.open(&clock(), Pauses::default());
        assert_eq!(append(&*log, 10, "x"), Ok(Position(7)), "positions are never used again");
    }
}

pub(super) fn tails_hand_over_without_a_gap(backend: &dyn Backend) {
    const COUNT: u128 = 3_000;
    let log = backend.open(&clock(), Pauses::default());
    let writer = {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            let (sender, receiver) = channel();
            for idem in 0..COUNT {
                let sender = sender.clone();
                let done = move |outcome| sender.send(outcome).expect("the test waits");
                log.append(idem, Bytes::from_static(b"body"), Box::new(done));
            }
            drop(sender);
            assert_eq!(receiver.iter().filter(Result::is_ok).count() as u128, COUNT);
        })
    };
    // Tails begin while appends are under way, each at what is the middle by then.
    let froms = (0..20).map(|_| {
        let from = Position(log.head().0 / 2 + 1);
        (from, log.tail(from).expect("there"))
    });
    for (from, mut tail) in froms.collect::<Vec<_>>() {
        let expected: Vec<u64> = (from.0..=COUNT as u64).collect();
        assert_eq!(positions(&records(&mut tail, expected.len())), expected);
    }
    writer.join().expect("all appended");
}

pub(super) fn a_tail_begins_wherever_it_is_told_to(backend: &dyn Backend) {
    let log = backend.open(&clock(), Pauses::default());
    for idem in 0..3 {
        append(&*log, idem, "x").expect("in");
    }
    for from in 0..=4 {
        let expected: Vec<u64> = (from.max(1)..=3).collect();
        let mut tail = log.tail(Position(from)).expect("there");
        assert_eq!(positions(&records(&mut tail, expected.len())), expected, "from {from}");
        assert!(tail.try_recv().is_err(), "from {from}");
    }
}

pub(super) fn closing_completes_what_is_queued(backend: &dyn Backend) {
    let pauses = Pauses { gather: Duration::from_millis(10), delay: Duration::from_millis(10) };
    let log = backend.open(&clock(), pauses);
    let mut tail = log.tail(Position(1)).expect("to come");
    let (sender, receiver) = channel();
    for idem in 0..10 {
        let sender = sender.clone();
        let done = move |outcome| sender.send(outcome).expect("the test waits");
        log.append(idem, Bytes::new(), Box::new(done));
    }
    drop((log, sender));
    assert_eq!(receiver.iter().filter(Result::is_ok).count(), 10);
    assert_eq!(records(&mut tail, 10).len(), 10);
    assert!(tail.blocking_recv().is_none(), "a tail ends with its log");
}

pub(super) fn what_is_too_long_is_refused(backend: &dyn Backend) {
    let log = backend.open(&clock(), Pauses::default());
    for (length, expected) in [
        (BODY_BYTES_MAX + 1, Err(AppendError::TooLong)),
        (BODY_BYTES_MAX, Ok(Position(1))),
        (0, Ok(Position(2))),
    ] {
        let (sender, receiver) = channel();
        let done = move |outcome| sender.send(outcome).expect("the test waits");
        log.append(length as u128, Bytes::from(vec![7; length]), Box::new(done));
        assert_eq!(receiver.recv().expect("completed"), expected);
    }
    let found = records(&mut log.tail(Position(1)).expect("there"), 2);
    assert_eq!(found[0].body, vec![7; BODY_BYTES_MAX]);
}

pub(super) fn what_comes_together_is_one_batch_for_each_tail(backend: &dyn Backend) {
    let log =
        backend.open(&clock(), Pauses { gather: Duration::from_millis(1), ..Pauses::default() });
    let mut tails = [1, 2].map(|from| log.tail(Position(from)).expect("all there"));
    // The writer stands in the completion of the first append until the others are queued.
    let (go_on, held) = channel::<()>();
    let (begun, begins) = channel();
    let stand = move |_| {
        begun.send(()).expect("the test waits");
        held.recv().expect("told to go on");
    };
    log.append(0, Bytes::new(), Box::new(stand));
    begins.recv().expect("begun");
    let (sender, receiver) = channel();
    for idem in 1..=100 {
        let sender = sender.clone();
        // A copy of the first among them takes no position.
        let done = move |outcome| sender.send(outcome).expect("the test waits");
        log.append(idem % 100, Bytes::new(), Box::new(done));
    }
    go_on.send(()).expect("it stands");
    drop(sender);
    let found: Vec<u64> = receiver.iter().map(|at| at.expect("in the log").0).collect();
    assert_eq!(found, (2..=100).chain([1]).collect::<Vec<_>>());
    assert_eq!(log.head(), Position(100));
    for tail in &mut tails {
        // Readers have them before the writers hear of it.
        let batches: Vec<usize> =
            std::iter::from_fn(|| tail.try_recv().ok()).map(|batch| batch.len()).collect();
        assert_eq!(batches, [1, 99]);
    }
}

pub(super) fn what_was_acknowledged_outlives_the_log(backend: &dyn Backend) {
    let mut next = 0;
    for opening in 0..3 {
        let log = backend.open(&clock(), Pauses::default());
        if opening > 0 && !backend.is_durable() {
            assert_eq!(log.head(), Position(0));
            return;
        }
        assert_eq!(log.head(), Position(next), "opening {opening}");
        for _ in 0..5 {
            next += 1;
            assert_eq!(append(&*log, u128::from(next), "x"), Ok(Position(next)));
        }
        let mut tail = log.tail(Position(1)).expect("there");
        let expected: Vec<u64> = (1..=next).collect();
        assert_eq!(positions(&records(&mut tail, expected.len())), expected);
    }
}

pub(super) fn copies_from_many_sides_are_one_record(backend: &dyn Backend) {
    let log = backend.open(&clock(), Pauses::default());
    let sides: Vec<_> = (0..4)
        .map(|_| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                (0..50).map(|idem| append(&*log, idem, "x").expect("in")).collect::<Vec<_>>()
            })
        })
        .collect();
    let told: Vec<_> = sides.into_iter().map(|side| side.join().expect("appended")).collect();
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "each copy is told one position");
    assert_eq!(log.head(), Position(50));
}
