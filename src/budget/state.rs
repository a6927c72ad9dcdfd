//! What the budget actor owns, without the actor: so that a panic in a handler loses none of it.

use super::account::Refusal;
use super::actor::{
    ArmBill, BudgetStatus, CampaignStatus, CampaignTerms, Conversion, ReleasedConversions, Unset,
};
use super::command::{Command, LeaseOp};
use super::day::{Day, DayNumber};
use super::inbox::{LeaseEvent, LeaseInbox, LeaseNews, LeaseTerms};
use super::ledger::{FoldError, Ledger};
use super::line::Held;
use super::plan::Purpose;
use super::tree::OwnStanding;
use super::view::{Answer, Outcome, Settlement};
use crate::store::Record;
use crate::strategy::pacing::{
    ArmPacing, CampaignPacing, DaySpan, LocalReport, Pace, PacingSnapshot, TickInput,
};
use crate::units::{CampaignId, LeaseId, Nanos, Timestamp};
use actix::Recipient;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// The ledger, the holders, the campaigns and their controllers.
pub(super) struct BudgetState {
    pub(super) ledger: Ledger,
    node: u16,
    boot: u32,
    editions: u32,
    holders: BTreeMap<u16, Holder>,
    campaigns: BTreeMap<CampaignId, Campaign>,
    /// Campaign by slot index, its own or one of an arm, for reports.
    slots: BTreeMap<u32, CampaignId>,
    terms: Arc<[LeaseTerms]>,
    /// Whether a campaign or its day has changed since.
    are_terms_stale: bool,
    /// Cores that got less than they asked for.
    wanting: BTreeMap<CampaignId, BTreeSet<(u16, Purpose)>>,
    folded: BTreeMap<u16, u32>,
    epoch: u64,
    is_winding_up: bool,
}

/// How far a tick has come.
pub(super) struct TickUnderWay {
    now: Timestamp,
    /// The campaign that was last.
    after: Option<CampaignId>,
    /// Reports that had been folded when it began.
    folded: Vec<(u16, u32)>,
    paces: Vec<Pace>,
}

struct Holder {
    boot: u32,
    inbox: LeaseInbox,
    news: Recipient<LeaseNews>,
}

impl Holder {
    /// Puts an event where the holder, or its successor, finds it.
    fn tell(&self, event: LeaseEvent) {
        if self.inbox.put(event) {
            // Past the mailbox's bound on purpose: one word for all that lies there.
            self.news.do_send(LeaseNews);
        }
    }
}

struct Campaign {
    terms: CampaignTerms,
    /// Of its budget.
    edition: u64,
    /// The first day that this edition speaks of.
    from: DayNumber,
    /// Whether the ledger has answered to this edition, or its command is still on its way.
    is_answered: bool,
    /// The ledger did not take its budget: it must not bid on the one before.
    refusal: Option<Refusal>,
    day: Day,
    /// As of the last tick, for this day; none where it may have changed since. To find it takes some
    /// six places of memory that nothing else has touched since the last tick.
    standing: Option<(DayNumber, OwnStanding)>,
    pacing: CampaignPacing,
    arms: ArmPacing,
    /// When its arms were ticked last.
    ticked: Timestamp,
}

impl BudgetState {
    pub(super) fn new(node: u16, boot: u32, ledger: Ledger) -> Self {
        Self {
            ledger,
            node,
            boot,
            editions: 0,
            holders: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            slots: BTreeMap::new(),
            terms: Arc::from([]),
            are_terms_stale: false,
            wanting: BTreeMap::new(),
            folded: BTreeMap::new(),
            epoch: 0,
            is_winding_up: false,
        }
    }

    /// Takes the next record of the log and tells the holders what it means for them. Returns what
    /// became of a charging notice or an adjustment.
    pub(super) fn fold(&mut self, record: &Record) -> Result<Option<Settlement>, FoldError> {
        if record.position <= self.ledger.position() {
            return Ok(None); // an actor before this one had it
        }
        let (command, outcome) = self.ledger.fold(record)?;
        self.forget_standing(&command);
        match command {
            Command::Lease { lease, step, op } => self.stepped(lease, step, op, outcome),
            Command::Settle { hold, campaign, day, held: price, due, .. } => {
                match outcome {
                    Outcome::Settled { from_lease, absorbed, .. } => {
                        warn_of_absorbed(absorbed);
                        let held = Held { hold, campaign, day, due, price };
                        self.tell(hold.lease, LeaseEvent::Settled { held, from_lease });
                    }
                    Outcome::Forgotten { absorbed } => warn_of_absorbed(absorbed),
                    Outcome::Refused(refusal) => tracing::error!(%refusal, "a bill was refused"),
                    _ => {}
                }
                return Ok(Some(Settlement { at: record.at, outcome }));
            }
            Command::SetCampaign { campaign, edition, .. } => {
                if let Outcome::Refused(refusal) = outcome {
                    tracing::error!(%refusal, campaign = campaign.0, "a budget was refused");
                }
                // One that comes after a newer edition is stale, and says nothing of that.
                let known = self.campaigns.get_mut(&campaign);
                if let Some(known) = known.filter(|known| known.edition == edition) {
                    known.refusal = match outcome {
                        Outcome::Refused(refusal) => Some(refusal),
                        _ => None,
                    };
                    known.is_answered = true;
                    self.are_terms_stale = true;
                }
                if outcome == (Outcome::CampaignSet { is_over: true }) {
                    for holder in self.holders.values() {
                        holder.tell(LeaseEvent::Cut(campaign));
                    }
                }
                self.available(campaign, None);
            }
            Command::HolderLost { .. } => {}
            Command::Adjust { campaign, .. } => {
                if let Outcome::Adjusted { absorbed, .. } = outcome {
                    warn_of_absorbed(absorbed);
                }
                self.available(campaign, None);
                return Ok(Some(Settlement { at: record.at, outcome }));
            }
            Command::Expire => {
                let all: Vec<CampaignId> = self.wanting.keys().copied().collect();
                all.into_iter().for_each(|campaign| self.available(campaign, None));
            }
        }
        Ok(None)
    }

    /// What the campaign of `command` has left may be another afterwards.
    fn forget_standing(&mut self, command: &Command) {
        let campaign = match *command {
            Command::SetCampaign { campaign, .. }
            | Command::Settle { campaign, .. }
            | Command::Adjust { campaign, .. }
            | Command::Lease { op: LeaseOp::Open { campaign, .. }, .. } => Some(campaign),
            Command::Lease { lease, op: LeaseOp::Uncovered { .. }, .. } => {
                self.ledger.owner_of(lease).map(|(campaign, _)| campaign)
            }
            // These move money between leases and what is free, and bill nothing.
            Command::Lease { .. } | Command::HolderLost { .. } | Command::Expire => None,
        };
        if let Some(known) = campaign.and_then(|campaign| self.campaigns.get_mut(&campaign)) {
            known.standing = None;
        }
    }

    fn stepped(&mut self, lease: LeaseId, step: u32, op: LeaseOp, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Stepped(answer) => answer,
            Outcome::Refused(refusal) => Answer::Refused(refusal),
            _ => return,
        };
        // The holder first: it must know of its grant before anybody reacts to it.
        self.tell(lease, LeaseEvent::Answered { lease, step, answer });
        let Some((campaign, purpose)) = self.ledger.owner_of(lease) else { return };
        match (op, answer) {
            (_, Answer::Granted { is_short: true, .. }) => {
                self.wanting.entry(campaign).or_default().insert((lease.core, purpose));
                // Opening is provision; a renewal is for a bid.
                if matches!(op, LeaseOp::TopUp { .. }) {
                    self.recall(campaign, lease.core, purpose);
                }
            }
            (_, Answer::Granted { is_short: false, .. }) => {
                if let Some(wanting) = self.wanting.get_mut(&campaign) {
                    wanting.remove(&(lease.core, purpose));
                }
            }
            (LeaseOp::Return { .. }, Answer::Returned { amount, .. }) if amount > Nanos::ZERO => {
                self.available(campaign, Some((lease.core, purpose)));
            }
            (LeaseOp::Close, _) => self.available(campaign, Some((lease.core, purpose))),
            _ => {}
        }
    }

    /// Asks everybody else for money that a bid needs. Exploration takes none from what the campaign
    /// is for.
    fn recall(&self, campaign: CampaignId, core: u16, purpose: Purpose) {
        let explores = self.campaigns.get(&campaign).is_some_and(Campaign::explores);
        for (number, holder) in &self.holders {
            if *number != core && purpose == Purpose::Serve {
                holder.tell(LeaseEvent::Recall(campaign, Purpose::Serve));
            }
            if explores && (*number, Purpose::Explore) != (core, purpose) {
                holder.tell(LeaseEvent::Recall(campaign, Purpose::Explore));
            }
        }
    }

    /// Tells the holder of a lease; nobody, when it is of another boot.
    fn tell(&self, lease: LeaseId, event: LeaseEvent) {
        if lease.node == self.node
            && let Some(holder) = self.holders.get(&lease.core)
            && holder.boot == lease.boot
        {
            holder.tell(event);
        }
    }

    /// Tells those who had too little that there is money again, but not who returned it.
    fn available(&mut self, campaign: CampaignId, returned_by: Option<(u16, Purpose)>) {
        let Some(cores) = self.wanting.get_mut(&campaign) else { return };
        let is_new = returned_by.is_none();
        cores.retain(|wanting| {
            let is_told = Some(*wanting) != returned_by;
            if is_told && let Some(holder) = self.holders.get(&wanting.0) {
                holder.tell(LeaseEvent::Available { campaign, is_new });
            }
            !is_told
        });
        if cores.is_empty() {
            self.wanting.remove(&campaign);
        }
    }

    /// A holder says where it is. The boot of the one before it on that core, if there was one.
    pub(super) fn register(
        &mut self,
        core: u16,
        boot: u32,
        inbox: LeaseInbox,
        news: Recipient<LeaseNews>,
    ) -> Option<u32> {
        inbox.put(LeaseEvent::Terms(Arc::clone(&self.terms)));
        // In any case: the word of what its predecessor left there went to the predecessor.
        news.do_send(LeaseNews);
        let before = self.holders.insert(core, Holder { boot, inbox, news });
        before.map(|holder| holder.boot).filter(|before| *before < boot)
    }

    /// Takes all campaigns, and returns the commands that bring the ledger up to date.
    pub(super) fn set_campaigns(
        &mut self,
        campaigns: &[CampaignTerms],
        now: Timestamp,
    ) -> Vec<Command> {
        self.are_terms_stale = true;
        let mut before = std::mem::take(&mut self.campaigns);
        self.slots.clear();
        let mut commands = Vec::new();
        for terms in campaigns {
            let day = Day::of(now, &terms.time_zone);
            let known = before.remove(&terms.id);
            let refusal = known.as_ref().and_then(|known| known.refusal);
            let is_other_day = known.as_ref().is_some_and(|known| known.day.number != day.number);
            // A zone further west may have a day before the first that the ledger has a budget for.
            let in_force = known
                .as_ref()
                .filter(|known| known.from <= day.number && known.terms.has_budget_of(terms));
            let in_force = in_force.map(|known| (known.edition, known.from, known.is_answered));
            let (edition, from, is_answered) = in_force.unwrap_or_else(|| {
                self.editions += 1;
                // Higher than every edition of the boots before.
                let edition = u64::from(self.boot) << 32 | u64::from(self.editions);
                (edition, day.number, false)
            });
            let is_new = in_force.is_none();
            let (pacing, mut arms) = controls(known, terms);
            if is_other_day {
                arms.turn_day();
            }
            let slots = terms.arms.iter().map(|arm| arm.slot).chain([terms.slot]);
            self.slots.extend(slots.map(|slot| (slot.index, terms.id)));
            let terms = terms.clone();
            let (id, ticked) = (terms.id, now);
            let campaign = Campaign {
                terms,
                edition,
                from,
                is_answered,
                refusal,
                day,
                standing: None,
                pacing,
                arms,
                ticked,
            };
            commands.extend(is_new.then(|| campaign.set_command()));
            self.campaigns.insert(id, campaign);
        }
        commands
    }

    /// The campaigns whose budgets are not in force, and why.
    pub(super) fn unset(&self) -> Vec<(CampaignId, Unset)> {
        let why = |campaign: &Campaign| match campaign.refusal {
            _ if !campaign.is_answered => Some(Unset::Waiting),
            refusal => refusal.map(Unset::Refused),
        };
        self.campaigns.iter().filter_map(|(id, campaign)| Some((*id, why(campaign)?))).collect()
    }

    /// An actor has died, perhaps with steps that were on their way into the log, and with budgets:
    /// those are returned.
    pub(super) fn ask_again(&self) -> Vec<Command> {
        self.holders.values().for_each(|holder| holder.tell(LeaseEvent::AskAgain));
        let unanswered = self.campaigns.values().filter(|campaign| !campaign.is_answered);
        unanswered.map(Campaign::set_command).collect()
    }

    /// Ends all bidding: without terms, holders give back whatever no bid holds.
    pub(super) fn wind_up(&mut self) {
        self.is_winding_up = true;
        self.are_terms_stale = true;
        self.publish_terms();
    }

    /// Tells every holder the terms, if they changed.
    pub(super) fn publish_terms(&mut self) {
        if !std::mem::take(&mut self.are_terms_stale) {
            return;
        }
        let campaigns = self.campaigns.values().filter(|_| !self.is_winding_up);
        let terms: Arc<[LeaseTerms]> = campaigns.map(Campaign::lease_terms).collect();
        if terms == self.terms {
            return;
        }
        self.terms = terms;
        for holder in self.holders.values() {
            holder.tell(LeaseEvent::Terms(Arc::clone(&self.terms)));
        }
    }

    pub(super) fn report(&mut self, report: &LocalReport) {
        for entry in &report.entries {
            let Some(id) = self.slots.get(&entry.slot.index) else { continue };
            let Some(campaign) = self.campaigns.get_mut(id) else { continue };
            if campaign.terms.slot == entry.slot {
                campaign.pacing.fold(report.core, entry);
            } else {
                campaign.arms.fold(report.core, entry);
            }
        }
        self.folded.insert(report.core, report.number);
    }

    pub(super) fn convert(&mut self, conversion: &Conversion) {
        if let Some(campaign) = self.campaigns.get_mut(&conversion.campaign) {
            let Conversion { strategy_arm, at, touched_at, value, .. } = *conversion;
            campaign.pacing.convert(at, touched_at, value);
            campaign.arms.convert(strategy_arm, at, touched_at, value);
        }
    }

    pub(super) fn release(&mut self, released: &[ReleasedConversions]) {
        for &ReleasedConversions { campaign, released } in released {
            if let Some(campaign) = self.campaigns.get_mut(&campaign) {
                campaign.pacing.release(released);
                campaign.arms.release(released);
            }
        }
    }

    pub(super) fn bill_arm(&mut self, bill: &ArmBill) {
        if let Some(campaign) = self.campaigns.get_mut(&bill.campaign) {
            campaign.arms.bill(bill.arm, bill.amount, bill.day == campaign.day.number);
        }
    }

    /// Begins a tick at `now`.
    pub(super) fn begin_tick(&self, now: Timestamp) -> TickUnderWay {
        let slots = self.slots.last_key_value().map_or(0, |(index, _)| *index as usize + 1);
        let folded = self.folded.iter().map(|(core, number)| (*core, *number)).collect();
        TickUnderWay { now, after: None, folded, paces: vec![Pace::NEUTRAL; slots] }
    }

    /// Turns days over and runs the controllers, of at most `count` campaigns. Whether there are more.
    pub(super) fn tick_some(&mut self, tick: &mut TickUnderWay, count: usize) -> bool {
        let TickUnderWay { now, after, paces, .. } = tick;
        let now = *now;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut left = count;
        for (id, campaign) in self.campaigns.range_mut((from, Bound::Unbounded)).take(count) {
            (*after, left) = (Some(*id), left - 1);
            if now >= campaign.day.ends || now < campaign.day.starts {
                campaign.day = Day::of(now, &campaign.terms.time_zone);
                campaign.arms.turn_day();
                self.are_terms_stale = true;
            }
            let Day { number, starts, ends } = campaign.day;
            if campaign.standing.is_none_or(|(day, _)| day != number) {
                let own = self.ledger.tree.own_standing(*id, number);
                campaign.standing = own.map(|own| (number, own));
            }
            if let Some((_, own)) = campaign.standing {
                let (billed, unbilled) = (own.billed, self.ledger.tree.unbilled(&own));
                debug_assert_eq!(Some((billed, unbilled)), self.ledger.standing(*id, number));
                let day = DaySpan { starts, ends, weekday: number.weekday() };
                let input = TickInput { now, day, billed, unbilled };
                campaign.pacing.tick(&input);
                let before = std::mem::replace(&mut campaign.ticked, now);
                campaign.arms.tick(&input, now.millis_since(before));
            }
            let slot = campaign.terms.slot;
            let own = (slot, campaign.pacing.pace(slot.generation));
            for (slot, pace) in campaign.arms.paces().chain([own]) {
                // A catalog that came meanwhile may have more slots: the next tick has room for them.
                if let Some(place) = paces.get_mut(slot.index as usize) {
                    *place = pace;
                }
            }
        }
        left == 0
    }

    /// Ends a tick: what is to be published. A report that came while it was under way is in some paces
    /// already, and named by the next snapshot.
    pub(super) fn end_tick(&mut self, tick: TickUnderWay) -> PacingSnapshot {
        self.publish_terms();
        self.epoch += 1;
        PacingSnapshot { epoch: self.epoch, folded: tick.folded, paces: tick.paces }
    }

    pub(super) fn status(&self) -> BudgetStatus {
        let campaigns = self.campaigns.iter().map(|(id, campaign)| CampaignStatus {
            campaign: *id,
            account: self.ledger.view(*id, campaign.day.number),
            pacing: campaign.pacing.status(),
            arms: campaign.arms.status().collect(),
        });
        BudgetStatus {
            position: self.ledger.position(),
            digest: self.ledger.digest().iter().map(|byte| format!("{byte:02x}")).collect(),
            house: self.ledger.house(),
            holders: self.holders.len(),
            campaigns: campaigns.collect(),
        }
    }
}

/// The controllers of a campaign on these terms: those that it had, where they have the same to do.
fn controls(known: Option<Campaign>, terms: &CampaignTerms) -> (CampaignPacing, ArmPacing) {
    let fresh = |pacing, target, max_ppm, plan| {
        let fresh = CampaignPacing::new(pacing, target).up_to(max_ppm).on_plan(plan, terms.hours);
        if terms.counts_releases { fresh.on_releases() } else { fresh }
    };
    let (mut pacing, mut arms) = (None, ArmPacing::default());
    if let Some(known) = known.filter(|known| known.terms.has_hours_of(terms)) {
        arms = known.arms;
        pacing = known.terms.has_control_of(terms).then_some(known.pacing);
    }
    let CampaignTerms { pacing: kind, target, multiplier_max_ppm, plan, .. } = *terms;
    let mut pacing = pacing.unwrap_or_else(|| fresh(kind, target, multiplier_max_ppm, plan));
    pacing.aim_at(target);
    let arms = arms.with_terms(&terms.arms, |arm| {
        fresh(arm.pacing, arm.target, arm.multiplier_max_ppm, arm.plan)
    });
    (pacing, arms)
}

impl Campaign {
    fn explores(&self) -> bool {
        self.terms.budget.exploration_ppm > 0
    }

    fn set_command(&self) -> Command {
        Command::SetCampaign {
            campaign: self.terms.id,
            advertiser: self.terms.advertiser,
            budget: self.terms.budget.clone(),
            from: self.from,
            edition: self.edition,
        }
    }

    fn lease_terms(&self) -> LeaseTerms {
        let budget = &self.terms.budget;
        let day_ms = self.day.ends.millis_since(self.day.starts).max(1);
        LeaseTerms {
            campaign: self.terms.id,
            day: self.day.number,
            day_ends: self.day.ends,
            max_price: self.terms.max_price,
            headroom: Nanos(budget.daily.0 / i128::from(day_ms) * 1_000),
            exploration_ppm: budget.exploration_ppm,
            is_active: budget.is_active
                && budget.on(self.day.number) > Nanos::ZERO
                && self.refusal.is_none(),
            shares_bound: budget.advertiser_bound.is_some(),
        }
    }
}

fn warn_of_absorbed(absorbed: Nanos) {
    if absorbed > Nanos::ZERO {
        tracing::error!(absorbed_nanos = absorbed.0, "a bill was charged to the house");
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
