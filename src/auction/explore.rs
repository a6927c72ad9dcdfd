//! How an ad stands for an imp: by what the model predicts, or by a draw of how good it may be.

use crate::auction::decide::Scored;
use crate::auction::input::AuctionInput;
use crate::auction::price::{Priced, Terms};
use crate::auction::select::{Candidate, Shortlist};
use crate::auction::world::World;
use crate::catalog::CampaignRow;
use crate::hash;
use crate::prediction::sigmoid;
use crate::strategy::exploration;
use crate::units::Micros;

/// A scored ad at its price.
pub(super) const fn candidate_of(
    (row, arm): (&CampaignRow, u8),
    scored: &Scored,
    (price, paced): (Micros, Micros),
    (worth, rank): (f64, f64),
) -> Candidate {
    Candidate {
        imp: scored.imp,
        deal: scored.deal,
        seconds: scored.seconds,
        campaign: scored.campaign,
        arm,
        ad: scored.ad,
        price,
        paced,
        worth,
        rank,
        logit: scored.logit,
        conversions_ppm: scored.conversions_ppm,
        prior_logit: scored.prior_logit,
        interest: scored.interest,
        strengths: scored.strengths,
        floor: scored.floor,
        advertiser: row.advertiser,
        category: row.category,
    }
}

/// Offers an ad at what a draw makes of its click probability, where that is more than the
/// prediction. On deals and in pods, which are filled by other rules, never. The offer's logit stays
/// the prediction's, so that nobody takes the draw for one.
pub(super) fn explore(
    list: &mut Shortlist,
    world: &World,
    input: &AuctionInput,
    terms: &Terms<'_>,
    (campaign, spread): ((&CampaignRow, u8), f64),
    scored: &Scored,
) {
    if scored.deal.is_some() || input.imps[usize::from(scored.imp)].pod.is_some() {
        return;
    }
    let place = u64::from(scored.ad) << 8 | u64::from(scored.imp);
    let mean = f64::from(sigmoid(scored.logit));
    let shows = exploration::PRIOR_SHOWS + world.model.shows_known(scored.ad, mean);
    let drawn = exploration::draw(mean, shows, hash::combine(input.seed, place));
    if drawn <= mean {
        return;
    }
    let logit = (drawn / (1.0 - drawn).max(f64::EPSILON)).ln() as f32;
    let drawn = Scored { logit, ..*scored };
    if let Priced::Bid(price) = terms.price(&drawn) {
        let paced = terms.paced(&drawn, price);
        let worth = terms.rank(&drawn, price);
        let ranks = (worth, spread * worth);
        list.offer(candidate_of(campaign, scored, (price, paced), ranks));
    }
}
