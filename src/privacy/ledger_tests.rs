//! The ledger's protocol under crashes at every step, and everything that a start may find.

use super::day_key::KeyFile;
use super::ledger::record::Digest;
use super::ledger::{Books, Entry, Journal, Mark, NotKept, Record};
use super::release::Unreleased;
use super::tests::{Bench, cell};
use super::*;
use crate::units::{CampaignId, Timestamp};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Four releases a day.
fn plan() -> Plan {
    Plan::try_from(&Config { releases_per_day: 4, ..Config::default() }).unwrap()
}

/// A disk that outlives the process which writes to it.
#[derive(Default)]
struct Disk {
    /// From position `first` on.
    records: Vec<Vec<u8>>,
    first: u64,
    mark: Option<Mark>,
    /// Writes until the process dies; whether the last one still reaches the disk.
    dies: Option<(u32, bool)>,
    /// Writes until one is refused that may be tried again.
    refuses: Option<u32>,
    writes: u32,
}

impl Disk {
    /// Counts one write; whether it happens.
    fn write(&mut self) -> Result<(), (NotKept, bool)> {
        self.writes += 1;
        if let Some((left, reaches)) = &mut self.dies {
            if *left == 0 {
                return Err((NotKept::Never("the process is dead".to_owned()), false));
            }
            *left -= 1;
            if *left == 0 {
                return Err((NotKept::Never("the process dies".to_owned()), *reaches));
            }
        }
        if let Some(left) = &mut self.refuses {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.refuses = None;
                return Err((NotKept::Later("the disk is full".to_owned()), false));
            }
        }
        Ok(())
    }

    fn put(&mut self, body: &[u8]) -> u64 {
        let known = self.records.iter().position(|one| one == body);
        let index = known.unwrap_or_else(|| {
            self.records.push(body.to_vec());
            self.records.len() - 1
        });
        self.first + index as u64
    }
}

#[derive(Clone)]
struct DiskJournal(Arc<Mutex<Disk>>);

impl Journal for DiskJournal {
    fn append(&mut self, bodies: &[Vec<u8>]) -> Result<u64, NotKept> {
        let mut disk = self.0.lock();
        let mut last = disk.first + disk.records.len() as u64 - 1;
        for body in bodies {
            let outcome = disk.write();
            if matches!(outcome, Ok(()) | Err((_, true))) {
                last = disk.put(body);
            }
            outcome.map_err(|(error, _)| error)?;
        }
        Ok(last)
    }

    fn mark(&mut self, mark: Mark) -> Result<(), NotKept> {
        let mut disk = self.0.lock();
        let outcome = disk.write();
        if matches!(outcome, Ok(()) | Err((_, true))) {
            disk.mark = Some(mark);
        }
        outcome.map_err(|(error, _)| error)
    }

    fn trim_before(&mut self, position: u64) {
        let mut disk = self.0.lock();
        let gone = position.saturating_sub(disk.first) as usize;
        disk.records.drain(..gone);
        disk.first = disk.first.max(position);
    }
}

/// A machine: its disk, and the process that runs on it.
struct Machine {
    disk: Arc<Mutex<Disk>>,
    folder: tempfile::TempDir,
    owner: u32,
    bench: Bench,
    stop: Option<Stop>,
    /// What was shown, by the position up to which the ledger was then.
    shown: BTreeMap<u64, BTreeMap<u64, String>>,
}

fn key_file(folder: &Path) -> KeyFile {
    KeyFile::at(folder.join("privacy.key"))
}

fn read(disk: &Disk, mut books: Books) -> Result<Books, Wrong> {
    for (position, body) in (disk.first..).zip(&disk.records) {
        books.fold(position, body)?;
    }
    Ok(books)
}

fn open(
    disk: &Arc<Mutex<Disk>>,
    folder: &Path,
    owner: u32,
    plan: &Plan,
    now: Timestamp,
) -> Opening {
    let held = disk.lock();
    let (books, damage) = match read(&held, Books::to_resume()) {
        Ok(books) => (books, None),
        Err(wrong) => (Books::new(), Some(wrong.to_string())),
    };
    let found = Found { books, damage, mark: held.mark };
    drop(held);
    let journal = Box::new(DiskJournal(disk.clone()));
    Opening::of(plan, now, found, (journal, key_file(folder), owner))
}

impl Machine {
    fn new(now_ms: i64) -> Self {
        let disk = Arc::new(Mutex::new(Disk { first: 1, ..Disk::default() }));
        let folder = tempfile::tempdir().unwrap();
        let opening = open(&disk, folder.path(), 1, &plan(), Timestamp(now_ms));
        let noise = NoiseSource::planted(|| 0);
        let bench = Bench::at(&plan(), noise, Timestamp(now_ms), opening);
        Self { disk, folder, owner: 1, bench, stop: None, shown: BTreeMap::new() }
    }

    /// The process ends, and another begins, with noise that is another each time.
    fn restart(&mut self, now_ms: i64, plan: &Plan) {
        self.owner += 1;
        self.disk.lock().dies = None;
        let mut opening = open(&self.disk, self.folder.path(), self.owner, plan, Timestamp(now_ms));
        self.stop = opening.stop.take();
        let now = Timestamp(now_ms);
        self.bench = Bench::at(plan, NoiseSource::exact(), now, opening);
    }

    /// A tick: `false` where the process died.
    fn tick(&mut self, now_ms: i64) -> bool {
        let closing = if self.bench.publisher.is_blocked() {
            None
        } else {
            self.bench
                .aggregate
                .advance(Timestamp(now_ms))
                .filter(|closing| !self.stop.as_ref().is_some_and(|stop| stop.holds(closing.day)))
        };
        let published = self.bench.publisher.publish(closing);
        self.bench.publisher.enter(self.bench.aggregate.day());
        match published {
            Ok(Some(releases)) => {
                let status = self.bench.publisher.status();
                let shown = [1, 2].map(|id| (id, shown(&releases, id)));
                let before = self.shown.insert(status.position, shown.into());
                assert!(before.is_none(), "one position is shown twice");
                self.bench.releases = releases;
                true
            }
            Ok(None) => true,
            Err(Unreleased::Later(_)) => true,
            Err(Unreleased::Stopped(_)) => false,
            Err(Unreleased::Lost(error)) => panic!("{error}"),
        }
    }

    /// All that was shown is in the ledger, and nothing else was.
    fn verify(&self) {
        let disk = self.disk.lock();
        let mut books = Books::new();
        let mut released = BTreeMap::new();
        let mut charged = BTreeMap::new();
        for (position, body) in (disk.first..).zip(&disk.records) {
            books.fold(position, body).unwrap_or_else(|wrong| panic!("{position}: {wrong}"));
            let entry = Entry::decode(body).unwrap();
            match entry.record {
                Record::DayCharged(_) => *charged.entry(entry.day).or_insert(0) += 1,
                Record::Committed(_) => *released.entry((entry.day, entry.tick)).or_insert(0) += 1,
                _ => {}
            }
            if let Some(shown) = self.shown.get(&position) {
                for (id, text) in shown {
                    let sums = books.sums();
                    let told = sums.get(&CampaignId(*id)).map(|sums| format!("{sums:?}"));
                    assert_eq!(told.as_ref(), Some(text), "at {position}");
                }
            }
        }
        assert!(charged.values().all(|times| *times == 1), "{charged:?}");
        assert!(released.values().all(|times| *times == 1), "{released:?}");
        assert!(released.keys().all(|(day, _)| charged.contains_key(day)));
    }
}

fn shown(releases: &Releases, id: u64) -> String {
    let mut sums = super::prior::CampaignSums::default();
    for (bucket, cells) in sums.iter_mut().enumerate() {
        for (kind, sum) in Kind::ALL.iter().zip(cells) {
            let bucket = ContextBucket::from_index(bucket as u8).unwrap();
            *sum = releases.estimate(CampaignId(id), bucket, *kind).unwrap();
        }
    }
    format!("{sums:?}")
}

/// Two days of four ticks in which one user floods and others come and go.
fn run_with_death(at: u32, reaches: bool) -> (Machine, u32) {
    let mut machine = Machine::new(0);
    machine.disk.lock().dies = Some((at, reaches));
    let mut deaths = 0;
    for tick in 1..=8_i64 {
        for user in [7, 7, 7, 7, 7, 7, tick as u64] {
            machine.bench.count(user, cell(1, 0), Kind::Spend);
            machine.bench.count(user, cell(1, 0), Kind::Click);
        }
        if !machine.tick(tick * 6 * HOUR_MS) {
            deaths += 1;
            machine.restart(tick * 6 * HOUR_MS, &plan());
            assert_eq!(machine.stop, None, "death at write {at}, {reaches}");
        }
    }
    (machine, deaths)
}

#[test]
fn a_death_at_any_write_shows_nothing_twice_and_charges_nothing_twice() {
    let (whole, deaths) = run_with_death(u32::MAX, true);
    assert_eq!(deaths, 0);
    whole.verify();
    let writes = whole.disk.lock().writes;
    assert!(writes > 30, "{writes}");
    for at in 1..=writes {
        for reaches in [false, true] {
            let (machine, deaths) = run_with_death(at, reaches);
            assert_eq!(deaths, 1, "death at write {at}, {reaches}");
            machine.verify();
            let days = machine.bench.publisher.status().account;
            assert_eq!(days.days().iter().map(|cost| cost.day).collect::<Vec<_>>(), [0, 1]);
        }
    }
}

#[test]
fn a_user_counts_no_more_over_restarts_than_without_them() {
    let plan = plan();
    let mut machine = Machine::new(0);
    let bound = plan.kind(Kind::Click).bound;
    let silent = |machine: &mut Machine, now_ms: i64| {
        machine.owner += 1;
        let folder = machine.folder.path();
        let opening = open(&machine.disk, folder, machine.owner, &plan, Timestamp(now_ms));
        let noise = NoiseSource::planted(|| 0);
        machine.bench = Bench::at(&plan, noise, Timestamp(now_ms), opening);
    };
    let mut sums = Vec::new();
    for tick in 1..=4_i64 {
        for _ in 0..9 {
            machine.bench.count(7, cell(1, 0), Kind::Click);
        }
        // The counts of every second process are lost before they are released.
        if tick % 2 == 0 {
            assert!(machine.tick(tick * 6 * HOUR_MS));
            sums.push(machine.bench.sum(cell(1, 0), Kind::Click));
        }
        silent(&mut machine, tick * 6 * HOUR_MS);
    }
    assert_eq!(sums, [f64::from(bound.per_cell), f64::from(bound.per_cell)], "once, not twice");
}

#[test]
fn a_ledger_that_refuses_for_a_while_loses_nothing() {
    let (whole, _) = run_with_death(u32::MAX, true);
    let writes = whole.disk.lock().writes;
    for at in 1..=writes {
        let mut machine = Machine::new(0);
        machine.disk.lock().refuses = Some(at);
        for tick in 1..=8_i64 {
            machine.bench.count(tick as u64, cell(1, 0), Kind::Click);
            assert!(machine.tick(tick * 6 * HOUR_MS), "refused at write {at}");
            // Another tick of the server's, before the next interval is due.
            assert!(machine.tick(tick * 6 * HOUR_MS + 1));
        }
        machine.verify();
        let decayed = 4.0 * (-1.0_f64 / 3.0).exp2();
        let sum = machine.bench.sum(cell(1, 0), Kind::Click);
        assert!((sum - decayed - 4.0).abs() < 1e-6, "refused at write {at}: {sum}");
    }
}

#[test]
fn nothing_is_charged_before_its_days_key_is_kept() {
    let mut machine = Machine::new(0);
    std::fs::remove_dir(machine.folder.path()).unwrap();
    machine.bench.count(1, cell(1, 0), Kind::Click);
    assert!(machine.tick(6 * HOUR_MS) && machine.bench.publisher.is_blocked());
    assert!(machine.disk.lock().records.is_empty(), "a charge without its key");
    std::fs::create_dir(machine.folder.path()).unwrap();
    assert!(machine.tick(6 * HOUR_MS + 1) && !machine.bench.publisher.is_blocked());
    assert_eq!(machine.bench.sum(cell(1, 0), Kind::Click), 1.0, "and nothing is lost");
    machine.verify();
}

/// A machine in the middle of its second day, and the disk as it was an interval before.
fn in_the_second_day() -> (Machine, Vec<Vec<u8>>, u64) {
    let mut machine = Machine::new(0);
    for tick in 1..=5_i64 {
        machine.bench.count(tick as u64, cell(1, 0), Kind::Click);
        assert!(machine.tick(tick * 6 * HOUR_MS));
    }
    let (records, first) = {
        let disk = machine.disk.lock();
        (disk.records.clone(), disk.first)
    };
    assert!(machine.tick(6 * 6 * HOUR_MS));
    (machine, records, first)
}

#[test]
fn whatever_a_start_finds_is_gone_on_with_or_stops_the_day() {
    type Change = fn(&mut Machine, &[Vec<u8>], u64);
    let cases: [(&str, Option<Why>, Change); 10] = [
        ("as it was", None, |_, _, _| {}),
        ("missing", Some(Why::Missing), |machine, _, _| {
            let mark = machine.disk.lock().mark;
            *machine.disk.lock() = Disk { first: 1, mark, ..Disk::default() };
        }),
        ("an older copy", Some(Why::Older), |machine, older, first| {
            let mut disk = machine.disk.lock();
            (disk.records, disk.first) = (older.to_vec(), first);
        }),
        ("no mark", Some(Why::Older), |machine, _, _| machine.disk.lock().mark = None),
        ("damaged", Some(Why::Damaged), |machine, _, _| {
            let mut disk = machine.disk.lock();
            let last = disk.records.len() - 2;
            disk.records[last][9] ^= 1;
        }),
        ("a record short", Some(Why::Damaged), |machine, _, _| {
            let mut disk = machine.disk.lock();
            let last = disk.records.len() - 2;
            disk.records.remove(last);
        }),
        ("another installation's mark", Some(Why::Foreign), |machine, _, _| {
            let mut disk = machine.disk.lock();
            disk.mark = disk.mark.map(|mark| Mark { digest: mark.digest ^ 1, ..mark });
        }),
        ("a younger owner", Some(Why::NewerOwner), |machine, _, _| machine.owner = 0),
        ("no key", Some(Why::KeyLost), |machine, _, _| {
            std::fs::remove_file(machine.folder.path().join("privacy.key")).unwrap();
        }),
        ("another day's key", Some(Why::KeyLost), |machine, _, _| {
            let key = DayKey::draw().unwrap();
            key_file(machine.folder.path()).store(1, &key).unwrap();
        }),
    ];
    for (what, why, change) in cases {
        let (mut machine, older, first) = in_the_second_day();
        let before = machine.bench.sum(cell(1, 0), Kind::Click);
        change(&mut machine, &older, first);
        let now = DAY_MS + 13 * HOUR_MS;
        machine.restart(now, &plan());
        assert_eq!(machine.stop.as_ref().map(Stop::why), why, "{what}");
        let written = machine.disk.lock().writes;
        assert!(machine.tick(DAY_MS + 18 * HOUR_MS), "{what}");
        assert_eq!(machine.disk.lock().writes > written, why.is_none(), "{what}");
        if why.is_none() {
            assert_ne!(machine.bench.sum(cell(1, 0), Kind::Click), before);
            machine.verify();
        }
        // What holds for a day ends with it; what only a person can mend does not.
        let ends = matches!(why, Some(Why::Missing | Why::Older | Why::KeyLost)) || why.is_none();
        assert!(machine.tick(2 * DAY_MS), "{what}");
        assert!(machine.tick(2 * DAY_MS + 6 * HOUR_MS), "{what}");
        let day = machine.bench.publisher.status().day;
        assert_eq!(day == Some(2), ends, "{what}: {day:?}");
    }
}

#[test]
fn another_plan_begins_with_the_next_day_and_an_earlier_clock_waits() {
    let (mut machine, ..) = in_the_second_day();
    let mut config = Config { releases_per_day: 4, ..Config::default() };
    config.clicks.per_cell = 2;
    let other = Plan::try_from(&config).unwrap();
    machine.restart(DAY_MS + 13 * HOUR_MS, &other);
    assert_eq!(machine.stop.as_ref().map(Stop::why), Some(Why::PlanChanged));
    machine.restart(13 * HOUR_MS, &plan());
    assert_eq!(machine.stop.as_ref().map(Stop::why), Some(Why::ClockBack));
    assert!(machine.tick(DAY_MS), "the day that was charged already");
    machine.restart(2 * DAY_MS, &other);
    assert_eq!(machine.stop, None);
    assert!(machine.tick(2 * DAY_MS + 6 * HOUR_MS));
    machine.verify();
}

#[test]
fn a_days_key_is_there_while_its_day_lasts_and_no_longer() {
    let mut machine = Machine::new(0);
    let path = machine.folder.path().join("privacy.key");
    assert!(!path.exists(), "nothing of the day is kept");
    assert!(machine.tick(6 * HOUR_MS) && path.exists());
    assert!(machine.tick(18 * HOUR_MS) && path.exists());
    assert!(machine.tick(DAY_MS) && !path.exists());
    assert!(machine.tick(DAY_MS + 6 * HOUR_MS) && path.exists());
    machine.restart(3 * DAY_MS, &plan());
    assert!(!path.exists(), "a start finds the key of a day that is over");
    machine.bench.count(1, cell(1, 0), Kind::Click);
    assert!(machine.tick(3 * DAY_MS + 6 * HOUR_MS) && path.exists());
    machine.bench.aggregate.declare(&[]);
    assert!(machine.tick(4 * DAY_MS) && !path.exists(), "though its last interval is not released");
}

#[test]
fn no_record_that_outlives_its_day_names_a_user_or_a_count() {
    let mut machine = Machine::new(0);
    let key = machine.bench.aggregate.day_key().unwrap();
    let user = crate::units::UserKey(0x1122_3344_5566_7788);
    for _ in 0..100 {
        machine.bench.count(user.0, cell(1, 0), Kind::Click);
    }
    assert!(machine.tick(6 * HOUR_MS));
    let all = machine.disk.lock().records.concat();
    for hidden in [user.0, key.pseudonym(user).0] {
        for bytes in [hidden.to_le_bytes().to_vec(), hidden.to_be_bytes().to_vec()] {
            assert!(!all.windows(8).any(|window| window == bytes));
        }
        let varint = postcard::to_allocvec(&hidden).unwrap();
        assert!(!all.windows(varint.len()).any(|window| window == varint));
    }
}

#[test]
fn a_day_with_enough_users_takes_no_more() {
    let config = Config { releases_per_day: 4, users_max: 5_000, ..Config::default() };
    let plan = Plan::try_from(&config).unwrap();
    let mut machine = Machine::new(0);
    machine.restart(0, &plan);
    for user in 0..7_000 {
        machine.bench.count(user, cell(1, 0), Kind::Click);
    }
    assert!(machine.tick(6 * HOUR_MS));
    let status = machine.bench.publisher.status();
    assert!(status.is_full, "2,000 users above, and noise of some 200");
    // A restart remembers it.
    machine.restart(7 * HOUR_MS, &plan);
    machine.bench.count(8_000, cell(1, 0), Kind::Click);
    let status = machine.bench.aggregate.status(0, 0, &machine.bench.publisher.status(), None);
    assert!(status.is_full);
    assert_eq!(machine.bench.aggregate.dropped().users_full, 1);
    // Nor is it asked again: of noise that would say otherwise nobody hears.
    machine.owner += 1;
    let now = Timestamp(8 * HOUR_MS);
    let opening = open(&machine.disk, machine.folder.path(), machine.owner, &plan, now);
    machine.bench = Bench::at(&plan, NoiseSource::planted(|| -100_000), now, opening);
    assert!(machine.tick(12 * HOUR_MS));
    let commit = Entry::decode(machine.disk.lock().records.last().unwrap()).unwrap();
    assert!(matches!(commit.record, Record::Committed(committed) if committed.is_full));
}

#[test]
fn a_process_that_goes_on_keeps_no_sealed_record_in_memory() {
    let mut machine = Machine::new(0);
    for tick in 1..=3_i64 {
        machine.bench.count(tick as u64, cell(1, 0), Kind::Click);
        assert!(machine.tick(tick * 6 * HOUR_MS));
        assert!(machine.bench.publisher.books().take_bounds().is_empty(), "tick {tick}");
        assert!(machine.bench.publisher.books().others().is_empty(), "tick {tick}");
        if tick == 2 {
            machine.restart(13 * HOUR_MS, &plan());
        }
    }
}

#[test]
fn a_clock_that_went_back_an_hour_loses_no_count() {
    let (mut machine, ..) = in_the_second_day();
    let before = machine.bench.sum(cell(1, 0), Kind::Click);
    machine.owner += 1;
    let now = Timestamp(DAY_MS + 11 * HOUR_MS);
    let opening = open(&machine.disk, machine.folder.path(), machine.owner, &plan(), now);
    machine.bench = Bench::at(&plan(), NoiseSource::planted(|| 0), now, opening);
    machine.bench.count(77, cell(1, 0), Kind::Click);
    let written = machine.disk.lock().writes;
    assert!(machine.tick(DAY_MS + 12 * HOUR_MS), "that interval was released");
    assert_eq!(machine.disk.lock().writes, written);
    assert!(machine.tick(DAY_MS + 18 * HOUR_MS));
    let grown = machine.bench.sum(cell(1, 0), Kind::Click) - before;
    assert!((grown - 1.0).abs() < 1e-6, "{grown}");
    machine.verify();
}

#[test]
fn spend_is_told_in_the_unit_that_its_day_was_charged_by() {
    let (mut machine, ..) = in_the_second_day();
    let config = Config { releases_per_day: 4, spend_levels: 20, ..Config::default() };
    let other = Plan::try_from(&config).unwrap();
    assert_ne!(other.spend_unit_nanos(), plan().spend_unit_nanos());
    machine.restart(DAY_MS + 13 * HOUR_MS, &other);
    assert_eq!(machine.bench.releases.spend_unit_nanos(), plan().spend_unit_nanos());
    machine.restart(2 * DAY_MS, &other);
    assert_eq!(machine.bench.releases.spend_unit_nanos(), plan().spend_unit_nanos());
    assert!(machine.tick(2 * DAY_MS + 6 * HOUR_MS));
    assert_eq!(machine.bench.releases.spend_unit_nanos(), other.spend_unit_nanos());
}

#[test]
fn a_record_that_cannot_stand_where_it_does_is_refused() {
    let (machine, ..) = in_the_second_day();
    let disk = machine.disk.lock();
    let committed = |owner, day, tick| {
        let record = Record::Committed(Digest::default().commit(false));
        Entry { owner, day, segment: 1, tick, record }.encode()
    };
    for (body, wrong) in [
        (committed(1, 1, 3), None),
        (committed(0, 1, 3), Some(Wrong::OlderOwner { owner: 0, newer: 1 })),
        (committed(1, 1, 1), Some(Wrong::ReleasedTwice { day: 1, tick: 1 })),
        (committed(1, 1, 4), Some(Wrong::ReleasedTwice { day: 1, tick: 4 })),
        (committed(1, 2, 0), Some(Wrong::Uncharged(2))),
    ] {
        let mut books = read(&disk, Books::new()).unwrap();
        assert_eq!(books.fold(books.position() + 1, &body).err(), wrong);
    }
}

#[test]
fn a_slot_is_one_campaigns_for_a_day() {
    let (machine, ..) = in_the_second_day();
    let disk = machine.disk.lock();
    for (slots, is_sound) in [
        (vec![(0, 1)], true),
        (vec![(0, 2)], false),
        (vec![(5, 9)], true),
        (vec![(u32::MAX, 9)], false),
    ] {
        let mut books = read(&disk, Books::new()).unwrap();
        let entry = |record| Entry { owner: 1, day: 1, segment: 1, tick: 3, record };
        let body = entry(Record::Slots(slots.clone())).encode();
        let mut digest = Digest::default();
        digest.add(&body);
        let commit = entry(Record::Committed(digest.commit(false))).encode();
        books.fold(books.position() + 1, &body).unwrap();
        let folded = books.fold(books.position() + 1, &commit);
        assert_eq!(folded, if is_sound { Ok(()) } else { Err(Wrong::Values { day: 1, tick: 3 }) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_order_of_ticks_releases_an_interval_twice(
        times in prop::collection::vec(0i64..(3 * DAY_MS), 1..20),
        restarts in prop::collection::vec(any::<bool>(), 20),
    ) {
        let mut machine = Machine::new(0);
        let mut now_ms = 0;
        for (at, restarts) in times.into_iter().zip(restarts) {
            machine.bench.count(at as u64, cell(1, 0), Kind::Spend);
            prop_assert!(machine.tick(at));
            // A log's clock never goes back over a restart.
            now_ms = now_ms.max(at);
            if restarts {
                machine.restart(now_ms, &plan());
                prop_assert_eq!(&machine.stop, &None);
            }
        }
        machine.verify();
    }
}

#[path = "ledger_segments_tests.rs"]
mod segments;
