//! What the bid path reads: ads by item, and ads by user, as of one epoch.

use super::content::{Circle, Content, Like};
use super::lists::Lists;
use super::shortlist::{Family, fading};
use crate::units::{Slot, Timestamp, UserKey};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where something that speaks for an ad comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A visit to this item.
    Item(u32),
    /// Sessions of others that were like the user's.
    Sessions,
}

/// Ads that visits speak for, as they stood at one tick: immutable, shared, never waited for.
pub struct RelevanceSnapshot {
    pub(super) epoch: u64,
    pub(super) content: Arc<Content>,
    /// By item: ads for what is visited together with it.
    pub(super) co_visited: Lists,
    /// By user: ads for what others went on to.
    pub(super) suggested: Lists,
}

impl RelevanceSnapshot {
    /// Nothing speaks for any ad.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            epoch: 0,
            content: Content::empty(),
            co_visited: Lists::new(),
            suggested: Lists::new(),
        }
    }

    /// Counts publications; each decision records it.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Asks for what [`RelevanceSnapshot::speak`] begins with.
    pub fn prefetch(&self, user: Option<UserKey>, items: &[u32]) {
        items.iter().for_each(|item| self.co_visited.prefetch((*item).into()));
        let user = user.filter(|_| !items.is_empty());
        user.iter().for_each(|user| self.suggested.prefetch(user.0));
    }

    /// Calls `say` with everything that speaks for an ad: of which family it is, where it comes from,
    /// and how strong it is, from 0 to 1. `items` are the user's last ones, newest first. What was
    /// viewed speaks before what only resembles it, so that a list that is full has the best. An item
    /// counts the less, the more came after it that may serve the same ads: what a user did at a tenant
    /// that is not in the pool fades nothing of others.
    pub fn speak(
        &self,
        user: Option<UserKey>,
        items: &[u32],
        now: Timestamp,
        mut say: impl FnMut(Family, Source, Slot, f32),
    ) {
        if items.is_empty() {
            return;
        }
        let now_s = now.as_secs_u32();
        let mut tell = |family, source, likes: &[Like], weight: f32| {
            for like in likes {
                say(family, source, like.ad, like.score * weight);
            }
        };
        let mut after: SmallVec<[Circle; 4]> = SmallVec::new();
        for (number, &item) in items.iter().enumerate() {
            let source = Source::Item(item);
            let co_visited = self.co_visited.get(item.into(), now_s);
            let known = self.content.known(item);
            let is_pooled = !co_visited.is_empty();
            let circle = known.map(|(circle, _)| circle).or(is_pooled.then_some(Circle::Pool));
            let place = after.iter().filter(|one| Some(**one) == circle).count();
            after.extend(circle);
            tell(Family::Collaborative, source, co_visited, fading(place));
            if number == 0
                && let Some(user) = user
            {
                let suggested = self.suggested.get(user.0, now_s);
                tell(Family::Collaborative, Source::Sessions, suggested, 1.0);
            }
            let likes = known.map_or(&[][..], |(_, likes)| likes);
            tell(Family::Content, source, likes, fading(place));
        }
    }
}
