//! The end of the process: bidding stops, and what is leased goes back to its accounts while the
//! cores still live. Their actors end with the exchange's listener.

use crate::auction;
use crate::budget::{LeaseTotals, Quiesce, Save, Status, WindUp};
use crate::server::engine::Engine;
use crate::units::Nanos;
use std::time::Duration;

/// Milliseconds that the leases get to be given back: two steps each, and a log that waits 50 ms
/// acknowledges sixty in that time. What is not back by then stays leased until its window ends.
const GIVE_BACK_MS: u64 = 3_000;
/// Milliseconds between two looks at the cores.
const LOOK_MS: u64 = 5;
/// Milliseconds that the log gets to acknowledge and the ledger to fold what was appended last.
const DRAIN_MS: u64 = 3_000;

impl Engine {
    /// Ends all bidding and returns what no bid holds. From here on requests are no-bids.
    pub async fn give_leases_back(&self) {
        if self.budget.address().send(WindUp).await.is_err() {
            self.metrics.refused("wind_up");
        }
        let limit = Duration::from_millis(GIVE_BACK_MS);
        let in_time = tokio::time::timeout(limit, self.until_given_back()).await.is_ok();
        let held_nanos = self.lease_totals().await.held.0;
        let beyond_nanos = self.leased().await.map_or(0, |leased| (leased.0 - held_nanos).max(0));
        if in_time && beyond_nanos == 0 {
            tracing::info!(held_nanos, beyond_nanos, "leases are given back");
        } else {
            tracing::error!(held_nanos, beyond_nanos, "leases stay out until their windows end");
        }
    }

    /// Waits until everything that was appended is durable and folded.
    pub async fn drain_log(&self) {
        let limit = Duration::from_millis(DRAIN_MS);
        let drained = tokio::time::timeout(limit, self.budget.address().send(Quiesce)).await;
        if !matches!(drained, Ok(Ok(()))) {
            tracing::error!("the ledger's log did not come to rest");
        }
    }

    /// Saves the ledger, so that the next start reads none of the log again.
    pub async fn save_ledger(&self) {
        let limit = Duration::from_millis(DRAIN_MS);
        let saved = tokio::time::timeout(limit, self.budget.address().send(Save)).await;
        if !matches!(saved, Ok(Ok(()))) {
            tracing::warn!("the ledger was not saved: the next start takes longer");
        }
    }

    async fn until_given_back(&self) {
        loop {
            let totals = self.lease_totals().await;
            if totals.at_hand == Nanos::ZERO && totals.open_steps == 0 {
                return;
            }
            // Frees what was held for answers that nobody waited for, and offers it.
            let now = self.civil.now();
            for worker in self.workers() {
                // A worker that is gone has nothing to say.
                let _ = worker.auction.send(auction::Tick { now }).await;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// What the cores have, together.
    async fn lease_totals(&self) -> LeaseTotals {
        let mut totals = LeaseTotals::default();
        for worker in self.workers() {
            let Ok(status) = worker.auction.send(auction::Status).await else { continue };
            totals.held += status.leases.held;
            totals.at_hand += status.leases.at_hand;
            totals.open_steps += status.leases.open_steps;
        }
        totals
    }

    /// What the ledger has leased and not heard to be late, over all campaigns.
    async fn leased(&self) -> Option<Nanos> {
        let status = self.budget.address().send(Status).await.ok()?;
        let accounts = status.campaigns.iter().filter_map(|campaign| campaign.account.as_ref());
        Some(accounts.map(|account| account.total.leased).sum())
    }
}
