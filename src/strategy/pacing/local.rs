//! A core's own part in the multipliers: the step of each auction, until a tick has folded it in.

use super::LN_MIN;
use super::snapshot::{Pace, PacingSnapshot};
use crate::prefetch::prefetch;
use crate::units::{Micros, Nanos, Slot};
use std::collections::VecDeque;

/// One core's own change of the multipliers, until a tick has folded it in.
#[derive(Debug)]
pub struct LocalPacing {
    core: u16,
    number: u32,
    /// Of the snapshot that was read last: the low half of its epoch, and the report that went into it.
    epoch: u32,
    folded: u32,
    entries: Vec<Local>,
    touched: Vec<u32>,
    /// The report under way: whom it has still to ask, and what it has. Here and not with whoever makes
    /// it, who may die of a panic.
    reporting: VecDeque<u32>,
    reported: Vec<LocalEntry>,
}

/// No snapshot's epoch: they count from 0, and a process ends before it has published this many.
const NEVER_READ: u32 = u32::MAX;

/// One campaign: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Local {
    /// As published at `epoch`; its generation is this line's.
    published: Pace,
    /// The low half of the snapshot's epoch; [`NEVER_READ`] before the first look.
    epoch: u32,
    change: f32,
    reported: f32,
    auctions: u32,
    bids: u32,
    placed: u64,
    clicks_predicted: f32,
    is_touched: bool,
}

const _: () = assert!(size_of::<Local>() == 64);

impl Local {
    /// Nothing changed, and nothing published that it knows of.
    const EMPTY: Self = Self {
        published: Pace::NEUTRAL,
        epoch: NEVER_READ,
        change: 0.0,
        reported: 0.0,
        auctions: 0,
        bids: 0,
        placed: 0,
        clicks_predicted: 0.0,
        is_touched: false,
    };

    /// Begins anew for the campaign of `slot`.
    #[cold]
    fn become_slots(&mut self, slot: Slot) {
        let published = Pace { generation: slot.generation, ..Pace::NEUTRAL };
        *self = Self { published, is_touched: self.is_touched, ..Self::EMPTY };
    }

    /// Copies what is published now; `is_folded` where it contains all that was reported.
    #[cold]
    fn follow(&mut self, slot: Slot, snapshot: &PacingSnapshot, is_folded: bool) {
        let published = snapshot.pace(slot);
        self.published = Pace { generation: slot.generation, ..published };
        self.epoch = snapshot.epoch as u32;
        if is_folded {
            self.reported = 0.0;
        }
    }

    /// What was published, moved by this core's own change.
    #[inline]
    fn ln_budget(&self) -> f32 {
        let moved = self.published.ln_budget + self.change + self.reported;
        let least = if moved > LN_MIN as f32 { moved } else { LN_MIN as f32 };
        if least < self.published.ln_cap { least } else { self.published.ln_cap }
    }
}

/// What one core did since its last report.
#[derive(Clone, Debug)]
pub struct LocalReport {
    /// Which core.
    pub core: u16,
    /// Grows with each report.
    pub number: u32,
    /// One for each campaign that had an auction or has holds.
    pub entries: Box<[LocalEntry]>,
}

/// One campaign's part of a report.
#[derive(Clone, Copy, Debug)]
pub struct LocalEntry {
    /// The campaign's slot.
    pub slot: Slot,
    /// Change of `ln_budget`.
    pub change: f32,
    /// Auctions in which it could have bid.
    pub auctions: u32,
    /// Held since the last report, in nanos.
    pub placed: u64,
    /// Bids that these are.
    pub bids: u32,
    /// Held at present by bids that may still win.
    pub held: Nanos,
    /// Held at present by bids without news in time.
    pub late: Nanos,
    /// Clicks that were predicted of what was shown since the last report.
    pub clicks_predicted: f32,
}

impl LocalPacing {
    /// Nothing changed yet.
    #[must_use]
    pub const fn new(core: u16) -> Self {
        Self {
            core,
            number: 0,
            epoch: NEVER_READ,
            folded: 0,
            entries: Vec::new(),
            touched: Vec::new(),
            reporting: VecDeque::new(),
            reported: Vec::new(),
        }
    }

    /// The number of the last report; 0 before the first.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The published pace with this core's own change on it. What was published is copied on the
    /// first look after a publication, so that later ones find it beside the change; what it contains
    /// of the change by then counts no more.
    #[inline(always)]
    pub fn pace(&mut self, slot: Slot, snapshot: &PacingSnapshot) -> Pace {
        let epoch = snapshot.epoch as u32;
        if self.epoch != epoch {
            (self.epoch, self.folded) = (epoch, snapshot.folded(self.core));
        }
        let local = line(&mut self.entries, slot);
        if local.epoch != epoch {
            local.follow(slot, snapshot, self.folded >= self.number);
        }
        Pace { ln_budget: local.ln_budget(), ..local.published }
    }

    /// Asks for what [`LocalPacing::pace`] will read of the campaign at a slot index.
    #[inline]
    pub fn prefetch(&self, index: u32) {
        prefetch(&self.entries, index as usize);
    }

    /// An auction in which the campaign could have bid, and what it holds for it: the step
    /// `ln_budget -= gain * (expected cost / planned cost - 1)`, with the gain and plan of the last
    /// [`LocalPacing::pace`].
    #[inline(always)]
    pub fn on_auction(&mut self, slot: Slot, held: Option<Micros>) {
        let local = self.touched(slot);
        local.auctions = local.auctions.saturating_add(1);
        let Pace { gain, plan_nanos, ln_cap, cost_ratio, .. } = local.published;
        let is_paced = gain > 0.0 && plan_nanos > 0.0;
        let before = local.ln_budget();
        // Of some fifty campaigns in an auction one or two hold anything.
        let mut step = gain;
        if let Some(held) = held {
            local.bids = local.bids.saturating_add(1);
            local.placed = local.placed.saturating_add(held.0);
            step *= 1.0 - held.0 as f32 * cost_ratio / plan_nanos;
        }
        if is_paced {
            // One bid may cost a hundred times the plan of one auction where budgets are small.
            local.change += if step > -1.0 { step } else { -1.0 };
            let moved = before + step;
            if moved > ln_cap {
                local.change -= moved - ln_cap; // nothing winds up at the cap
            }
        }
    }

    /// A bid's ad was shown, of which `p_click` clicks were predicted.
    pub fn on_show(&mut self, slot: Slot, p_click: f32) {
        // One of a campaign or arm that is gone is nobody's, least of all its successor's.
        let found = self.entries.get(slot.index as usize);
        if found.is_some_and(|local| local.published.generation == slot.generation) {
            self.touched(slot).clicks_predicted += p_click;
        }
    }

    /// The line of a slot, which has something to report now.
    #[inline]
    fn touched(&mut self, slot: Slot) -> &mut Local {
        let local = line(&mut self.entries, slot);
        if !std::mem::replace(&mut local.is_touched, true) {
            self.touched.push(slot.index);
        }
        local
    }

    /// Reports at most `count` more campaigns: the report, once it has all that had something to report
    /// when it began. `tied` says what a campaign holds at present, and how much of its money is held
    /// without news in time.
    pub fn report_some(
        &mut self,
        count: usize,
        tied: impl Fn(Slot) -> (Nanos, Nanos),
    ) -> Option<LocalReport> {
        if self.reporting.is_empty() {
            self.number += 1;
            self.reporting.extend(self.touched.drain(..));
            self.reported.reserve(self.reporting.len());
        }
        for index in self.reporting.drain(..count.min(self.reporting.len())) {
            let local = &mut self.entries[index as usize];
            let slot = Slot { index, generation: local.published.generation };
            let (held, late) = tied(slot);
            let &mut Local { change, auctions, bids, placed, clicks_predicted, .. } = local;
            self.reported.push(LocalEntry {
                slot,
                change,
                auctions,
                placed,
                bids,
                held,
                late,
                clicks_predicted,
            });
            local.reported += change;
            (local.change, local.auctions, local.bids, local.placed) = (0.0, 0, 0, 0);
            local.clicks_predicted = 0.0;
            // What ties money is reported until it does no more.
            local.is_touched = held + late > Nanos::ZERO;
            if local.is_touched {
                self.touched.push(index);
            }
        }
        let entries = self.reporting.is_empty().then(|| std::mem::take(&mut self.reported));
        entries.map(|entries| LocalReport {
            core: self.core,
            number: self.number,
            entries: entries.into(),
        })
    }

    /// A whole report at once.
    pub fn report(&mut self, tied: impl Fn(Slot) -> (Nanos, Nanos)) -> LocalReport {
        loop {
            if let Some(report) = self.report_some(usize::MAX, &tied) {
                return report;
            }
        }
    }
}

/// The line of a slot, empty where another campaign had it.
#[inline(always)]
fn line(entries: &mut Vec<Local>, slot: Slot) -> &mut Local {
    let index = slot.index as usize;
    if entries.len() <= index {
        grow(entries, index + 1);
    }
    let local = &mut entries[index];
    if local.published.generation != slot.generation {
        local.become_slots(slot);
    }
    local
}

#[cold]
fn grow(entries: &mut Vec<Local>, len: usize) {
    entries.resize(len, Local::EMPTY);
}
