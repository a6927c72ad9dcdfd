//! Dynamic pods (OpenRTB 2.6, `poddur` and `maxseq`): several of our ads for one imp.
//!
//! The exchange puts the pod together and may take any of our bids, so all of them must fit at once:
//! at most `maxseq` ads, at most `poddur` seconds, nothing that the page's rules keep apart. Of the
//! few candidates that an auction keeps of each imp, all sets are tried.

use crate::auction::input::PodRoom;
use crate::auction::select::{Candidate, KEPT_MAX, Page, Shortlist};
use smallvec::SmallVec;

impl PodRoom {
    /// What a candidate of this length ranks by, as a part of its worth: it is kept for the worth of
    /// the seconds or of the place that it takes, whichever are scarcer. At most 1, so that nothing
    /// ranks above its price.
    #[must_use]
    pub fn thrift(self, seconds: u32) -> f64 {
        let places = f64::from(seconds) * f64::from(self.ads) / f64::from(self.seconds.max(1));
        1.0 / places.max(1.0)
    }

    /// What is left beside an ad of this length.
    #[must_use]
    pub const fn without(self, seconds: u32) -> Self {
        Self {
            seconds: self.seconds.saturating_sub(seconds),
            ads: self.ads.saturating_sub(1),
            ..self
        }
    }

    /// Whether the candidates in `set` (bit n for the n-th) fit together.
    fn holds(self, set: u32, candidates: &[Candidate]) -> bool {
        let chosen = chosen(set, candidates);
        let seconds: u64 = chosen.clone().map(|one| u64::from(one.seconds)).sum();
        set.count_ones() <= self.ads
            && seconds <= u64::from(self.seconds)
            && chosen.clone().enumerate().all(|(number, one)| {
                chosen.clone().skip(number + 1).all(|other| one.stands_beside(other))
            })
    }
}

fn chosen(set: u32, candidates: &[Candidate]) -> impl Iterator<Item = &Candidate> + Clone {
    candidates.iter().enumerate().filter(move |(n, _)| set & 1 << n != 0).map(|(_, one)| one)
}

/// The best ranked member of the set that is worth most together, among those that fit the room and
/// the page. Of equal sets the first counts, so that the order depends on the input alone.
#[must_use]
pub fn next(list: &Shortlist, page: &Page, room: PodRoom) -> Option<Candidate> {
    let admitted = list.iter().filter(|candidate| page.admits(candidate));
    let candidates: SmallVec<[Candidate; KEPT_MAX]> = admitted.copied().collect();
    let sets = (1u32..1 << candidates.len()).filter(|set| room.holds(*set, &candidates));
    let worth = |set: u32| chosen(set, &candidates).map(|one| one.worth).sum::<f64>();
    let best = sets
        .map(|set| (set, worth(set)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.and_then(|(set, _)| chosen(set, &candidates).next().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Strengths;
    use crate::units::{AdvertiserId, CategoryId, Micros};
    use proptest::prelude::*;

    fn candidate(ad: u32, seconds: u32, worth: u32, advertiser: u64, category: u32) -> Candidate {
        Candidate {
            imp: 0,
            deal: None,
            seconds,
            campaign: ad,
            arm: 0,
            ad,
            price: Micros(u64::from(worth)),
            paced: Micros::ZERO,
            worth: f64::from(worth),
            rank: f64::from(worth),
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

    /// Takes what comes next until nothing does.
    fn fill(all: &[Candidate], mut room: PodRoom) -> Vec<Candidate> {
        let (mut list, mut page, mut taken) = (Shortlist::default(), Page::default(), Vec::new());
        all.iter().for_each(|one| list.offer(*one));
        while let Some(one) = next(&list, &page, room) {
            list.drop_ad(one.ad);
            page.take(&one);
            room = room.without(one.seconds);
            taken.push(one);
        }
        taken
    }

    /// The most that any sequence of admissible takes is worth: with each candidate and without it.
    fn optimum(rest: &[Candidate], taken: &mut Vec<Candidate>, room: PodRoom) -> f64 {
        let Some((first, rest)) = rest.split_first() else { return 0.0 };
        let without = optimum(rest, taken, room);
        let is_apart = taken.iter().all(|other| {
            other.ad != first.ad
                && other.advertiser != first.advertiser
                && other.category != first.category
        });
        if !is_apart || room.ads == 0 || first.seconds > room.seconds {
            return without;
        }
        taken.push(*first);
        let with = first.worth + optimum(rest, taken, room.without(first.seconds));
        taken.pop();
        with.max(without)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn a_pod_is_filled_with_what_is_worth_most_together(
            all in prop::collection::vec((1u32..40, 1u32..100, 0u64..5, 0u32..6), 0..=KEPT_MAX),
            seconds in 0u32..120,
            ads in 0u32..6,
        ) {
            let all: Vec<_> = (0u32..)
                .zip(&all)
                .map(|(ad, one)| candidate(ad, one.0, one.1, one.2, one.3))
                .collect();
            let room = PodRoom { is_audio: false, seconds, ads };
            let taken = fill(&all, room);
            prop_assert!(taken.len() <= ads as usize);
            prop_assert!(taken.iter().map(|one| one.seconds).sum::<u32>() <= seconds);
            let worth: f64 = taken.iter().map(|one| one.worth).sum();
            prop_assert_eq!(worth, optimum(&all, &mut Vec::new(), room));
        }

        #[test]
        fn nothing_ranks_above_its_worth(seconds in 0u32..300, room in (1u32..300, 1u32..10)) {
            let thrift = PodRoom { is_audio: false, seconds: room.0, ads: room.1 }.thrift(seconds);
            prop_assert!(thrift > 0.0 && thrift <= 1.0);
        }
    }

    /// What taking the best price for each second alone would get wrong.
    #[test]
    fn a_short_ad_does_not_keep_a_dear_one_out() {
        let all = [candidate(0, 5, 20, 0, 0), candidate(1, 30, 100, 1, 1)];
        let taken = fill(&all, PodRoom { is_audio: false, seconds: 30, ads: 4 });
        assert_eq!(taken.iter().map(|one| one.ad).collect::<Vec<_>>(), [1]);
    }
}
