//! Creation, expiry, eviction, contention, repetition, and the actor.

use super::*;
use crate::clock::Civil;
use actix::Actor as _;
use parking_lot::Mutex;

const USER: UserKey = UserKey(77);

#[test]
fn events_create_sessions_and_reads_do_not() {
    let (table, mut state) = shard(SessionConfig::default());
    assert_eq!(interest(&table, USER, 1, at(0)), None);
    assert_eq!(state.status().sessions, 0);
    state.apply_events(&[view(1, USER, 1, at(0))], at(0));
    assert!(interest(&table, USER, 1, at(0)).is_some_and(|strength| strength > 0.6));
    assert_eq!(interest(&table, USER, 2, at(0)), Some(0.0));
    assert_eq!(state.status().sessions, 1);
}

#[test]
fn an_event_counts_once_and_only_with_consent() {
    let (table, mut state) = shard(SessionConfig::default());
    let first = view(1, USER, 1, at(0));
    let unconsented = Event { consent: false, ..view(2, UserKey(5), 1, at(0)) };
    state.apply_events(&[first.clone(), first.clone(), unconsented], at(0));
    let once = interest(&table, USER, 1, at(0));
    state.apply_events(&[first], at(1));
    assert_eq!(interest(&table, USER, 1, at(0)), once);
    assert_eq!(interest(&table, UserKey(5), 1, at(0)), None);
    let counters = state.status().counters;
    assert_eq!((counters.events_applied, counters.events_duplicate), (1, 2));
    assert_eq!(counters.events_unconsented, 1);
}

#[test]
fn recent_items_are_distinct_and_newest_first() {
    let (table, mut state) = shard(SessionConfig::default());
    let events: Vec<_> = [1, 2, 3, 2, 4, 5, 6]
        .iter()
        .enumerate()
        .map(|(id, &item)| Event { item: Some(item), ..view(id as u64, USER, 1, at(0)) })
        .collect();
    let mut profile = Profile::new();
    state.apply_events(&events[..4], at(0));
    table.read(USER, at(0), &mut profile);
    assert_eq!(profile.recent_items(), [2, 3, 1]);
    state.apply_events(&events[4..], at(0));
    table.read(USER, at(0), &mut profile);
    assert_eq!(profile.recent_items(), [6, 5, 4, 2]);
}

#[test]
fn a_reused_profile_keeps_nothing_of_the_last_user() {
    let (table, mut state) = shard(SessionConfig::default());
    state.apply_events(&[Event { pooled: true, ..view(1, USER, 1, at(0)) }], at(0));
    state.confirm(&confirm_of(USER, 1, at(0)), at(0));
    let mut profile = Profile::new();
    assert_eq!(table.read(USER, at(0), &mut profile), ReadOutcome::Known);
    assert_eq!(profile.top_categories(at(0))[0], Some(CategoryId(1)));
    assert_eq!(table.read(UserKey(78), at(0), &mut profile), ReadOutcome::Unknown);
    assert_eq!(profile.top_categories(at(0)), [None; 3]);
    assert!(profile.recent_items().is_empty());
    let once = CapWindow { count: 1, window_s: 60 };
    assert!(profile.allows(once, CapKey::campaign(CampaignId(1)), at(0)));
}

#[test]
fn idle_sessions_expire_at_once_for_readers_and_later_for_memory() {
    let (table, mut state) = shard(SessionConfig { idle_s: 100, ..SessionConfig::default() });
    let other = UserKey(78);
    state.apply_events(&[view(1, USER, 1, at(0))], at(0));
    state.apply_events(&[view(2, other, 1, at(50))], at(50));
    assert!(interest(&table, USER, 1, at(99)).is_some());
    assert_eq!(interest(&table, USER, 1, at(100)), None);
    assert_eq!(state.status().sessions, 2);
    state.tick(at(100));
    assert_eq!(state.status().sessions, 1);
    assert!(interest(&table, other, 1, at(100)).is_some());
    // An event after expiry finds nothing of what was before.
    state.apply_events(&[view(3, other, 2, at(200))], at(200));
    assert_eq!(interest(&table, other, 1, at(200)), Some(0.0));
    state.tick(at(1_000));
    let status = state.status();
    assert_eq!((status.sessions, status.counters.sessions_expired), (0, 2));
}

#[test]
fn a_sweep_is_bounded_and_goes_on_where_it_stopped() {
    let (_, mut state) = shard(SessionConfig { idle_s: 10, ..SessionConfig::default() });
    let events: Vec<_> =
        (0..10_000).map(|user| view(user, UserKey(crate::hash::mix(user)), 1, at(0))).collect();
    state.apply_events(&events, at(0));
    for left in [10_000 - 4_096, 10_000 - 2 * 4_096, 0] {
        state.tick(at(20));
        assert_eq!(state.status().sessions, left);
    }
}

#[test]
fn memory_is_bounded_and_the_least_recently_used_goes_first() {
    let (table, mut state) =
        shard(SessionConfig { sessions_max: 4_096, ..SessionConfig::default() });
    let enter = |state: &mut ShardState, number: u64| {
        state.apply_events(&[view(number, neighbour(number), 1, at(0))], at(0));
    };
    let who = |table: &SessionTable| -> Vec<u64> {
        // Looks without using: `read` would mark them.
        (0..9)
            .filter(|&number| table.stripe(neighbour(number)).read().knows(neighbour(number)))
            .collect()
    };
    (0..4).for_each(|number| enter(&mut state, number));
    enter(&mut state, 4);
    assert_eq!(who(&table), [1, 2, 3, 4]);
    interest(&table, neighbour(1), 1, at(0));
    enter(&mut state, 5);
    assert_eq!(who(&table), [1, 3, 4, 5], "the one that was read stays");
    (6..1_000).for_each(|number| enter(&mut state, number));
    let status = state.status();
    assert_eq!(status.sessions, 4, "a stripe's share of 4,096");
    assert_eq!(status.counters.sessions_evicted, 996);
    let everyone: Vec<_> =
        (0..20_000).map(|n| view(n + 5_000, UserKey(crate::hash::mix(n)), 1, at(0))).collect();
    state.apply_events(&everyone, at(0));
    assert!(state.status().sessions <= 4_096);
}

#[test]
fn a_locked_stripe_reads_as_contended_cold_and_capped() {
    let (table, mut state) = shard(SessionConfig::default());
    state.apply_events(&[view(1, USER, 1, at(0))], at(0));
    let mut profile = Profile::new();
    table.read(USER, at(0), &mut profile);
    {
        let _writer = table.stripe(USER).write();
        assert_eq!(table.read(USER, at(0), &mut profile), ReadOutcome::Contended);
        assert_eq!(table.read(UserKey(78), at(0), &mut profile), ReadOutcome::Unknown);
        assert_eq!(table.read(USER, at(0), &mut profile), ReadOutcome::Contended);
    }
    assert_eq!(profile.strength(CategoryId(1), AdvertiserId(10), true, at(0)), 0.0);
    let cap = CapWindow { count: u16::MAX, window_s: 1 };
    assert!(!profile.allows(cap, CapKey::campaign(CampaignId(9)), at(0)), "nobody knows");
    assert_eq!(table.contended_reads(), 2);
    assert_eq!(table.read(USER, at(0), &mut profile), ReadOutcome::Known);
    assert!(profile.allows(cap, CapKey::campaign(CampaignId(9)), at(0)));
}

#[test]
fn every_partition_has_one_shard() {
    for shards in [0, 1, 3, 64, 100] {
        let map = ShardMap::even(shards);
        let mut owned: Vec<_> =
            (0..PARTITIONS).flat_map(|shard| map.partitions_of(shard)).collect();
        owned.sort_unstable();
        assert!(owned.into_iter().eq(0..PARTITIONS));
        for user in (0..1_000).map(|number| UserKey(crate::hash::mix(number))) {
            let partition = SessionTable::partition_of(user);
            assert!(map.partitions_of(map.shard_of(user)).any(|one| one == partition));
            assert!(map.shard_of(user) < shards.max(1));
        }
    }
}

#[test]
fn a_misrouted_message_is_applied_and_counted() {
    let table = Arc::new(SessionTable::new(SessionConfig::default()));
    let mut state = ShardState::new(Arc::clone(&table), 0, ShardMap::even(2));
    state.apply_events(&[view(1, UserKey(1), 1, at(0)), view(2, UserKey(2), 1, at(0))], at(0));
    assert!(interest(&table, UserKey(1), 1, at(0)).is_some());
    assert_eq!(state.status().counters.messages_misrouted, 1);
}

#[test]
fn the_actor_keeps_its_state_outside_of_itself() {
    actix::System::new().block_on(async {
        let (table, state) = shard(SessionConfig { idle_s: 100, ..SessionConfig::default() });
        let state = Arc::new(Mutex::new(state));
        let clock = Civil::simulated(at(0));
        let first = SessionShard::new(Arc::clone(&state), clock.clone()).start();
        first.send(ApplyEvents(Box::new(vec![view(1, USER, 1, at(0))]))).await.expect("alive");
        let pend = ShowChange::Pend(pend_of(USER, 1, at(60)));
        first.send(ChangeShows(Arc::new(vec![pend]))).await.expect("alive");
        assert!(!is_allowed(&table, USER, 1, 10, at(1)));
        let cancel = ShowChange::Cancel(CancelShow { user: USER, hold: hold(1) });
        first.send(ChangeShows(Arc::new(vec![pend, cancel]))).await.expect("alive");
        assert!(is_allowed(&table, USER, 1, 10, at(1)));

        let second = SessionShard::new(state, clock).start();
        let confirm = ShowChange::Confirm(confirm_of(USER, 2, at(1)));
        second.send(ChangeShows(Arc::new(vec![confirm]))).await.expect("alive");
        let status = second.send(Status).await.expect("alive");
        assert_eq!((status.sessions, status.partitions), (1, PARTITIONS));
        assert_eq!(status.counters.events_applied, 1, "by the first");
        assert_eq!(status.counters.shows_confirmed, 1);
        let json = serde_json::to_value(&status).expect("it serialises");
        assert_eq!(json["shows_cancelled"], 1);
        second.send(Tick { now: at(i64::from(WINDOW_S_MAX) + 2) }).await.expect("alive");
        assert_eq!(second.send(Status).await.expect("alive").sessions, 0);
    });
}
