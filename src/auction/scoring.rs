//! From contenders to logits. With many eligible campaigns most cannot win, and a bound tells it
//! without their rows: what no ad of a campaign scores above, times what its clicks are worth to it,
//! against the sixth best price so far. So the likely best are scored and priced first, and of the
//! others those alone who could still be among the best.

use crate::auction::affinity::{Affinities, interest_in, interest_of, knows_interest};
use crate::auction::arm::Arm;
use crate::auction::contenders::{Contender, Contenders, Fit};
use crate::auction::conversions::{self, Conversions};
use crate::auction::decide::Scored;
use crate::auction::input::{AuctionInput, ImpInput};
use crate::auction::price;
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::relevant::Relevant;
use crate::auction::select::KEPT_MAX;
use crate::auction::world::World;
use crate::catalog::{CampaignRow, FeatureGroups};
use crate::prediction::{
    Asked, Ceiling, ContextFeatures, Cross, ExchangeCalibration, Interest, Platt, ScoreScratch,
};
use crate::privacy::ContextBucket;
use smallvec::SmallVec;
use std::ops::Range;

/// Contenders that are scored before there is a bar: those that make one, and some whose bound was
/// higher than what they came to.
const FIRST: usize = KEPT_MAX + 4;

/// A contender's turn. They sort by what bounds its price, the highest first, then by its number: in
/// one comparison of integers, since each takes part in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(u64);

impl Turn {
    fn new(ln_bound: f32, number: u32) -> Self {
        // Bits of floats rise with them, but for the sign, and for negative ones, which fall.
        let bits = ln_bound.to_bits();
        let falling = if ln_bound.is_sign_negative() { bits } else { !bits & !SIGN };
        Self(u64::from(falling) << 32 | u64::from(number))
    }

    /// Its place in the list of contenders.
    pub const fn number(self) -> usize {
        self.0 as u32 as usize
    }
}

const SIGN: u32 = 1 << 31;

/// One core's scratch for scoring, reused from request to request.
#[derive(Default)]
pub struct Scoring {
    imps: usize,
    /// By imp; and then once more without what is known of the user, for domains that may not know
    /// it, where one takes part.
    contexts: Vec<ContextFeatures>,
    /// One to one with the contexts; what lies beyond them is of no request.
    requests: Vec<ScoreScratch>,
    conversions: Conversions,
    affinities: Affinities,
    relevant: Relevant,
    asked: Vec<Asked>,
    logits: Vec<f32>,
    /// The likely best first. Nothing else depends on the order.
    turns: Vec<Turn>,
    /// What was scored, contender by contender.
    pub scored: Vec<Scored>,
    /// Nobody is left out, for explanations.
    pub is_thorough: bool,
}

impl Scoring {
    /// Forgets the last request.
    pub fn clear(&mut self) {
        self.contexts.clear();
        self.conversions.clear();
        self.scored.clear();
        self.turns.clear();
    }

    /// Reduces each imp's context once.
    pub fn prepare(&mut self, world: &World, input: &AuctionInput) {
        self.imps = input.imps.len();
        self.affinities.clear(world);
        self.reduce(world, input, interest_of(input));
    }

    fn reduce(&mut self, world: &World, input: &AuctionInput, interest: Interest) {
        for imp in &input.imps {
            let context = context_of(input, imp, interest);
            let place = self.contexts.len();
            if self.requests.len() == place {
                self.requests.push(ScoreScratch::default());
            }
            world.model.prepare(&context, &mut self.requests[place]);
            self.contexts.push(context);
        }
    }

    /// Where the request lies as ads see it that may use these features.
    fn request(&self, imp: u8, features: FeatureGroups) -> usize {
        let is_stranger = self.contexts.len() > self.imps && !features.has(FeatureGroups::PROFILE);
        usize::from(imp) + if is_stranger { self.imps } else { 0 }
    }

    /// What the model saw of an imp, by its position in the input, for ads that may use these
    /// features.
    pub fn context(&self, position: usize, features: FeatureGroups) -> Option<&ContextFeatures> {
        self.contexts.get(self.request(u8::try_from(position).ok()?, features))
    }

    /// The calibration of the request's exchange, which all its imps come from.
    pub fn calibration<'w>(&self, world: &'w World) -> Option<ExchangeCalibration<'w>> {
        self.contexts.first().map(|context| world.model.calibration(context))
    }

    /// Paces each contender, bounds its price, and settles who is scored first: that many of `turns`.
    pub fn bound(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &AuctionInput,
        contenders: &mut Contenders,
        gate: &mut NoBid,
    ) -> usize {
        self.relevant.read(world, input);
        self.relevant.arrange(contenders, world.fits_max, input.seed);
        let Contenders { list, fits, .. } = contenders;
        let is_stranger = |contender: &Contender| !contender.features.has(FeatureGroups::PROFILE);
        if knows_interest(input) && list.iter().any(is_stranger) {
            self.reduce(world, input, Interest::Off);
        }
        let ceiling = self.ceiling(world, input);
        let buckets = self.buckets();
        for contender in list.iter_mut() {
            let Some(row) = world.catalog.row(contender.seated.campaign.index) else { continue };
            let pace = purse.pace(contender.pace_slot, &world.pacing);
            contender.pace = Some(pace);
            contender.ln_bound = f32::INFINITY;
            if pace.is_spent() {
                *gate = (*gate).max(NoBid::NoMoney);
                contender.ln_bound = f32::NEG_INFINITY;
            } else if is_ranked_by_worth(input, row, contender)
                // A predicted conversion rate may be far above the declared one.
                && !(input.arm.is_by_model() && conversions::is_asked(world, row, contender))
            {
                let ad = fits.get(contender.range.start).map(|fit| fit.ad);
                let logit = match (&ceiling, ad) {
                    (Some((ceiling, calibration)), Some(ad)) => {
                        let prior = prior_max(world, contender, &buckets);
                        let bound = world.model.logit_bound(ceiling, ad, prior);
                        // Calibrated so that no higher logit becomes a lower one.
                        calibration.of(row.calibration_group).apply(bound)
                    }
                    _ => f32::INFINITY,
                };
                contender.ln_bound = price::ln_bound(world, contender.seated, logit, &pace);
            }
        }
        let bounds = (0..).zip(list.iter().map(|contender| contender.ln_bound));
        self.turns.extend(bounds.map(|(number, ln_bound)| Turn::new(ln_bound, number)));
        if list.len() <= FIRST {
            return list.len();
        }
        self.turns.select_nth_unstable(FIRST);
        FIRST
    }

    /// Keeps of those whose turn comes after `first` who could reach `bar`.
    pub fn keep(&mut self, first: usize, contenders: &Contenders, bar: f32) {
        let mut number = 0;
        let is_thorough = self.is_thorough;
        self.turns.retain(|turn| {
            number += 1;
            let is_beaten = contenders.list[turn.number()].ln_bound < bar;
            number <= first || is_thorough || !is_beaten
        });
    }

    /// The contenders whose turn it is.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Scores every fit of the contenders in these turns.
    pub fn score(
        &mut self,
        world: &World,
        input: &AuctionInput,
        contenders: &mut Contenders,
        turns: Range<usize>,
    ) {
        self.ask(world, input, contenders, turns.clone());
        let calibration = self.calibration(world).filter(|_| input.arm.is_by_model());
        if calibration.is_some() {
            world.model.logits(&self.requests, &self.asked, &mut self.logits);
        } else {
            let by_arm = self.asked.iter().map(|one| match input.arm {
                Arm::Popularity => one.cross.prior_logit,
                _ => world.base_logit,
            });
            self.logits.clear();
            self.logits.extend(by_arm);
        }
        let mut answered = 0;
        let Contenders { list, fits, .. } = contenders;
        for turn in &self.turns[turns] {
            let contender = &mut list[turn.number()];
            let fits = &fits[contender.range.clone()];
            let answers = answered..answered + fits.len();
            answered = answers.end;
            let Some(row) = world.catalog.row(contender.seated.campaign.index) else { continue };
            let start = self.scored.len();
            let asked = &self.asked[answers.clone()];
            let platt = calibration
                .as_ref()
                .map_or(Platt::IDENTITY, |calibration| calibration.of(row.calibration_group));
            for (fit, (asked, logit)) in fits.iter().zip(asked.iter().zip(&self.logits[answers])) {
                let given = input.imps[usize::from(fit.imp)].given_p_click;
                let logit = given.map_or(platt.apply(*logit), |p| (p / (1.0 - p)).ln());
                contender.logit_max = contender.logit_max.max(logit);
                self.scored.push(scored_of(contender, fit, asked, logit));
            }
            contender.scored = start..self.scored.len();
            let scored = &mut self.scored[start..];
            let declared = row.bid.expected_cvr_ppm;
            scored.iter_mut().for_each(|scored| scored.conversions_ppm = declared);
            if calibration.is_some() && conversions::is_asked(world, row, contender) {
                self.conversions.predict(world, input, &self.contexts, asked, scored);
            }
        }
    }

    /// What is to be known of every fit of these contenders, one to one.
    fn ask(
        &mut self,
        world: &World,
        input: &AuctionInput,
        contenders: &mut Contenders,
        turns: Range<usize>,
    ) {
        self.asked.clear();
        for turn in &self.turns[turns] {
            let contender = &mut contenders.list[turn.number()];
            let campaign = contender.seated.campaign.index;
            // The ads of a campaign share what is known of it and the user.
            let row = world.catalog.row(campaign);
            let interest = row.map_or(Cross::NEUTRAL.interest, |row| interest_in(input, row));
            let sequence = row.map_or(-1.0, |row| self.affinities.of(world, input, row));
            contender.sequence = sequence;
            for fit in &contenders.fits[contender.range.clone()] {
                let request = self.request(fit.imp, contender.features);
                let prior_logit = prior_in(world, contender, self.bucket(request));
                let strengths = self.relevant.strengths(fit.ad, contender.features, sequence);
                let cross = Cross { interest, prior_logit, strengths };
                self.asked.push(Asked { request: request as u16, ad: fit.ad, cross });
            }
        }
    }

    fn bucket(&self, request: usize) -> ContextBucket {
        let context = self.contexts.get(request);
        context.and_then(|context| ContextBucket::from_index(context.bucket)).unwrap_or_default()
    }

    /// What bounds all scores of the request, before calibration; nothing where the model does not
    /// score, where somebody else does, or where it knows the ads of another catalog.
    fn ceiling<'w>(
        &self,
        world: &'w World,
        input: &AuctionInput,
    ) -> Option<(Ceiling, ExchangeCalibration<'w>)> {
        let is_scored = input.arm.is_by_model()
            && world.model.catalog() == Some(world.catalog.epoch)
            && input.imps.iter().all(|imp| imp.given_p_click.is_none());
        let calibration = self.calibration(world).filter(|_| is_scored)?;
        Some((world.model.ceiling(&self.requests[..self.contexts.len()]), calibration))
    }

    /// The buckets of the imps, neighbours that are alike once: those of most requests are one.
    fn buckets(&self) -> SmallVec<[ContextBucket; 4]> {
        let mut buckets: SmallVec<_> = (0..self.imps).map(|imp| self.bucket(imp)).collect();
        buckets.dedup();
        buckets
    }
}

/// The highest released prior of a campaign over these buckets.
fn prior_max(world: &World, contender: &Contender, buckets: &[ContextBucket]) -> f32 {
    let priors = buckets.iter().map(|bucket| prior_in(world, contender, *bucket));
    priors.fold(f32::NEG_INFINITY, f32::max)
}

/// Whether the price of its ads decides, in the currency of the others: only then a bound on it says
/// that it cannot be among the best.
fn is_ranked_by_worth(input: &AuctionInput, row: &CampaignRow, contender: &Contender) -> bool {
    input.arm != Arm::Random && !contender.is_preferred && row.currency == input.currency
}

fn prior_in(world: &World, contender: &Contender, bucket: ContextBucket) -> f32 {
    let priors = world.priors_at(contender.seated.campaign.index);
    let priors = priors.filter(|_| contender.features.has(FeatureGroups::PRIORS));
    priors.map_or(world.base_logit, |priors| priors.in_bucket(bucket))
}

const fn scored_of(contender: &Contender, fit: &Fit, asked: &Asked, logit: f32) -> Scored {
    Scored {
        imp: fit.imp,
        deal: fit.deal,
        is_fixed: fit.is_fixed,
        is_preferred: fit.is_preferred,
        seconds: fit.seconds,
        campaign: contender.seated.campaign.index,
        ad: fit.ad.index,
        logit,
        conversions_ppm: 0,
        prior_logit: asked.cross.prior_logit,
        interest: asked.cross.interest,
        sequence: contender.sequence,
        strengths: asked.cross.strengths,
        floor: fit.floor,
    }
}

/// The model's context of one imp.
fn context_of(input: &AuctionInput, imp: &ImpInput, interest: Interest) -> ContextFeatures {
    let mut context = input.user_context;
    context.format = imp.format;
    context.size = imp.size;
    context.position = imp.screen_position;
    context.placement = imp.placement;
    context.bucket = ContextBucket::of(context.device_type, imp.format as u8).index() as u8;
    context.interest = interest;
    ContextFeatures::from(&context)
}

#[cfg(test)]
mod tests {
    use super::Turn;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn turns_go_by_bound_and_then_by_number(
            one in (any::<f32>(), any::<u32>()),
            other in (any::<f32>(), 0u32..3),
            is_tie in any::<bool>(),
        ) {
            let other = if is_tie { (one.0, other.1) } else { other };
            let by_bound = other.0.total_cmp(&one.0).then(one.1.cmp(&other.1));
            let turns = [one, other].map(|(bound, number)| Turn::new(bound, number));
            prop_assert_eq!(turns[0].cmp(&turns[1]), by_bound);
            prop_assert_eq!(turns[0].number(), one.1 as usize);
        }
    }
}
