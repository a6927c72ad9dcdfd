//! A cap is never exceeded: against a plain model that forgets nothing.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// What the model knows of a hold.
#[derive(Clone, Copy, Debug)]
enum State {
    Pending(Timestamp),
    Shown(Timestamp),
}

/// Every show ever announced or made, by user, ids and hold, in exact milliseconds.
#[derive(Default)]
struct Model(HashMap<(u64, u64, u64, u32), State>);

impl Model {
    fn count(&self, user: u64, key: CapKey, window_s: u32, now: Timestamp) -> u32 {
        let mut count = 0;
        for (&(owner, campaign, creative, _), state) in &self.0 {
            let is_of_key = key == CapKey::campaign(CampaignId(campaign))
                || key == CapKey::creative(CreativeId(creative));
            let is_within = match *state {
                State::Pending(expires) => expires >= now,
                State::Shown(at) => at.plus_millis(i64::from(window_s) * 1_000) > now,
            };
            count += u32::from(owner == user && is_of_key && is_within);
        }
        count
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Pend { expires_in_ms: i64 },
    Confirm { late_ms: i64 },
    Cancel,
    Tick,
    View,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    user: u64,
    hold: u32,
    wait_ms: i64,
    act: Act,
}

/// A hold belongs to one user, campaign and creative, as holds do.
fn ids(hold: u32) -> (u64, u64) {
    (u64::from(hold % 3), u64::from(hold % 3 * 2 + hold / 3 % 2))
}

fn steps(users: u64, holds: u32, unit_ms: i64) -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        4 => (0_i64..2_000).prop_map(move |units| Act::Pend { expires_in_ms: units * unit_ms }),
        4 => (0_i64..2_000).prop_map(move |units| Act::Confirm { late_ms: units * unit_ms }),
        2 => Just(Act::Cancel),
        1 => Just(Act::Tick),
        1 => Just(Act::View),
    ];
    let step = (0..users, 0..holds, 0_i64..400, act).prop_map(move |(user, hold, wait, act)| {
        // Each user has holds of its own.
        Step { user, hold: hold + user as u32 * 1_000, wait_ms: wait * unit_ms, act }
    });
    proptest::collection::vec(step, 1..150)
}

const CAPS: [CapWindow; 5] = [
    CapWindow { count: 1, window_s: 60 },
    CapWindow { count: 2, window_s: 600 },
    CapWindow { count: 3, window_s: 86_400 },
    CapWindow { count: 5, window_s: 7 * 86_400 },
    CapWindow { count: 30, window_s: WINDOW_S_MAX },
];

/// Plays `steps` on shard and model, and after each compares all caps of all users.
/// `is_exact`: there is room for everything, and whole seconds, so that answers must be equal.
fn play(
    config: SessionConfig,
    users: u64,
    steps: &[Step],
    is_exact: bool,
) -> Result<(), TestCaseError> {
    let (table, mut state) = shard(config);
    let mut model = Model::default();
    let mut now = at(0);
    let mut profile = Profile::new();
    for (number, step) in steps.iter().enumerate() {
        now = now.plus_millis(step.wait_ms);
        let user = neighbour(step.user);
        let (campaign, creative) = ids(step.hold);
        let key = (step.user, campaign, creative, step.hold);
        let (campaign, creative) = (CampaignId(campaign), CreativeId(creative));
        let hold = hold(step.hold);
        match step.act {
            Act::Pend { expires_in_ms } => {
                let expires = now.plus_millis(expires_in_ms);
                let window = CAPS[number % CAPS.len()];
                let keys = [CapKey::campaign(campaign), CapKey::creative(creative)];
                let cap = (keys[number / CAPS.len() % 2], window);
                let (caps, before) = (Caps::from_iter([cap]), state.status().counters);
                state.pend(&PendShow { user, campaign, creative, hold, expires, caps }, now);
                let counted = state.status().counters.bids_beyond_cap - before.bids_beyond_cap;
                let others = model.count(step.user, cap.0, window.window_s, now);
                let expected = match model.0.get(&key) {
                    Some(State::Pending(until)) if *until >= now => Some(0),
                    Some(State::Shown(_)) => None,
                    _ => Some(u64::from(expires >= now && others >= u32::from(window.count))),
                };
                prop_assert!(!is_exact || expected.is_none_or(|expected| counted == expected));
                match model.0.entry(key).or_insert(State::Pending(expires)) {
                    State::Pending(until) => *until = expires.max(*until),
                    State::Shown(_) => {}
                }
            }
            Act::Confirm { late_ms } => {
                let at = now.plus_millis(-late_ms);
                state.confirm(&ConfirmShow { user, campaign, creative, hold, at }, now);
                if !matches!(model.0.get(&key), Some(State::Shown(_))) {
                    model.0.insert(key, State::Shown(at));
                }
            }
            Act::Cancel => {
                state.cancel(&CancelShow { user, hold }, now);
                if matches!(model.0.get(&key), Some(State::Pending(_))) {
                    model.0.remove(&key);
                }
            }
            Act::Tick => state.tick(now),
            Act::View => {
                state.apply_events(&[view(number as u64, user, 1, now)], now);
            }
        }
        for user in 0..users {
            table.read(neighbour(user), now, &mut profile);
            for cap in CAPS {
                let keys = (0..3).map(|id| CapKey::campaign(CampaignId(id)));
                for key in keys.chain((0..6).map(|id| CapKey::creative(CreativeId(id)))) {
                    let counted = model.count(user, key, cap.window_s, now);
                    let allowed = profile.allows(cap, key, now);
                    prop_assert!(
                        !allowed || counted < u32::from(cap.count),
                        "step {number}: {counted} shows, yet {cap:?} allows one more to {user}"
                    );
                    prop_assert!(
                        !is_exact || allowed || counted >= u32::from(cap.count),
                        "step {number}: only {counted} shows, yet {cap:?} refuses {user}"
                    );
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn caps_are_exact_while_there_is_room(steps in steps(2, 12, 1_000)) {
        play(SessionConfig::default(), 2, &steps, true)?;
    }

    #[test]
    fn caps_hold_at_any_millisecond(steps in steps(2, 12, 217)) {
        play(SessionConfig::default(), 2, &steps, false)?;
    }

    #[test]
    fn caps_hold_when_a_log_overflows(steps in steps(1, 900, 50)) {
        play(SessionConfig::default(), 1, &steps, false)?;
    }

    #[test]
    fn caps_hold_when_sessions_are_evicted_and_expire(steps in steps(5, 9, 40_000)) {
        // Two sessions for five users, and a short idle time.
        let config = SessionConfig { sessions_max: 2_048, idle_s: 600, ..SessionConfig::default() };
        play(config, 5, &steps, false)?;
    }
}

#[test]
fn a_pending_show_counts_until_it_is_lost_or_expires() {
    let (table, mut state) = shard(SessionConfig::default());
    let user = UserKey(5);
    state.pend(&pend_of(user, 1, at(60)), at(0));
    assert!(!is_allowed(&table, user, 1, 10, at(60)), "however short the window");
    assert!(is_allowed(&table, user, 1, 10, at(61)));
    assert!(is_allowed(&table, user, 2, 10, at(60)));
    state.cancel(&CancelShow { user, hold: hold(1) }, at(30));
    assert!(is_allowed(&table, user, 1, 10, at(30)));
    assert_eq!(state.status().sessions, 0, "nothing is left of a user who only lost");
    state.cancel(&CancelShow { user, hold: hold(1) }, at(30));
    assert_eq!(state.status().counters.shows_unneeded, 1);

    state.pend(&pend_of(user, 2, at(60)), at(31));
    state.tick(at(61));
    assert_eq!(state.status().sessions, 0, "nor of one whose show expired");
    state.pend(&pend_of(user, 3, at(60)), at(61));
    assert_eq!(state.status().sessions, 0, "an announcement after its end is none");
}

#[test]
fn notices_in_any_order_count_one_show_once() {
    let (table, mut state) = shard(SessionConfig::default());
    let user = UserKey(5);
    state.confirm(&confirm_of(user, 1, at(10)), at(11));
    state.pend(&pend_of(user, 1, at(600)), at(12));
    state.confirm(&confirm_of(user, 1, at(20)), at(21));
    state.cancel(&CancelShow { user, hold: hold(1) }, at(22));
    assert!(!is_allowed(&table, user, 1, 60, at(69)));
    assert!(is_allowed(&table, user, 1, 60, at(70)), "a minute after the first confirmation");
    assert!(is_allowed(&table, user, 2, 60, at(22)));
    let counters = state.status().counters;
    assert_eq!((counters.shows_confirmed, counters.shows_unneeded), (1, 3));
}

#[test]
fn a_cap_longer_than_memory_is_refused() {
    let (table, _) = shard(SessionConfig { shows_keep_s: 3_600, ..SessionConfig::default() });
    assert!(is_allowed(&table, UserKey(5), 1, 3_600, at(0)));
    assert!(!is_allowed(&table, UserKey(5), 1, 3_601, at(0)));
}

#[test]
fn shows_outlive_idle_interest_and_no_longer() {
    let config = SessionConfig { idle_s: 100, shows_keep_s: 1_000, ..SessionConfig::default() };
    let (table, mut state) = shard(config);
    let user = UserKey(5);
    state.apply_events(&[view(1, user, 1, at(0))], at(0));
    state.confirm(&confirm_of(user, 1, at(0)), at(0));
    state.tick(at(500));
    assert_eq!(interest(&table, user, 1, at(500)), Some(0.0));
    assert!(!is_allowed(&table, user, 1, 1_000, at(999)));
    assert!(is_allowed(&table, user, 1, 1_000, at(1_000)));
    state.tick(at(1_000));
    assert_eq!(state.status().sessions, 0);
}

#[test]
fn shows_are_told_newest_first_and_no_longer_than_they_are_kept() {
    let config = SessionConfig { shows_keep_s: 100, ..SessionConfig::default() };
    let (table, mut state) = shard(config);
    let user = UserKey(5);
    let tags: Vec<_> = (1..=3).map(|id| campaign_tag(CampaignId(id))).collect();
    for number in 1..=3 {
        let campaign = CampaignId(number.into());
        let when = at(60 * i64::from(number));
        let show = ConfirmShow { campaign, at: when, ..confirm_of(user, number, when) };
        state.confirm(&show, when);
    }
    let mut profile = Profile::new();
    for (second, expected) in
        [(181, &[(tags[2], 1), (tags[1], 1)][..]), (220, &[(tags[2], 1)]), (280, &[])]
    {
        table.read(user, at(second), &mut profile);
        let shown: Vec<_> = profile.shown(at(second)).collect();
        assert_eq!(shown, expected, "at {second}");
    }
}

#[test]
fn an_evicted_show_is_forgotten_to_the_side_of_the_cap() {
    let (table, mut state) =
        shard(SessionConfig { sessions_max: 1_024, ..SessionConfig::default() });
    state.confirm(&confirm_of(neighbour(1), 1, at(0)), at(0));
    state.apply_events(&[view(1, neighbour(2), 1, at(5))], at(5));
    assert_eq!(state.status().counters.sessions_evicted, 1);
    assert_eq!(interest(&table, neighbour(1), 1, at(5)), None);
    assert!(!is_allowed(&table, neighbour(1), 1, 60, at(59)), "the only show is remembered");
    assert!(!is_allowed(&table, neighbour(1), 9, 60, at(59)), "as many as any cap");
    assert!(is_allowed(&table, neighbour(1), 1, 60, at(60)));
    assert!(is_allowed(&table, neighbour(2), 1, 60, at(59)), "and not for others");
    // Back again, the user's new session knows as much.
    state.apply_events(&[view(2, neighbour(1), 1, at(6))], at(6));
    assert!(!is_allowed(&table, neighbour(1), 1, 60, at(59)));
}

#[test]
fn a_users_shows_take_bounded_room() {
    let (table, mut state) = shard(SessionConfig::default());
    let user = UserKey(5);
    for number in 0..1_000_u32 {
        let (campaign, creative) = (CampaignId(1), CreativeId(u64::from(number % 2)));
        let at = at(i64::from(number));
        state.confirm(&ConfirmShow { user, campaign, creative, hold: hold(number), at }, at);
    }
    assert_eq!(state.status().counters.shows_merged, 1_000 - SHOWS_MAX as u64);
    assert!(!is_allowed(&table, user, 1_000, WINDOW_S_MAX, at(1_000)));
    assert!(is_allowed(&table, user, 1_001, WINDOW_S_MAX, at(1_000)), "merged, yet still counted");
}

#[test]
fn shows_of_many_campaigns_are_merged_to_the_side_of_every_cap() {
    const CAMPAIGNS: u64 = 100;
    for is_pending in [false, true] {
        let (table, mut state) = shard(SessionConfig::default());
        let user = UserKey(5);
        for number in 0..CAMPAIGNS {
            let (campaign, creative) = (CampaignId(number), CreativeId(number));
            let (hold, now) = (hold(number as u32), at(number as i64));
            if is_pending {
                let (expires, caps) = (at(900), Caps::default());
                state.pend(&PendShow { user, campaign, creative, hold, expires, caps }, now);
            } else {
                state.confirm(&ConfirmShow { user, campaign, creative, hold, at: now }, now);
            }
        }
        let mut profile = Profile::new();
        table.read(user, at(100), &mut profile);
        let once = CapWindow { count: 1, window_s: 3_600 };
        for number in 0..CAMPAIGNS {
            assert!(!profile.allows(once, CapKey::campaign(CampaignId(number)), at(100)));
            assert!(!profile.allows(once, CapKey::creative(CreativeId(number)), at(100)));
        }
        assert_eq!(state.status().counters.shows_merged, CAMPAIGNS - SHOWS_MAX as u64);
        // What was merged while pending still ends with its expiry.
        table.read(user, at(901), &mut profile);
        assert_eq!(profile.allows(once, CapKey::campaign(CampaignId(0)), at(901)), is_pending);
    }
}
