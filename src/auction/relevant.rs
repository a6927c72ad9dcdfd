//! What the user's recent visits speak for, in one auction: looked up once, before candidates are
//! scored.

use crate::auction::affinity::knows_relevance;
use crate::auction::contenders::{Contenders, Fit};
use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::FeatureGroups;
use crate::prediction::{Strength, Strengths};
use crate::relevance::{Family, ShortList, Source};
use crate::units::Slot;
use serde::Serialize;

/// One core's short list of ads, reused from request to request.
#[derive(Default)]
pub struct Relevant {
    list: ShortList,
    fits: Vec<Fit>,
}

impl Relevant {
    /// Asks for what [`Relevant::read`] begins with.
    pub fn prefetch(world: &World, input: &AuctionInput) {
        if knows_relevance(input) {
            world.relevance.prefetch(input.user, input.profile.recent_items());
        }
    }

    /// Looks up which ads the user's last items speak for; none where interest may not count.
    pub fn read(&mut self, world: &World, input: &AuctionInput) {
        if knows_relevance(input) {
            let items = input.profile.recent_items();
            self.list.fill(&world.relevance, input.user, items, input.now);
        } else {
            self.list.clear();
        }
    }

    /// How strongly they speak for the ad, as far as its domain lets them, beside the sequence model's
    /// affinity to its category.
    #[inline]
    pub fn strengths(&self, ad: Slot, features: FeatureGroups, sequence: f32) -> Strengths {
        let relevance = self.list.get(ad);
        let step = |group: FeatureGroups, score: f32| {
            if features.has(group) { Strength::of(score) } else { Strength::NONE }
        };
        Strengths {
            collaborative: step(FeatureGroups::COLLABORATIVE, relevance.collaborative),
            content: step(FeatureGroups::CONTENT, relevance.content),
            sequence: Strength::of(sequence),
        }
    }

    /// Leaves out what is beyond `fits_max` (0: nothing) of all fits. What is spoken for stays before
    /// others; of these, which stay is drawn by the request, so that no campaign is always last.
    pub fn bound(&mut self, contenders: &mut Contenders, fits_max: usize, seed: u64) {
        if fits_max == 0 || contenders.fits.len() <= fits_max {
            return;
        }
        let Contenders { list, fits, .. } = contenders;
        let is_spoken_for = |fit: &Fit| self.list.has(fit.ad);
        let spoken_for = fits.iter().filter(|fit| is_spoken_for(fit)).count();
        let first = (seed % fits.len() as u64) as u32;
        list.sort_unstable_by_key(|contender| {
            let is_first = contender.fits(fits).iter().any(is_spoken_for);
            (!is_first, contender.range.start.wrapping_sub(first))
        });
        let mut left = [fits_max.saturating_sub(spoken_for), fits_max.min(spoken_for)];
        self.fits.clear();
        for contender in list.iter_mut() {
            let from = self.fits.len() as u32;
            for fit in contender.fits(fits) {
                let left = &mut left[usize::from(self.list.has(fit.ad))];
                if *left > 0 {
                    *left -= 1;
                    self.fits.push(*fit);
                }
            }
            contender.range = from..self.fits.len() as u32;
        }
        list.retain(|contender| !contender.range.is_empty());
        std::mem::swap(fits, &mut self.fits);
    }
}

/// One thing that speaks for an ad, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedRelevance {
    /// "collaborative" (what others did) or "content" (what the item is about).
    pub family: &'static str,
    /// The item that was visited, or "sessions like this one".
    pub from: String,
    /// From 0 to 1; the strongest of a family counts.
    pub score: f32,
}

/// All that speaks for an ad, strongest first.
pub fn explain_relevance(world: &World, input: &AuctionInput, ad: Slot) -> Vec<ExplainedRelevance> {
    let mut said = Vec::new();
    if !knows_relevance(input) {
        return said;
    }
    let items = input.profile.recent_items();
    world.relevance.speak(input.user, items, input.now, |family, source, spoken, score| {
        if spoken == ad {
            said.push(ExplainedRelevance {
                family: match family {
                    Family::Collaborative => "collaborative",
                    Family::Content => "content",
                },
                from: match source {
                    Source::Sessions => "sessions like this one".to_owned(),
                    Source::Item(key) => match world.catalog.item(key) {
                        Some(item) => format!("item `{}`", item.id),
                        None => format!("item {key:08x}, of no feed"),
                    },
                },
                score,
            });
        }
    });
    said.sort_by(|one, other| other.score.total_cmp(&one.score));
    said
}

#[cfg(test)]
#[path = "relevant_tests.rs"]
mod tests;
