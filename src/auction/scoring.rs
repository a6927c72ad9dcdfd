//! From contenders to logits. With many eligible campaigns most cannot win, and a bound tells it
//! without their rows: what no ad of a campaign scores above, times what its clicks are worth to it,
//! against the best price so far (the threshold algorithm of Fagin, Lotem and Naor 2003, with one
//! sorted list). So the likely best are scored and priced first, and of the others those alone whose
//! bound says that they could still be better.

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
use crate::auction::world::World;
use crate::catalog::FeatureGroups;
use crate::prediction::{
    Asked, Ceiling, ContextFeatures, Cross, ExchangeCalibration, Interest, Platt, ScoreScratch,
};
use crate::privacy::{ContextBucket, PriorBounds};
use smallvec::SmallVec;
use std::ops::Range;

/// Contenders that are visited before there is a bar. The best by its bound is often not the best in
/// truth; and rows that are asked for together come sooner than one after the other.
const FIRST: usize = 4;

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
    /// One to one with the contexts once they are reduced; what lies beyond them is of no request.
    requests: Vec<ScoreScratch>,
    conversions: Conversions,
    affinities: Affinities,
    relevant: Relevant,
    asked: Vec<Asked>,
    logits: Vec<f32>,
    /// Those who were visited, and then the others. Nothing depends on the order.
    turns: Vec<Turn>,
    visited: usize,
    /// How many are visited next.
    next: usize,
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
        (self.visited, self.next) = (0, FIRST);
    }

    /// Says what each imp is to the model, and asks for what [`Scoring::bound`] reads first, so that it
    /// comes from memory while contenders are found.
    pub fn prepare(&mut self, world: &World, input: &AuctionInput) {
        self.imps = input.imps.len();
        self.affinities.clear(world);
        Relevant::prefetch(world, input);
        self.describe(input, interest_of(input));
        // Imps differ in a few features alone.
        if let Some(context) = self.contexts.first() {
            world.model.prefetch_request(context);
        }
    }

    fn describe(&mut self, input: &AuctionInput, interest: Interest) {
        self.contexts.extend(input.imps.iter().map(|imp| context_of(input, imp, interest)));
    }

    /// Reduces each context once.
    fn reduce(&mut self, world: &World) {
        let wanted = self.contexts.len().max(self.requests.len());
        self.requests.resize_with(wanted, ScoreScratch::default);
        for (context, request) in self.contexts.iter().zip(&mut self.requests) {
            world.model.prepare(context, request);
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

    /// Paces each contender and bounds its price.
    pub fn bound(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &AuctionInput,
        contenders: &mut Contenders,
        gate: &mut NoBid,
    ) {
        self.relevant.read(world, input);
        self.relevant.bound(contenders, world.fits_max, input.seed);
        let list = &mut contenders.list[..];
        let is_stranger = |contender: &Contender| !contender.features.has(FeatureGroups::PROFILE);
        if knows_interest(input) && list.iter().any(is_stranger) {
            self.describe(input, Interest::Off);
        }
        self.reduce(world);
        let ceiling = self.ceiling(world, input);
        let buckets = self.buckets();
        let buckets = &buckets[..];
        for (number, contender) in (0u32..).zip(list) {
            let pace = purse.pace(world.pace_slot(contender.seated), &world.pacing);
            if pace.is_spent() {
                *gate = (*gate).max(NoBid::NoMoney);
                contender.ln_bound = f32::NEG_INFINITY;
            } else {
                contender.ln_multiplier = pace.ln_multiplier();
            }
            if contender.has_money() && is_ranked_by_worth(input, contender) {
                let (worth, bound, priors) = world.bounds_of(contender.seated);
                let logit = ceiling.as_ref().map_or(0.0, |(ceiling, calibration)| {
                    let prior = prior_max(world, contender, priors, buckets);
                    let bound = world.model.logit_bound(ceiling, bound, prior);
                    // Calibrated so that no higher logit becomes a lower one.
                    calibration.of(contender.calibration_group).apply(bound)
                });
                contender.ln_bound = price::ln_bound(*worth, logit, contender.ln_multiplier);
            }
            self.turns.push(Turn::new(contender.ln_bound, number));
        }
    }

    /// Whose turn is next: those who could reach the bar of an imp that they fit, the highest bounds
    /// first, and each time more of them. Nobody: all who could were visited.
    pub fn next(&mut self, contenders: &Contenders, bars: &[f32]) -> Range<usize> {
        let from = self.visited;
        let rest = &mut self.turns[from..];
        let lowest =
            bars.iter().fold(f32::INFINITY, |low, bar| if *bar < low { *bar } else { low });
        let last = Turn::new(lowest, u32::MAX);
        // With one imp its bar says it all.
        let (is_thorough, is_alone) = (self.is_thorough, bars.len() == 1);
        let reaches = |turn: Turn| is_alone || contenders.list[turn.number()].reaches(bars);
        let mut able = 0;
        for place in 0..rest.len() {
            let turn = rest[place];
            if is_thorough || turn <= last && reaches(turn) {
                (rest[place], rest[able]) = (rest[able], turn);
                able += 1;
            }
        }
        let count = if is_thorough { able } else { able.min(self.next) };
        first_of(&mut rest[..able], count);
        self.next = self.next.saturating_add(count);
        from..from + count
    }

    /// Whether everybody was visited.
    pub const fn is_over(&self) -> bool {
        self.visited == self.turns.len()
    }

    /// All contenders, those who were visited first.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// How many were visited.
    #[cfg(feature = "onnx")]
    pub const fn visited(&self) -> usize {
        self.visited
    }

    /// Takes note that one of [`Scoring::next`] is visited; the others of them wait.
    pub fn visit(&mut self, turn: usize) {
        self.turns.swap(turn, self.visited);
        self.visited += 1;
    }

    /// Scores every fit of the contenders in these turns that were not scored yet.
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
        for turn in &mut self.turns[turns] {
            let number = turn.number();
            let contender = &mut list[number];
            let row = world.catalog.row(contender.seated.campaign.index);
            let Some(row) = row.filter(|_| contender.scored.is_empty()) else { continue };
            let fits = contender.fits(fits);
            let answers = answered..answered + fits.len();
            answered = answers.end;
            let start = self.scored.len();
            let asked = &self.asked[answers.clone()];
            let platt = calibration
                .as_ref()
                .map_or(Platt::IDENTITY, |calibration| calibration.of(row.calibration_group));
            let mut logit_max = f32::NEG_INFINITY;
            for (fit, (asked, logit)) in fits.iter().zip(asked.iter().zip(&self.logits[answers])) {
                let given = input.imps[usize::from(fit.imp)].given_p_click;
                let logit = given.map_or(platt.apply(*logit), |p| (p / (1.0 - p)).ln());
                logit_max = if logit < logit_max { logit_max } else { logit };
                self.scored.push(scored_of(contender, fit, asked, logit));
            }
            contender.scored = start as u32..self.scored.len() as u32;
            let scored = &mut self.scored[start..];
            let declared = row.bid.expected_cvr_ppm;
            scored.iter_mut().for_each(|scored| scored.conversions_ppm = declared);
            if conversions::is_asked(world, row, contender.seated) {
                if calibration.is_some() {
                    self.conversions.predict(world, input, &self.contexts, asked, scored);
                }
                conversions::put_given(input, scored);
            }
            if contender.ln_bound < f32::MAX && contender.has_money() {
                let (worth, ..) = world.bounds_of(contender.seated);
                contender.ln_bound = price::ln_bound(*worth, logit_max, contender.ln_multiplier);
                *turn = Turn::new(contender.ln_bound, number as u32);
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
            let row = world.catalog.row(contender.seated.campaign.index);
            let Some(row) = row.filter(|_| contender.scored.is_empty()) else { continue };
            // The ads of a campaign share what is known of it and the user.
            let interest = interest_in(input, row);
            let sequence = self.affinities.of(world, input, row);
            contender.sequence = sequence;
            for fit in contender.fits(&contenders.fits) {
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

/// Puts the `count` first turns of `turns` first: most are compared once with the last of these.
fn first_of(turns: &mut [Turn], count: usize) {
    if count == 0 {
        return;
    }
    turns[..count].sort_unstable();
    for place in count..turns.len() {
        let mut at = count - 1;
        if turns[place] < turns[at] {
            turns.swap(place, at);
            while at > 0 && turns[at] < turns[at - 1] {
                turns.swap(at, at - 1);
                at -= 1;
            }
        }
    }
}

/// What no prior of a campaign's ads is above over these buckets.
fn prior_max(
    world: &World,
    contender: &Contender,
    priors: &PriorBounds,
    buckets: &[ContextBucket],
) -> f32 {
    if !contender.features.has(FeatureGroups::PRIORS) {
        return world.base_logit;
    }
    let of_bucket = |bucket: &ContextBucket| priors.in_bucket(*bucket);
    let higher = |most: f32, one: f32| if one > most { one } else { most };
    buckets.iter().map(of_bucket).fold(f32::NEG_INFINITY, higher)
}

/// Whether the price of its ads decides, in the currency of the others: only then a bound on it says
/// that it cannot be the best.
fn is_ranked_by_worth(input: &AuctionInput, contender: &Contender) -> bool {
    input.arm != Arm::Random && !contender.is_preferred && contender.currency == input.currency
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
