//! What one shard tells another when ids turn out to be one user.
//!
//! Once ids are joined, whatever comes for an id goes to its root's shard, by way of the id's own
//! shard. What the id's session held follows by three messages:
//!
//! 1. `HandOver(from)` to the shard of `from`: it takes interest, items and sequence state out of the
//!    session and sends them to the root with a copy of the shows. The shows themselves stay.
//! 2. `Adopt` at the root's shard: merges all of it, once, and answers
//! 3. `Retire` to the shard of `from`: drops the shows that the root has now.
//!
//! So a reader who reads `from` and then what it leads to, up to the root, sees every show of `from` at
//! any time: before the third message in the one place, after the second in the other. Those of another
//! id of the user he sees for certain when all three have been handled, some milliseconds after the
//! join. Interest is in neither place between the first and the second.
//!
//! A loss that comes while its bid's show is under way on another path may miss it: the show counts
//! until it expires, which is the side of the cap.
//!
//! Messages from one shard to another keep their order. Each may come twice: shows know their holds,
//! `Adopt` has a number, and `Retire` drops only what it names. One that was lost leaves the shows
//! where they were, and the next time that the ids are named together it is sent again.

use super::alias::{Aliases, Join, Joined};
use super::behaviour::Event;
use super::frequency::Show;
use super::state::{CancelShow, ShardState, ShowChange};
use super::user::Moved;
use crate::hash;
use crate::relevance::Visit;
use crate::units::{Timestamp, UserKey};
use std::sync::Arc;

/// Groups looked at for expired ids by one tick, 20 us: half a million in ten minutes.
const GROUPS_SWEPT: usize = 1_024;

/// What one shard has for another.
#[derive(Clone, Debug)]
pub struct Relay(pub(super) Step);

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An event that its own shard has not seen before; its user is the root.
    Event(Box<Event>),
    Show(ShowChange),
    /// This user's session is to go where it leads.
    HandOver(UserKey),
    Adopt(Box<Moved>),
    Retire(Box<Moved>),
    /// This user's shows, until the second named, lie under a key that is no longer known to be his.
    Forget(UserKey, u32),
}

const _: () = assert!(size_of::<Relay>() <= 128);

impl ShardState {
    /// The same shard, with ids that lead to others.
    #[must_use]
    pub fn with_aliases(mut self, aliases: Option<Arc<Aliases>>) -> Self {
        self.aliases = aliases;
        self
    }

    /// Joins ids. Their look-ups lead to one user when this returns.
    pub fn join(&mut self, join: &Join, now: Timestamp) {
        let Some(aliases) = self.aliases.clone() else { return };
        match aliases.join(join, now) {
            Joined::New { moved, dropped } => {
                for group in dropped {
                    let shown = |user: &UserKey| self.table.latest_live_show_s(*user, now);
                    let Some(latest_s) = group.iter().filter_map(shown).max() else { continue };
                    for &user in &group[1..] {
                        self.send(user, Step::Forget(user, latest_s), now);
                    }
                }
                moved.into_iter().for_each(|user| self.send(user, Step::HandOver(user), now));
            }
            Joined::Known => {
                // Where a hand-over was lost, this one makes up for it.
                self.gather(&join.ids, now);
            }
            Joined::TooMany | Joined::RateLimited => {}
        }
    }

    /// Has the sessions of ids that lead to others handed over, where there are any.
    pub(super) fn gather(&mut self, ids: &[UserKey], now: Timestamp) {
        for &user in ids {
            if self.home(user, now) != user && self.table.knows(user) {
                self.send(user, Step::HandOver(user), now);
            }
        }
    }

    /// Does what another shard asks for. Returns visits as [`ShardState::apply_events`] does.
    pub fn receive(&mut self, relay: Relay, now: Timestamp) -> Option<Visit> {
        match relay.0 {
            Step::Event(event) => return self.take_event(&event, now),
            Step::Show(change) => self.change(&change, now),
            Step::HandOver(user) => self.hand_over(user, now),
            Step::Adopt(moved) => self.adopt(moved, now),
            Step::Retire(moved) => self.retire(&moved, now),
            Step::Forget(user, latest_s) => self.table.forget(user, latest_s),
        }
        None
    }

    /// What waits for other shards, each with its number: to be sent in this order.
    #[must_use]
    pub fn take_relays(&mut self) -> Vec<(usize, Relay)> {
        std::mem::take(&mut self.relays)
    }

    /// Applies an event that is new, here or at the shard of the user that its id leads to.
    pub(super) fn take_event(&mut self, event: &Event, now: Timestamp) -> Option<Visit> {
        let home = self.home(event.user, now);
        if home == event.user {
            self.record(event, now);
            let item = event.item.filter(|_| event.pooled)?;
            return Some(Visit { user: home, item, at: event.at });
        }
        let event = Event { user: home, conversion: None, ..event.clone() };
        if self.map.shard_of(home) == self.shard {
            return self.take_event(&event, now);
        }
        self.send(home, Step::Event(Box::new(event)), now);
        None
    }

    /// Whether a change concerns another user, to whom its id leads, and was sent there.
    pub(super) fn sends_on(&mut self, change: &ShowChange, now: Timestamp) -> bool {
        let user = change.user();
        let home = self.home(user, now);
        if home == user {
            return false;
        }
        if let ShowChange::Cancel(CancelShow { hold, .. }) = *change {
            // The show may not have been handed over yet.
            self.write(user, false, now, |session| session.shows.cancel(hold));
        }
        self.send(home, Step::Show(change.of(home)), now);
        true
    }

    pub(super) fn sweep_aliases(&self, now: Timestamp) {
        if let Some(aliases) = self.aliases.as_ref().filter(|_| self.shard == 0) {
            aliases.sweep(GROUPS_SWEPT, now);
        }
    }

    fn home(&self, user: UserKey, now: Timestamp) -> UserKey {
        self.aliases.as_ref().map_or(user, |aliases| aliases.root(user, now))
    }

    fn hand_over(&mut self, from: UserKey, now: Timestamp) {
        let to = self.home(from, now);
        let forgotten = self.table.forgotten(from, now);
        if to == from {
            return; // they were parted again
        }
        let taken = self.write(from, false, now, |session| session.hand_over());
        let mut moved = match (taken, forgotten) {
            (Some(moved), _) => moved,
            (None, Some(_)) => Moved::nothing_of(from),
            (None, None) => return self.shorten(from),
        };
        moved.shows.extend(forgotten);
        self.moves += 1;
        moved.to = to;
        moved.number = hash::combine(from.0, self.moves);
        self.send(to, Step::Adopt(Box::new(moved)), now);
    }

    fn adopt(&mut self, mut moved: Box<Moved>, now: Timestamp) {
        if !self.recent.insert(hash::combine(moved.number, moved.to.0), now) {
            return;
        }
        let home = self.home(moved.to, now);
        if home != moved.to {
            moved.to = home;
            return self.send(home, Step::Adopt(moved), now);
        }
        let merged = self.write(home, true, now, |session| session.adopt(&mut moved));
        self.counters.shows_merged += merged.unwrap_or(0);
        if let Some(aliases) = &self.aliases {
            aliases.count_merge();
        }
        self.send(moved.from, Step::Retire(moved), now);
    }

    fn retire(&mut self, moved: &Moved, now: Timestamp) {
        // An id that was parted again needs what it has: its root may be out of reach.
        if self.home(moved.from, now) == moved.from {
            return;
        }
        let is_named = |show: &Show| moved.shows.contains(show);
        self.write(moved.from, false, now, |session| session.shows.drop_where(is_named));
        if self.table.knows(moved.from) {
            self.hand_over(moved.from, now);
        } else {
            self.shorten(moved.from);
        }
    }

    fn shorten(&self, id: UserKey) {
        if let Some(aliases) = &self.aliases {
            aliases.shorten(id);
        }
    }

    /// To the shard of `user`, which may be this one.
    fn send(&mut self, user: UserKey, step: Step, now: Timestamp) {
        let shard = self.map.shard_of(user);
        if shard == self.shard {
            self.receive(Relay(step), now);
        } else {
            self.relays.push((shard, Relay(step)));
        }
    }
}
