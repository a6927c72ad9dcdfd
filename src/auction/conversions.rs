//! The conversion rates of ads whose campaigns pay for conversions: by the model's conversion head, or
//! by private releases where the model learns from those alone and has none.

use crate::auction::decide::Scored;
use crate::auction::input::AuctionInput;
use crate::auction::world::{Seated, World};
use crate::catalog::CampaignRow;
use crate::prediction::{
    Asked, ContextFeatures, Cross, ScoreScratch, conversion_prior_logit, sigmoid,
};
use crate::privacy::ContextBucket;
use crate::strategy::Strategy;

/// What the head needs of one request: filled only where a campaign pays for conversions.
#[derive(Default)]
pub struct Conversions {
    /// One to one with the contexts.
    requests: Vec<ScoreScratch>,
}

impl Conversions {
    /// Forgets the last request.
    pub fn clear(&mut self) {
        self.requests.clear();
    }

    /// Predicts the rates of ads of one campaign, which lie where the declared one was. `scored` is
    /// one to one with `asked`.
    pub fn predict(
        &mut self,
        world: &World,
        input: &AuctionInput,
        contexts: &[ContextFeatures],
        asked: &[Asked],
        scored: &mut [Scored],
    ) {
        let Some(head) = world.model.conversions() else {
            return released(world, input, contexts, asked, scored);
        };
        if self.requests.is_empty() {
            self.requests.extend(contexts.iter().map(|context| {
                let mut scratch = ScoreScratch::default();
                head.prepare(context, &mut scratch);
                scratch
            }));
        }
        for (scored, asked) in scored.iter_mut().zip(asked) {
            if input.imps[usize::from(scored.imp)].given_p_click.is_some() {
                continue;
            }
            let prior_logit = conversion_prior_logit(scored.conversions_ppm);
            let cross = Cross { prior_logit, ..asked.cross };
            let logit = head.logit(&self.requests[usize::from(asked.request)], asked.ad, cross);
            scored.conversions_ppm = (sigmoid(logit) * 1e6) as u32;
        }
    }
}

/// What releases say of the contexts in which these ads are asked about.
fn released(
    world: &World,
    input: &AuctionInput,
    contexts: &[ContextFeatures],
    asked: &[Asked],
    scored: &mut [Scored],
) {
    for (scored, asked) in scored.iter_mut().zip(asked) {
        let is_given = input.imps[usize::from(scored.imp)].given_p_click.is_some();
        let rates = world.conversion_rates_at(scored.campaign).filter(|_| !is_given);
        let bucket = contexts.get(usize::from(asked.request)).map(|context| context.bucket);
        if let Some((rates, bucket)) = rates.zip(bucket.and_then(ContextBucket::from_index)) {
            scored.conversions_ppm = rates.ppm_in(bucket);
        }
    }
}

/// Puts the rates that a simulator gives for imps in place of the others.
pub fn put_given(input: &AuctionInput, scored: &mut [Scored]) {
    for scored in scored {
        if let Some(given) = input.imps[usize::from(scored.imp)].given_p_conversion {
            scored.conversions_ppm = (f64::from(given) * 1e6).round() as u32;
        }
    }
}

/// Whether a rate is predicted for the ads of this campaign.
#[inline]
pub fn is_asked(world: &World, row: &CampaignRow, seated: Seated) -> bool {
    row.bid.expected_cvr_ppm > 0
        && world.strategy_of(seated).is_some_and(Strategy::prices_conversions)
}
