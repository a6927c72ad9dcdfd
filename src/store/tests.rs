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

#[test]
fn a_key_is_in_the_log_once_and_times_never_go_back() {
    let clock = Civil::simulated(Timestamp(1_000));
    let log = MemoryLog::open(clock.clone()).expect("a thread");
    assert_eq!(append(&log, 1, "one"), Ok(Position(1)));
    clock.advance(Timestamp(2_000));
    assert_eq!(append(&log, 2, "two"), Ok(Position(2)));
    assert_eq!(append(&log, 1, "one"), Ok(Position(1)));
    let mut tail = log.tail(Position(1)).expect("all there");
    let (one, two) = (tail.try_recv().expect("one"), tail.try_recv().expect("two"));
    assert_eq!((one.at, two.at), (Timestamp(1_000), Timestamp(2_000)));
    assert_eq!((&one.body[..], two.idem), (&b"one"[..], 2));
    assert!(tail.try_recv().is_err());
    assert_eq!(append(&log, 3, "three"), Ok(Position(3)));
    assert_eq!(tail.try_recv().expect("three").position, Position(3));
}

#[test]
fn what_is_trimmed_is_refused_and_not_skipped() {
    let log = MemoryLog::open(Civil::simulated(Timestamp(0))).expect("a thread");
    for idem in 0..5 {
        append(&log, idem, "x").expect("in");
    }
    log.trim(Position(3));
    assert_eq!(log.tail(Position(3)).expect_err("gone").first, Position(4));
    assert_eq!(log.tail(Position(4)).expect("there").try_recv().expect("4").position, Position(4));
    assert_eq!(log.head(), Position(5));
}

#[test]
fn under_every_fault_a_retry_ends_with_one_record() {
    let faults =
        Faults { seed: 7, refuse_ppm: 300_000, unknown_ppm: 300_000, duplicate_ppm: 300_000 };
    let clock = Civil::simulated(Timestamp(0));
    let log = MemoryLog::with_faults(clock, Duration::ZERO, faults).expect("a thread");
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
    let keys: Vec<u128> = std::iter::from_fn(|| tail.try_recv().ok()).map(|r| r.idem).collect();
    assert_eq!(keys, (0..200).collect::<Vec<_>>());
}

#[test]
fn dropping_the_log_completes_what_is_queued() {
    let clock = Civil::simulated(Timestamp(0));
    let log = MemoryLog::with_faults(clock, Duration::from_millis(20), Faults::default());
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
