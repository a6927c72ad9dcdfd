//! `GET /api/v1/report`: how the engine fares, as one JSON object. Counts by campaign come from the
//! ledger (money, exact) and from private releases (behaviour, noisy); nothing raw is shown.

use crate::auction;
use crate::budget;
use crate::prediction;
use crate::privacy::Kind;
use crate::server::engine::Engine;
use crate::session;
use serde_json::{Value, json};

impl Engine {
    /// The report.
    pub async fn report(&self) -> Value {
        let (mut cores, mut shards) = (Vec::new(), Vec::new());
        for worker in self.workers() {
            cores.extend(worker.auction.send(auction::Status).await.ok());
            shards.extend(worker.shard.send(session::Status).await.ok());
        }
        let no_bids: serde_json::Map<_, _> =
            self.metrics.no_bids().into_iter().map(|(why, n)| (why.to_owned(), n.into())).collect();
        json!({
            "requests": self.metrics.requests.get(),
            "answers": self.metrics.answers.get(),
            "bids": self.metrics.bids.get(),
            "no_bid_reasons": no_bids,
            "campaigns": self.campaign_reports(),
            "budget": self.budget.address().send(budget::Status).await.ok(),
            "learner": self.learner.address().send(prediction::Status).await.ok(),
            "privacy": self.privacy.status(),
            "cores": cores,
            "shards": shards,
            "revived": self.revivals(),
        })
    }

    /// Released behaviour by campaign, each with its standard error.
    fn campaign_reports(&self) -> Vec<Value> {
        let catalog = self.published.catalog.load();
        let releases = self.published.releases.load();
        let released = |campaign, kind| {
            releases.total(campaign, kind).map(
                |total| json!({ "value": total.value, "standard_error": total.variance.sqrt() }),
            )
        };
        let campaigns = catalog.all_campaigns().map(|campaign| {
            json!({
                "id": campaign.name,
                "impressions": released(campaign.id, Kind::Impression),
                "clicks": released(campaign.id, Kind::Click),
                "conversions": released(campaign.id, Kind::Conversion),
            })
        });
        campaigns.collect()
    }

    fn revivals(&self) -> u64 {
        self.budget.revivals()
            + self.aggregates.revivals()
            + self.learner.revivals()
            + self.catalog.revivals()
    }
}
