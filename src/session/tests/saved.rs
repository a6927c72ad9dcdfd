//! What is saved comes back as it was, whatever changes meanwhile.

use super::*;
use crate::clock::Mono;
use crate::hash;
use crate::store::{Head, SealKey, SealedReader, SealedWriter};
use proptest::prelude::*;

/// Everything that a table hands out to be saved.
fn saved(table: &SessionTable, aliases: Option<&Aliases>, now: Timestamp) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut take = |piece: &[u8]| {
        pieces.push(piece.to_vec());
        Ok::<_, ()>(())
    };
    save(table, aliases, 0, now, &mut take).expect("taken");
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
    let (mut pieces, mut has_moved) = (Vec::new(), false);
    let mut out = Vec::new();
    table.watch_adoptions();
    let mut before = usize::MAX;
    while before > 0 {
        before = table.save_some(stripe_of(users[0]), before, at(1), &mut out);
        if !std::mem::replace(&mut has_moved, true) {
            // The last place, which was saved, comes to the first, which was not.
            assert!(table.erase(users[0]));
            state.join(
                &Join { ids: [users[7], UserKey(1)].into_iter().collect(), source: 1 },
                at(1),
            );
        }
    }
    for user in table.take_adoptions() {
        table.save_one(user, &mut out);
    }
    out.insert(0, 1);
    pieces.push(out);
    let back = restored(&pieces, SessionConfig::default(), at(1));
    for (number, user) in users.iter().enumerate().skip(1) {
        let user = if number == 7 { UserKey(1) } else { *user };
        assert!(!is_allowed(&back, user, 1, 3_600, at(1)), "user {number}");
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
    save(&table, None, 0, at(20), &mut |piece| writer.add(piece)).expect("saved");
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
