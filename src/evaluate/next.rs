//! The next category of a user, asked on a stream in time order: test, then learn.
//!
//! Each event of the test part is first a question to every ranker (which category is next for this
//! user?) and then teaches those that learn on: all but the sequence model, whose weights stay as
//! they were trained. Rankers score all categories of the stream; those that only know the user's
//! own let the others follow by popularity.

use super::combine::{Combination, FEATURES, Features, OF_SEQUENCE};
use super::ranking::{RankQuality, Ranking, rank_of};
use super::stream::{Stream, StreamEvent};
use crate::hash;
use crate::relevance::sequence::{SequenceModel, State};
use crate::session::{
    Behaviour, Event, HALF_LIFE_FAST_S, HALF_LIFE_SLOW_S, Profile, SLOW_WEIGHT, SessionConfig,
    SessionTable, ShardMap, ShardState,
};
use crate::units::{AdvertiserId, Timestamp, UserKey};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::sync::Arc;

/// What one ranker came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RankerRow {
    /// Which ranker.
    pub ranker: &'static str,
    /// How good it was.
    #[serde(flatten)]
    pub quality: RankQuality,
}

/// What is known of one user and one category.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    pub(super) category: u32,
    pub(super) count: f32,
    fast: f32,
    slow: f32,
    pub(super) at_s: u32,
}

impl Trace {
    /// The engine's interest without its bound on entries and its 16 bits: both counters, decayed.
    pub(super) fn levels(&self, now_s: u32) -> (f32, f32) {
        let age_s = now_s.saturating_sub(self.at_s) as f32;
        let fast = self.fast * (-age_s / HALF_LIFE_FAST_S).exp2();
        (fast, self.slow * (-age_s / HALF_LIFE_SLOW_S).exp2())
    }

    pub(super) fn level(&self, now_s: u32) -> f32 {
        let (fast, slow) = self.levels(now_s);
        fast + SLOW_WEIGHT * slow
    }
}

/// What is known of one user.
#[derive(Default)]
pub(super) struct User {
    /// Newest first.
    pub(super) traces: Vec<Trace>,
    /// How often the second category came right after the first.
    pub(super) pairs: FxHashMap<(u32, u32), f32>,
    pub(super) last_s: u32,
    state: State,
}

/// Everything that the stream has told so far.
pub(super) struct Memory<'a> {
    model: Option<&'a SequenceModel>,
    /// The model's place of each category of the stream.
    places: Vec<usize>,
    pub(super) users: Vec<User>,
    /// Events by category.
    pub(super) popularity: Vec<f32>,
    pub(super) total: f32,
    /// By category what came right after it, if it was another one, of all users.
    pub(super) follows: FxHashMap<u32, Vec<(u32, f32)>>,
    logits: Vec<f32>,
}

impl<'a> Memory<'a> {
    fn new(stream: &Stream, model: Option<&'a SequenceModel>) -> Self {
        let place = |id| model.map_or(0, |model| model.vocabulary().place(id));
        Self {
            model,
            places: stream.categories.iter().map(|&id| place(id)).collect(),
            users: (0..stream.users).map(|_| User::default()).collect(),
            popularity: vec![0.0; stream.categories.len()],
            total: 0.0,
            follows: FxHashMap::default(),
            logits: vec![0.0; model.map_or(0, |model| model.shape().categories + 1)],
        }
    }

    fn user(&self, event: &StreamEvent) -> &User {
        &self.users[event.user as usize]
    }

    /// The user's own categories by `own`, which is above 0, and then the others by popularity.
    fn own_first(&self, event: &StreamEvent, own: impl Fn(&Trace) -> f32, out: &mut [f32]) {
        for (out, popularity) in out.iter_mut().zip(&self.popularity) {
            *out = popularity / (self.total + 1.0) - 1.0;
        }
        for trace in &self.user(event).traces {
            let own = own(trace);
            if own > 0.0 {
                out[trace.category as usize] = own;
            }
        }
    }

    /// The model's logarithms of probabilities; what it does not know is last.
    pub(super) fn sequence(&mut self, event: &StreamEvent, out: &mut [f32]) {
        let Some(model) = self.model else { return };
        model.logits(&self.users[event.user as usize].state, &mut self.logits);
        let known = &self.logits[1..];
        let largest = known.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = known.iter().map(|logit| (logit - largest).exp()).sum();
        for (out, &place) in out.iter_mut().zip(&self.places) {
            let logit = if place == 0 { f32::NEG_INFINITY } else { self.logits[place] };
            *out = logit - largest - sum.ln();
        }
    }

    fn learn(&mut self, event: &StreamEvent) {
        let StreamEvent { category, at_s, .. } = *event;
        let user = &mut self.users[event.user as usize];
        if let Some(last) = user.traces.first().map(|trace| trace.category) {
            *user.pairs.entry((last, category)).or_default() += 1.0;
            if last != category {
                let list = self.follows.entry(last).or_default();
                match list.iter_mut().find(|(other, _)| *other == category) {
                    Some((_, count)) => *count += 1.0,
                    None => list.push((category, 1.0)),
                }
            }
        }
        let fresh = Trace { category, count: 0.0, fast: 0.0, slow: 0.0, at_s };
        let known = user.traces.iter().position(|trace| trace.category == category);
        let mut trace = known.map_or(fresh, |place| user.traces.remove(place));
        let (fast, slow) = trace.levels(at_s);
        (trace.fast, trace.slow) = (fast + 1.0, slow + 1.0);
        trace.count += 1.0;
        trace.at_s = at_s;
        user.traces.insert(0, trace);
        user.last_s = at_s;
        if let Some(model) = self.model {
            model.step(&mut user.state, event.visit(self.places[category as usize]));
        }
        self.popularity[category as usize] += 1.0;
        self.total += 1.0;
    }
}

/// The engine's own sessions: 14 entries a user of one tenant, weights by kind, 16 bits a counter.
struct EngineInterest {
    table: Arc<SessionTable>,
    shard: ShardState,
    profile: Profile,
    events: u64,
}

/// The only tenant of the stream.
const TENANT: AdvertiserId = AdvertiserId(2);

impl EngineInterest {
    fn new(users: usize) -> Self {
        // Twice the users, since a stripe that is full evicts while others are not.
        let sessions_max = users.saturating_mul(2).max(100_000);
        let config = SessionConfig { sessions_max, idle_s: u32::MAX, ..SessionConfig::default() };
        let table = Arc::new(SessionTable::new(config));
        let shard = ShardState::new(table.clone(), 0, ShardMap::even(1));
        Self { table, shard, profile: Profile::new(), events: 0 }
    }

    fn learn(&mut self, event: &StreamEvent, stream: &Stream) {
        let now = Timestamp(i64::from(event.at_s) * 1_000);
        self.events += 1;
        let event = Event {
            id: self.events,
            user: UserKey(hash::mix(event.user.into())),
            kind: Behaviour::ALL[usize::from(event.kind).min(Behaviour::ALL.len() - 1)],
            at: now,
            advertiser: TENANT,
            category: stream.categories[event.category as usize],
            item: None,
            consent: true,
            pooled: false,
            conversion: None,
        };
        self.shard.apply_events(&[event], now);
    }

    /// Reads the asked user's session, and says how strong the interest in a category is.
    fn read<'a>(
        &'a mut self,
        event: &StreamEvent,
        stream: &'a Stream,
    ) -> impl Fn(&Trace) -> f32 + 'a {
        let now = Timestamp(i64::from(event.at_s) * 1_000);
        self.table.read(UserKey(hash::mix(event.user.into())), now, &mut self.profile);
        let profile = &self.profile;
        move |trace| {
            let category = stream.categories[trace.category as usize];
            profile.strength(category, TENANT, false, now)
        }
    }
}

/// Asks every event from `first` on of users of whom something is known; combinations learn from
/// `warm` on. Rows that need the sequence model are there only with one.
pub fn next_category(
    stream: &Stream,
    model: Option<&SequenceModel>,
    (warm, first): (usize, usize),
    mut progress: impl FnMut(),
) -> (u64, Vec<RankerRow>) {
    let mut memory = Memory::new(stream, model);
    let mut engine = EngineInterest::new(stream.users);
    let mut scores = vec![0.0; stream.categories.len()];
    let mut features = Features::new(stream.categories.len());
    let mut rankings: [(&str, Ranking); 5] = [
        "popularity",
        "user frequency",
        "interest of the engine",
        "interest, unbounded",
        "sequence model",
    ]
    .map(|name| (name, Ranking::default()));
    let without = std::array::from_fn(|feature| !OF_SEQUENCE.contains(&feature));
    let mut combinations = vec![("combined without sequence model", Combination::new(without))];
    if model.is_some() {
        combinations.push(("combined", Combination::new([true; FEATURES])));
    }
    let mut combined = vec![Ranking::default(); combinations.len()];
    for (number, event) in stream.events.iter().enumerate() {
        let right = event.category as usize;
        let is_asked = number >= first && !memory.user(event).traces.is_empty();
        if is_asked {
            let mut add = |ranker: usize, scores: &[f32]| {
                rankings[ranker].1.add(rank_of(scores, right));
            };
            add(0, &memory.popularity);
            memory.own_first(event, |trace| trace.count, &mut scores);
            add(1, &scores);
            memory.own_first(event, engine.read(event, stream), &mut scores);
            add(2, &scores);
            memory.own_first(event, |trace| trace.level(event.at_s), &mut scores);
            add(3, &scores);
            memory.sequence(event, &mut scores);
            add(4, &scores);
        }
        if number >= warm.min(first) && !memory.user(event).traces.is_empty() {
            features.fill(&mut memory, event, model.is_some());
            for ((_, combination), ranking) in combinations.iter_mut().zip(&mut combined) {
                combination.score(&features, &mut scores);
                if is_asked {
                    ranking.add(rank_of(&scores, right));
                }
                combination.learn(&features, &scores, right);
            }
        }
        memory.learn(event);
        engine.learn(event, stream);
        progress();
    }
    let asked = rankings[0].1.questions();
    let alone =
        rankings.into_iter().filter(|(name, _)| model.is_some() || *name != "sequence model");
    let combined = combinations.iter().map(|(name, _)| *name).zip(combined);
    let row = |(ranker, ranking): (&'static str, Ranking)| RankerRow {
        ranker,
        quality: ranking.quality(),
    };
    (asked, alone.chain(combined).map(row).collect())
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
