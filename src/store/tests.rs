use super::*;
use crate::clock::Civil;
use crate::units::Timestamp;
use bytes::Bytes;
use std::sync::mpsc::channel;
use std::time::Duration;

fn append(log: &dyn OrderedLog, idem: u128, body: &'static str) -> Result<Position, AppendError> {
    let (sender, receiver) = channel();
    log.append(
        idem,
        Bytes::from_static(body.as_bytes()),
        Box::new(move |outcome| {
            sender.send((outcome, std::thread::current().id())).expect("the test waits");
        }),
    );
    let (outcome, thread) = receiver.recv().expect("completed");
    assert_ne!(thread, std::thread::current().id(), "completion comes from another thread");
    outcome
}

/// What has come out of a tail so far.
fn records(tail: &mut Tail) -> Vec<Record> {
    std::iter::from_fn(|| tail.try_recv().ok()).flat_map(|batch| batch.to_vec()).collect()
}

#[test]
fn a_key_is_in_the_log_once_and_times_never_go_back() {
    let clock = Civil::simulated(Timestamp(1_000));
    let log = MemoryLog::open(clock.clone()).expect("a thread");
    assert_eq!(append(&log, 1, "one"), Ok(Position(1)));
    clock.advance(Timestamp(2_000));
    assert_eq!(append(&log, 2, "two"), Ok(Position(2)));
    assert_eq!(append(&log, 1, "one"), Ok(Position(1)));
    let mut tail = log.tail(Position(1)).expect("all there");
    let [one, two] = &records(&mut tail)[..] else { panic!("two records") };
    assert_eq!((one.at, two.at), (Timestamp(1_000), Timestamp(2_000)));
    assert_eq!((&one.body[..], two.idem), (&b"one"[..], 2));
    assert_eq!(append(&log, 3, "three"), Ok(Position(3)));
    assert_eq!(records(&mut tail)[0].position, Position(3));
}

#[test]
fn what_is_trimmed_is_refused_and_not_skipped() {
    let log = MemoryLog::open(Civil::simulated(Timestamp(0))).expect("a thread");
    for idem in 0..5 {
        append(&log, idem, "x").expect("in");
    }
    log.trim(Position(3));
    assert_eq!(log.tail(Position(3)).expect_err("gone").first, Position(4));
    let kept = records(&mut log.tail(Position(4)).expect("there"));
    assert_eq!(kept.iter().map(|record| record.position.0).collect::<Vec<_>>(), [4, 5]);
    assert!(log.tail(Position(6)).expect("to come").try_recv().is_err(), "no empty batch");
    assert_eq!(log.head(), Position(5));
}

#[test]
fn under_every_fault_a_retry_ends_with_one_record() {
    let faults =
        Faults { seed: 7, refuse_ppm: 300_000, unknown_ppm: 300_000, duplicate_ppm: 300_000 };
    let clock = Civil::simulated(Timestamp(0));
    let log = MemoryLog::with_faults(clock, Pauses::default(), faults).expect("a thread");
    let (mut refused, mut unknown) = (0, 0);
    for idem in 0..200 {
        loop {
            match append(&log, idem, "body") {
                Ok(_) => break,
                Err(AppendError::Refused) => refused += 1,
                Err(AppendError::Unknown) => unknown += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 20 && unknown > 20, "{refused} {unknown}");
    let mut tail = log.tail(Position(1)).expect("all there");
    let keys: Vec<u128> = records(&mut tail).iter().map(|record| record.idem).collect();
    assert_eq!(keys, (0..200).collect::<Vec<_>>());
}

#[test]
fn dropping_the_log_completes_what_is_queued() {
    let clock = Civil::simulated(Timestamp(0));
    let pauses = Pauses { gather: Duration::from_millis(10), delay: Duration::from_millis(10) };
    let log = MemoryLog::with_faults(clock, pauses, Faults::default());
    let log = log.expect("a thread");
    let (sender, receiver) = channel();
    for idem in 0..10 {
        let sender = sender.clone();
        log.append(
            idem,
            Bytes::new(),
            Box::new(move |outcome| {
                sender.send(outcome).expect("the test waits");
            }),
        );
    }
    drop((log, sender));
    assert_eq!(receiver.iter().filter(Result::is_ok).count(), 10);
    let log = MemoryLog::open(Civil::simulated(Timestamp(0))).expect("a thread");
    let (sender, receiver) = channel();
    let long = Bytes::from(vec![0; BODY_BYTES_MAX + 1]);
    log.append(1, long, Box::new(move |outcome| sender.send(outcome).expect("waits")));
    assert_eq!(receiver.recv().expect("completed"), Err(AppendError::TooLong));
}

#[test]
fn what_comes_together_is_one_batch_for_each_tail_and_completes_after_it() {
    for gather in [Duration::ZERO, Duration::from_millis(1)] {
        let pauses = Pauses { gather, ..Pauses::default() };
        let clock = Civil::simulated(Timestamp(0));
        let log = MemoryLog::with_faults(clock, pauses, Faults::default()).expect("a thread");
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
        let positions: Vec<u64> = receiver.iter().map(|at| at.expect("in the log").0).collect();
        assert_eq!(positions, (2..=100).chain([1]).collect::<Vec<_>>());
        assert_eq!(log.head(), Position(100));
        for tail in &mut tails {
            // Readers have them before the writers hear of it.
            let batches: Vec<usize> =
                std::iter::from_fn(|| tail.try_recv().ok()).map(|batch| batch.len()).collect();
            assert_eq!(batches, [1, 99]);
        }
    }
}
