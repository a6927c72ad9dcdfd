//! The conversion rates of ads whose campaigns pay for conversions, by the model's conversion head.

use crate::auction::contenders::Contenders;
use crate::auction::decide::{Reduced, Scored};
use crate::auction::input::AuctionInput;
use crate::auction::world::World;
use crate::catalog::FeatureGroups;
use crate::prediction::{Cross, ScoreScratch, conversion_prior_logit, sigmoid};
use crate::strategy::Strategy;

/// What the head needs of one request: filled only where a campaign pays for conversions.
#[derive(Default)]
pub struct Conversions {
    requests: Vec<ScoreScratch>,
    strangers: Vec<ScoreScratch>,
}

impl Conversions {
    /// Predicts the rates. `scored` is one to one with the contenders' fits; the contexts are those of
    /// the imps, and the same without what is known of the user.
    pub(super) fn predict(
        &mut self,
        world: &World,
        input: &AuctionInput,
        contenders: &mut Contenders,
        scored: &mut [Scored],
        (requests, strangers): (&[Reduced], &[Reduced]),
    ) {
        let Some(head) = world.model.conversions() else { return };
        self.requests.clear();
        self.strangers.clear();
        for contender in &mut contenders.list {
            let row = world.catalog.row(contender.seated.campaign.index);
            let declared = row.map_or(0, |row| row.bid.expected_cvr_ppm);
            let pays = |strategy: &Strategy| strategy.prices_conversions();
            if declared == 0 || !world.strategy_of(contender.seated).is_some_and(pays) {
                continue;
            }
            let is_stranger = !contender.features.has(FeatureGroups::PROFILE);
            let (reduced, contexts) = match is_stranger && !strangers.is_empty() {
                true => (&mut self.strangers, strangers),
                false => (&mut self.requests, requests),
            };
            if reduced.is_empty() {
                reduced.extend(contexts.iter().map(|one| {
                    let mut scratch = ScoreScratch::default();
                    head.prepare(&one.context, &mut scratch);
                    scratch
                }));
            }
            let fits = &contenders.fits[contender.range.clone()];
            for (scored, fit) in scored[contender.range.clone()].iter_mut().zip(fits) {
                let position = usize::from(scored.imp);
                if input.imps[position].given_p_click.is_some() {
                    continue;
                }
                let prior_logit = conversion_prior_logit(declared);
                let Scored { interest, strengths, .. } = *scored;
                let cross = Cross { interest, prior_logit, strengths };
                let rate = sigmoid(head.logit(&reduced[position], fit.ad, cross));
                scored.conversions_ppm = (rate * 1e6) as u32;
                let over = (scored.conversions_ppm as f32 / declared as f32).ln();
                contender.ln_conversions_max = contender.ln_conversions_max.max(over);
            }
        }
    }
}
