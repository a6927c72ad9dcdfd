//! The auction itself, pure: eligible, score, price, select, hold. It reads snapshots, owns its
//! scratch, and takes money through [`Purse`]; it never awaits, never locks, and allocates nothing
//! once it is warm.

use crate::auction::arm::Arm;
use crate::auction::contenders::{Contender, Contenders};
use crate::auction::diversity::Shares;
use crate::auction::explain::Controllers;
use crate::auction::explore::{candidate_of, explore};
use crate::auction::input::{AuctionInput, ImpInput};
use crate::auction::outcome::Pick;
use crate::auction::pod;
use crate::auction::price::{self, Priced, Promise, Terms};
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::scoring::Scoring;
use crate::auction::select::{Candidate, Page, Shortlist};
use crate::auction::world::{Seated, World};
use crate::budget::Purpose;
use crate::catalog::{CampaignRow, EligibilityScratch};
use crate::clock::Mono;
use crate::hash;
use crate::latency::{Stage, StageRecorder};
use crate::prediction::{ContextFeatures, Platt, Strengths};
use crate::strategy::pacing::Pace;
use crate::strategy::{Shading, Strategy};
use crate::units::{Micros, Slot};
use smallvec::SmallVec;
use std::ops::Range;

/// One ad that fits one imp, scored.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    /// Position in the list of imps.
    pub imp: u8,
    /// Position of the deal in the imp's list.
    pub deal: Option<u8>,
    /// The floor is the price.
    pub is_fixed: bool,
    /// It goes before bids that are not.
    pub is_preferred: bool,
    /// Seconds that it takes of a pod; 0 where there is none.
    pub seconds: u32,
    /// The campaign's slot index.
    pub campaign: u32,
    /// The ad's slot index.
    pub ad: u32,
    /// Logit of the click probability that ranks and prices it.
    pub logit: f32,
    /// Conversions predicted of a million clicks, where its strategy pays for conversions; else what
    /// the campaign declares.
    pub conversions_ppm: u32,
    /// The released prior's logit.
    pub prior_logit: f32,
    /// The user's interest in its category.
    pub interest: f32,
    /// The sequence model's affinity to its category, `[0, 1]`; negative where it says nothing.
    pub sequence: f32,
    /// What speaks for it beside.
    pub strengths: Strengths,
    /// The floor it must reach, in the currency of the answer.
    pub floor: Micros,
}

impl Scored {
    /// What is predicted of it.
    #[must_use]
    pub const fn promise(&self) -> Promise {
        Promise { logit: self.logit, conversions_ppm: self.conversions_ppm }
    }
}

/// One core's auctioneer: its scratch, reused from request to request.
#[derive(Default)]
pub struct Auctioneer {
    eligibility: EligibilityScratch,
    eligible: Vec<u32>,
    contenders: Contenders,
    scoring: Scoring,
    /// What the user saw lately.
    shares: Shares,
    ranked_down: u32,
    shortlists: Vec<Shortlist>,
    /// What draws of click probabilities make of ads; empty where no campaign explores.
    explorers: Vec<Shortlist>,
    page: Page,
    /// What an imported model was asked about.
    #[cfg(feature = "onnx")]
    rerank: rerank::Rerank,
}

impl Auctioneer {
    /// One that scores also those who cannot be among the best: its decisions are the same, and can
    /// be explained.
    #[must_use]
    pub fn thorough() -> Self {
        let mut auctioneer = Self::default();
        auctioneer.scoring.is_thorough = true;
        auctioneer
    }

    /// Decides on `input` and leaves the decision in `input.outcome`.
    pub fn decide(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        recorder: &mut StageRecorder,
    ) {
        let start = Mono::now();
        let mut gate = NoBid::NoCampaign;
        // What the last request left must not be priced for this one.
        self.scoring.clear();
        self.contenders.clear();
        #[cfg(feature = "onnx")]
        self.rerank.clear();
        world.catalog.eligible(&input.facts, &mut self.eligibility, &mut self.eligible);
        let eligible = Mono::now();
        recorder.record(Stage::Eligibility, eligible.nanos_since(start));
        if !self.eligible.is_empty() {
            Contenders::prefetch(world, &self.eligible);
            self.scoring.prepare(world, input);
            self.contenders.find(world, purse, input, &self.eligible, &mut gate);
        }
        self.ranked_down = 0;
        self.shares.look_back(world, input);
        self.clear_lists(input.imps.len());
        let mut priced = 0;
        if !self.contenders.fits.is_empty() {
            gate = gate.max(NoBid::BelowFloor);
            let first = self.scoring.bound(world, purse, input, &mut self.contenders, &mut gate);
            priced = self.score(world, input, first, &mut gate);
        }
        let scored = Mono::now();
        recorder.record(Stage::Score, scored.nanos_since(eligible));
        self.price(world, input, priced..self.scoring.turns().len(), &mut gate);
        let priced = Mono::now();
        recorder.record(Stage::Price, priced.nanos_since(scored));
        #[cfg(feature = "onnx")]
        let priced = self.rerank(world, input, priced, recorder, &mut gate);
        self.select(world, purse, input, &mut gate);
        recorder.record(Stage::Hold, Mono::now().nanos_since(priced));
        if input.outcome.picks.is_empty() {
            input.outcome.no_bid = Some(gate);
        }
        input.outcome.ranked_down = self.ranked_down;
        input.outcome.catalog = Some(world.catalog.clone());
    }

    /// Scores whoever could be among the best. Where there are many, the prices of those whose turn
    /// comes before `first` decide who; how many are priced so, by their turns.
    fn score(
        &mut self,
        world: &World,
        input: &AuctionInput,
        first: usize,
        gate: &mut NoBid,
    ) -> usize {
        self.scoring.score(world, input, &mut self.contenders, 0..first);
        if first == self.scoring.turns().len() {
            return 0;
        }
        self.price(world, input, 0..first, gate);
        let bar = lowest_bar(&self.shortlists[..input.imps.len()]);
        self.scoring.keep(first, &self.contenders, bar);
        let kept = self.scoring.turns().len();
        self.scoring.score(world, input, &mut self.contenders, first..kept);
        first
    }

    fn clear_lists(&mut self, imps: usize) {
        self.shortlists.resize_with(imps.max(self.shortlists.len()), Shortlist::default);
        self.shortlists.iter_mut().for_each(Shortlist::clear);
        self.explorers.resize_with(imps.max(self.explorers.len()), Shortlist::default);
        self.explorers.iter_mut().for_each(Shortlist::clear);
    }

    /// Prices what was scored and keeps the best of each imp.
    fn price(
        &mut self,
        world: &World,
        input: &AuctionInput,
        turns: Range<usize>,
        gate: &mut NoBid,
    ) {
        let mut bar = lowest_bar(&self.shortlists[..input.imps.len()]);
        for turn in &self.scoring.turns()[turns] {
            let contender = &self.contenders.list[turn.number()];
            let seated = contender.seated;
            let Some(pace) = contender.pace.filter(|pace| !pace.is_spent()) else { continue };
            let Some(row) = world.catalog.row(seated.campaign.index) else { continue };
            let is_bounded = contender.ln_bound < f32::INFINITY;
            if is_bounded && price::ln_bound(world, seated, contender.logit_max, &pace) < bar {
                continue; // as many better ones are known as could be needed
            }
            // Its ads share all but their probability.
            let multiplier = pace.multiplier().into();
            let Some(terms) = Terms::of(world, input, (row, seated), multiplier) else {
                continue;
            };
            let spread = self.shares.factor(
                contender.category,
                row.category_share_max_percent,
                &world.limits.diversity,
            );
            self.ranked_down += u32::from(spread < 1.0);
            let explores = input.arm == Arm::Full && world.explores(seated);
            for scored in &self.scoring.scored[contender.scored.clone()] {
                if explores {
                    let list = &mut self.explorers[usize::from(scored.imp)];
                    explore(list, world, input, &terms, (contender, spread), scored);
                }
                #[cfg(feature = "onnx")]
                if !self.rerank.admits(scored) {
                    continue;
                }
                let Priced::Bid(price) = terms.price(scored) else { continue };
                *gate = (*gate).max(NoBid::PageRules);
                let worth = match input.arm {
                    Arm::Random => price::random_rank(input.seed, scored),
                    _ => terms.rank(scored, price),
                };
                let pod = input.imps[usize::from(scored.imp)].pod;
                let rank = spread * pod.map_or(worth, |pod| worth * pod.thrift(scored.seconds));
                let shortlist = &mut self.shortlists[usize::from(scored.imp)];
                if rank >= shortlist.bar() {
                    let prices = (price, terms.paced(scored, price));
                    shortlist.offer(candidate_of(contender, scored, prices, (worth, rank)));
                    bar = lowest_bar(&self.shortlists[..input.imps.len()]);
                }
            }
        }
    }

    /// What the rank of the campaign at this slot index was multiplied by for diversity in the auction
    /// just decided.
    #[must_use]
    pub fn diversity_factor(&self, world: &World, campaign: u32) -> f64 {
        world.catalog.row(campaign).map_or(1.0, |row| {
            let allowed = row.category_share_max_percent;
            self.shares.factor(row.category, allowed, &world.limits.diversity)
        })
    }

    /// Fills the imps of one ad with the best candidates that the page and the money admit, then each
    /// pod with the best that the page leaves.
    fn select(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        gate: &mut NoBid,
    ) {
        self.page.clear(world.limits.category_max_per_page);
        let has_pods = input.imps.iter().any(|imp| imp.pod.is_some());
        let pods: SmallVec<[Shortlist; 2]> = if has_pods {
            let lists = self.shortlists.iter_mut().zip(&input.imps);
            lists
                .filter(|(_, imp)| imp.pod.is_some())
                .map(|(list, _)| std::mem::take(list))
                .collect()
        } else {
            SmallVec::new()
        };
        self.select_explorers(world, purse, input);
        self.select_single(world, purse, input, gate);
        for mut list in pods {
            self.fill_pod(world, purse, input, &mut list, gate);
        }
    }

    /// Bids on one pod, ad by ad: which is next is decided anew for what room is left.
    fn fill_pod(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        list: &mut Shortlist,
        gate: &mut NoBid,
    ) {
        let Some(imp) = list.iter().next().map(|first| usize::from(first.imp)) else { return };
        let Some(mut room) = input.imps[imp].pod else { return };
        while let Some(candidate) = pod::next(list, &self.page, room) {
            list.drop_ad(candidate.ad);
            match take_money(world, purse, input, &candidate, Purpose::Serve) {
                Some(pick) => {
                    room = room.without(candidate.seconds);
                    self.page.take(&candidate);
                    input.outcome.picks.push(pick);
                }
                None => *gate = (*gate).max(NoBid::NoMoney),
            }
        }
    }

    /// Bids on ads whose draws are worth more than all that the predictions put on an imp, as far as
    /// there is money for exploring; what is not so stays for the predictions to decide.
    fn select_explorers(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
    ) {
        for (list, explorers) in self.shortlists.iter_mut().zip(&self.explorers) {
            if explorers.is_empty() {
                continue;
            }
            let best = list.iter().find(|candidate| self.page.admits(candidate)).copied();
            let is_by_draw = |explorer: &&Candidate| {
                best.is_none_or(|best| best.ad != explorer.ad && best.rank < explorer.rank)
            };
            let page = &mut self.page;
            let admitted = explorers.iter().filter(|explorer| page.admits(explorer));
            let pick = admitted.take_while(is_by_draw).find_map(|explorer| {
                take_money(world, purse, input, explorer, Purpose::Explore)
                    .map(|pick| (pick, *explorer))
            });
            if let Some((pick, explorer)) = pick {
                list.clear();
                page.take(&explorer);
                input.outcome.picks.push(pick);
            }
        }
    }

    /// Takes the best candidate that the page and the money admit, until no imp can be filled.
    fn select_single(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        gate: &mut NoBid,
    ) {
        loop {
            let open = self.shortlists[..input.imps.len().min(self.shortlists.len())]
                .iter()
                .filter_map(|list| list.iter().find(|candidate| self.page.admits(candidate)));
            // Of equals the first imp wins, so that the order depends on the input alone.
            let best =
                open.copied().reduce(|best, next| if next.rank > best.rank { next } else { best });
            let Some(candidate) = best else { return };
            let list = &mut self.shortlists[usize::from(candidate.imp)];
            match take_money(world, purse, input, &candidate, Purpose::Serve) {
                Some(pick) => {
                    list.clear();
                    self.page.take(&candidate);
                    input.outcome.picks.push(pick);
                }
                None => {
                    *gate = (*gate).max(NoBid::NoMoney);
                    list.drop_ad(candidate.ad);
                }
            }
        }
    }

    /// What the model saw of an imp of the auction just decided, by its position in the input, for the
    /// ads of the campaign at this slot index.
    #[must_use]
    pub fn context(&self, position: usize, campaign: u32) -> Option<&ContextFeatures> {
        let own = |one: &&Contender| one.seated.campaign.index == campaign;
        let contender = self.contenders.list.iter().find(own)?;
        self.scoring.context(position, contender.features)
    }

    /// What made the model's logit of a campaign's ads on an imp of the auction just decided the one
    /// that was bid on; `None` where the model did not make it.
    #[must_use]
    pub fn calibration(
        &self,
        world: &World,
        input: &AuctionInput,
        position: usize,
        row: &CampaignRow,
    ) -> Option<Platt> {
        let is_by_model =
            input.arm.is_by_model() && input.imps.get(position)?.given_p_click.is_none();
        let calibration = self.scoring.calibration(world).filter(|_| is_by_model)?;
        Some(calibration.of(row.calibration_group))
    }

    /// What was scored in the auction just decided.
    #[must_use]
    pub fn scored(&self) -> &[Scored] {
        &self.scoring.scored
    }

    /// The campaigns that were priced in the auction just decided, by slot index, each with its pace
    /// then and where that is.
    pub fn paced(&self) -> impl Iterator<Item = (u32, Slot, Pace)> {
        let list = self.contenders.list.iter();
        list.filter_map(|one| Some((one.seated.campaign.index, one.pace_slot, one.pace?)))
    }
}

/// The logarithm of the price that a newcomer must exceed on at least one imp.
fn lowest_bar(shortlists: &[Shortlist]) -> f32 {
    let bars = shortlists.iter().map(Shortlist::bar);
    let lowest = bars.fold(f64::INFINITY, f64::min);
    if lowest > 0.0 { lowest.ln() as f32 } else { f32::NEG_INFINITY }
}

/// Holds the price, or what is left where that still clears the floor.
fn take_money(
    world: &World,
    purse: &mut impl Purse,
    input: &AuctionInput,
    candidate: &Candidate,
    purpose: Purpose,
) -> Option<Pick> {
    let row = world.catalog.row(candidate.campaign)?;
    let imp = &input.imps[usize::from(candidate.imp)];
    // The bid is for a thousand impressions, and one play may count for many.
    let rate = world.rates.rate(input.currency, row.currency)?.times(imp.quantity)?;
    let is_first_price = input.is_first_price && candidate.deal.is_none();
    let mut price = shaded(
        world,
        input,
        imp,
        (candidate.deal, Seated::of(row, candidate.arm), candidate.ad),
        (candidate.paced, candidate.price, candidate.floor),
    );
    let mut held_price = rate.convert_up(price)?;
    let held = match purse.hold(row.id, purpose, held_price, input.windows, input.now) {
        Ok(held) => held,
        // What is left is less than the draw was worth, and others are worth more than that.
        Err(_) if purpose == Purpose::Explore => return None,
        Err(left) => {
            price = rate.largest_within(left)?;
            held_price = rate.convert_up(price)?;
            if price.0 == 0 || price < candidate.floor {
                return None;
            }
            purse.hold(row.id, purpose, held_price, input.windows, input.now).ok()?
        }
    };
    Some(Pick {
        imp: imp.position,
        deal: candidate.deal,
        campaign: candidate.campaign,
        strategy_arm: candidate.arm,
        ad: candidate.ad,
        price,
        paced: candidate.price,
        is_exploration: purpose == Purpose::Explore,
        is_first_price,
        held,
        rate,
        logit: candidate.logit,
        conversions_ppm: candidate.conversions_ppm,
        prior_logit: candidate.prior_logit,
        interest: candidate.interest,
        strengths: candidate.strengths,
        floor: candidate.floor,
        controllers: Controllers::default(),
    })
}

/// What is bid of a candidate's price: below it where the winner pays its bid and the strategy says
/// so. On deals never: whom one competes with there, the open market does not tell.
pub fn shaded(
    world: &World,
    input: &AuctionInput,
    imp: &ImpInput,
    (deal, seated, ad): (Option<u8>, Seated, u32),
    (paced, price, floor): (Micros, Micros, Micros),
) -> Micros {
    let shades = |strategy: &Strategy| strategy.shading() == Shading::Auto;
    if deal.is_some() || !input.is_first_price || !world.strategy_of(seated).is_some_and(shades) {
        return price;
    }
    let seed = hash::combine(input.seed, u64::from(ad));
    world.market.shade(&input.place(imp), paced, floor, seed).price.min(price)
}

#[cfg(feature = "onnx")]
#[path = "rerank.rs"]
mod rerank;
#[cfg(feature = "onnx")]
pub use rerank::{RERANK_BOUNDS_US, Reranker};

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "exploration_tests.rs"]
mod exploration_tests;
