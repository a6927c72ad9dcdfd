//! What a core's auctions set going: each call returns at once, and what a full mailbox refuses is
//! counted. What goes to the learner and the releases is kept until the core has done with a
//! message, so that a batch of notices is one message to each.

use crate::auction::Outbox;
use crate::budget::{LeaseRequest, Report, Requests};
use crate::prediction::{Click, Example, Impressions};
use crate::privacy::{Contribute, ContributeAll};
use crate::server::engine::Engine;
use crate::server::shows::Shows;
use crate::session::{CancelShow, PendShow, ShowChange};
use crate::strategy::pacing::LocalReport;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The outbox of one core.
pub struct Post {
    engine: Arc<Engine>,
    shows: Rc<Shows>,
    // Bounded by what one message to the core can show: a batch of notices, or one click.
    #[expect(
        clippy::vec_box,
        reason = "from the ring to the join table a pointer moves, not 200 bytes"
    )]
    examples: RefCell<Vec<Box<Example>>>,
    contributions: RefCell<Vec<Contribute>>,
}

impl Post {
    /// An empty outbox beside the announcements of its worker.
    pub fn new(engine: Arc<Engine>, shows: Rc<Shows>) -> Self {
        Self { engine, shows, examples: RefCell::default(), contributions: RefCell::default() }
    }

    fn send_examples(&self) {
        let examples = self.examples.take();
        let count = examples.len() as u64;
        if count > 0 && !self.engine.learner.tell(Impressions(examples)) {
            self.engine.metrics.refused_many("impression", count);
        }
    }
}

impl Outbox for Post {
    fn pend_show(&self, show: PendShow) {
        self.shows.change(ShowChange::Pend(show));
    }

    fn cancel_show(&self, show: CancelShow) {
        self.shows.change(ShowChange::Cancel(show));
    }

    fn learn(&self, example: Box<Example>) {
        self.examples.borrow_mut().push(example);
    }

    fn click(&self, click: Click) {
        // The learner must have the show before the click.
        self.send_examples();
        if !self.engine.learner.tell(click) {
            self.engine.metrics.refused("click");
        }
    }

    fn contribute(&self, contribution: Contribute) {
        self.contributions.borrow_mut().push(contribution);
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

    fn flush(&self) {
        self.shows.flush();
        self.send_examples();
        let contributions = self.contributions.take();
        let count = contributions.len() as u64;
        if count > 0 && !self.engine.aggregates.tell(ContributeAll(contributions)) {
            self.engine.metrics.refused_many("contribution", count);
        }
    }
}
