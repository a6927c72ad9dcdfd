use super::*;
use crate::evaluate::{EventColumns, Split, Tolerance, hold_out};
use crate::relevance::sequence::{TrainConfig, Trainer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};

fn event(user: u32, category: u32, at_s: u32) -> StreamEvent {
    StreamEvent { user, category, item: 0, kind: 0, at_s }
}

fn stream_of(events: Vec<StreamEvent>, categories: u32, users: usize) -> Stream {
    let categories = (1..=categories).map(crate::units::CategoryId).collect();
    Stream { events, categories, users, outside: 0 }
}

const CATEGORIES: u32 = 12;

/// Users who stay, go back, or follow a path that all share; each with categories of their own.
fn shoppers(seed: u64, users: u32, events: u32) -> Stream {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::new();
    for user in 0..users {
        let mut category = random.random_range(0..CATEGORIES);
        let mut at_s = 1_700_000_000 + user;
        for _ in 0..events {
            at_s += random.random_range(5..300);
            all.push(event(user, category, at_s));
            category = match random.random_range(0..10) {
                0..5 => category,
                5..9 => (category * 5 + 1) % CATEGORIES,
                _ => random.random_range(0..CATEGORIES),
            };
        }
    }
    all.sort_by_key(|event| event.at_s);
    stream_of(all, CATEGORIES, users as usize)
}

fn row<'a>(rows: &'a [RankerRow], name: &str) -> &'a RankerRow {
    rows.iter().find(|row| row.ranker == name).expect("a row of this name")
}

#[test]
fn each_ranker_ranks_by_what_it_is_named_for() {
    // One user: three visits to 0, then two to 1, asked for 1 at once: popularity and frequency say
    // 0 first, interest 1.
    let visits = [(0, 0), (0, 10), (0, 20), (1, 4_000), (1, 4_010), (1, 4_020)];
    let events = visits.map(|(category, second)| event(0, category, 1_700_000_000 + second));
    let stream = stream_of(events.to_vec(), 3, 1);
    let (asked, rows) = next_category(&stream, None, (5, 5), || ());
    assert_eq!((asked, rows.len()), (1, 5));
    for (name, first) in [
        ("popularity", 0.0),
        ("user frequency", 0.0),
        ("interest of the engine", 1.0),
        ("interest, unbounded", 1.0),
    ] {
        assert_eq!(row(&rows, name).quality.hit_rate_1, first, "{name}");
    }
    let (asked, _) = next_category(&stream, None, (0, 0), || ());
    assert_eq!(asked, 5, "nobody is asked for before the first event");
}

#[test]
fn a_sequence_model_adds_to_what_counters_know() {
    let stream = shoppers(1, 60, 40);
    let split = Split::new(&stream, 0.7, 0.1, 1);
    assert_eq!((split.trained, split.end), (1_512, 1_680));
    let config = TrainConfig { hidden: 32, rate: 0.01, dropout: 0.1, ..TrainConfig::default() };
    let mut trainer = Trainer::new(split.vocabulary.clone(), &split.counts, config).expect("valid");
    let before = hold_out(&stream, &split, trainer.model());
    for _ in 0..4 {
        trainer.epoch(&split.sequences, |_| ());
    }
    let after = hold_out(&stream, &split, trainer.model());
    assert!(after.hit_rate_1 > before.hit_rate_1 + 0.1, "{after:?} after {before:?}");
    let parts = (stream.part(0.5), stream.part(0.7));
    let mut heard = 0;
    let (asked, rows) = next_category(&stream, Some(trainer.model()), parts, || heard += 1);
    assert_eq!((asked, heard, rows.len()), (720, 2_400, 7));
    let first = |name| row(&rows, name).quality.mrr;
    assert!(first("combined") > first("interest, unbounded") + 0.05, "{rows:#?}");
    assert!(first("combined") > first("sequence model") - 0.01, "{rows:#?}");
    assert!(first("interest, unbounded") > first("popularity"), "{rows:#?}");
}

#[test]
fn what_was_trained_on_is_not_what_is_held_out() {
    let stream = shoppers(2, 5, 20);
    let split = Split::new(&stream, 0.7, 0.2, 1);
    assert_eq!((split.trained, split.end), (56, 70));
    assert_eq!(split.sequences.iter().map(Vec::len).sum::<usize>(), 56);
    assert_eq!(split.counts.iter().sum::<u64>(), 56);
    let rare = Split::new(&stream, 0.7, 0.2, 8);
    assert!(rare.vocabulary.ids().len() < split.vocabulary.ids().len());
    assert_eq!(rare.counts.iter().sum::<u64>(), 56, "rare ones count as unknown");
    assert!(rare.counts[0] > 0 && rare.counts[1..].iter().all(|&count| count >= 8));
}

fn columns(headless: Option<&str>) -> EventColumns {
    let [user, category, time, item, kind] =
        ["user", "category", "time", "item", "kind"].map(str::to_owned);
    let headless = headless.map(|names| names.split(',').map(str::to_owned).collect());
    EventColumns { headless, user, category, time, item, kind }
}

fn read(
    text: &str,
    columns: &EventColumns,
    is_lenient: bool,
) -> Result<(Stream, u64), crate::evaluate::Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("events.csv");
    std::fs::write(&path, text).expect("written");
    let mut tolerance = Tolerance::new(is_lenient);
    let stream = Stream::read(&path, columns, (100, 2_000_000_000), &mut tolerance, |_| ())?;
    Ok((stream, tolerance.skipped()))
}

#[test]
fn events_are_read_with_and_without_a_header_in_the_order_of_time() {
    let lines =
        "b,7,tents,buy,200\na,,Shoes,pv,1700000000000\na,7,shoes,view,200\na,7,tents,pv,99\n";
    let names = "user,item,category,kind,time";
    let headed = read(&format!("{names}\n{lines}"), &columns(None), false).expect("whole").0;
    let headless = read(lines, &columns(Some(names)), false).expect("whole").0;
    assert_eq!(headed.events, headless.events);
    assert_eq!((headed.users, headed.outside, headed.categories.len()), (2, 1, 2));
    let [buy, view, late] = headed.events[..] else { panic!("three events") };
    assert_eq!((buy.user, buy.kind, buy.at_s), (0, Behaviour::Purchase as u8, 200));
    assert_eq!((view.user, view.kind, view.category), (1, Behaviour::View as u8, late.category));
    assert_eq!((late.item, late.at_s), (0, 1_700_000_000));
    assert!(buy.item != 0 && buy.item == view.item);
}

#[test]
fn a_wrong_line_is_named_and_can_be_skipped() {
    let names = "user,item,category,kind,time";
    for (line, reason) in [
        ("a,1,shoes,pv", "line 2"),
        ("a,1,shoes,pv,soon", "its time `soon`"),
        ("a,1,shoes,pv,-4", "its time"),
        ("a,1,shoes,stare,300", "its kind `stare`"),
        (",1,shoes,pv,300", "its user is empty"),
        ("a,1,,pv,300", "its category is empty"),
    ] {
        let text = format!("a,1,shoes,pv,300\n{line}\na,1,shoes,pv,301\n");
        let error = read(&text, &columns(Some(names)), false).expect_err(line).to_string();
        assert!(error.contains(reason) && error.contains("line 2"), "{line}: {error}");
        let (stream, skipped) = read(&text, &columns(Some(names)), true).expect("tolerated");
        assert_eq!((stream.events.len(), skipped), (2, 1), "{line}");
    }
    let error = read("a\n", &columns(Some("user")), false).expect_err("columns are missing");
    assert!(error.to_string().contains("`category`"), "{error}");
}

/// The anchors of the public stream, in its published order: see docs/evaluation.md.
#[test]
fn the_public_stream_gives_the_figures_of_its_protocol() {
    let Some(shared) = std::env::var_os("OUTBID_SHARED") else {
        eprintln!("skipped: OUTBID_SHARED does not name the shared data");
        return;
    };
    let path = Path::new(&shared).join("data/taobao_userbehavior_84k/UserBehavior.csv");
    let mut tolerance = Tolerance::new(true);
    let columns = columns(Some("user,item,category,kind,time"));
    let time = (1_511_539_200, 1_512_316_800);
    let stream = Stream::read(&path, &columns, time, &mut tolerance, |_| ()).expect("it is there");
    assert_eq!((stream.events.len(), tolerance.skipped()), (84_440, 1));
    // Counters alone: the combination takes a minute without optimisation.
    let mut memory = Memory::new(&stream, None);
    let mut scores = vec![0.0; stream.categories.len()];
    let mut rankings = [Ranking::default(); 2];
    for (number, event) in stream.events.iter().enumerate() {
        let is_asked = number >= stream.part(0.7) && number % 4 == 0;
        if is_asked && !memory.user(event).traces.is_empty() {
            let right = event.category as usize;
            rankings[0].add(rank_of(&memory.popularity, right));
            memory.own_first(event, |trace| trace.level(event.at_s), &mut scores);
            rankings[1].add(rank_of(&scores, right));
        }
        memory.learn(event);
    }
    let [popularity, interest] = rankings.map(|ranking| ranking.quality());
    assert!((popularity.hit_rate_10 - 0.272).abs() < 0.01, "{popularity:?}");
    assert!((popularity.ndcg_10 - 0.148).abs() < 0.006, "{popularity:?}");
    assert!((interest.hit_rate_10 - 0.742).abs() < 0.01, "{interest:?}");
    assert!((interest.ndcg_10 - 0.581).abs() < 0.01, "{interest:?}");
}
