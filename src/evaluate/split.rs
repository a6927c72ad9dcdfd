//! A stream cut into what a sequence model is trained on and what is held out.

use super::ranking::{RankQuality, Ranking, rank_of};
use super::stream::Stream;
use crate::relevance::sequence::{SequenceModel, State, Visit, Vocabulary};
use std::sync::Arc;

/// The first events of a stream for training, and those after them, held out.
pub struct Split {
    /// Categories of the training part.
    pub vocabulary: Arc<Vocabulary>,
    /// Events by the vocabulary's places, the unknown one first.
    pub counts: Vec<u64>,
    /// The training part by user, in the order of time.
    pub sequences: Vec<Vec<Visit>>,
    /// The number of the first event that is held out.
    pub trained: usize,
    /// The number past the last.
    pub end: usize,
    /// The vocabulary's place of each category of the stream.
    places: Vec<usize>,
}

impl Split {
    /// The first `part` of the stream, the last `hold_out` of it held out; categories of fewer events
    /// than `min_count` count as unknown.
    #[must_use]
    pub fn new(stream: &Stream, part: f64, hold_out: f64, min_count: u64) -> Self {
        let end = stream.part(part);
        let trained = end - (end as f64 * hold_out.clamp(0.0, 1.0)) as usize;
        let events = &stream.events[..trained];
        let mut seen = vec![0_u64; stream.categories.len()];
        events.iter().for_each(|event| seen[event.category as usize] += 1);
        let known = stream.categories.iter().zip(&seen);
        let known = known.filter(|(_, count)| **count >= min_count.max(1)).map(|(&id, _)| id);
        let vocabulary = Vocabulary::new(known.collect());
        let places: Vec<_> = stream.categories.iter().map(|&id| vocabulary.place(id)).collect();
        let mut counts = vec![0; vocabulary.ids().len() + 1];
        let mut sequences = vec![Vec::new(); stream.users];
        for event in events {
            let place = places[event.category as usize];
            counts[place] += 1;
            sequences[event.user as usize].push(event.visit(place));
        }
        let vocabulary = Arc::new(vocabulary);
        Self { vocabulary, counts, sequences, trained, end, places }
    }
}

/// How well the model ranks what comes next in the part that was held out; all of the training part
/// where nothing was.
#[must_use]
pub fn hold_out(stream: &Stream, split: &Split, model: &SequenceModel) -> RankQuality {
    let first = if split.trained == split.end { 0 } else { split.trained };
    let mut states = vec![State::default(); stream.users];
    let mut logits = vec![0.0; model.shape().categories + 1];
    let mut ranking = Ranking::default();
    for (number, event) in stream.events[..split.end].iter().enumerate() {
        let state = &mut states[event.user as usize];
        let place = split.places[event.category as usize];
        if number >= first && state.is_known() {
            model.logits(state, &mut logits);
            // What is unknown is never right.
            logits[0] = f32::NEG_INFINITY;
            ranking.add(if place == 0 { logits.len() } else { rank_of(&logits, place) });
        }
        model.step(state, event.visit(place));
    }
    ranking.quality()
}
