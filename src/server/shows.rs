//! A worker's announcements of shows on their way to the shards of their users.
//!
//! Those of the worker's own shard are written at once: its state is on this thread. Those of
//! another go together, since a message that wakes another thread costs more than its contents.

use crate::server::engine::Engine;
use crate::session::{ChangeShows, ShowChange};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds for which an announcement waits for others: as long as that, another worker may
/// bid past a cap. An exchange sends one user's requests farther apart.
const GATHER_MS: u64 = 1;
/// Changes for one shard that go at once, hardly ever reached within the time.
const GATHERED_MAX: usize = 64;

/// The announcements of one worker.
pub struct Shows {
    engine: Arc<Engine>,
    /// The shard whose state lives on this thread.
    own: usize,
    waiting: RefCell<BTreeMap<usize, Vec<ShowChange>>>,
}

impl Shows {
    /// Nothing announced yet, by the worker with this number.
    pub fn new(engine: Arc<Engine>, worker: u16) -> Rc<Self> {
        Rc::new(Self { engine, own: usize::from(worker), waiting: RefCell::default() })
    }

    /// Takes a change to its shard, now or within a millisecond.
    pub fn change(self: &Rc<Self>, change: ShowChange) {
        let shard = self.engine.shard_map.shard_of(change.user());
        if shard == self.own {
            let now = self.engine.civil.now();
            let mut state = self.engine.shard(shard).lock();
            state.change(&change, now);
            let relays = state.take_relays();
            drop(state);
            return self.engine.relay(relays);
        }
        let mut waiting = self.waiting.borrow_mut();
        let is_first = waiting.values().all(Vec::is_empty);
        let changes = waiting.entry(shard).or_default();
        changes.push(change);
        if changes.len() >= GATHERED_MAX {
            self.send(shard, std::mem::take(changes));
        } else if is_first {
            let shows = self.clone();
            actix_web::rt::spawn(async move {
                actix_web::rt::time::sleep(Duration::from_millis(GATHER_MS)).await;
                shows.flush();
            });
        }
    }

    /// Sends what waits.
    pub fn flush(&self) {
        for (shard, changes) in &mut *self.waiting.borrow_mut() {
            if !changes.is_empty() {
                self.send(*shard, std::mem::take(changes));
            }
        }
    }

    /// Tells a shard without waiting: what a full mailbox refuses is counted. An announcement that
    /// was not taken back expires by itself.
    fn send(&self, shard: usize, changes: Vec<ShowChange>) {
        let (engine, count) = (&self.engine, changes.len() as u64);
        let worker = u16::try_from(shard).ok().and_then(|number| engine.worker(number));
        if worker.is_none_or(|worker| worker.shard.try_send(ChangeShows(changes)).is_err()) {
            engine.metrics.refused_many("shows", count);
        }
    }
}
