//! A thread counts what it has announced to another, wherever that is on its way.

use super::*;
use proptest::prelude::*;

/// The campaign's shows that this thread counts of a user, up to nine.
fn counted(table: &SessionTable, announced: &Announced, user: UserKey) -> u16 {
    let mut profile = Profile::new();
    let ids = std::iter::once((Namespace::Id, user));
    let found = find((table, None), Some(announced), ids, at(0), &mut profile);
    assert_eq!(found.map(|found| found.user), Some(user));
    let allows = |count: &u16| {
        let window = CapWindow { count: *count, window_s: 60 };
        profile.allows(window, CapKey::campaign(CampaignId(1)), at(0))
    };
    (1..10).find(allows).unwrap_or(10) - 1
}

/// Does what was sent, and lets it go.
fn write(state: &mut ShardState, batch: Batch) {
    batch.iter().for_each(|change| state.change(change, at(0)));
}

fn pend(user: UserKey, number: u32) -> ShowChange {
    ShowChange::Pend(pend_of(user, number, at(60)))
}

fn cancel(user: UserKey, number: u32) -> ShowChange {
    ShowChange::Cancel(CancelShow { user, hold: hold(number) })
}

#[test]
fn a_show_counts_once_while_it_waits_is_sent_and_is_written() {
    let (table, mut state) = shard(SessionConfig::default());
    let announced = Announced::default();
    // Both have the same bit.
    let (user, other) = (UserKey(5), UserKey(6));
    assert_eq!(announced.put(0, pend(user, 1)), Due::Later);
    assert_eq!(announced.put(0, pend(user, 2)), Due::Nothing);
    let counts = |announced| [user, other].map(|user| counted(&table, announced, user));
    assert_eq!(counts(&announced), [2, 0], "waiting");
    let batch = announced.take(0).expect("two changes");
    assert!(announced.take(0).is_none() && announced.take_next().is_none());
    assert_eq!(counts(&announced), [2, 0], "in the mailbox");
    batch.iter().for_each(|change| state.change(change, at(0)));
    assert_eq!(counts(&announced), [2, 0], "written, and not let go");
    drop(batch);
    assert_eq!(counts(&announced), [2, 0], "written");
    // What another thread takes back is gone as soon as nothing is under way.
    write(&mut state, Arc::new(vec![cancel(user, 1)]));
    assert_eq!(counts(&announced), [1, 0]);
}

#[test]
fn a_show_that_is_taken_back_counts_no_more() {
    let (table, mut state) = shard(SessionConfig::default());
    let announced = Announced::default();
    let user = UserKey(5);
    announced.put(0, pend(user, 1));
    announced.put(0, cancel(user, 1));
    assert_eq!(counted(&table, &announced, user), 0, "both waited");
    assert!(announced.take(0).is_none(), "nothing is left to be said");
    announced.put(0, pend(user, 2));
    let first = announced.take(0).expect("a show");
    announced.put(0, cancel(user, 2));
    assert_eq!(counted(&table, &announced, user), 0, "sent, and taken back");
    write(&mut state, first);
    assert_eq!(counted(&table, &announced, user), 0, "written, and taken back");
    write(&mut state, announced.take(0).expect("the end of it"));
    assert_eq!(counted(&table, &announced, user), 0);
}

#[test]
fn what_a_shard_does_not_write_is_bounded() {
    let (table, _) = shard(SessionConfig::default());
    let announced = Announced::default();
    let (first, last) = (UserKey(1), UserKey(u64::MAX));
    announced.put(0, pend(first, 0));
    let mut mailbox = Vec::from_iter(announced.take(0));
    for number in 1..64 {
        assert_ne!(announced.put(0, pend(last, number)), Due::Now);
    }
    assert_eq!(announced.put(0, pend(last, 64)), Due::Now);
    mailbox.extend(announced.take(0));
    assert_eq!(counted(&table, &announced, first), 1);
    for number in 65..2_000 {
        announced.put(0, pend(last, number));
        mailbox.extend(announced.take(0));
    }
    assert_eq!(counted(&table, &announced, first), 0, "the oldest was let go of");
    assert_eq!(counted(&table, &announced, last), 9);
    drop(mailbox);
    assert_eq!(counted(&table, &announced, last), 0, "what a mailbox refused is no show");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Bid { user: u64, beside: bool },
    Lose { user: u64, bid: usize },
    Send,
    Write,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_u64..3, any::<bool>()).prop_map(|(user, beside)| Act::Bid { user, beside }),
        1 => (0_u64..3, 0_usize..8).prop_map(|(user, bid)| Act::Lose { user, bid }),
        2 => Just(Act::Send),
        2 => Just(Act::Write),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    /// Two threads bid to users of a third under a cap of 4, one of which takes some of its bids back.
    /// Each keeps the cap by itself, and what both bid beyond it is counted.
    #[test]
    fn each_thread_keeps_the_cap_and_the_rest_is_counted(acts in acts()) {
        const CAP: u16 = 4;
        let (table, mut state) = shard(SessionConfig::default());
        let threads = [Announced::default(), Announced::default()];
        let mut mailbox = std::collections::VecDeque::new();
        // By user and thread: the bids that stand.
        let mut bids = vec![[Vec::new(), Vec::new()]; 3];
        let (key, window) = (CapKey::campaign(CampaignId(1)), CapWindow { count: CAP, window_s: 60 });
        let (mut number, mut lost) = (0, 0);
        for act in acts.into_iter().chain([Act::Send]) {
            match act {
                Act::Bid { user, beside } => {
                    let (place, thread) = (user as usize, usize::from(beside));
                    let seen = counted(&table, &threads[thread], UserKey(user));
                    let own = bids[place][thread].len() as u16;
                    prop_assert!(own <= seen, "{own} of its own bids, {seen} seen");
                    if seen < CAP {
                        number += 1;
                        bids[place][thread].push(number);
                        let show = pend_of(UserKey(user), number, at(60));
                        let caps = Caps::from_iter([(key, window)]);
                        threads[thread].put(0, ShowChange::Pend(PendShow { caps, ..show }));
                    }
                }
                Act::Lose { user, bid } => {
                    let own = &mut bids[user as usize][0];
                    if bid < own.len() {
                        lost += 1;
                        threads[0].put(0, cancel(UserKey(user), own.remove(bid)));
                    }
                }
                Act::Send => for thread in &threads {
                    while let Some((_, batch)) = thread.take_next() {
                        mailbox.push_back(batch);
                    }
                },
                Act::Write => mailbox.pop_front().into_iter().for_each(|one| write(&mut state, one)),
            }
        }
        mailbox.into_iter().for_each(|batch| write(&mut state, batch));
        let beyond = bids.iter().map(|[one, other]| one.len() + other.len());
        let beyond: usize = beyond.map(|bids| bids.saturating_sub(usize::from(CAP))).sum();
        let counted = state.status().counters.bids_beyond_cap;
        prop_assert!(counted >= beyond as u64, "{counted} of {beyond} are counted");
        prop_assert!(lost > 0 || counted == beyond as u64, "{counted}, and {beyond} are");
    }
}
