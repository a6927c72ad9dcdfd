//! What one thread has announced of shows, and the threads of their users may not have written yet.
//!
//! A bid that is announced to another thread is in no session for a while: first it is gathered with
//! others, then it lies in a mailbox. Its own thread counts it all the same, since
//! [`find`](super::find()) adds what is under way to what it reads. So caps hold among the
//! requests that one thread answers, and still nobody writes a session but the thread whose it is. What
//! they miss is an announcement that a shard sends on, since its user's ids were joined meanwhile: for
//! that moment it is seen nowhere, as what a full mailbox refused is.
//!
//! A user of whom nothing is under way costs a look at one of 64 bits, and, while that is another's too,
//! a walk over what is under way.

use super::profile::Profile;
use super::state::{CancelShow, ShowChange};
use crate::units::{Timestamp, UserKey};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

/// Changes for one shard that go at once, hardly ever reached within the time that they wait.
const GATHERED_MAX: usize = 64;

/// Changes that are remembered until they are written, where a walk of all takes some microseconds.
/// So many are under way only while another thread stands still. Then the oldest are let go of: what
/// goes beyond a cap for that is counted by the shard, like what other threads bid.
const SENT_MAX: usize = 1_024;

/// Changes for one shard, in their order. Who sends them keeps a copy, and is alone with it once they
/// are written.
pub type Batch = Arc<Vec<ShowChange>>;

/// The announcements of one thread that are under way.
#[derive(Debug, Default)]
pub struct Announced {
    under_way: RefCell<UnderWay>,
    /// The bits of all users of whom something is under way.
    users: Cell<u64>,
}

#[derive(Debug, Default)]
struct UnderWay {
    /// What waits for others, by shard.
    gathered: Vec<(usize, Vec<ShowChange>)>,
    /// What was sent, until it is written.
    sent: VecDeque<Batch>,
    sent_count: usize,
}

/// What is to be done for a change that was put to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It waits, and nothing waited before it: take all a little later.
    Later,
    /// It waits with others, or there is nothing left of it.
    Nothing,
    /// No more should wait for its shard: take its changes now.
    Now,
}

impl Announced {
    /// Gathers a change for `shard`. One that takes back a show that waits goes with it.
    pub fn put(&self, shard: usize, change: ShowChange) -> Due {
        let gathered = &mut self.under_way.borrow_mut().gathered;
        let is_first = gathered.is_empty();
        let place = gathered.iter().position(|(other, _)| *other == shard);
        let changes = match place {
            Some(place) => &mut gathered[place].1,
            None => &mut gathered.push_mut((shard, Vec::new())).1,
        };
        if let ShowChange::Cancel(CancelShow { hold, .. }) = change
            && let Some(place) = changes.iter().position(|one| one.pends(hold))
        {
            changes.remove(place);
            return Due::Nothing;
        }
        self.users.set(self.users.get() | bit(change.user()));
        changes.push(change);
        match changes.len() {
            GATHERED_MAX.. => Due::Now,
            _ if is_first => Due::Later,
            _ => Due::Nothing,
        }
    }

    /// What waits for `shard`, to be sent.
    pub fn take(&self, shard: usize) -> Option<Batch> {
        self.take_where(|one| one == shard).map(|(_, batch)| batch)
    }

    /// What waits for some shard, to be sent; `None` where nothing waits.
    pub fn take_next(&self) -> Option<(usize, Batch)> {
        self.take_where(|_| true)
    }

    fn take_where(&self, is_it: impl Fn(usize) -> bool) -> Option<(usize, Batch)> {
        let under_way = &mut *self.under_way.borrow_mut();
        under_way.gathered.retain(|(_, changes)| !changes.is_empty());
        let place = under_way.gathered.iter().position(|(shard, _)| is_it(*shard))?;
        let (shard, changes) = under_way.gathered.swap_remove(place);
        let batch = Arc::new(changes);
        under_way.sent_count += batch.len();
        under_way.sent.push_back(batch.clone());
        self.users.set(under_way.settle());
        Some((shard, batch))
    }

    /// Whether anything of `user` may be under way. To be asked before his session is read, or what is
    /// written in between would be seen in neither place.
    pub(super) fn has(&self, user: UserKey) -> bool {
        if self.users.get() & bit(user) == 0 {
            return false;
        }
        let mut under_way = self.under_way.borrow_mut();
        // Whether a batch is written stands where its shard's thread writes: only who has something
        // there looks.
        if !under_way.has(user) {
            return false;
        }
        self.users.set(under_way.settle());
        under_way.has(user)
    }

    /// Adds what is under way of `user` to a profile into which he was read.
    pub(super) fn add_to(&self, user: UserKey, profile: &mut Profile, now: Timestamp) {
        let under_way = self.under_way.borrow();
        let his = under_way.changes().filter(|change| change.user() == user);
        his.for_each(|change| profile.change(change, now));
    }
}

impl UnderWay {
    /// All that is under way, in the order in which it is written.
    fn changes(&self) -> impl Iterator<Item = &ShowChange> {
        let sent = self.sent.iter().flat_map(|batch| batch.iter());
        sent.chain(self.gathered.iter().flat_map(|(_, changes)| changes))
    }

    fn has(&self, user: UserKey) -> bool {
        self.changes().any(|change| change.user() == user)
    }

    /// Lets go of what is written. Returns the bits of whose is left.
    fn settle(&mut self) -> u64 {
        // This orders what was written before what is read from here on.
        self.sent.retain_mut(|batch| Arc::get_mut(batch).is_none());
        self.sent_count = self.sent.iter().map(|batch| batch.len()).sum();
        while self.sent_count > SENT_MAX {
            let oldest = self.sent.pop_front();
            self.sent_count -= oldest.map_or(0, |batch| batch.len());
        }
        self.changes().fold(0, |bits, change| bits | bit(change.user()))
    }
}

/// One of 64 bits. Keys are hashes; their lowest bits say the shard, so they would tell less.
const fn bit(user: UserKey) -> u64 {
    1 << (user.0 >> 58)
}
