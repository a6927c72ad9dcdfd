//! What collaborative filtering finds and costs: `cargo bench --bench relevance`.
//!
//! Quality on a real stream (Taobao, `$OUTBID_SHARED/data/taobao_userbehavior_84k`): in order of time
//! each event is first asked for and then learned; of the last 30 % the next item (or category) that
//! the session has not had yet is ranked among all.
//! Cost on a made stream of 200,000 visits over 20,000 items: microseconds of the processor's time.
//! A regression there means fewer events a second on the one core that learns them.

use outbid::clock::Mono;
use outbid::relevance::{CoVisitConfig, CoVisits, KnnConfig, SessionKnn};
use outbid::units::{Timestamp, UserKey};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Ranks that count: HR@20 and MRR@20.
const RANKS: usize = 20;

struct Visit {
    user: UserKey,
    item: u32,
    at: Timestamp,
}

fn main() {
    let shared = std::env::var("OUTBID_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let file = PathBuf::from(shared).join("data/taobao_userbehavior_84k/UserBehavior.csv");
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            quality("item", &taobao(&text, 1));
            quality("category", &taobao(&text, 2));
        }
        Err(error) => println!("quality skipped: {} ({error})", file.display()),
    }
    cost();
}

/// `user,item,category,event,second`, sorted by time; what is visited stands in field `what`.
fn taobao(text: &str, what: usize) -> Vec<Visit> {
    let visit = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        let (user, item) = (fields.first()?.parse().ok()?, fields.get(what)?.parse().ok()?);
        let second: i64 = fields.get(4)?.trim().parse().ok()?;
        Some(Visit {
            user: UserKey(outbid::hash::mix(user)),
            item,
            at: Timestamp(second.max(0) * 1_000),
        })
    };
    let mut visits: Vec<_> = text.lines().filter_map(visit).collect();
    visits.sort_by_key(|visit| (visit.at, visit.user, visit.item));
    visits
}

/// How often the item that came was among the first twenty, and how far in front.
#[derive(Default)]
struct Tally {
    asked: u32,
    hits: u32,
    reciprocal: f64,
}

impl Tally {
    fn note(&mut self, ranked: impl Iterator<Item = u32>, item: u32) {
        self.asked += 1;
        if let Some(place) = ranked.take(RANKS).position(|one| one == item) {
            self.hits += 1;
            self.reciprocal += 1.0 / (place + 1) as f64;
        }
    }
}

fn quality(what: &str, visits: &[Visit]) {
    for users_min in [1, 2, 5] {
        let mut covisits = CoVisits::new(CoVisitConfig { users_min, ..CoVisitConfig::default() });
        let mut knn = SessionKnn::new(KnnConfig { users_min, ..KnnConfig::default() });
        let mut popular: HashMap<u32, u32> = HashMap::new();
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        let (mut told, mut merged) = (Vec::new(), Vec::new());
        let test_from = visits.len() * 7 / 10;
        for (position, visit) in visits.iter().enumerate() {
            let trail = knn.trail(visit.user, visit.at).to_vec();
            // What the session has already is found without anybody else.
            let is_new = !trail.contains(&visit.item);
            if position >= test_from && !trail.is_empty() && is_new {
                if users_min == 1 {
                    let mut top: Vec<_> =
                        popular.iter().map(|(item, count)| (*count, *item)).collect();
                    top.select_nth_unstable_by(RANKS, |one, other| other.cmp(one));
                    top.truncate(RANKS);
                    top.sort_unstable_by(|one, other| other.cmp(one));
                    let top = top.iter().map(|(_, item)| *item);
                    tallies.entry("popularity").or_default().note(top, visit.item);
                }
                co_visited(&covisits, &trail, &mut told, &mut merged);
                let ranked = merged.iter().map(|(item, _)| *item);
                tallies.entry("co-visitation").or_default().note(ranked, visit.item);
                knn.suggest(visit.user, visit.at, &mut told);
                let ranked = told.iter().map(|(item, _)| *item);
                tallies.entry("session kNN").or_default().note(ranked, visit.item);
            }
            covisits.record(visit.user, visit.item, &trail, visit.at);
            knn.record(visit.user, visit.item, visit.at);
            *popular.entry(visit.item).or_default() += 1;
        }
        println!(
            "Taobao, next new {what} of a session, last 30 %, pairs of at least {users_min} users:"
        );
        for (name, tally) in tallies {
            let asked = f64::from(tally.asked);
            println!(
                "  {name:14} HR@20 {:.4}  MRR@20 {:.4}  ({} questions)",
                f64::from(tally.hits) / asked,
                tally.reciprocal / asked,
                tally.asked
            );
        }
    }
}

/// The neighbours of the whole session, each by its position's weight.
fn co_visited(
    covisits: &CoVisits,
    trail: &[u32],
    told: &mut Vec<(u32, f32)>,
    merged: &mut Vec<(u32, f32)>,
) {
    let mut scores: BTreeMap<u32, f32> = BTreeMap::new();
    for (place, item) in trail.iter().enumerate().take(4) {
        covisits.neighbours(*item, told);
        for (other, score) in told.iter().filter(|(other, _)| !trail.contains(other)) {
            *scores.entry(*other).or_default() += score / (place + 1) as f32;
        }
    }
    merged.clear();
    merged.extend(scores);
    merged.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
}

/// Users who walk within ten of a thousand groups of twenty items.
fn walk(step: u64) -> Visit {
    let draw = outbid::hash::mix(step);
    let user = draw % 5_000;
    let group = outbid::hash::combine(user, draw >> 40 & 7) % 1_000;
    let item = group * 20 + (draw >> 16 & 0xff) * (draw >> 24 & 0xff) / 3_300;
    Visit {
        user: UserKey(outbid::hash::mix(user)),
        item: item as u32 + 1,
        at: Timestamp(1_700_000_000_000 + step as i64 * 50),
    }
}

fn seconds(from: Mono, to: Mono) -> f64 {
    to.nanos_since(from) as f64 / 1e9
}

fn cost() {
    const VISITS: u64 = 200_000;
    let mut covisits = CoVisits::new(CoVisitConfig::default());
    let mut knn = SessionKnn::new(KnnConfig::default());
    let (mut told, mut length) = (Vec::new(), 0);
    let (mut learned, mut asked) = ([0.0; 2], [0.0; 2]);
    for step in 0..VISITS {
        let visit = walk(step);
        let trail = knn.trail(visit.user, visit.at).to_vec();
        let start = Mono::now();
        covisits.record(visit.user, visit.item, &trail, visit.at);
        let between = Mono::now();
        knn.record(visit.user, visit.item, visit.at);
        learned[0] += seconds(start, between);
        learned[1] += seconds(between, Mono::now());
        if step % 20 == 0 && step > VISITS / 2 {
            let start = Mono::now();
            covisits.neighbours(visit.item, &mut told);
            length += told.len();
            let between = Mono::now();
            knn.suggest(visit.user, visit.at, &mut told);
            asked[0] += seconds(start, between);
            asked[1] += seconds(between, Mono::now());
        }
    }
    let questions = VISITS as f64 / 40.0;
    for (place, name) in ["co-visitation", "session kNN"].iter().enumerate() {
        println!(
            "{name:14} {:.2} us a visit, {:.2} us a question",
            learned[place] * 1e6 / VISITS as f64,
            asked[place] * 1e6 / questions
        );
    }
    println!(
        "{:?}, {:?}; {:.1} pairs a question",
        covisits.status(),
        knn.status(),
        length as f64 / questions
    );
}
