//! Why this ad, why this price, why not mine: the same filters and the same arithmetic as the
//! auction, with every step kept. Off the hot path; holds no money.

use crate::auction::decide::{Auctioneer, Purse, Scored};
use crate::auction::fits;
use crate::auction::input::AuctionInput;
use crate::auction::price::{Priced, Terms};
use crate::auction::reason::NoBid;
use crate::auction::world::World;
use crate::budget::{Held, Windows};
use crate::catalog::{Ad, AdKind, Campaign, Reason, Shape};
use crate::latency::LatencyBoard;
use crate::prediction::{Cross, ScoreScratch, sigmoid};
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{CampaignId, Micros, Slot, Timestamp};
use serde::Serialize;

/// One decision, taken apart.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The user's experiment arm.
    pub arm: &'static str,
    /// Why the whole request gets no bid; absent when it gets one.
    pub no_bid: Option<&'static str>,
    /// What would be bid, best first.
    pub bids: Vec<ExplainedBid>,
    /// Every campaign, by name.
    pub campaigns: Vec<ExplainedCampaign>,
}

impl Explanation {
    /// Of a request that is turned away before any campaign is looked at.
    #[must_use]
    pub const fn of_no_bid(reason: NoBid) -> Self {
        let no_bid = Some(reason.as_str());
        Self { arm: "", no_bid, bids: Vec::new(), campaigns: Vec::new() }
    }
}

/// A bid that would be made if there was money for it.
#[derive(Debug, Serialize)]
pub struct ExplainedBid {
    /// Position of the imp in the request.
    pub imp: u8,
    /// The campaign's name.
    pub campaign: String,
    /// The ad's name.
    pub ad: String,
    /// The bid in CPM micros of the answer's currency.
    pub price_micros: u64,
}

/// One campaign's part.
#[derive(Debug, Serialize)]
pub struct ExplainedCampaign {
    /// Its name.
    pub campaign: String,
    /// Every targeting filter that excludes it; empty when it is eligible.
    pub excluded: Vec<Reason>,
    /// Its ads on each imp; empty when targeting excludes the campaign.
    pub ads: Vec<ExplainedAd>,
}

/// One ad on one imp.
#[derive(Debug, Serialize)]
pub struct ExplainedAd {
    /// Position of the imp in the request.
    pub imp: u8,
    /// The ad's name.
    pub ad: String,
    /// What keeps it from the imp.
    pub misfit: Option<fits::Misfit>,
    /// How its price came about, when it fits.
    pub price: Option<ExplainedPrice>,
}

/// The steps from score to price.
#[derive(Debug, Serialize)]
pub struct ExplainedPrice {
    /// Contributions to the logit of the click probability, in nats; they add up to it.
    pub contributions: Vec<(String, f32)>,
    /// Predicted click probability.
    pub p_click: f32,
    /// Click probability that private releases give this campaign here.
    pub prior_p_click: f32,
    /// Strength of the user's interest in its category.
    pub interest: f32,
    /// What the strategy finds it worth, in CPM micros of the account's currency.
    pub value_micros: u64,
    /// What pacing leaves of that.
    pub multiplier: f64,
    /// The bid, in CPM micros of the answer's currency.
    pub price_micros: u64,
    /// The floor, in the same.
    pub floor_micros: u64,
    /// Whether the bid reaches it.
    pub clears_floor: bool,
}

/// A purse with money for everything that takes none, at the published pace.
pub(super) struct DryPurse;

impl Purse for DryPurse {
    fn hold(
        &mut self,
        _: CampaignId,
        price: Micros,
        _: Windows,
        _: Timestamp,
    ) -> Result<Held, Micros> {
        Ok(Held { price, ..Held::default() })
    }

    fn pace(&mut self, slot: Slot, published: &PacingSnapshot) -> Pace {
        published.pace(slot)
    }
}

/// Takes the decision on `input` apart. Decides as the auction does, but as if each campaign had
/// money on this core.
#[must_use]
pub fn explain(world: &World, input: &mut AuctionInput) -> Explanation {
    let mut auctioneer = Auctioneer::default();
    // Its timings are nobody's latency: they go to a board of their own.
    let mut recorder = LatencyBoard::default().recorder();
    auctioneer.decide(world, &mut DryPurse, input, &mut recorder);
    let campaigns = world.catalog.campaigns.iter().flatten();
    let mut campaigns: Vec<_> =
        campaigns.map(|campaign| explain_campaign(world, input, &auctioneer, campaign)).collect();
    campaigns.sort_by(|one, other| one.campaign.cmp(&other.campaign));
    let name = |ad: u32| world.catalog.ad(ad).map_or(String::new(), |ad| ad.name.clone());
    let bids = input.outcome.picks.iter().map(|pick| ExplainedBid {
        imp: pick.imp,
        campaign: world.catalog.campaign(pick.campaign).map_or(String::new(), |c| c.name.clone()),
        ad: name(pick.ad),
        price_micros: pick.price.0,
    });
    Explanation {
        arm: input.arm.as_str(),
        no_bid: input.outcome.no_bid.map(|reason| reason.as_str()),
        bids: bids.collect(),
        campaigns,
    }
}

fn explain_campaign(
    world: &World,
    input: &AuctionInput,
    auctioneer: &Auctioneer,
    campaign: &Campaign,
) -> ExplainedCampaign {
    let reasons = world.catalog.exclusion_reasons(&input.facts, campaign.slot.index);
    let excluded = reasons.to_vec();
    let mut ads = Vec::new();
    if excluded.is_empty() {
        for ad in campaign.ads.iter().filter_map(|index| world.catalog.ad(*index)) {
            for position in 0..input.imps.len() {
                ads.push(explain_ad(world, input, auctioneer, campaign, ad, position));
            }
        }
    }
    ExplainedCampaign { campaign: campaign.name.clone(), excluded, ads }
}

fn explain_ad(
    world: &World,
    input: &AuctionInput,
    auctioneer: &Auctioneer,
    campaign: &Campaign,
    ad: &Ad,
    position: usize,
) -> ExplainedAd {
    let imp = &input.imps[position];
    let misfit = fits::unblocked(&ad.adomain_keys, &ad.iab_cat_keys, &input.blocks)
        .and_then(|()| fits::shape_fits(&Shape::of(ad), imp))
        .and_then(|()| match &ad.kind {
            AdKind::Native(_) => fits::parts_fit(&world.catalog, ad.slot.index, imp),
            _ => Ok(()),
        })
        .and_then(|()| fits::deal(campaign, ad, imp).map(|_| ()))
        .and_then(|()| fits::uncapped(campaign, ad.id, input))
        .err();
    let is_this =
        |scored: &&Scored| usize::from(scored.imp) == position && scored.ad == ad.slot.index;
    let scored = auctioneer.scored().iter().find(is_this);
    let price = scored.map(|scored| explain_price(world, input, auctioneer, campaign, scored));
    ExplainedAd { imp: imp.position, ad: ad.name.clone(), misfit, price }
}

fn explain_price(
    world: &World,
    input: &AuctionInput,
    auctioneer: &Auctioneer,
    campaign: &Campaign,
    scored: &Scored,
) -> ExplainedPrice {
    let pace = DryPurse.pace(campaign.slot, &world.pacing);
    let row = world.catalog.row(campaign.slot.index);
    let terms = row.and_then(|row| Terms::of(world, input, row, &pace));
    let value = terms.as_ref().map_or(Micros::ZERO, |terms| terms.value(scored));
    let (price, clears_floor) = match terms.as_ref().map(|terms| terms.price(scored)) {
        Some(Priced::Bid(price)) => (price, true),
        Some(Priced::BelowFloor(price)) => (price, false),
        Some(Priced::Unpriced) | None => (Micros::ZERO, false),
    };
    ExplainedPrice {
        contributions: contributions(world, auctioneer, scored),
        p_click: sigmoid(scored.logit),
        prior_p_click: sigmoid(scored.prior_logit),
        interest: scored.interest,
        value_micros: value.0,
        multiplier: terms.map_or(0.0, |terms| terms.multiplier()),
        price_micros: price.0,
        floor_micros: scored.floor.0,
        clears_floor,
    }
}

fn contributions(world: &World, auctioneer: &Auctioneer, scored: &Scored) -> Vec<(String, f32)> {
    let context = auctioneer.context(usize::from(scored.imp));
    let ad = world.catalog.ad(scored.ad);
    let (Some(context), Some(ad)) = (context, ad) else { return Vec::new() };
    let mut scratch = ScoreScratch::default();
    world.model.prepare(context, &mut scratch);
    let cross = Cross { interest: scored.interest, prior_logit: scored.prior_logit };
    let parts = world.model.contributions(context, ad.slot, cross);
    parts.into_iter().map(|(name, nats)| (name.to_string(), nats)).collect()
}
