//! `GET /api/v1/report`: how the engine fares, as one JSON object. What a campaign's money did is exact,
//! what its users did comes from private releases, with 95 % intervals. Totals that move with requests
//! and bills are exact; what else is counted over users is a magnitude, and figures over clicks are
//! rounded once enough are behind them.

use crate::auction;
use crate::budget;
use crate::hash::stable_lower;
use crate::market;
use crate::prediction;
use crate::privacy::{ContextBucket, Estimate, Kind, Releases, magnitude, rounded};
use crate::server::engine::Engine;
use crate::session;
use serde_json::{Value, json};

/// The learner's figures without what it counted over users: impressions and clicks leave their
/// actor as releases only. Ratios over all campaigns stay, rounded.
fn without_counts<'a>(
    status: &prediction::LearnerStatus,
    exchanges: impl Iterator<Item = &'a String>,
) -> Value {
    let quality = |quality: &prediction::QualitySummary| {
        let shown = |figure| rounded(figure, quality.clicks);
        json!({
            "log_loss": shown(quality.recent_log_loss),
            "normalised_entropy": shown(quality.recent_normalised_entropy),
            "predicted_over_actual": shown(quality.recent_predicted_over_actual),
            "calibration_error": shown(quality.recent_calibration_error),
            "auc": shown(quality.auc),
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
        "conversions_predicted_over_actual":
            rounded(status.conversions.predicted_over_actual(), status.conversions.conversions),
        "progressive": quality(&status.progressive),
    })
}

/// A shard's figures: which shard, and how much of everything.
fn in_magnitudes(status: &session::ShardStatus) -> Value {
    let mut shown = json!(status);
    let figures = shown.as_object_mut().into_iter().flatten();
    for (_, figure) in figures.filter(|(name, _)| !["shard", "partitions"].contains(&name.as_str()))
    {
        *figure = figure.as_u64().map_or(Value::Null, |count| magnitude(count).into());
    }
    shown
}

/// A released sum with its standard error and the interval in which the true sum lies in 19 of 20
/// cases.
fn with_interval(estimate: Estimate) -> Value {
    json!({
        "value": estimate.value,
        "standard_error": estimate.variance.sqrt(),
        "interval_95": estimate.interval_95(),
    })
}

/// One entry for each kind of release; spend in nanos, of which a unit has so many.
fn by_kind(
    spend_unit_nanos: f64,
    of: impl Fn(Kind) -> Option<Estimate>,
) -> serde_json::Map<String, Value> {
    let entry = |kind: Kind| {
        let (name, unit) = match kind {
            Kind::Spend => ("spend_nanos", spend_unit_nanos),
            _ => (kind.label(), 1.0),
        };
        let shown = of(kind).map_or(Value::Null, |sum| with_interval(sum.times(unit)));
        (name.to_owned(), shown)
    };
    Kind::ALL.map(entry).into_iter().collect()
}

impl Engine {
    /// The report.
    pub async fn report(&self) -> Value {
        let (mut cores, mut shards) = (Vec::new(), Vec::new());
        for worker in self.workers() {
            let core = worker.auction.send(auction::Status).await.ok();
            cores.extend(core.map(|core| auction::CoreStatus {
                clicks_repeated: magnitude(core.clicks_repeated),
                ..core
            }));
            shards.extend(worker.shard.send(session::Status).await.ok());
        }
        let no_bids: serde_json::Map<_, _> =
            self.metrics.no_bids().into_iter().map(|(why, n)| (why.to_owned(), n.into())).collect();
        let releases = self.published.releases.load_full();
        json!({
            "requests": self.metrics.requests.get(),
            "answers": self.metrics.answers.get(),
            "bids": self.metrics.bids.get(),
            "no_bid_reasons": no_bids,
            "releases": Self::released(&releases),
            "campaigns": self.campaign_reports(&releases),
            "budget": self.budget.address().send(budget::Status).await.ok(),
            "learner": self.learner.address().send(prediction::Status).await.ok()
                .map(|status| without_counts(&status, self.config.exchanges.keys())),
            "market": self.market.address().send(market::Status).await.ok(),
            "privacy": self.privacy.status(),
            "attribution": { "touches_pushed_out": magnitude(self.conversions.touches_pushed_out()) },
            "cores": cores,
            "shards": shards.iter().map(in_magnitudes).collect::<Vec<_>>(),
            "revived": self.revivals(),
        })
    }

    /// Which releases the report reads: all questions until the next ones are answered alike.
    fn released(releases: &Releases) -> Value {
        json!({ "epoch": releases.epoch(), "at": releases.at() })
    }

    /// Released behaviour by campaign.
    fn campaign_reports(&self, releases: &Releases) -> Vec<Value> {
        let (catalog, unit) = (self.published.catalog.load(), releases.spend_unit_nanos() as f64);
        let campaigns = catalog.all_campaigns().map(|campaign| {
            let mut report = by_kind(unit, |kind| releases.total(campaign.id, kind));
            report.insert("id".to_owned(), campaign.name.clone().into());
            let split = self.arm_books.report(campaign.id).unwrap_or_default();
            report.insert("split".to_owned(), split);
            report.into()
        });
        campaigns.collect()
    }

    /// What is released of one campaign, in all and by context; `None` for one that the catalog does
    /// not have.
    pub fn campaign_report(&self, name: &str) -> Option<Value> {
        let catalog = self.published.catalog.load();
        let id = catalog.all_campaigns().find(|campaign| campaign.name == name)?.id;
        let releases = self.published.releases.load();
        let unit = releases.spend_unit_nanos() as f64;
        let contexts = ContextBucket::all().map(|bucket| {
            let (device, format) = bucket.names();
            let mut report = by_kind(unit, |kind| releases.estimate(id, bucket, kind));
            report.insert("device".to_owned(), device.into());
            report.insert("format".to_owned(), format.into());
            Value::from(report)
        });
        let mut report = by_kind(unit, |kind| releases.total(id, kind));
        report.insert("id".to_owned(), name.into());
        report.insert("releases".to_owned(), Self::released(&releases));
        report.insert("contexts".to_owned(), contexts.collect());
        Some(report.into())
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
