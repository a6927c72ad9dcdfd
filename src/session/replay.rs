//! What is done to sessions where there are no actors. At a start, to those that were saved: ids that lead
//! to others find their sessions together, and what a journal has is applied once more. And at an end, when
//! actors are gone before the last who has something for them.

use super::alias::Aliases;
use super::hand_over::Relay;
use super::journal::Change;
use super::state::{ShardState, ShowChange};
use super::table::ShardMap;
use crate::units::{Timestamp, UserKey};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// All shards, for one thread.
pub struct Replay<'a> {
    /// Which of them writes whom.
    pub map: &'a ShardMap,
    /// The shards by their numbers.
    pub shards: &'a [Arc<Mutex<ShardState>>],
}

impl Replay<'_> {
    /// Brings together what the sessions of each group hold: a hand-over may have been under way when
    /// they were saved, or not begun.
    pub fn settle(&self, aliases: &Aliases, now: Timestamp) {
        let mut number = 0;
        while let Some(ids) = aliases.group(number) {
            for &id in ids.iter().skip(1) {
                self.on(id, now, |state| state.gather(&[id], now));
            }
            number += 1;
        }
    }

    /// Does what a change says, at the time when the journal took it. Events that were seen before and
    /// shows that are known change nothing.
    pub fn apply(&self, change: &Change, at: Timestamp) {
        match change {
            Change::Event(event) => self.on(event.user, at, |state| {
                // Whoever learns from visits has learned from this one.
                drop(state.apply_events(std::slice::from_ref(event), at));
            }),
            Change::Join(join) => {
                if let Some(first) = join.ids.first() {
                    self.on(*first, at, |state| state.join(join, at));
                }
            }
            Change::Show(show) => {
                self.on(show.user, at, |state| state.change(&ShowChange::Confirm(*show), at));
            }
        }
    }

    /// Does what must be done of a change that the sessions hold already: a repetition of an event is to
    /// be known as one. A show is applied once more, since it may have been under way.
    pub fn recall(&self, change: &Change, at: Timestamp) {
        match change {
            Change::Event(event) => self.on(event.user, at, |state| state.remember(event, at)),
            Change::Join(_) => {}
            Change::Show(_) => self.apply(change, at),
        }
    }

    /// Does what shards have for each other, and whatever comes of it.
    pub fn carry(&self, relays: Vec<(usize, Relay)>, at: Timestamp) {
        let mut relays = VecDeque::from(relays);
        while let Some((shard, relay)) = relays.pop_front() {
            let Some(shard) = self.shards.get(shard) else { continue };
            let mut state = shard.lock();
            state.receive(relay, at);
            relays.extend(state.take_relays());
        }
    }

    fn on(&self, user: UserKey, at: Timestamp, act: impl FnOnce(&mut ShardState)) {
        let Some(shard) = self.shards.get(self.map.shard_of(user)) else { return };
        let mut state = shard.lock();
        act(&mut state);
        let relays = state.take_relays();
        drop(state);
        self.carry(relays, at);
    }
}
