//! Which candidate takes which imp: the best price that keeps the page's rules.
//!
//! No ad and no advertiser stands twice on a page, and of one product category as many ads as are
//! allowed: of one, which is usual, competitors are kept apart (competitive separation). In a pod they
//! always are.

use crate::prediction::Strengths;
use crate::units::{AdvertiserId, CategoryId, Micros};
use smallvec::SmallVec;

/// One ad that may take one imp, at its price.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Position of the imp in the request.
    pub imp: u8,
    /// The deal it is offered under, by its position in the imp's list.
    pub deal: Option<u8>,
    /// Seconds that it takes of a pod; 0 where there is none.
    pub seconds: u32,
    /// The campaign's slot index.
    pub campaign: u32,
    /// Which of its strategies bids; 0 where there is one.
    pub arm: u8,
    /// The ad's slot index.
    pub ad: u32,
    /// The bid, in the currency of the answer.
    pub price: Micros,
    /// The price without caps, which shading starts from.
    pub paced: Micros,
    /// What a bid of it is worth: the price, but in experiment arms and on deals.
    pub worth: f64,
    /// What ranks it: its worth, but in pods, where its length counts.
    pub rank: f64,
    /// The logit of its click probability.
    pub logit: f32,
    /// Conversions predicted of a million clicks, where its strategy pays for conversions; else what
    /// the campaign declares.
    pub conversions_ppm: u32,
    /// The released prior's logit that went into it.
    pub prior_logit: f32,
    /// Strength of the user's interest in its category.
    pub interest: f32,
    /// What speaks for it beside.
    pub strengths: Strengths,
    /// The floor that its price keeps, in the currency of the answer.
    pub floor: Micros,
    /// Whose it is.
    pub advertiser: AdvertiserId,
    /// What it sells.
    pub category: CategoryId,
}

/// Campaigns kept for each imp: the first choice and enough others for when the page's rules or the
/// budget refuse it.
pub const KEPT_MAX: usize = 6;

/// The best candidates of one imp, best first; of each campaign the best alone, since whatever
/// refuses one of its ads (the page, the money) refuses the others too.
#[derive(Clone, Debug, Default)]
pub struct Shortlist {
    kept: SmallVec<[Candidate; KEPT_MAX]>,
    /// Ads that were dropped. They keep their place, so that no one moves up who would not have been
    /// kept had he come earlier.
    dropped: SmallVec<[u32; 2]>,
    is_closed: bool,
}

impl Shortlist {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.dropped.clear();
        self.is_closed = false;
    }

    /// Forgets all, and keeps nobody from now on: the imp is filled.
    pub fn close(&mut self) {
        self.clear();
        self.is_closed = true;
    }

    /// The rank that a newcomer must reach to be kept.
    #[must_use]
    pub fn bar(&self) -> f64 {
        match self.kept.get(KEPT_MAX - 1) {
            _ if self.is_closed => f64::INFINITY,
            None => f64::NEG_INFINITY,
            Some(last) => last.rank,
        }
    }

    /// Keeps `candidate` if it is among the best. Of equals the campaign of the lower slot is ahead, and
    /// of one campaign the earlier ad, so that it does not matter whose turn came first.
    pub fn offer(&mut self, candidate: Candidate) {
        if self.is_closed {
            return;
        }
        if self.kept.len() == KEPT_MAX && !candidate.goes_before(&self.kept[KEPT_MAX - 1]) {
            return;
        }
        let own = self.kept.iter().position(|kept| kept.campaign == candidate.campaign);
        match own {
            Some(own) if self.kept[own].rank >= candidate.rank => return,
            Some(own) => {
                self.kept.remove(own);
            }
            None if self.kept.len() == KEPT_MAX => {
                self.kept.pop();
            }
            None => {}
        }
        let at = self.kept.iter().position(|kept| candidate.goes_before(kept));
        match at {
            Some(at) => self.kept.insert(at, candidate),
            None => self.kept.push(candidate),
        }
    }

    /// Forgets one ad, as there is no money for it.
    pub fn drop_ad(&mut self, ad: u32) {
        self.dropped.push(ad);
    }

    /// Best first, without those that were dropped.
    pub fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.kept.iter().filter(|kept| !self.dropped.contains(&kept.ad))
    }

    /// Whether the imp is filled.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether nobody is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether no more are kept but in the place of others.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kept.len() == KEPT_MAX
    }
}

/// What of a candidate the page's rules look at.
#[derive(Clone, Copy, Debug)]
struct Place {
    advertiser: AdvertiserId,
    category: CategoryId,
    ad: u32,
}

impl Place {
    const fn of(candidate: &Candidate) -> Self {
        Self { advertiser: candidate.advertiser, category: candidate.category, ad: candidate.ad }
    }

    fn stands_beside(&self, other: &Self) -> bool {
        self.ad != other.ad
            && self.advertiser != other.advertiser
            && self.category != other.category
    }
}

impl Candidate {
    fn goes_before(&self, other: &Self) -> bool {
        self.rank > other.rank || self.rank == other.rank && self.campaign < other.campaign
    }

    /// Whether both may stand in one pod.
    #[must_use]
    pub fn stands_beside(&self, other: &Self) -> bool {
        Place::of(self).stands_beside(&Place::of(other))
    }
}

/// What already stands on the page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    taken: SmallVec<[Place; 4]>,
    /// Ads of one category beyond the first.
    category_more: usize,
}

impl Page {
    /// Whether `candidate` may stand beside what is there.
    #[must_use]
    pub fn admits(&self, candidate: &Candidate) -> bool {
        let own = Place::of(candidate);
        let is_apart = |place: &Place| place.ad != own.ad && place.advertiser != own.advertiser;
        let alike = self.taken.iter().filter(|place| place.category == own.category);
        self.taken.iter().all(is_apart) && alike.count() <= self.category_more
    }

    /// Puts `candidate` on the page.
    pub fn take(&mut self, candidate: &Candidate) {
        self.taken.push(Place::of(candidate));
    }

    /// Empties the page, which takes so many ads of one category, at least one.
    pub fn clear(&mut self, category_max: u8) {
        self.category_more = usize::from(category_max.saturating_sub(1));
        self.taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(ad: u32, advertiser: u64, category: u32, rank: f64) -> Candidate {
        Candidate {
            imp: 0,
            deal: None,
            seconds: 0,
            campaign: ad,
            arm: 0,
            ad,
            price: Micros(rank as u64),
            paced: Micros(rank as u64),
            worth: rank,
            rank,
            logit: 0.0,
            conversions_ppm: 0,
            prior_logit: 0.0,
            interest: 0.0,
            strengths: Strengths::NONE,
            floor: Micros::ZERO,
            advertiser: AdvertiserId(advertiser),
            category: CategoryId(category),
        }
    }

    proptest! {
        #[test]
        fn the_shortlist_holds_the_best_whatever_their_turns(
            ranks in prop::collection::vec(0u32..50, 40),
            turns in Just((0..40).collect::<Vec<usize>>()).prop_shuffle(),
            offered in 0usize..40,
        ) {
            let mut list = Shortlist::default();
            let turns = turns.into_iter().filter(|ad| *ad < offered);
            turns.for_each(|ad| list.offer(candidate(ad as u32, 0, 0, f64::from(ranks[ad]))));
            let ranks = &ranks[..offered];
            let mut expected: Vec<_> = ranks.iter().enumerate().collect();
            expected.sort_by_key(|(ad, rank)| (std::cmp::Reverse(**rank), *ad));
            let kept: Vec<_> = list.iter().map(|kept| kept.ad as usize).collect();
            let best: Vec<_> = expected.iter().take(KEPT_MAX).map(|(ad, _)| *ad).collect();
            prop_assert_eq!(kept, best);
        }
    }

    proptest! {
        #[test]
        fn a_page_takes_what_it_may_of_each_category_and_no_more(
            offers in prop::collection::vec((0u32..8, 0u64..8, 0u32..3), 0..24),
            category_max in 1u8..4,
        ) {
            let mut page = Page::default();
            page.clear(category_max);
            let mut taken: Vec<(u32, u64, u32)> = Vec::new();
            for (ad, advertiser, category) in offers {
                let alike = taken.iter().filter(|other| other.2 == category).count();
                let is_new = taken.iter().all(|other| other.0 != ad && other.1 != advertiser);
                let one = candidate(ad, advertiser, category, 1.0);
                prop_assert_eq!(page.admits(&one), is_new && alike < usize::from(category_max));
                if page.admits(&one) {
                    page.take(&one);
                    taken.push((ad, advertiser, category));
                }
            }
        }
    }

    #[test]
    fn a_campaign_of_many_ads_leaves_room_for_others() {
        let mut list = Shortlist::default();
        for ad in 0..20 {
            let rank = f64::from(10 + ad % 7);
            list.offer(Candidate { campaign: 1, ..candidate(ad, 0, 0, rank) });
        }
        list.offer(candidate(99, 0, 0, 5.0));
        let kept: Vec<_> = list.iter().map(|kept| (kept.campaign, kept.ad)).collect();
        assert_eq!(kept, [(1, 6), (99, 99)], "the best of the one, and the other");
    }

    #[test]
    fn an_ad_without_money_gives_way_to_the_next() {
        let mut list = Shortlist::default();
        for ad in 1..=3 {
            list.offer(candidate(ad, 0, 0, f64::from(ad)));
        }
        list.drop_ad(3);
        assert_eq!(list.iter().map(|kept| kept.ad).collect::<Vec<_>>(), [2, 1]);
        list.clear();
        assert!(list.is_empty());
    }

    #[test]
    fn in_a_pod_neither_ad_nor_advertiser_nor_category_is_there_twice() {
        let first = candidate(1, 10, 100, 1.0);
        assert!(first.stands_beside(&candidate(2, 11, 101, 1.0)));
        for (ad, advertiser, category) in [(1, 11, 101), (2, 10, 101), (2, 11, 100)] {
            assert!(!first.stands_beside(&candidate(ad, advertiser, category, 1.0)));
        }
    }

    #[test]
    fn a_page_repeats_neither_ad_nor_advertiser_nor_category() {
        let mut page = Page::default();
        page.take(&candidate(1, 10, 100, 1.0));
        assert!(!page.admits(&candidate(1, 11, 101, 1.0)), "same ad");
        assert!(!page.admits(&candidate(2, 10, 101, 1.0)), "same advertiser");
        assert!(!page.admits(&candidate(2, 11, 100, 1.0)), "competitor");
        assert!(page.admits(&candidate(2, 11, 101, 1.0)));
    }
}
