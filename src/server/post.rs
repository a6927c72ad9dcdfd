//! What a core's auctions set going: each call returns at once, and what a full mailbox refuses is
//! counted.

use crate::auction::Outbox;
use crate::budget::{LeaseRequest, Report, Requests};
use crate::prediction::{Click, Example, Impression};
use crate::privacy::Contribute;
use crate::server::engine::Engine;
use crate::session::{CancelShow, PendShow};
use crate::strategy::pacing::LocalReport;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The outbox of one core.
pub struct Post {
    /// Where everybody is reached.
    pub engine: Arc<Engine>,
}

impl Outbox for Post {
    fn pend_show(&self, show: PendShow) {
        let shard = self.engine.shard_map.shard_of(show.user);
        let worker = u16::try_from(shard).ok().and_then(|number| self.engine.worker(number));
        if worker.is_none_or(|worker| worker.shard.try_send(show).is_err()) {
            self.engine.metrics.refused("pend_show");
        }
    }

    fn cancel_show(&self, show: CancelShow) {
        self.engine.cancel_show(show);
    }

    fn learn(&self, example: Box<Example>) {
        if !self.engine.learner.tell(Impression(example)) {
            self.engine.metrics.refused("impression");
        }
    }

    fn click(&self, click: Click) {
        if !self.engine.learner.tell(click) {
            self.engine.metrics.refused("click");
        }
    }

    fn contribute(&self, contribution: Contribute) {
        if !self.engine.aggregates.tell(contribution) {
            self.engine.metrics.refused("contribution");
        }
    }

    fn lease(&self, requests: Box<[LeaseRequest]>) {
        self.engine.is_unsettled.store(true, Ordering::Release);
        // Goes round the mailbox's bound, since a step that got lost would never be answered: a
        // core has at most one step a campaign on its way.
        self.engine.budget.address().do_send(Requests(requests));
    }

    fn report(&self, report: LocalReport) {
        if !self.engine.budget.tell(Report(report)) {
            self.engine.metrics.refused("pacing_report");
        }
    }
}
