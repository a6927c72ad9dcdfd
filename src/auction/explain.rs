//! Why this ad, why this price, why not mine: the same filters and the same arithmetic as the
//! auction, with every step kept. Off the hot path; holds no money.

use crate::auction::decide::{Auctioneer, Scored};
use crate::auction::fill::shaded;
use crate::auction::fits::{self, Misfit};
use crate::auction::input::{AuctionInput, ImpInput};
use crate::auction::outcome::Pick;
use crate::auction::price::{Priced, Terms};
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::relevant::{ExplainedRelevance, explain_relevance};
use crate::auction::world::{Epochs, World};
use crate::budget::{AccountView, Held, Purpose, Windows};
use crate::catalog::{Ad, AdKind, Campaign, Reason, Shape};
use crate::consent::{Permissions, Restrictions};
use crate::latency::LatencyBoard;
use crate::prediction::{Cross, ScoreScratch, keep_strongest_pairs, sigmoid};
use crate::session::Found;
use crate::strategy::pacing::{Pace, PacingSnapshot};
use crate::units::{CampaignId, CurrencyCode, Micros, Slot, Timestamp};
use serde::Serialize;

/// One decision, taken apart.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The user's experiment arm.
    pub arm: &'static str,
    /// Why the whole request gets no bid; absent when it gets one.
    pub no_bid: Option<&'static str>,
    /// What may be done with the user.
    pub permissions: Permissions,
    /// What took permissions away, and which.
    pub restrictions: Vec<ExplainedRestriction>,
    /// Whether a user is named who may be known.
    pub has_user: bool,
    /// What kind of id led to the user, and whether by an alias; absent where no session may be read
    /// or no id names anybody.
    pub found: Option<Found>,
    /// The currency that prices are in.
    pub currency: CurrencyCode,
    /// What was read; absent where no campaign was looked at.
    pub epochs: Option<Epochs>,
    /// What would be bid, best first.
    pub bids: Vec<ExplainedBid>,
    /// Every campaign, by name.
    pub campaigns: Vec<ExplainedCampaign>,
}

impl Explanation {
    /// Keeps the `count` strongest pairs of fields of each score, and the sum of the others.
    pub fn keep_strongest_pairs(&mut self, count: usize) {
        let ads = self.campaigns.iter_mut().flat_map(|campaign| &mut campaign.ads);
        for price in ads.filter_map(|ad| ad.price.as_mut()) {
            keep_strongest_pairs(&mut price.contributions, count);
        }
    }

    /// Of a request that is turned away before any campaign is looked at.
    #[must_use]
    pub fn of_no_bid(input: &AuctionInput, reason: NoBid) -> Self {
        Self {
            arm: "",
            no_bid: Some(reason.as_str()),
            permissions: input.permissions,
            restrictions: explain_restrictions(input.restrictions),
            has_user: input.user.is_some(),
            found: input.found,
            currency: input.currency,
            epochs: None,
            bids: Vec::new(),
            campaigns: Vec::new(),
        }
    }
}

/// One signal that restricts.
#[derive(Debug, Serialize)]
pub struct ExplainedRestriction {
    /// Its name, as counters have it.
    pub signal: &'static str,
    /// The permissions that it takes away.
    pub forbids: Vec<&'static str>,
}

fn explain_restrictions(restrictions: Restrictions) -> Vec<ExplainedRestriction> {
    let explained = restrictions.iter().map(|restriction| ExplainedRestriction {
        signal: restriction.as_str(),
        forbids: restriction.leaves().forbidden().collect(),
    });
    explained.collect()
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
    /// Whether it is made to learn: by a draw, and with money of its own.
    pub is_exploration: bool,
}

/// One campaign's part.
#[derive(Debug, Serialize)]
pub struct ExplainedCampaign {
    /// Its name.
    pub campaign: String,
    /// Which it is, to find its account by.
    #[serde(skip)]
    pub id: CampaignId,
    /// The strategy that prices it: where several share its users, that of this user's arm.
    pub strategy: String,
    /// That arm, by the order of the strategies' names.
    pub strategy_arm: Option<u8>,
    /// The currency of its account.
    pub currency: CurrencyCode,
    /// Every targeting filter that excludes it; empty when it is eligible. The auction stops at the
    /// first.
    pub excluded: Vec<Reason>,
    /// Its money, where there is a ledger to ask.
    pub account: Option<AccountView>,
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
    /// How it ends.
    pub end: End,
    /// Everything that keeps it from the imp; the auction stops at the first.
    pub misfits: Vec<Misfit>,
    /// How its price came about, when it fits.
    pub price: Option<ExplainedPrice>,
}

/// How one ad on one imp ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It is bid.
    Bid,
    /// It does not fit the imp.
    Misfit,
    /// Its price stays below the floor.
    BelowFloor,
    /// There is no rate for its currency, or its strategy is gone.
    Unpriced,
    /// Another ad is worth more, or goes first (a deal), or others fill a pod better.
    Outbid,
    /// Its user's arm of the campaign has spent its share of the day's budget.
    ShareSpent,
    /// It would be bid, but the page's rules keep it apart from another bid.
    KeptApart,
    /// It is worth most, but its category filled too much of what the user saw lately.
    Diversity,
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
    /// The sequence model's affinity to its category, `[0, 1]`; negative where it says nothing.
    pub sequence: f32,
    /// What speaks for it by the user's recent visits, strongest first.
    pub relevance: Vec<ExplainedRelevance>,
    /// What the strategy finds it worth, in CPM micros of the account's currency.
    pub value_micros: u64,
    /// What pacing leaves of that.
    pub multiplier: f64,
    /// Whether the strategy's share of the day's budget is spent, where several share it.
    pub is_share_spent: bool,
    /// The controllers behind the multiplier.
    pub controllers: Controllers,
    /// The strategy's arithmetic, step by step; CPM micros of the account's currency where the name
    /// ends so.
    pub factors: Vec<(&'static str, f64)>,
    /// What its rank is multiplied by, as its category filled too much of what the user saw lately.
    pub diversity: f64,
    /// Position of the deal that it is offered under, in the imp's list.
    pub deal: Option<u8>,
    /// The bid, in CPM micros of the answer's currency.
    pub price_micros: u64,
    /// The floor, in the same.
    pub floor_micros: u64,
    /// Whether the bid reaches it.
    pub clears_floor: bool,
}

/// What the controllers of a campaign say; the smaller logarithm counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Controllers {
    /// Log of the budget's multiplier.
    pub ln_budget: f32,
    /// Log of the multiplier that holds the cost of a conversion; at its cap without a target.
    pub ln_cpa: f32,
}

impl From<&Pace> for Controllers {
    fn from(pace: &Pace) -> Self {
        Self { ln_budget: pace.ln_budget, ln_cpa: pace.ln_cpa }
    }
}

/// A purse with money for everything that takes none, at the published pace.
pub(super) struct DryPurse;

impl Purse for DryPurse {
    fn hold(
        &mut self,
        _: CampaignId,
        _: Purpose,
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
    let mut auctioneer = Auctioneer::thorough();
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
        is_exploration: pick.is_exploration,
    });
    Explanation {
        arm: input.arm.as_str(),
        no_bid: input.outcome.no_bid.map(|reason| reason.as_str()),
        permissions: input.permissions,
        restrictions: explain_restrictions(input.restrictions),
        has_user: input.user.is_some(),
        found: input.found,
        currency: input.currency,
        epochs: Some(world.epochs()),
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
    let row = world.catalog.row(campaign.slot.index);
    let strategy_arm = row.and_then(|row| world.seated(row, input).split_arm());
    let strategy = campaign.strategies.get(usize::from(strategy_arm.unwrap_or(0)));
    ExplainedCampaign {
        campaign: campaign.name.clone(),
        id: campaign.id,
        strategy: strategy.map_or(String::new(), |arm| arm.name.clone()),
        strategy_arm,
        currency: campaign.currency,
        excluded,
        account: None,
        ads,
    }
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
    let misfits = misfits(world, input, campaign, ad, imp);
    let is_this =
        |scored: &&Scored| usize::from(scored.imp) == position && scored.ad == ad.slot.index;
    // Offered under a deal and openly, the deal stands first; where it is too dear, the other counts.
    let offers = auctioneer.scored().iter().filter(is_this);
    let priced = offers
        .map(|scored| explain_price(world, input, auctioneer, campaign, scored))
        .reduce(|first, next| if matches!(first.1, Priced::Bid(_)) { first } else { next });
    let end = match &priced {
        None => End::Misfit,
        Some((_, Priced::Unpriced)) => End::Unpriced,
        Some((_, Priced::BelowFloor(_))) => End::BelowFloor,
        Some((price, Priced::Bid(_))) if price.is_share_spent => End::ShareSpent,
        Some((explained, Priced::Bid(price))) => {
            let is_ranked_down = explained.diversity < 1.0;
            end_of(world, &input.outcome.picks, imp, ad, (*price, is_ranked_down))
        }
    };
    let price = priced.map(|(price, _)| price);
    ExplainedAd { imp: imp.position, ad: ad.name.clone(), end, misfits, price }
}

/// How an ad ends that has a price.
fn end_of(
    world: &World,
    picks: &[Pick],
    imp: &ImpInput,
    ad: &Ad,
    (price, is_ranked_down): (Micros, bool),
) -> End {
    let mut here = picks.iter().filter(|pick| pick.imp == imp.position);
    if here.clone().any(|pick| pick.ad == ad.slot.index) {
        return End::Bid;
    }
    let own = world.catalog.row(ad.campaign);
    let pair = |pick: &Pick| own.zip(world.catalog.row(pick.campaign));
    let is_own = |pick: &Pick| pair(pick).is_some_and(|(a, b)| a.advertiser == b.advertiser);
    let is_alike = |pick: &Pick| pair(pick).is_some_and(|(a, b)| a.category == b.category);
    let is_rival = |pick: &Pick| is_own(pick) || is_alike(pick);
    // In a pod, which has several bids, only a rival's stands in an ad's place.
    let is_alone = imp.pod.is_none();
    let is_beaten = here.any(|pick| pick.paced >= price && (is_alone || is_rival(pick)));
    // A price alone says nothing: deals go first, and what fits a pod together is worth most.
    let mut beside = picks.iter().filter(|pick| !is_alone || pick.imp != imp.position);
    let alike = beside.clone().filter(|pick| is_alike(pick)).count();
    let alike_max = if is_alone { usize::from(world.limits.category_max_per_page) } else { 1 };
    if is_beaten {
        End::Outbid
    } else if beside.any(is_own) || alike >= alike_max {
        End::KeptApart
    } else if is_ranked_down {
        End::Diversity
    } else {
        End::Outbid
    }
}

/// Each filter by itself, in the order of the auction.
fn misfits(
    world: &World,
    input: &AuctionInput,
    campaign: &Campaign,
    ad: &Ad,
    imp: &ImpInput,
) -> Vec<Misfit> {
    let shape = fits::shape_fits(&Shape::of(ad), imp);
    let parts = match (&ad.kind, shape) {
        (AdKind::Native(_), Ok(())) => fits::parts_fit(&world.catalog, ad.slot.index, imp),
        _ => Ok(()),
    };
    let filters = [
        fits::unblocked(&ad.adomain_keys, &ad.iab_cat_keys, ad.bundle_key(), &input.blocks),
        shape,
        parts,
        fits::deal(campaign, ad, imp).map(|_| ()),
        fits::uncapped(campaign, ad.id, input),
    ];
    filters.into_iter().filter_map(Result::err).collect()
}

fn explain_price(
    world: &World,
    input: &AuctionInput,
    auctioneer: &Auctioneer,
    campaign: &Campaign,
    scored: &Scored,
) -> (ExplainedPrice, Priced) {
    let row = world.catalog.row(campaign.slot.index);
    let row = row.map(|row| (row, world.seated(row, input)));
    let slot = row.map_or(campaign.slot, |(_, seated)| world.pace_slot(seated));
    let pace = DryPurse.pace(slot, &world.pacing);
    let terms = row.and_then(|row| Terms::of(world, input, row, pace.multiplier().into()));
    let priced = terms.as_ref().map_or(Priced::Unpriced, |terms| terms.price(scored));
    let (unshaded, clears_floor) = match priced {
        Priced::Bid(price) => (price, true),
        Priced::BelowFloor(price) => (price, false),
        Priced::Unpriced => (Micros::ZERO, false),
    };
    let mut factors =
        terms.as_ref().map_or(Vec::new(), |terms| terms.factors(scored.promise()).into_vec());
    let imp = input.imps.get(usize::from(scored.imp)).filter(|_| clears_floor);
    let price = match imp.zip(row) {
        Some((imp, (_, seated))) => shaded(
            world,
            input,
            imp,
            (scored.deal, seated, scored.ad),
            (
                terms.as_ref().map_or(unshaded, |terms| terms.paced(scored, unshaded)),
                unshaded,
                scored.floor,
            ),
        ),
        None => unshaded,
    };
    if unshaded.0 > 0 && input.is_first_price {
        factors.push(("shading", price.0 as f64 / unshaded.0 as f64));
    }
    let explained = ExplainedPrice {
        contributions: contributions(world, input, auctioneer, scored),
        p_click: sigmoid(scored.logit),
        prior_p_click: sigmoid(scored.prior_logit),
        interest: scored.interest,
        sequence: scored.sequence,
        relevance: world
            .catalog
            .ad(scored.ad)
            .map_or(Vec::new(), |ad| explain_relevance(world, input, ad.slot)),
        value_micros: terms.as_ref().map_or(0, |terms| terms.value(scored.promise()).0),
        multiplier: terms.as_ref().map_or(0.0, Terms::multiplier),
        is_share_spent: pace.is_spent(),
        controllers: Controllers::from(&pace),
        factors,
        diversity: auctioneer.diversity_factor(world, scored.campaign),
        deal: scored.deal,
        price_micros: price.0,
        floor_micros: scored.floor.0,
        clears_floor,
    };
    (explained, priced)
}

fn contributions(
    world: &World,
    input: &AuctionInput,
    auctioneer: &Auctioneer,
    scored: &Scored,
) -> Vec<(String, f32)> {
    let position = usize::from(scored.imp);
    let context = auctioneer.context(position, scored.campaign);
    let ad = world.catalog.ad(scored.ad);
    let (Some(context), Some(ad)) = (context, ad) else { return Vec::new() };
    let mut scratch = ScoreScratch::default();
    world.model.prepare(context, &mut scratch);
    let cross = Cross {
        interest: scored.interest,
        prior_logit: scored.prior_logit,
        strengths: scored.strengths,
    };
    let mut parts = world.model.contributions(context, ad.slot, cross);
    let row = world.catalog.row(scored.campaign);
    if let Some(platt) = row.and_then(|row| auctioneer.calibration(world, input, position, row)) {
        #[cfg(feature = "onnx")]
        if auctioneer.is_reranked(scored) {
            let ours: f32 = parts.iter().map(|(_, nats)| nats).sum();
            parts.push(("onnx".to_owned(), platt.invert(scored.logit) - ours));
        }
        parts.push(("calibration".to_owned(), scored.logit - platt.invert(scored.logit)));
    }
    parts
}
