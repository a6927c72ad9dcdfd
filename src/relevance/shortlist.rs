//! What speaks for single ads in one request: looked up by each candidate, so it lies in 4 kB that
//! stay in the core's own cache, and a candidate costs no line of the catalog or of any snapshot.

use super::snapshot::RelevanceSnapshot;
use crate::units::{Slot, Timestamp, UserKey};

/// Ads in one list.
pub const SHORT_MAX: usize = 128;
/// Places: twice as many, so that an ad that is not listed is told by the first or second.
const PLACES: usize = 2 * SHORT_MAX;
/// What the items before the newest count.
const FADING: [f32; 4] = [1.0, 0.8, 0.65, 0.5];

/// What speaks for one ad; each from 0, nothing, to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Relevance {
    /// What others did who visited the same.
    pub collaborative: f32,
    /// What the items visited are about.
    pub content: f32,
}

/// Which family of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Other users' visits.
    Collaborative,
    /// Attributes.
    Content,
}

#[derive(Clone, Copy)]
struct Place {
    ad: Slot,
    relevance: Relevance,
}

/// The ads that recent visits speak for. Reused from request to request; holds no heap memory.
pub struct ShortList {
    places: [Place; PLACES],
    taken: [u16; SHORT_MAX],
    len: usize,
}

/// In place of an ad: no catalog has so many.
const NOBODY: Slot = Slot { index: u32::MAX, generation: u32::MAX };

impl Default for ShortList {
    fn default() -> Self {
        let place = Place { ad: NOBODY, relevance: Relevance { collaborative: 0.0, content: 0.0 } };
        Self { places: [place; PLACES], taken: [0; SHORT_MAX], len: 0 }
    }
}

impl ShortList {
    /// Forgets the last request.
    pub fn clear(&mut self) {
        for place in &self.taken[..self.len] {
            self.places[usize::from(*place)].ad = NOBODY;
        }
        self.len = 0;
    }

    /// Whether nothing speaks for any ad.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether anything speaks for the ad.
    #[inline]
    #[must_use]
    pub fn has(&self, ad: Slot) -> bool {
        self.get(ad) != Relevance::default()
    }

    /// What speaks for the ad.
    #[inline]
    #[must_use]
    pub fn get(&self, ad: Slot) -> Relevance {
        if self.len == 0 {
            return Relevance::default();
        }
        let mut place = home(ad);
        // At most half of the places are taken, so a free one ends it.
        loop {
            match self.places[place] {
                found if found.ad == ad => return found.relevance,
                free if free.ad == NOBODY => return Relevance::default(),
                _ => place = (place + 1) % PLACES,
            }
        }
    }

    /// Lists what a user's recent items (newest first) and sessions like the present one speak for.
    pub fn fill(
        &mut self,
        snapshot: &RelevanceSnapshot,
        user: Option<UserKey>,
        items: &[u32],
        now: Timestamp,
    ) {
        self.clear();
        snapshot.speak(user, items, now, |family, _, ad, score| self.note(family, ad, score));
    }

    /// Notes what speaks for an ad, if it is the strongest so far; beyond [`SHORT_MAX`] ads nothing is
    /// noted.
    pub fn note(&mut self, family: Family, ad: Slot, score: f32) {
        let mut place = home(ad);
        while self.places[place].ad != ad {
            if self.places[place].ad == NOBODY {
                if self.len == SHORT_MAX {
                    return;
                }
                self.taken[self.len] = place as u16;
                self.len += 1;
                self.places[place] = Place { ad, relevance: Relevance::default() };
                break;
            }
            place = (place + 1) % PLACES;
        }
        let relevance = &mut self.places[place].relevance;
        let kept = match family {
            Family::Collaborative => &mut relevance.collaborative,
            Family::Content => &mut relevance.content,
        };
        *kept = kept.max(score);
    }
}

/// What an item `place` visits before the newest counts.
pub(super) fn fading(place: usize) -> f32 {
    FADING.get(place).copied().unwrap_or(0.0)
}

#[inline]
const fn home(ad: Slot) -> usize {
    // Slots are dealt in order: neighbours stay apart by themselves.
    ad.index as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Against a map, over requests that reuse the list.
        #[test]
        fn it_tells_what_was_noted(requests in proptest::collection::vec(
            proptest::collection::vec((0_u32..600, 0_u32..2, any::<bool>(), 0.0_f32..1.0), 0..200), 1..4,
        )) {
            let mut list = ShortList::default();
            for request in requests {
                list.clear();
                let mut model = BTreeMap::<(u32, u32), Relevance>::new();
                for (index, generation, is_content, score) in request {
                    let family = if is_content { Family::Content } else { Family::Collaborative };
                    list.note(family, Slot { index, generation }, score);
                    if model.len() == SHORT_MAX && !model.contains_key(&(index, generation)) {
                        continue;
                    }
                    let known = model.entry((index, generation)).or_default();
                    let kept = if is_content { &mut known.content } else { &mut known.collaborative };
                    *kept = kept.max(score);
                }
                prop_assert_eq!(list.is_empty(), model.is_empty());
                for index in 0..600 {
                    for generation in 0..2 {
                        let expected = model.get(&(index, generation)).copied().unwrap_or_default();
                        prop_assert_eq!(list.get(Slot { index, generation }), expected);
                    }
                }
            }
        }
    }
}
