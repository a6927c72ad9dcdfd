//! A logit taken apart, for people: named terms that sum to it, down to each pair of fields.

use super::features::{
    AD_FIELD_NAMES, AD_FIELDS, CONTEXT_FIELD_NAMES, CONTEXT_FIELDS, ContextFeatures, Cross,
};
use super::score::ModelSnapshot;
use super::served::{Factors, Served};
use super::strength::FAMILY_NAMES;
use super::vectors::inner;
use crate::units::Slot;

/// What stands between the names of a pair's fields, and in no other name.
const PAIR: &str = " x ";

/// A term's name, and by how much it moves the logit.
pub type Contribution = (String, f32);

impl ModelSnapshot {
    /// The terms of the logit of showing the ad in slot `ad`, which sum to it: a field's name alone
    /// is its linear weight, and "publisher x category" is what these two fields have to do with each
    /// other, the strongest pair first. Allocates; not for the bid path.
    #[must_use]
    pub fn contributions(
        &self,
        context: &ContextFeatures,
        ad: Slot,
        cross: Cross,
    ) -> Vec<Contribution> {
        match &self.served {
            Served::Eight(factors) => self.contributions_of(factors, context, ad, cross),
            Served::Sixteen(factors) => self.contributions_of(factors, context, ad, cross),
        }
    }

    fn contributions_of<const K: usize>(
        &self,
        factors: &Factors<K>,
        context: &ContextFeatures,
        ad: Slot,
        cross: Cross,
    ) -> Vec<Contribution> {
        let mut terms = self.single_terms(context, cross);
        let vectors = factors.context_vectors(context);
        let mut pairs = Vec::new();
        for (second, own) in vectors.iter().enumerate() {
            for (first, other) in vectors[..second].iter().enumerate() {
                let names = (CONTEXT_FIELD_NAMES[first], CONTEXT_FIELD_NAMES[second]);
                pairs.push(pair(names, self.field_weights[first][second] * inner(other, own)));
            }
        }
        if let Some(row) = factors.row(ad) {
            let ids = self.ids.get(ad.index as usize).copied().unwrap_or_default();
            let linear = self.ad_linear(&ids);
            let named = AD_FIELD_NAMES.iter().zip(linear);
            terms.extend(named.map(|(name, weight)| ((*name).to_owned(), weight)));
            pairs.extend(self.pairs_with_ad(&vectors, &std::array::from_fn(|at| row.vector(at))));
            let within = pairs_within_ad(&factors.ad_vectors(&ids));
            // The ad's own terms are kept as one number, which learning may have left behind a little.
            let known: f32 = linear.iter().chain(within.iter().map(|(_, nats)| nats)).sum();
            terms.push(("ad".to_owned(), row.own.logit - known));
            pairs.extend(within);
        }
        pairs.sort_by(|left, right| right.1.abs().total_cmp(&left.1.abs()));
        terms.extend(pairs);
        terms
    }

    fn single_terms(&self, context: &ContextFeatures, cross: Cross) -> Vec<Contribution> {
        let interest = self.interest[context.format as usize][cross.interest_bucket()];
        let prior = self.prior_weight * cross.prior_offset(self.base_logit);
        let shared = [
            ("base rate", self.base_logit),
            ("bias", self.bias),
            ("interest in category", interest),
            ("campaign prior", prior),
        ];
        let fields = CONTEXT_FIELD_NAMES.into_iter().zip(context.ids.map(|id| self.linear(id)));
        let families = FAMILY_NAMES.into_iter().zip(self.relevance_of(cross));
        shared
            .into_iter()
            .chain(families)
            .chain(fields)
            .map(|(name, nats)| (name.to_owned(), nats))
            .collect()
    }

    fn pairs_with_ad<const K: usize>(
        &self,
        context: &[[f32; K]; CONTEXT_FIELDS],
        ad: &[[f32; K]; AD_FIELDS],
    ) -> Vec<Contribution> {
        let fields = (0..CONTEXT_FIELDS).flat_map(|own| (0..AD_FIELDS).map(move |of| (own, of)));
        let pair_of = |(own, of): (usize, usize)| {
            let weight = self.field_weights[own][CONTEXT_FIELDS + of];
            let names = (CONTEXT_FIELD_NAMES[own], AD_FIELD_NAMES[of]);
            pair(names, weight * inner(&context[own], &ad[of]))
        };
        fields.map(pair_of).collect()
    }
}

/// Pairs of an ad's own fields weigh 1.
fn pairs_within_ad<const K: usize>(vectors: &[[f32; K]; AD_FIELDS]) -> Vec<Contribution> {
    let fields = (0..AD_FIELDS).flat_map(|second| (0..second).map(move |first| (first, second)));
    let named = |(first, second): (usize, usize)| {
        let names = (AD_FIELD_NAMES[first], AD_FIELD_NAMES[second]);
        pair(names, inner(&vectors[first], &vectors[second]))
    };
    fields.map(named).collect()
}

fn pair((first, second): (&str, &str), nats: f32) -> Contribution {
    ([first, second].join(PAIR), nats)
}

/// Keeps the `count` strongest pairs of [`ModelSnapshot::contributions`] and puts the sum of the rest
/// in their place as "other pairs". All terms that are no pairs stay.
pub fn keep_strongest_pairs(terms: &mut Vec<Contribution>, count: usize) {
    let mut pairs = 0;
    let mut rest = 0.0;
    terms.retain(|(name, nats)| {
        let is_kept = !name.contains(PAIR) || pairs < count;
        if name.contains(PAIR) {
            pairs += 1;
        }
        if !is_kept {
            rest += nats;
        }
        is_kept
    });
    if pairs > count {
        terms.push(("other pairs".to_owned(), rest));
    }
}
