//! The budget actor: one for the process, on the control arbiter.
//!
//! It writes what holders ask into the log and changes the ledger only while it reads the log
//! back. What it owns lives in [`Shared`], outside the actor value: after a panic a new
//! `BudgetActor::new(shared)` goes on at the next position.

mod tick;

pub use tick::Tick;

use super::account::Refusal;
use super::command::Command;
use super::day::DayNumber;
use super::inbox::{LeaseInbox, LeaseNews, LeaseRequest};
use super::ledger::Ledger;
use super::plan::Budget;
use super::snapshot::Saver;
use super::state::BudgetState;
use super::statement::Statement;
use super::view::{AccountView, House};
use super::writer::LedgerWriter;
use crate::catalog::HourMask;
use crate::clock::Civil;
use crate::latency::TickTimes;
use crate::retired::Current;
use crate::store::{AppendError, Batch, Position};
use crate::strategy::pacing::{
    ArmTerms, LocalReport, PacingKind, PacingSnapshot, PacingStatus, PlanKind, ReleasedSum, Target,
};
use crate::units::{AdvertiserId, CampaignId, Micros, Nanos, Slot, Timestamp};
use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, MessageResult, Recipient,
    ResponseActFuture, ResponseFuture, StreamHandler,
};
use arc_swap::ArcSwap;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Mailbox: a batch of requests from each of hundreds of cores.
const MAILBOX_MAX: usize = 1_024;
/// Pause before a command that the log did not take is offered again, in milliseconds.
const OFFER_AGAIN_MS: u64 = 200;

/// A campaign as the budget room sees it.
#[derive(Clone, Debug)]
pub struct CampaignTerms {
    /// Its id.
    pub id: CampaignId,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// Its place in the pacing snapshot.
    pub slot: Slot,
    /// What it may cost.
    pub budget: Budget,
    /// The zone whose midnight ends its day.
    pub time_zone: TimeZone,
    /// How its budget is paced.
    pub pacing: PacingKind,
    /// Which plan its spending follows.
    pub plan: PlanKind,
    /// The hours of the week in which it may bid; `None` for all.
    pub hours: Option<HourMask>,
    /// How far its strategy lets pacing go: millionths of the value.
    pub multiplier_max_ppm: u64,
    /// What conversions may cost.
    pub target: Option<Target>,
    /// Whether released conversions count towards it, in place of observed ones.
    pub counts_releases: bool,
    /// The most that one bid may be.
    pub max_price: Micros,
    /// Its strategies in the order of their names, where several share its users; else none, and what
    /// stands above counts.
    pub arms: Vec<ArmTerms>,
}

impl CampaignTerms {
    pub(super) fn has_budget_of(&self, other: &Self) -> bool {
        (self.advertiser, &self.budget) == (other.advertiser, &other.budget)
    }

    pub(super) fn has_control_of(&self, other: &Self) -> bool {
        let of = |terms: &Self| {
            let Self { slot, pacing, plan, multiplier_max_ppm, target, .. } = *terms;
            // Another target is aimed at by the same controllers; one more or less moves their caps.
            (slot, pacing, plan, multiplier_max_ppm, target.is_some())
        };
        of(self) == of(other) && self.has_hours_of(other)
    }

    /// Whether controllers, whichever they are, have the same hours.
    pub(super) fn has_hours_of(&self, other: &Self) -> bool {
        self.hours == other.hours
    }
}

/// What outlives the actor value.
pub struct Shared {
    pub(super) state: Mutex<BudgetState>,
    writer: LedgerWriter,
    clock: Civil,
    snapshot: Current<PacingSnapshot>,
    times: TickTimes,
    saver: Option<Saver>,
    node: u16,
    boot: u32,
    window_ms: u64,
}

impl Shared {
    /// An empty ledger before `writer`'s log. `boot` grows with each start of the process, and is
    /// the lowest boot of this start's lease books; `window_ms` is the longest billing window of
    /// any exchange, in milliseconds.
    #[must_use]
    pub fn new(
        writer: LedgerWriter,
        clock: Civil,
        node: u16,
        boot: u32,
        window_ms: u64,
    ) -> Arc<Self> {
        Self::resume(writer, clock, (node, boot), window_ms, Ledger::default(), None)
    }

    /// As [`Shared::new`], with the ledger that the log led to up to its position, and with what
    /// saves it from time to time.
    #[must_use]
    pub fn resume(
        writer: LedgerWriter,
        clock: Civil,
        (node, boot): (u16, u32),
        window_ms: u64,
        ledger: Ledger,
        saver: Option<Saver>,
    ) -> Arc<Self> {
        writer.progress().folded(ledger.position());
        Arc::new(Self {
            state: Mutex::new(BudgetState::new(node, boot, ledger)),
            saver,
            writer,
            clock,
            snapshot: Current::new(Arc::default()),
            times: TickTimes::default(),
            node,
            boot,
            window_ms,
        })
    }

    /// Where the pacing multipliers are published.
    #[must_use]
    pub fn snapshot(&self) -> Arc<ArcSwap<PacingSnapshot>> {
        self.snapshot.readers()
    }

    /// The way into the ledger, for workers.
    #[must_use]
    pub fn writer(&self) -> LedgerWriter {
        self.writer.clone()
    }
}

/// The actor; see the module.
pub struct BudgetActor {
    shared: Arc<Shared>,
}

impl BudgetActor {
    /// An actor on this state.
    #[must_use]
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sees to it that `command` gets into the log, however long the log is away.
    fn submit(&self, command: Command, context: &mut Context<Self>) {
        let writer = self.shared.writer.clone();
        // The first attempt is made here and now: commands keep their order when all goes well.
        let mut attempt = Box::pin(writer.append(&command));
        let offer = async move {
            let mut is_told = false;
            loop {
                match attempt.await {
                    Ok(_) => return,
                    Err(error @ (AppendError::Closed | AppendError::TooLong)) => {
                        tracing::error!(%error, "a ledger command is lost");
                        return;
                    }
                    Err(error) if !std::mem::replace(&mut is_told, true) => {
                        tracing::warn!(%error, "a ledger command waits for the log");
                    }
                    Err(_) => {}
                }
                actix::clock::sleep(Duration::from_millis(OFFER_AGAIN_MS)).await;
                attempt = Box::pin(writer.append(&command));
            }
        };
        context.spawn(offer.into_actor(self));
    }

    fn lost(&self, core: Option<u16>, boot_upto: u32) -> Command {
        let Shared { node, window_ms, .. } = *self.shared;
        Command::HolderLost { node, core, boot_upto, window_ms }
    }
}

impl Actor for BudgetActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
        let next = Position(self.shared.state.lock().ledger.position().0 + 1);
        match self.shared.writer.log().tail(next) {
            Ok(mut tail) => {
                let batches = futures_util::stream::poll_fn(move |cx| tail.poll_recv(cx));
                context.add_stream(batches);
            }
            Err(error) => {
                tracing::error!(%error, "the ledger cannot go on from its position");
                context.stop();
                return;
            }
        }
        // Of the first actor there are no holders and budgets yet.
        let again = self.shared.state.lock().ask_again();
        again.into_iter().for_each(|command| self.submit(command, context));
        if let Some(before) = self.shared.boot.checked_sub(1) {
            let lost = self.lost(None, before);
            self.submit(lost, context);
        }
    }
}

impl StreamHandler<Batch> for BudgetActor {
    fn handle(&mut self, batch: Batch, _: &mut Self::Context) {
        let mut state = self.shared.state.lock();
        for record in &*batch {
            match state.fold(record) {
                Ok(Some(settlement)) => {
                    self.shared.writer.progress().settled(record.position, settlement);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the ledger grants no more"),
            }
        }
        if let Some(saver) = &self.shared.saver {
            saver.offer(&state.ledger);
        }
        drop(state);
        if let Some(last) = batch.last() {
            self.shared.writer.progress().folded(last.position);
        }
    }

    fn finished(&mut self, context: &mut Self::Context) {
        tracing::error!("the ledger's log has ended");
        context.stop();
    }
}

/// A holder of leases on a core of this node; a book that starts anew has a higher boot.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Register {
    /// The core.
    pub core: u16,
    /// The book's boot.
    pub boot: u32,
    /// Where the book's events lie. A successor over the same book brings the same.
    pub inbox: LeaseInbox,
    /// Whom to tell that there are some.
    pub holder: Recipient<LeaseNews>,
}

impl Handler<Register> for BudgetActor {
    type Result = ();

    fn handle(&mut self, message: Register, context: &mut Self::Context) {
        let Register { core, boot, inbox, holder } = message;
        let before = self.shared.state.lock().register(core, boot, inbox, holder);
        if let Some(before) = before {
            let lost = self.lost(Some(core), before);
            self.submit(lost, context);
        }
    }
}

/// What a holder's book asks for.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Requests(pub Box<[LeaseRequest]>);

impl Handler<Requests> for BudgetActor {
    type Result = ();

    fn handle(&mut self, Requests(requests): Requests, context: &mut Self::Context) {
        for LeaseRequest { lease, step, op, .. } in requests {
            self.submit(Command::Lease { lease, step, op }, context);
        }
    }
}

/// All campaigns, as they are from now on. Answered when the ledger has their budgets, or
/// [`ReadUnset`] says which it has not, and the holders their terms.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetCampaigns(pub Arc<[CampaignTerms]>);

impl Handler<SetCampaigns> for BudgetActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(
        &mut self,
        SetCampaigns(campaigns): SetCampaigns,
        context: &mut Self::Context,
    ) -> Self::Result {
        let now = self.shared.clock.now();
        let commands = self.shared.state.lock().set_campaigns(&campaigns, now);
        for command in commands {
            self.submit(command, context);
        }
        let quiet = self.shared.writer.progress().quiet();
        Box::pin(quiet.into_actor(self).map(|(), actor, _| {
            actor.shared.state.lock().publish_terms();
        }))
    }
}

/// What a core's pacing changed by itself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Report(pub LocalReport);

impl Handler<Report> for BudgetActor {
    type Result = ();

    fn handle(&mut self, Report(report): Report, _: &mut Self::Context) {
        self.shared.state.lock().report(&report);
    }
}

/// A conversion, as it was observed: exact, for these walls only.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Conversion {
    /// Of which campaign.
    pub campaign: CampaignId,
    /// By which of its strategies; 0 where there is one.
    pub strategy_arm: u8,
    /// When.
    pub at: Timestamp,
    /// When the click or the view was that it is owed to.
    pub touched_at: Timestamp,
    /// What it is worth to the advertiser, in nanos.
    pub value: Nanos,
}

impl Handler<Conversion> for BudgetActor {
    type Result = ();

    fn handle(&mut self, conversion: Conversion, _: &mut Self::Context) {
        self.shared.state.lock().convert(&conversion);
    }
}

/// Conversions that were released, in place of [`Conversion`]s.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ConversionsReleased(pub Vec<ReleasedConversions>);

/// Those of one campaign.
#[derive(Clone, Copy, Debug)]
pub struct ReleasedConversions {
    /// Of which campaign.
    pub campaign: CampaignId,
    /// How many.
    pub released: ReleasedSum,
}

impl Handler<ConversionsReleased> for BudgetActor {
    type Result = ();

    fn handle(&mut self, ConversionsReleased(all): ConversionsReleased, _: &mut Self::Context) {
        self.shared.state.lock().release(&all);
    }
}

/// What the ledger charged for bids of arms of traffic splits.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ArmsBilled(pub Vec<ArmBill>);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct ArmBill {
    /// Of which campaign.
    pub campaign: CampaignId,
    /// The arm, by the order of the strategies' names.
    pub arm: u8,
    /// The account day of the bid.
    pub day: DayNumber,
    /// What the campaign paid.
    pub amount: Nanos,
}

impl Handler<ArmsBilled> for BudgetActor {
    type Result = ();

    fn handle(&mut self, ArmsBilled(bills): ArmsBilled, _: &mut Self::Context) {
        let mut state = self.shared.state.lock();
        bills.iter().for_each(|bill| state.bill_arm(bill));
    }
}

/// Answered when every append that was begun before is folded and its grants are sent.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Quiesce;

impl Handler<Quiesce> for BudgetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Quiesce, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.shared.writer.progress().quiet())
    }
}

/// Saves the ledger as it is, where it is saved at all. Answered when that has ended.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Save;

impl Handler<Save> for BudgetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Save, _: &mut Self::Context) -> Self::Result {
        let saver = self.shared.saver.as_ref();
        let saved = saver.map(|saver| saver.save(&self.shared.state.lock().ledger));
        Box::pin(async move {
            if let Some(saved) = saved {
                // A sender that is gone has nothing to save.
                let _ = saved.await;
            }
        })
    }
}

/// The process ends: no holder bids any more, and each gives back what none of its bids holds.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct WindUp;

impl Handler<WindUp> for BudgetActor {
    type Result = ();

    fn handle(&mut self, _: WindUp, _: &mut Self::Context) {
        self.shared.state.lock().wind_up();
    }
}

/// Asks for all accounts, or for those of one campaign and what is above it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Statement")]
pub struct ReadStatement(pub Option<CampaignId>);

impl Handler<ReadStatement> for BudgetActor {
    type Result = MessageResult<ReadStatement>;

    fn handle(
        &mut self,
        ReadStatement(only): ReadStatement,
        _: &mut Self::Context,
    ) -> Self::Result {
        MessageResult(self.shared.state.lock().ledger.statement(only))
    }
}

/// Asks which budgets are not in force, of all that were set.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<(CampaignId, Unset)>")]
pub struct ReadUnset;

/// Why a campaign's budget is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unset {
    /// The log has not taken it yet: the one before holds until then.
    #[error("the ledger's log does not take the budget yet; it is in force as soon as it does")]
    Waiting,
    /// The ledger did not take it, and the campaign bids no more.
    #[error("the ledger refuses the budget, and the campaign stops: {0}")]
    Refused(Refusal),
}

impl Handler<ReadUnset> for BudgetActor {
    type Result = MessageResult<ReadUnset>;

    fn handle(&mut self, _: ReadUnset, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.shared.state.lock().unset())
    }
}

/// Asks for the state, for people and tests.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Box<BudgetStatus>")]
pub struct Status;

/// The budget room as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetStatus {
    /// Last position folded.
    pub position: Position,
    /// The digest of the history up to there, in hex.
    pub digest: String,
    /// The house's own numbers.
    pub house: House,
    /// Registered holders.
    pub holders: usize,
    /// By campaign.
    pub campaigns: Vec<CampaignStatus>,
}

/// One campaign's money and controllers.
#[derive(Clone, Debug, Serialize)]
pub struct CampaignStatus {
    /// Which.
    pub campaign: CampaignId,
    /// Its accounts; `None` until the ledger has its budget.
    pub account: Option<AccountView>,
    /// Its controllers; idle where it has arms.
    pub pacing: PacingStatus,
    /// Those of each arm, where several strategies share its users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<PacingStatus>,
}

impl Handler<Status> for BudgetActor {
    type Result = Box<BudgetStatus>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        Box::new(self.shared.state.lock().status())
    }
}

impl<A, M> actix::dev::MessageResponse<A, M> for Box<BudgetStatus>
where
    A: Actor,
    M: Message<Result = Self>,
{
    fn handle(self, _: &mut A::Context, sender: Option<actix::dev::OneshotSender<Self>>) {
        if let Some(sender) = sender {
            // Nobody may be waiting any more.
            let _ = sender.send(self);
        }
    }
}

const _: () = {
    assert!(size_of::<Register>() <= 128);
    assert!(size_of::<Requests>() <= 128);
    assert!(size_of::<SetCampaigns>() <= 128);
    assert!(size_of::<Report>() <= 128);
    assert!(size_of::<Conversion>() <= 128);
    assert!(size_of::<ArmsBilled>() <= 128);
    assert!(size_of::<ConversionsReleased>() <= 128);
};
