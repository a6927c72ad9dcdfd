//! `GET /api/v1/report`: how the engine fares, as one JSON object. Counts by campaign come from the
//! ledger (money, exact) and from private releases (behaviour, noisy); of a traffic split's arms bids,
//! wins and spend are exact. Nothing else that users did is shown raw.

use crate::auction;
use crate::budget;
use crate::hash::stable_lower;
use crate::market;
use crate::prediction;
use crate::privacy::Kind;
use crate::server::engine::Engine;
use crate::session;
use serde_json::{Value, json};

/// The learner's figures without what it counted over users: impressions and clicks leave their
/// actor as releases only. Ratios over all campaigns stay.
fn without_counts<'a>(
    status: &prediction::LearnerStatus,
    exchanges: impl Iterator<Item = &'a String>,
) -> Value {
    let quality = |quality: &prediction::QualitySummary| {
        json!({
            "log_loss": quality.recent_log_loss,
            "normalised_entropy": quality.recent_normalised_entropy,
            "predicted_over_actual": quality.recent_predicted_over_actual,
            "calibration_error": quality.recent_calibration_error,
            "auc": quality.auc,
        })
    };
    let by_exchange: serde_json::Map<_, _> = exchanges
        .filter_map(|name| {
            let feature = prediction::exchange_feature(stable_lower(name));
            let found = status.exchanges.iter().find(|(exchange, _)| *exchange == feature)?;
            Some((name.clone(), quality(&found.1)))
        })
        .collect();
    json!({
        "epoch": status.epoch,
        "ads": status.ads,
        "ads_refused": status.ads_refused,
        "prior_weight": status.prior_weight,
        "lag_ms": status.lag_ms,
        "served": quality(&status.served),
        "model": quality(&status.model),
        "model_by_exchange": by_exchange,
        "conversions_predicted_over_actual": status.conversions.predicted_over_actual(),
        "progressive": quality(&status.progressive),
    })
}

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
            "learner": self.learner.address().send(prediction::Status).await.ok()
                .map(|status| without_counts(&status, self.config.exchanges.keys())),
            "market": self.market.address().send(market::Status).await.ok(),
            "privacy": self.privacy.status(),
            "attribution": { "touches_pushed_out": self.conversions.touches_pushed_out() },
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
                "split": self.arm_books.report(campaign.id),
            })
        });
        campaigns.collect()
    }

    fn revivals(&self) -> u64 {
        self.budget.revivals()
            + self.aggregates.revivals()
            + self.learner.revivals()
            + self.market.revivals()
            + self.catalog.revivals()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learner_reports_no_count_over_users() {
        let learner = prediction::Learner::new(&prediction::Config::default()).expect("defaults");
        let exchanges = ["demo".to_owned()];
        let text = without_counts(&learner.status(), exchanges.iter()).to_string();
        for hidden in ["buckets", "clicks", "examples", "arms", "waiting", "counters"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}
