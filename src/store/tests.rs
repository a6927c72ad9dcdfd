use super::conformance::{Backend, append, conforms, records};
use super::*;
use crate::clock::Civil;
use crate::units::Timestamp;
use std::sync::Arc;

struct Memory;

impl Backend for Memory {
    fn open(&self, clock: &Civil, pauses: Pauses) -> Arc<dyn OrderedLog> {
        let log = MemoryLog::with_faults(clock.clone(), pauses, Faults::default());
        Arc::new(log.expect("a thread"))
    }

    fn is_durable(&self) -> bool {
        false
    }
}

conforms!(Memory);

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
    let keys: Vec<u128> = records(&mut tail, 200).iter().map(|record| record.idem).collect();
    assert_eq!(keys, (0..200).collect::<Vec<_>>());
}
