//! What a million sessions take.

use super::*;
use crate::hash;

const USERS: u64 = 1_000_000;

pub(super) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this runs on Linux");
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a number");
    pages * 4_096
}

/// Run alone, and optimised where the time matters:
/// `cargo test --lib session::tests::memory -- --ignored --nocapture`
#[test]
#[ignore = "takes a gigabyte and a minute; prints figures"]
fn a_million_sessions_take_less_than_256_bytes_each() {
    let config = SessionConfig { sessions_max: 2 * USERS as usize, ..SessionConfig::default() };
    let (_, mut state) = shard(config);
    // A measure of the sessions, and not of the event ids that a shard remembers.
    let before = resident_bytes();
    for number in 0..USERS {
        let user = UserKey(hash::mix(number));
        // One to twelve events in as many categories of three tenants: what fits a session.
        let events: Vec<_> = (0..=hash::mix(user.0) % 12)
            .map(|event| Event {
                advertiser: AdvertiserId(event % 3 * 2),
                ..view(0, user, (user.0 as u32).wrapping_add(event as u32), at(event as i64))
            })
            .collect();
        for event in &events {
            state.record(event, at(20));
        }
    }
    let interest = (resident_bytes() - before) / USERS;
    println!("interest alone: {interest} B a session");
    for (share, users) in [("one in four", USERS / 4), ("each", USERS)] {
        for number in 0..users {
            let user = UserKey(hash::mix(number));
            state.confirm(&confirm_of(user, number as u32, at(20)), at(20));
        }
        assert_eq!(state.status().counters.shows_confirmed, users);
        let with_shows = (resident_bytes() - before) / USERS;
        println!("and a show for {share}: {with_shows} B a session");
        assert!(users == USERS || with_shows < 256);
    }
    assert_eq!(state.status().sessions as u64, USERS);
    assert!(interest < 256);
}

/// Fewer users, since each takes a step of the model, which is slow where it is not optimised.
#[test]
#[ignore = "takes a minute, and the process for itself; prints figures"]
fn a_session_with_the_state_of_a_sequence_model_takes_less_than_512_bytes() {
    const USERS: u64 = 100_000;
    let config = SessionConfig { sessions_max: 2 * USERS as usize, ..SessionConfig::default() };
    let (_, mut state, _) = super::extra::stepping_shard(config);
    let before = resident_bytes();
    for number in 0..USERS {
        let user = UserKey(hash::mix(number));
        state.record(&Event { pooled: true, ..view(0, user, 1, at(0)) }, at(20));
        state.confirm(&confirm_of(user, number as u32, at(20)), at(20));
    }
    assert_eq!(state.status().sessions as u64, USERS);
    let with_sequence = (resident_bytes() - before) / USERS;
    println!("interest, a show and the state of the sequence model: {with_sequence} B a session");
    assert!(with_sequence < 512);
}
