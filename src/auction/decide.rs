//! The auction itself, pure: eligible, score, price, select, hold. It reads snapshots, owns its
//! scratch, and takes money through [`Purse`]; it never awaits, never locks, and allocates nothing
//! once it is warm.

use crate::auction::arm::Arm;
use crate::auction::contenders::{Contender, Contenders};
use crate::auction::diversity::Shares;
use crate::auction::explore::{candidate_of, explore};
use crate::auction::input::AuctionInput;
use crate::auction::price::{self, Priced, Promise, Terms};
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::scoring::Scoring;
use crate::auction::select::{Page, Shortlist};
use crate::auction::world::World;
use crate::catalog::{CampaignRow, EligibilityScratch};
use crate::clock::Mono;
use crate::latency::{Stage, StageRecorder};
use crate::prediction::{ContextFeatures, Platt, Strengths};
use crate::units::{Micros, Slot};

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
    /// Nanoseconds that pricing took.
    pricing: u64,
    pub(super) shortlists: Vec<Shortlist>,
    /// What draws of click probabilities make of ads; empty where no campaign explores.
    pub(super) explorers: Vec<Shortlist>,
    /// Whether draws may still decide.
    pub(super) is_exploring: bool,
    /// Whether the best is not enough of an imp, since somebody else is asked about those after it.
    fills_lists: bool,
    pub(super) page: Page,
    /// By imp, the logarithm of the least price that could change what becomes of it.
    bars: Vec<f32>,
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
        self.clear(world, input);
        world.catalog.eligible(&input.facts, &mut self.eligibility, &mut self.eligible);
        let eligible = Mono::now();
        recorder.record(Stage::Eligibility, eligible.nanos_since(start));
        if !self.eligible.is_empty() {
            Contenders::prefetch(world, purse, &self.eligible);
            self.scoring.prepare(world, input);
            self.contenders.find(world, purse, input, &self.eligible, &mut gate);
        }
        self.shares.look_back(world, input);
        if !self.contenders.list.is_empty() {
            gate = gate.max(NoBid::BelowFloor);
            self.scoring.bound(world, purse, input, &mut self.contenders, &mut gate);
            self.count_ranked_down(world);
            self.settle(world, input, &mut gate);
        }
        let settled = Mono::now();
        recorder.record(Stage::Score, settled.nanos_since(eligible).saturating_sub(self.pricing));
        recorder.record(Stage::Price, self.pricing);
        #[cfg(feature = "onnx")]
        let settled = self.rerank(world, input, settled, recorder, &mut gate);
        self.select(world, purse, input, &mut gate);
        recorder.record(Stage::Hold, Mono::now().nanos_since(settled));
        if input.outcome.picks.is_empty() {
            input.outcome.no_bid = Some(gate);
        }
        input.outcome.ranked_down = self.ranked_down;
        input.outcome.catalog = Some(world.catalog.clone());
    }

    /// Forgets the last request: what it left must not be priced for this one.
    fn clear(&mut self, world: &World, input: &AuctionInput) {
        self.scoring.clear();
        self.contenders.clear();
        #[cfg(feature = "onnx")]
        self.rerank.clear();
        (self.ranked_down, self.pricing) = (0, 0);
        #[cfg(feature = "onnx")]
        {
            self.fills_lists = world.reranker.is_some();
        }
        self.is_exploring = world.has_explorers();
        self.page.clear(world.limits.category_max_per_page);
        self.clear_lists(input.imps.len());
    }

    fn clear_lists(&mut self, imps: usize) {
        self.shortlists.resize_with(imps.max(self.shortlists.len()), Shortlist::default);
        self.shortlists.iter_mut().for_each(Shortlist::clear);
        self.explorers.resize_with(imps.max(self.explorers.len()), Shortlist::default);
        self.explorers.iter_mut().for_each(Shortlist::clear);
    }

    /// Counts the campaigns whose category filled too much of what the user saw.
    fn count_ranked_down(&mut self, world: &World) {
        if self.shares.is_empty() {
            return;
        }
        let bidding = self.contenders.list.iter();
        let bidding = bidding.filter(|one| one.has_money());
        let factors = bidding.map(|one| self.diversity_factor(world, one.seated.campaign.index));
        self.ranked_down = factors.filter(|factor| *factor < 1.0).count() as u32;
    }

    /// Scores and prices contenders, the highest bounds first, until nobody who is left could be better
    /// than the best that the page admits to each imp.
    pub(super) fn settle(&mut self, world: &World, input: &AuctionInput, gate: &mut NoBid) {
        while !self.scoring.is_over() {
            self.set_bars(input);
            let turns = self.scoring.next(&self.contenders, &self.bars);
            if turns.is_empty() {
                return;
            }
            for turn in &self.scoring.turns()[turns.clone()] {
                let contender = &self.contenders.list[turn.number()];
                world.prefetch_visit(contender.seated);
            }
            for turn in turns.clone() {
                let number = self.scoring.turns()[turn].number();
                self.contenders.hold(world, input, number);
            }
            self.scoring.score(world, input, &mut self.contenders, turns.clone());
            let start = Mono::now();
            for turn in turns {
                let number = self.scoring.turns()[turn].number();
                // Its score may say that it cannot be better after all.
                if self.scoring.is_thorough || self.contenders.list[number].reaches(&self.bars) {
                    self.scoring.visit(turn);
                    self.price(world, input, number, gate);
                }
            }
            self.pricing += Mono::now().nanos_since(start);
        }
    }

    /// Whether nobody who was not visited could change what is taken first: for assertions, since it takes
    /// a pass over all.
    pub(super) fn is_settled(&mut self, input: &AuctionInput) -> bool {
        self.set_bars(input);
        self.scoring.next(&self.contenders, &self.bars).is_empty()
    }

    fn set_bars(&mut self, input: &AuctionInput) {
        self.bars.clear();
        for position in 0..input.imps.len() {
            // An imp of which the imported model saw a candidate is filled from those that it saw.
            #[cfg(feature = "onnx")]
            if self.rerank.has_seen(position) {
                self.bars.push(f32::INFINITY);
                continue;
            }
            let bar = self.bar(input, position);
            self.bars.push(bar);
        }
    }

    /// The logarithm of the least price that could change what becomes of an imp.
    fn bar(&self, input: &AuctionInput, position: usize) -> f32 {
        let (imp, list) = (&input.imps[position], &self.shortlists[position]);
        let deals = imp.deals.iter().map(|deal| deal.floor);
        let floor = deals.fold(imp.floor, Micros::min).0.max(1) as f64;
        let best = list.iter().find(|candidate| self.page.admits(candidate));
        let rank = match best {
            _ if imp.pod.is_some() || self.fills_lists || list.is_closed() => list.bar(),
            Some(best) => best.rank,
            // A draw may take whom no prediction would keep.
            None if self.is_exploring => f64::NEG_INFINITY,
            // All that are kept are refused: only who would be kept in place of one of them counts.
            None => list.bar(),
        };
        // What no 32 bits hold is above every bound as well.
        (rank.max(floor) as f32).min(f32::MAX).ln()
    }

    /// Prices what was scored of a contender and keeps the best of each imp.
    fn price(&mut self, world: &World, input: &AuctionInput, number: usize, gate: &mut NoBid) {
        let contender = &self.contenders.list[number];
        let seated = contender.seated;
        let row = world.catalog.row(seated.campaign.index);
        let Some(row) = row.filter(|_| contender.has_money()) else { return };
        // Its ads share all but their probability.
        let multiplier = contender.ln_multiplier.exp().into();
        let Some(terms) = Terms::of(world, input, (row, seated), multiplier) else { return };
        let allowed = row.category_share_max_percent;
        let spread = self.shares.factor(row.category, allowed, &world.limits.diversity);
        let explores = input.arm == Arm::Full && world.explores(seated);
        let campaign = (row, seated.arm);
        for scored in &self.scoring.scored[contender.scored()] {
            let position = usize::from(scored.imp);
            if explores {
                let list = &mut self.explorers[position];
                explore(list, world, input, &terms, (campaign, spread), scored);
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
            let pod = input.imps[position].pod;
            let rank = spread * pod.map_or(worth, |pod| worth * pod.thrift(scored.seconds));
            let shortlist = &mut self.shortlists[position];
            if rank >= shortlist.bar() {
                let prices = (price, terms.paced(scored, price));
                shortlist.offer(candidate_of(campaign, scored, prices, (worth, rank)));
                let bar = self.bar(input, position);
                self.bars[position] = bar;
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

    /// The campaigns that could have bid in the auction just decided, by slot index, each with where its
    /// pace is and what its multiplier's logarithm was.
    pub fn paced<'a>(&'a self, world: &'a World) -> impl Iterator<Item = (u32, Slot, f32)> {
        let of = |one: &Contender| {
            (one.seated.campaign.index, world.pace_slot(one.seated), one.ln_multiplier)
        };
        self.contenders.list.iter().map(of)
    }
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

#[cfg(test)]
#[path = "visit_tests.rs"]
mod visit_tests;
