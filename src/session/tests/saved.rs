//! What is saved comes back as it was, whatever changes meanwhile.

use super::*;
use crate::clock::Mono;
use crate::hash;
use crate::store::{Head, SealKey, SealedReader, SealedWriter};
use parking_lot::Mutex;
use proptest::prelude::*;

/// Everything that a table hands out to be saved.
fn saved(table: &SessionTable, aliases: Option<&Aliases>, now: Timestamp) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut take = |piece: &[u8]| {
        pieces.push(piece.to_vec());
        Ok::<_, ()>(())
    };
    save((table, aliases), &table.cut(0, now), 0, &mut take).expect("taken");
    pieces
}

fn restorer<'a>(
    table: &'a SessionTable,
    aliases: Option<&'a Aliases>,
    now: Timestamp,
    is_forgotten: &'a dyn Fn(UserKey) -> bool,
) -> Restorer<'a> {
    Restorer {
        table,
        aliases,
        model: 0,
        now,
        is_forgotten,
        sessions: 0,
        forgotten: 0,
        keeps_states: false,
        journaled: 0,
    }
}

fn restored(pieces: &[Vec<u8>], config: SessionConfig, now: Timestamp) -> SessionTable {
    let table = SessionTable::new(config);
    let mut restorer = restorer(&table, None, now, &|_| false);
    pieces.iter().for_each(|piece| restorer.take(piece).expect("ours"));
    table
}

/// What a bid can learn of a user. That a show has expired may be seen sooner after a restart.
fn answers(table: &SessionTable, user: UserKey, now: Timestamp) -> String {
    let mut profile = Profile::new();
    table.read(user, now, &mut profile);
    let strengths: Vec<_> = (0..50)
        .map(|category| profile.strength(CategoryId(category), AdvertiserId(10), false, now))
        .collect();
    let windows = [30, 3_600, 86_400, WINDOW_S_MAX];
    let caps = windows
        .into_iter()
        .flat_map(|window_s| (0..6).map(move |count| CapWindow { count, window_s }));
    let key = CapKey::campaign(CampaignId(1));
    let allowed: Vec<_> = caps.map(|cap| profile.allows(cap, key, now)).collect();
    format!("{strengths:?} {allowed:?} {:?}", profile.recent_items())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever happened to users, a profile read after the way through bytes is the one before.
    #[test]
    fn profiles_are_what_they_were(
        steps in proptest::collection::vec((0_u8..4, 0_u64..40, 0_u32..50, 0_i64..90_000), 1..400),
    ) {
        let (table, mut state) = shard(SessionConfig::default());
        let mut last = 0;
        for (number, (kind, user, what, second)) in (0_u32..).zip(steps) {
            let (user, now) = (UserKey(hash::mix(user)), at(second));
            last = last.max(second);
            match kind {
                0 => drop(state.apply_events(&[view(number.into(), user, what, now)], now)),
                1 => state.pend(&pend_of(user, what, now.plus_millis(60_000)), now),
                2 => state.confirm(&confirm_of(user, what, now), now),
                _ => state.cancel(&CancelShow { user, hold: hold(what) }, now),
            }
        }
        for later in [0, 3_600, 3 * 86_400, 31 * 86_400] {
            let now = at(last + later);
            let back = restored(&saved(&table, None, at(last)), SessionConfig::default(), now);
            for user in 0..40 {
                let user = UserKey(hash::mix(user));
                prop_assert_eq!(answers(&back, user, now), answers(&table, user, now));
            }
        }
    }
}

#[test]
fn an_evicted_sessions_shows_are_refused_after_a_restart_too() {
    let config = SessionConfig { sessions_max: 1_024, ..SessionConfig::default() };
    let (table, mut state) = shard(config);
    for number in 0..3 {
        state.confirm(&confirm_of(neighbour(number), 1, at(0)), at(0));
    }
    let now = at(1);
    let back = restored(&saved(&table, None, now), config, now);
    for number in 0..3 {
        assert!(!is_allowed(&back, neighbour(number), 1, 3_600, now), "{number}");
    }
}

#[test]
fn forgotten_users_and_their_ids_stay_behind() {
    let (table, mut state) = shard(SessionConfig::default());
    let config = AliasConfig { aliases_max: 1_024, ttl_s: 86_400, joins_per_s: 10 };
    let aliases = Arc::new(Aliases::new(config));
    state = state.with_aliases(Some(Arc::clone(&aliases)));
    for user in 1..=4 {
        state.apply_events(&[view(user, UserKey(user), 1, at(0))], at(0));
    }
    for ids in [[1, 2], [3, 4]] {
        state.join(&Join { ids: ids.map(UserKey).into_iter().collect(), source: 1 }, at(0));
    }
    let pieces = saved(&table, Some(&aliases), at(1));
    let (back, again) = (SessionTable::new(SessionConfig::default()), Aliases::new(config));
    let is_forgotten = |user| user == UserKey(1);
    let mut restorer = restorer(&back, Some(&again), at(1), &is_forgotten);
    pieces.iter().for_each(|piece| restorer.take(piece).expect("ours"));
    assert_eq!((restorer.sessions, restorer.forgotten), (1, 2), "a session and a group");
    let root = |id| again.root(UserKey(id), at(1));
    assert_eq!([1, 2, 3, 4].map(root), [1, 2, 3, 3].map(UserKey));
    assert_eq!(interest(&back, UserKey(1), 1, at(1)), None);
    assert_eq!(interest(&back, UserKey(3), 1, at(1)), interest(&table, UserKey(3), 1, at(1)));
    assert_eq!(again.status().aliases, 2);
    assert_eq!(again.ids_of(UserKey(4)).as_slice(), [UserKey(3), UserKey(4)]);
    // Groups that come back may still grow.
    let mut state = ShardState::new(Arc::new(back), 0, ShardMap::even(1));
    state = state.with_aliases(Some(Arc::new(again)));
    state.join(&Join { ids: [4, 5].map(UserKey).into_iter().collect(), source: 1 }, at(2));
    assert_eq!(state.aliases.expect("aliases").root(UserKey(5), at(2)), UserKey(3));
}

/// While the table is walked a session is removed behind the walk, and one takes over another before it.
#[test]
fn what_moves_during_the_walk_is_not_missed() {
    let (table, state) = shard(SessionConfig::default());
    let config = AliasConfig { aliases_max: 1_024, ttl_s: 86_400, joins_per_s: 10 };
    let aliases = Arc::new(Aliases::new(config));
    let mut state = state.with_aliases(Some(Arc::clone(&aliases)));
    // Three turns of one stripe, and a session in a stripe that is walked before it.
    let users: Vec<_> = (1..=150).map(neighbour).map(|UserKey(key)| UserKey(key + 640)).collect();
    for (number, user) in (0..).zip(&users) {
        state.confirm(&confirm_of(*user, number, at(0)), at(0));
    }
    state.confirm(&confirm_of(UserKey(1), 999, at(0)), at(0));
    let cut = table.cut(0, at(1));
    let mut out = vec![1];
    let mut walk = |stripe: usize, turns: &mut dyn FnMut()| {
        let mut before = usize::MAX;
        while before > 0 {
            before = table.save_some(stripe, before, &cut, &mut out);
            turns();
        }
        out.extend(table.end_walk(stripe, &cut).concat());
    };
    walk(stripe_of(UserKey(1)), &mut || ());
    let mut has_moved = false;
    walk(stripe_of(users[0]), &mut || {
        if !std::mem::replace(&mut has_moved, true) {
            // The last place, which was saved, comes to the first, which was not.
            assert!(table.erase(users[0]));
            let ids = [users[7], UserKey(1)].into_iter().collect();
            state.join(&Join { ids, source: 1 }, at(1));
        }
    });
    let back = Arc::new(restored(&[out], SessionConfig::default(), at(1)));
    for (number, user) in users.iter().enumerate().skip(1) {
        assert!(!is_allowed(&back, *user, 1, 3_600, at(1)), "user {number}");
    }
    assert!(is_allowed(&back, UserKey(1), 2, 3_600, at(1)), "as of the cut");
    // The start brings together what belongs together.
    let map = ShardMap::even(1);
    let state = ShardState::new(Arc::clone(&back), 0, map.clone());
    let shards = [Arc::new(Mutex::new(state.with_aliases(Some(Arc::clone(&aliases)))))];
    Replay { map: &map, shards: &shards }.settle(&aliases, at(2));
    assert!(!is_allowed(&back, UserKey(1), 2, 3_600, at(2)), "both shows");
    assert!(!back.knows(users[7]));
}

/// What is done to users.
#[derive(Clone, Debug)]
enum Did {
    View(u64, u32),
    Shown(u64, u32),
    Joined(u64, u64),
}

/// Users under one key.
fn key_of(user: u64) -> UserKey {
    UserKey(hash::mix(user) >> 8)
}

fn does() -> impl Strategy<Value = Did> {
    let users = 0_u64..24;
    prop_oneof![
        4 => (users.clone(), 0_u32..6).prop_map(|(user, what)| Did::View(user, what)),
        // A hold is one bid's, and that is one user's; notices may come twice.
        2 => (users.clone(), 0_u32..160).prop_map(|(user, bid)| Did::Shown(user, 24 * bid + user as u32)),
        1 => (users.clone(), users).prop_map(|(one, other)| Did::Joined(one, other)),
    ]
}

/// Shards in one thread, with what they tell each other.
struct Shop {
    table: Arc<SessionTable>,
    aliases: Arc<Aliases>,
    map: ShardMap,
    shards: Vec<Arc<Mutex<ShardState>>>,
}

impl Shop {
    fn over(table: SessionTable) -> Self {
        let config = AliasConfig { aliases_max: 1_024, ttl_s: 86_400, joins_per_s: 1_000 };
        let (table, aliases) = (Arc::new(table), Arc::new(Aliases::new(config)));
        let map = ShardMap::even(3);
        let state = |shard| ShardState::new(Arc::clone(&table), shard, map.clone());
        let state = |shard| state(shard).with_aliases(Some(Arc::clone(&aliases)));
        let shards = (0..3).map(|shard| Arc::new(Mutex::new(state(shard)))).collect();
        Self { table, aliases, map: map.clone(), shards }
    }

    fn replay(&self) -> Replay<'_> {
        Replay { map: &self.map, shards: &self.shards }
    }

    /// Does a step; returns its record.
    fn does(&self, number: u64, step: &Did, now: Timestamp) -> Vec<u8> {
        let mut changes = Changes::default();
        match *step {
            Did::View(who, what) => changes.add_event(&view(number, key_of(who), what, now)),
            Did::Shown(who, hold) => changes.add_show(&confirm_of(key_of(who), hold, now)),
            Did::Joined(one, other) => changes
                .add_join(&Join { ids: [one, other].map(key_of).into_iter().collect(), source: 1 }),
        }
        let record = changes.into_pieces().pop().expect("one piece");
        for change in read_changes(&record).expect("ours") {
            self.replay().apply(&change, now);
        }
        record
    }

    /// What a bid would know of each user: his interest, his items, and which caps he has reached.
    fn known(&self, now: Timestamp) -> Vec<([f32; 6], Vec<u32>, [bool; 8])> {
        let of = |user: u64| {
            let mut profile = Profile::new();
            let ids = std::iter::once((Namespace::Id, key_of(user)));
            let _ = find((&self.table, Some(&self.aliases)), None, ids, now, &mut profile);
            let key = CapKey::campaign(CampaignId(1));
            let is_allowed = |count| profile.allows(CapWindow { count, window_s: 60 }, key, now);
            let strength = |what| profile.strength(CategoryId(what), AdvertiserId(10), false, now);
            (
                [0, 1, 2, 3, 4, 5].map(strength),
                profile.recent_items().to_vec(),
                [1, 2, 3, 4, 5, 6, 7, 8].map(is_allowed),
            )
        };
        (0..24).map(of).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A saving that is walked while users go on, and what a journal has after it, are together what was
    /// known without an end: nothing is lost, and nothing counts twice.
    #[test]
    fn a_saving_and_what_came_after_it_are_the_whole(
        steps in proptest::collection::vec(does(), 1..160),
        cut_at in 0_usize..160,
        stripes_a_step in 1_usize..400,
    ) {
        let live = Shop::over(SessionTable::new(SessionConfig::default()));
        let (mut records, mut cut, mut walked) = (Vec::new(), None, 0);
        let mut saved = Vec::new();
        let cut_at = cut_at.min(steps.len());
        let walk = |cut: &Cut, upto: usize, walked: &mut usize, saved: &mut Vec<Vec<u8>>| {
            while *walked < upto.min(live.table.stripe_count()) {
                let (mut piece, mut before) = (vec![1], usize::MAX);
                while before > 0 {
                    before = live.table.save_some(*walked, before, cut, &mut piece);
                }
                piece.extend(live.table.end_walk(*walked, cut).concat());
                saved.push(piece);
                *walked += 1;
            }
        };
        for (number, step) in steps.iter().enumerate() {
            let now = at(number as i64 + 1);
            if number == cut_at {
                cut = Some(live.table.cut(0, now));
            }
            let record = live.does(number as u64, step, now);
            match &cut {
                // What came before may be looked at again.
                None => records.push((record, now, true)),
                Some(cut) => {
                    records.push((record, now, false));
                    let upto = walked + stripes_a_step;
                    walk(cut, upto, &mut walked, &mut saved);
                }
            }
        }
        let end = at(steps.len() as i64 + 1);
        let cut = cut.unwrap_or_else(|| live.table.cut(0, end));
        walk(&cut, usize::MAX, &mut walked, &mut saved);
        let mut groups = vec![3];
        let mut step = Some(live.aliases.begin_saving());
        while let Some(at) = step {
            step = live.aliases.save(at, &mut groups);
        }
        saved.push(groups);

        let back = Shop::over(SessionTable::new(SessionConfig::default()));
        let mut restorer = restorer(&back.table, Some(&back.aliases), end, &|_| false);
        saved.iter().for_each(|piece| restorer.take(piece).expect("ours"));
        back.replay().settle(&back.aliases, end);
        for (record, now, is_covered) in &records {
            for change in read_changes(record).expect("ours") {
                match is_covered {
                    true => back.replay().recall(&change, *now),
                    false => back.replay().apply(&change, *now),
                }
            }
        }
        // Who was joined after the cut is joined sooner now, and his items come in another order.
        let is_joined = steps[cut_at..].iter().any(|step| matches!(step, Did::Joined(..)));
        for (user, (back, live)) in back.known(end).iter().zip(live.known(end)).enumerate() {
            prop_assert_eq!(back.2, live.2, "caps of {}", user);
            for (one, other) in back.0.iter().zip(live.0) {
                prop_assert!((one - other).abs() <= 0.01 * other, "{} {} {}", user, one, other);
            }
            if !is_joined {
                prop_assert_eq!((back.0, &back.1), (live.0, &live.1), "user {}", user);
            }
        }
    }
}

fn stripe_of(user: UserKey) -> usize {
    let partition = SessionTable::partition_of(user);
    partition * STRIPES_PER_PARTITION
        + (user.0 / PARTITIONS as u64) as usize % STRIPES_PER_PARTITION
}

proptest! {
    /// Bytes of nobody's make no panic, and a cut or changed piece is refused or something else.
    #[test]
    fn any_bytes_are_survived(piece in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u8..5) {
        let (table, _) = shard(SessionConfig::default());
        let aliases = Aliases::new(AliasConfig { aliases_max: 1_024, ttl_s: 1, joins_per_s: 1 });
        let mut restorer = restorer(&table, Some(&aliases), at(0), &|_| false);
        let mut bytes = vec![kind];
        bytes.extend(piece);
        let _ = restorer.take(&bytes);
        let _ = answers(&table, UserKey(1), at(0));
    }
}

/// `cargo test --lib session::tests::saved -- --ignored --nocapture`
#[test]
#[ignore = "takes a gigabyte and minutes where nothing is optimised; prints figures"]
fn a_million_sessions_are_saved_and_come_back() {
    const USERS: u64 = 1_000_000;
    let config = SessionConfig { sessions_max: 2 * USERS as usize, ..SessionConfig::default() };
    let (table, mut state) = shard(config);
    for number in 0..USERS {
        let user = UserKey(hash::mix(number));
        for event in 0..=hash::mix(user.0) % 12 {
            state.record(&view(0, user, (user.0 as u32).wrapping_add(event as u32), at(0)), at(20));
        }
        state.confirm(&confirm_of(user, number as u32, at(20)), at(20));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, key) = (folder.path().join("sessions"), SealKey::new([1; 32]));
    let head = Head { kind: 1, boot: 1, sequence: 1, at: at(20) };
    let began = Mono::now();
    let mut writer = SealedWriter::begin(&path, &key, &head).expect("begun");
    let cut = table.cut(0, at(20));
    save((&table, None), &cut, 0, &mut |piece| writer.add(piece)).expect("saved");
    let bytes = writer.finish().expect("written");
    let saved_ms = Mono::now().nanos_since(began) / 1_000_000;
    let began = Mono::now();
    let mut reader = SealedReader::open(&path, &[key], 1).expect("ours").expect("a file");
    let back = SessionTable::new(config);
    let mut restorer = restorer(&back, None, at(21), &|_| false);
    while let Some(piece) = reader.next().expect("sound") {
        restorer.take(&piece).expect("ours");
    }
    assert_eq!(restorer.sessions, USERS);
    let read_ms = Mono::now().nanos_since(began) / 1_000_000;
    println!("{} B a session, saved in {saved_ms} ms, read in {read_ms} ms", bytes / USERS);
    assert!(bytes / USERS < 256);
}
