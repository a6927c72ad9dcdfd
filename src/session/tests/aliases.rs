//! The alias table against sets of ids that are relabelled by hand.

use super::super::alias::Joined;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const TTL_S: u32 = 1_000;

fn config() -> AliasConfig {
    AliasConfig { aliases_max: 1_024, ttl_s: TTL_S, joins_per_s: u32::MAX }
}

fn join_of(ids: &[u64]) -> Join {
    Join { ids: ids.iter().map(|id| UserKey(*id)).collect(), source: 1 }
}

/// A user's ids with the second of their last use, noted once a minute, and the root.
#[derive(Clone, Debug)]
struct Set {
    root: u64,
    used_s: BTreeMap<u64, i64>,
}

#[derive(Default)]
struct Model(Vec<Set>);

impl Model {
    /// Drops what has expired: ids but the root, and sets in which the root is alone.
    fn expire(&mut self, now_s: i64) {
        for set in &mut self.0 {
            let root = set.root;
            set.used_s.retain(|id, used_s| *id == root || *used_s + i64::from(TTL_S) > now_s);
        }
        self.0.retain(|set| set.used_s.len() > 1);
    }

    fn root(&mut self, id: u64, now_s: i64) -> u64 {
        // Found and used before anything else expires: a set lives by any of its ids.
        for set in &mut self.0 {
            let Some(used_s) = set.used_s.get_mut(&id) else { continue };
            if *used_s + i64::from(TTL_S) <= now_s {
                return id;
            }
            if *used_s + 60 <= now_s {
                *used_s = now_s;
            }
            return set.root;
        }
        id
    }

    fn join(&mut self, ids: &[u64], now_s: i64) -> bool {
        let roots: BTreeSet<_> = ids.iter().map(|&id| self.root(id, now_s)).collect();
        if roots.len() < 2 {
            return true;
        }
        // Only the sets that are named are rid of what has expired; the sweep sees to the others.
        let mut all: BTreeMap<u64, i64> = BTreeMap::new();
        let mut kept = Vec::new();
        let before = self.0.clone();
        for mut set in self.0.drain(..) {
            if !ids.iter().any(|id| set.used_s.contains_key(id)) {
                kept.push(set);
                continue;
            }
            let mut tidied = Self(vec![set.clone()]);
            tidied.expire(now_s);
            let Some(tidy) = tidied.0.pop() else { continue };
            set = tidy;
            if ids.iter().any(|id| set.used_s.contains_key(id)) {
                all.append(&mut set.used_s);
            } else {
                kept.push(set);
            }
        }
        ids.iter().for_each(|&id| _ = all.insert(id, now_s));
        if all.len() > IDS_MAX {
            self.0 = before;
            return false;
        }
        let root = *all.keys().next().expect("several");
        kept.push(Set { root, used_s: all });
        self.0 = kept;
        true
    }
}

#[derive(Clone, Debug)]
enum Act {
    Join(Vec<u64>),
    Look(u64),
    Sweep,
}

fn acts() -> impl Strategy<Value = Vec<(i64, Act)>> {
    let id = 0_u64..24;
    let act = prop_oneof![
        3 => proptest::collection::vec(id.clone(), 1..4).prop_map(Act::Join),
        3 => id.prop_map(Act::Look),
        1 => Just(Act::Sweep),
    ];
    // Whole hundreds, so that a lifetime often ends to the second.
    proptest::collection::vec(((0_i64..5).prop_map(|hundreds| 100 * hundreds), act), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn ids_lead_where_their_set_says(acts in acts()) {
        let aliases = Aliases::new(config());
        let mut model = Model::default();
        let mut now_s = 0;
        for (wait_s, act) in acts {
            now_s += wait_s;
            match act {
                Act::Join(ids) => {
                    let joined = aliases.join(&join_of(&ids), at(now_s));
                    let expected = model.join(&ids, now_s);
                    prop_assert_eq!(joined != Joined::TooMany, expected, "{:?} at {}", ids, now_s);
                }
                Act::Look(id) => {
                    let root = aliases.root(UserKey(id), at(now_s));
                    prop_assert_eq!(root.0, model.root(id, now_s), "{} at {}", id, now_s);
                }
                Act::Sweep => {
                    aliases.sweep(100, at(now_s));
                    model.expire(now_s);
                    let left: usize = model.0.iter().map(|set| set.used_s.len()).sum();
                    prop_assert_eq!(aliases.status().aliases, left as u64);
                }
            }
            // A root leads nowhere but to itself: no chain, no cycle.
            for id in 0..24 {
                let root = model.root(id, now_s);
                prop_assert_eq!(aliases.root(UserKey(id), at(now_s)).0, root);
                prop_assert_eq!(model.root(root, now_s), root);
                prop_assert_eq!(aliases.try_next(UserKey(root), at(now_s)).0, root);
            }
        }
    }
}

#[test]
fn a_user_has_no_more_ids_than_that() {
    let aliases = Aliases::new(config());
    let ids: Vec<u64> = (1..=IDS_MAX as u64).collect();
    assert!(matches!(aliases.join(&join_of(&ids), at(0)), Joined::New { .. }));
    assert_eq!(aliases.join(&join_of(&[1, 100]), at(0)), Joined::TooMany);
    assert_eq!(aliases.root(UserKey(100), at(0)), UserKey(100));
    assert_eq!(aliases.join(&join_of(&ids), at(0)), Joined::Known);
    let status = aliases.status();
    assert_eq!((status.joined, status.too_many, status.known), (1, 1, 1));
}

#[test]
fn a_sender_makes_so_many_joins_a_second() {
    let aliases = Aliases::new(AliasConfig { joins_per_s: 2, ..config() });
    let joined = |source, id, second| {
        let join = Join { source, ..join_of(&[id, id + 1_000]) };
        aliases.join(&join, at(second)) != Joined::RateLimited
    };
    assert_eq!([1, 2, 3].map(|id| joined(7, id, 0)), [true, true, false]);
    assert!(joined(8, 4, 0), "another sender");
    assert!(joined(7, 3, 1), "another second");
    assert!(joined(7, 3, 1) && joined(7, 1, 1), "what is known costs nothing");
    assert_eq!(aliases.status().rate_limited, 1);
}

#[test]
fn the_least_recently_used_give_way_and_are_told() {
    let aliases = Aliases::new(config());
    let pair = |number: u64| [2 * number, 2 * number + 1];
    let mut dropped = Vec::new();
    for number in 0..2_000 {
        let Joined::New { dropped: gone, moved } =
            aliases.join(&join_of(&pair(number)), at(number as i64))
        else {
            panic!("all are new");
        };
        assert_eq!(moved.as_slice(), [UserKey(2 * number + 1)]);
        dropped.extend(gone.iter().map(|group| (group[1], group[0])));
        // The first pair is in use all the time.
        assert_eq!(aliases.root(UserKey(1), at(number as i64)), UserKey(0));
        assert!(aliases.status().aliases <= 1_024);
    }
    assert_eq!(aliases.status().aliases, 1_024);
    assert_eq!(aliases.status().evicted, 2 * dropped.len() as u64);
    let expected: Vec<_> =
        (1..=1_488).map(|number| (UserKey(2 * number + 1), UserKey(2 * number))).collect();
    dropped.sort_unstable();
    let early = dropped.iter().filter(|pair| !expected.contains(pair)).count();
    assert!(early < 100, "{early} went before older ones: the oldest of 16 goes");
    assert_eq!(aliases.root(UserKey(1), at(2_000)), UserKey(0));
}

#[test]
fn a_bid_does_not_wait_and_an_unused_table_costs_nothing() {
    let aliases = Aliases::new(config());
    assert!(aliases.are_one(&[], at(0)) && !aliases.are_one(&[UserKey(1), UserKey(2)], at(0)));
    aliases.join(&join_of(&[1, 2]), at(0));
    assert!(aliases.are_one(&[UserKey(1), UserKey(2)], at(0)));
    let stripe = aliases.stripe(UserKey(2)).write();
    assert_eq!(aliases.try_next(UserKey(2), at(0)), UserKey(2), "as if it was not joined");
    drop(stripe);
    assert_eq!(aliases.status().contended, 1);
}

/// Run alone: `cargo test --lib session::tests::aliases::a_million -- --ignored --nocapture`
#[test]
#[ignore = "takes 100 MB; prints figures"]
fn a_million_aliases_take_less_than_128_bytes_each() {
    let aliases = Aliases::new(AliasConfig { aliases_max: 1_000_000, ..config() });
    let before = super::memory::resident_bytes();
    for number in 0..500_000_u64 {
        let ids = [crate::hash::mix(2 * number), crate::hash::mix(2 * number + 1)];
        aliases.join(&join_of(&ids), at(0));
    }
    let each = (super::memory::resident_bytes() - before) / aliases.status().aliases;
    println!("{each} B an alias, in pairs");
    assert!(each < 128);
}
