//! Sessions of ids that turn out to be one user, over several shards whose messages come late and
//! twice.

use super::super::hand_over::Step;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const SHARDS: usize = 3;

/// Shards with what is on its way from one to another, in order.
struct World {
    table: Arc<SessionTable>,
    aliases: Arc<Aliases>,
    shards: Vec<ShardState>,
    map: ShardMap,
    on_way: BTreeMap<(usize, usize), VecDeque<Relay>>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let table = Arc::new(SessionTable::new(SessionConfig::default()));
        let config = AliasConfig { aliases_max: 1_024, ttl_s: 86_400, joins_per_s: u32::MAX };
        let aliases = Arc::new(Aliases::new(config));
        let map = ShardMap::even(SHARDS);
        let shards = (0..SHARDS)
            .map(|shard| ShardState::new(table.clone(), shard, map.clone()))
            .map(|state| state.with_aliases(Some(aliases.clone())))
            .collect();
        Self { table, aliases, shards, map, on_way: BTreeMap::new(), now: at(100) }
    }

    fn at_shard_of(&mut self, user: UserKey, act: impl FnOnce(&mut ShardState, Timestamp)) {
        let shard = self.map.shard_of(user);
        act(&mut self.shards[shard], self.now);
        self.take_from(shard);
    }

    fn take_from(&mut self, from: usize) {
        for (to, relay) in self.shards[from].take_relays() {
            assert_ne!(to, from);
            self.on_way.entry((from, to)).or_default().push_back(relay);
        }
    }

    /// Delivers the next message of the `place`th pair of shards, twice if asked and it may be.
    fn deliver(&mut self, place: usize, is_twice: bool) -> bool {
        let pairs: Vec<_> = self
            .on_way
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(pair, _)| *pair)
            .collect();
        let Some(&(from, to)) = pairs.get(place % pairs.len().max(1)) else { return false };
        let Some(relay) = self.on_way.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return false;
        };
        let may_repeat = matches!(relay.0, Step::HandOver(_) | Step::Adopt(_) | Step::Retire(_));
        for relay in std::iter::once(relay.clone()).chain((is_twice && may_repeat).then_some(relay))
        {
            let now = self.now;
            let _ = self.shards[to].receive(relay, now);
            self.take_from(to);
        }
        true
    }

    fn settle(&mut self) {
        let mut steps = 0;
        while self.deliver(0, false) {
            steps += 1;
            assert!(steps < 10_000, "it comes to an end");
        }
    }

    fn view(&mut self, event: &Event) {
        self.at_shard_of(event.user, |shard, now| {
            _ = shard.apply_events(std::slice::from_ref(event), now)
        });
    }

    fn confirm(&mut self, user: UserKey, number: u32) {
        let show = ShowChange::Confirm(confirm_of(user, number, self.now));
        self.at_shard_of(user, |shard, now| shard.change(&show, now));
    }

    fn pend(&mut self, user: UserKey, number: u32) {
        let show = ShowChange::Pend(pend_of(user, number, self.now.plus_millis(3_600_000)));
        self.at_shard_of(user, |shard, now| shard.change(&show, now));
    }

    fn cancel(&mut self, user: UserKey, number: u32) {
        let show = ShowChange::Cancel(CancelShow { user, hold: hold(number) });
        self.at_shard_of(user, |shard, now| shard.change(&show, now));
    }

    fn join(&mut self, ids: &[UserKey]) {
        let join = Join { ids: ids.iter().copied().collect(), source: 1 };
        self.at_shard_of(ids[0], |shard, now| shard.join(&join, now));
    }

    fn find(&self, user: UserKey, profile: &mut Profile) -> Found {
        let ids = std::iter::once((Namespace::Id, user));
        let sessions = (&*self.table, Some(&*self.aliases));
        find(sessions, None, ids, self.now, profile).expect("one id")
    }

    /// Shows of campaign 1 that a bid for this id counts.
    fn shows(&self, user: UserKey) -> u32 {
        let mut profile = Profile::new();
        self.find(user, &mut profile);
        let allows = |count| {
            let cap = CapWindow { count, window_s: 86_400 };
            profile.allows(cap, CapKey::campaign(CampaignId(1)), self.now)
        };
        (1..200).find(|count| allows(*count)).map_or(u32::MAX, |count| u32::from(count) - 1)
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Confirm(u64),
    Pend(u64),
    Cancel(usize),
    Join(u64, u64),
    Deliver(usize, bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let id = 0_u64..9;
    let act = prop_oneof![
        2 => id.clone().prop_map(Act::Confirm),
        2 => id.clone().prop_map(Act::Pend),
        1 => (0_usize..100).prop_map(Act::Cancel),
        2 => (id.clone(), id).prop_map(|(one, other)| Act::Join(one, other)),
        6 => (0_usize..9, any::<bool>()).prop_map(|(place, twice)| Act::Deliver(place, twice)),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// While messages are under way no id loses sight of a show that its own shard was told of, and
    /// when all have come each id of a user counts the shows of all, each once; beside them at most
    /// those whose loss came while something was under way.
    #[test]
    fn no_show_is_out_of_sight(acts in acts()) {
        let mut world = World::new();
        // Holds of each id that may be or were shown; those of confirmed shows that were applied.
        let mut open: Vec<(u64, u32, bool)> = Vec::new();
        let mut overtaken = 0;
        let mut sets: Vec<BTreeSet<u64>> = (0..9).map(|id| BTreeSet::from([id])).collect();
        for (number, act) in (0_u32..).zip(acts) {
            match act {
                Act::Confirm(id) => {
                    // A notice is of a bid; the token names the id of then.
                    world.confirm(UserKey(id), number);
                    open.push((id, number, true));
                }
                Act::Pend(id) => {
                    world.pend(UserKey(id), number);
                    open.push((id, number, false));
                }
                Act::Cancel(place) if !open.is_empty() => {
                    let (id, number, is_shown) = open[place % open.len()];
                    if !is_shown {
                        overtaken += u32::from(world.on_way.values().any(|queue| !queue.is_empty()));
                        world.cancel(UserKey(id), number);
                        open.retain(|one| one.1 != number);
                    }
                }
                Act::Join(one, other) => {
                    let union: BTreeSet<u64> = sets
                        .iter()
                        .filter(|set| set.contains(&one) || set.contains(&other))
                        .flatten()
                        .copied()
                        .collect();
                    world.join(&[UserKey(one), UserKey(other)]);
                    if union.len() <= IDS_MAX {
                        sets.retain(|set| set.is_disjoint(&union));
                        sets.push(union);
                    }
                }
                Act::Deliver(place, is_twice) => _ = world.deliver(place, is_twice),
                Act::Cancel(_) => {}
            }
            // Nothing on its way but hand-overs: each id's own shows are in sight.
            let relayed = world.on_way.values().flatten().any(|relay| {
                matches!(relay.0, Step::Show(_))
            });
            if !relayed {
                for id in 0..9 {
                    let own = open.iter().filter(|(owner, ..)| *owner == id).count() as u32;
                    let seen = world.shows(UserKey(id));
                    prop_assert!(seen >= own.min(SHOWS_MAX as u32), "{id} sees {seen} of {own}");
                }
            }
        }
        world.settle();
        for set in &sets {
            let all = open.iter().filter(|(owner, ..)| set.contains(owner)).count() as u32;
            for &id in set {
                let seen = world.shows(UserKey(id));
                prop_assert!(
                    (all..=all + overtaken).contains(&seen),
                    "{id} of {set:?} sees {seen} of {all}, {overtaken} overtaken"
                );
                let found = world.find(UserKey(id), &mut Profile::new());
                prop_assert_eq!(found.user, world.aliases.root(UserKey(id), world.now));
            }
        }
    }
}

/// Interest of two ids is that of one user who did all of it, whatever comes twice.
#[test]
fn interest_sums_up_as_it_decays() {
    let (one, other) = (UserKey(1), UserKey(2));
    let mut apart = World::new();
    let mut whole = World::new();
    for (id, user, category, second) in
        [(1, one, 7, 0), (2, other, 7, 40), (3, other, 8, 60), (4, one, 9, 90)]
    {
        let event = view(id, user, category, at(second));
        apart.view(&event);
        whole.view(&Event { user: one, ..event });
    }
    apart.join(&[one, other]);
    while apart.deliver(0, true) {}
    let mut profiles = [Profile::new(), Profile::new()];
    apart.find(other, &mut profiles[0]);
    whole.find(one, &mut profiles[1]);
    for category in [7, 8, 9] {
        let [apart, whole] = profiles.each_ref().map(|profile| {
            profile.strength(CategoryId(category), AdvertiserId(10), false, at(100))
        });
        assert!(whole > 0.0 && (apart / whole - 1.0).abs() < 0.002, "{apart} is not {whole}");
    }
    assert_eq!(profiles[0].strength(CategoryId(7), AdvertiserId(12), true, at(100)), 0.0);
    let [joined, alone] = profiles.each_ref().map(Profile::recent_items);
    assert_eq!(alone, [4, 3, 2, 1]);
    assert_eq!(joined, [4, 1, 3, 2], "those of the session that saw something last go first");
    assert_eq!(apart.aliases.status().merged, 1, "once");
    assert!(!apart.table.knows(other));
}

#[test]
fn what_comes_later_under_either_id_goes_to_the_one_session() {
    let (one, other) = (UserKey(1), UserKey(2));
    let mut world = World::new();
    world.view(&view(1, other, 7, at(0)));
    world.pend(other, 1);
    world.join(&[one, other]);
    // Before the hand-over has come: the loss of the one show, another bid, and an event.
    world.cancel(other, 1);
    world.pend(other, 2);
    world.view(&view(2, other, 7, at(50)));
    world.view(&view(2, other, 7, at(50)));
    world.settle();
    assert_eq!((world.shows(one), world.shows(other)), (1, 1));
    world.confirm(other, 2);
    world.settle();
    assert_eq!((world.shows(one), world.shows(other)), (1, 1), "it is the same show");
    let duplicates: u64 =
        world.shards.iter().map(|shard| shard.status().counters.events_duplicate).sum();
    assert_eq!(duplicates, 1);
    assert_eq!(world.table.sessions(1) + world.table.sessions(2), 1);
    let mut profile = Profile::new();
    let found = world.find(other, &mut profile);
    assert_eq!((found.user, found.through_alias), (one, true));
    assert_eq!(profile.recent_items(), [2, 1]);
}

/// Where a group gives way for lack of room, the id whose shows are out of reach is refused.
#[test]
fn an_alias_that_was_forgotten_refuses() {
    let (one, other) = (UserKey(1), UserKey(2));
    let mut world = World::new();
    world.confirm(one, 1);
    world.join(&[one, other]);
    world.settle();
    assert_eq!(world.shows(other), 1);
    for number in 100..2_000 {
        world.join(&[UserKey(2 * number), UserKey(2 * number + 1)]);
    }
    world.settle();
    assert_eq!(world.aliases.root(other, world.now), other, "it gave way");
    assert_eq!(world.shows(other), u32::MAX);
    assert_eq!(world.shows(one), 1);
}

/// A hand-over that was lost is made up for when the ids are named together again.
#[test]
fn a_lost_message_is_sent_again() {
    let (one, other) = (UserKey(1), UserKey(2));
    let mut world = World::new();
    world.confirm(other, 1);
    world.join(&[one, other]);
    world.on_way.clear();
    world.settle();
    assert_eq!((world.shows(one), world.shows(other)), (0, 1));
    world.join(&[one, other]);
    world.settle();
    assert_eq!((world.shows(one), world.shows(other)), (1, 1));
}
