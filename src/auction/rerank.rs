//! The best candidates of a request once more, by a model of somebody else's
//! ([`crate::prediction::OnnxModel`]): those that the shortlists hold, the highest ranks first. Its
//! logits are calibrated by the lines that ours are, and take their place; an imp of which it saw a
//! candidate is filled from those that it saw, since two models' scores are not one order.

use crate::auction::decide::{Auctioneer, Scored};
use crate::auction::input::AuctionInput;
use crate::auction::reason::NoBid;
use crate::auction::select::Shortlist;
use crate::auction::world::World;
use crate::clock::Mono;
use crate::latency::{Stage, StageRecorder};
use crate::prediction::{OnnxError, OnnxModel, Platt};
use std::sync::atomic::{AtomicU64, Ordering};

/// What must be left of a request's time besides: a bid is held and written down in 0.1 ms at p99.9,
/// and may wait for the socket.
const REST_US: u64 = 1_000;
/// Beyond, a probability is 0 or 1 whatever calibration makes of it.
const LOGIT_ABS_MAX: f32 = 20.0;

/// Upper bounds of the classes of [`Reranker::took`], in microseconds.
pub const RERANK_BOUNDS_US: [u64; 12] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

/// The model that is asked, and what became of it.
pub struct Reranker {
    model: OnnxModel,
    top: usize,
    needs_ns: u64,
    done: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
    /// Requests by how long they took, a class for each of [`RERANK_BOUNDS_US`] and one beyond.
    took: [AtomicU64; RERANK_BOUNDS_US.len() + 1],
}

impl Reranker {
    /// Asks `model` about at most `top` candidates of a request, where `budget_us` and a little more are
    /// left of its time.
    #[must_use]
    pub const fn new(model: OnnxModel, top: usize, budget_us: u64) -> Self {
        let needs_ns = (budget_us + REST_US) * 1_000;
        let [done, late, failed, nanos] = [const { AtomicU64::new(0) }; 4];
        let took = [const { AtomicU64::new(0) }; _];
        Self { model, top, needs_ns, done, late, failed, nanos, took }
    }

    /// Requests by outcome: re-ranked, left as they were for want of time, or because the model failed.
    #[must_use]
    pub fn outcomes(&self) -> [(&'static str, u64); 3] {
        let named = [("done", &self.done), ("late", &self.late), ("failed", &self.failed)];
        named.map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

impl Reranker {
    /// How long re-ranking took: nanoseconds in all, and requests by class.
    #[must_use]
    pub fn took(&self) -> (u64, [u64; RERANK_BOUNDS_US.len() + 1]) {
        let classes = self.took.each_ref().map(|class| class.load(Ordering::Relaxed));
        (self.nanos.load(Ordering::Relaxed), classes)
    }

    fn time(&self, nanos: u64) {
        let bound = |bound: &&u64| nanos > **bound * 1_000;
        let class = RERANK_BOUNDS_US.iter().take_while(bound).count();
        self.took[class].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// A candidate that is asked about.
#[derive(Clone, Copy)]
struct Seen {
    rank: f64,
    imp: u8,
    ad: u32,
    campaign: u32,
}

/// What an auctioneer keeps of the last request's re-ranking, with the buffers for it.
#[derive(Default)]
pub(super) struct Rerank {
    seen: Vec<Seen>,
    ids: Vec<u32>,
    logits: Vec<f32>,
}

impl Rerank {
    /// Forgets the last request.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }

    /// Whether an ad may stand in the shortlist of its imp.
    pub(super) fn admits(&self, scored: &Scored) -> bool {
        self.has(scored) || !self.has_seen(scored.imp.into())
    }

    /// Whether it was asked about a candidate of the imp at this position.
    pub(super) fn has_seen(&self, imp: usize) -> bool {
        self.seen.iter().any(|seen| usize::from(seen.imp) == imp)
    }

    fn has(&self, scored: &Scored) -> bool {
        self.seen.iter().any(|seen| (seen.imp, seen.ad) == (scored.imp, scored.ad))
    }
}

impl Auctioneer {
    /// Lets the imported model decide among the best, if there is one and time for it; returns when
    /// that was done.
    pub(super) fn rerank(
        &mut self,
        world: &World,
        input: &AuctionInput,
        start: Mono,
        recorder: &mut StageRecorder,
        gate: &mut NoBid,
    ) -> Mono {
        let Some(reranker) = &world.reranker else { return start };
        self.fills_lists = false;
        self.see(input, reranker.top);
        if self.rerank.seen.is_empty() {
            return start;
        }
        // Explanations have all the time there is, and are none of the requests that are counted.
        let is_counted = !self.scoring.is_thorough;
        let count = |counter: &AtomicU64| {
            counter.fetch_add(u64::from(is_counted), Ordering::Relaxed);
        };
        if is_counted && input.deadline.nanos_since(start) < reranker.needs_ns {
            count(&reranker.late);
            self.rerank.clear();
            return start;
        }
        match self.ask(world, &reranker.model) {
            Ok(()) => count(&reranker.done),
            Err(error) => {
                tracing::debug!(%error, "the imported model does not answer: ours decides");
                count(&reranker.failed);
                self.rerank.clear();
                return start;
            }
        }
        self.take_over(world, input);
        self.clear_lists(input.imps.len());
        for turn in 0..self.scoring.visited() {
            let number = self.scoring.turns()[turn].number();
            self.price(world, input, number, gate);
        }
        let end = Mono::now();
        let nanos = end.nanos_since(start);
        recorder.record(Stage::Rerank, nanos);
        if is_counted {
            reranker.time(nanos);
        }
        end
    }

    /// Whether the imported model gave this logit.
    pub(in crate::auction) fn is_reranked(&self, scored: &Scored) -> bool {
        self.rerank.has(scored)
    }

    /// Settles who is asked about.
    fn see(&mut self, input: &AuctionInput, top: usize) {
        let seen = &mut self.rerank.seen;
        let is_given = input.imps.iter().any(|imp| imp.given_p_click.is_some());
        let is_by_model = input.arm.is_by_model() && !is_given;
        let lists = self.shortlists[..input.imps.len()].iter().filter(|_| is_by_model);
        seen.extend(lists.flat_map(Shortlist::iter).map(|candidate| Seen {
            rank: candidate.rank,
            imp: candidate.imp,
            ad: candidate.ad,
            campaign: candidate.campaign,
        }));
        // Of equals the lower number, so that the input alone decides.
        seen.sort_unstable_by(|one, other| {
            let by_rank = other.rank.total_cmp(&one.rank);
            by_rank.then((one.imp, one.ad).cmp(&(other.imp, other.ad)))
        });
        seen.truncate(top);
    }

    fn ask(&mut self, world: &World, model: &OnnxModel) -> Result<(), OnnxError> {
        self.rerank.ids.clear();
        for place in 0..self.rerank.seen.len() {
            let Seen { imp, ad, campaign, .. } = self.rerank.seen[place];
            let context = self.context(usize::from(imp), campaign);
            let context = context.map_or([0; _], |context| context.ids);
            let ad = world.catalog.ad(ad).and_then(|ad| world.model.ad_ids(ad.slot));
            self.rerank.ids.extend(context);
            self.rerank.ids.extend(ad.unwrap_or_default());
        }
        model.logits(&self.rerank.ids, &mut self.rerank.logits)
    }

    /// Puts the answers in the place of our logits.
    fn take_over(&mut self, world: &World, input: &AuctionInput) {
        for place in 0..self.rerank.seen.len() {
            let Seen { imp, ad, campaign, .. } = self.rerank.seen[place];
            let row = world.catalog.row(campaign);
            let platt = row.and_then(|row| self.calibration(world, input, imp.into(), row));
            let logit = self.rerank.logits[place].clamp(-LOGIT_ABS_MAX, LOGIT_ABS_MAX);
            let logit = platt.unwrap_or(Platt::IDENTITY).apply(logit);
            let mut list = self.contenders.list.iter_mut();
            let Some(contender) = list.find(|one| one.seated.campaign.index == campaign) else {
                continue;
            };
            // What bounds it was made of another score.
            contender.ln_bound = f32::MAX;
            let scored = &mut self.scoring.scored[contender.scored()];
            for scored in scored.iter_mut().filter(|one| (one.imp, one.ad) == (imp, ad)) {
                scored.logit = logit;
            }
        }
    }
}

#[cfg(test)]
#[path = "rerank_tests.rs"]
mod tests;
