//! A worker's announcements of shows on their way to the shards of their users.
//!
//! Those of the worker's own shard are written at once: its state is on this thread. Those of
//! another go together, since a message that wakes another thread costs more than its contents. The
//! worker itself counts them meanwhile, so its own bids keep a cap however close they come.

use crate::server::engine::Engine;
use crate::session::{Announced, Batch, ChangeShows, Due, ShowChange};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds for which an announcement waits for others. As long as that and until it is written,
/// other workers may bid past a cap, which a page's ad calls sent at once do come to; the shard counts
/// such bids.
const GATHER_MS: u64 = 1;

/// The announcements of one worker.
pub struct Shows {
    engine: Arc<Engine>,
    /// The shard whose state lives on this thread.
    own: usize,
    announced: Announced,
}

impl Shows {
    /// Nothing announced yet, by the worker with this number.
    pub fn new(engine: Arc<Engine>, worker: u16) -> Rc<Self> {
        Rc::new(Self { engine, own: usize::from(worker), announced: Announced::default() })
    }

    /// What is under way to other shards.
    pub const fn announced(&self) -> &Announced {
        &self.announced
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
        match self.announced.put(shard, change) {
            Due::Now => {
                self.announced.take(shard).into_iter().for_each(|batch| self.send(shard, batch));
            }
            Due::Later => {
                let shows = self.clone();
                actix_web::rt::spawn(async move {
                    actix_web::rt::time::sleep(Duration::from_millis(GATHER_MS)).await;
                    shows.flush();
                });
            }
            Due::Nothing => {}
        }
    }

    /// Sends what waits.
    pub fn flush(&self) {
        while let Some((shard, batch)) = self.announced.take_next() {
            self.send(shard, batch);
        }
    }

    /// Tells a shard without waiting: what a full mailbox refuses is counted. An announcement that
    /// was not taken back expires by itself.
    fn send(&self, shard: usize, batch: Batch) {
        let (engine, count) = (&self.engine, batch.len() as u64);
        let worker = u16::try_from(shard).ok().and_then(|number| engine.worker(number));
        if worker.is_none_or(|worker| worker.shard.try_send(ChangeShows(batch)).is_err()) {
            engine.metrics.refused_many("shows", count);
        }
    }
}
