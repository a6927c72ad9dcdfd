//! What the learner says of itself, as of its last tick: rounded ratios over all campaigns and by
//! exchange, once enough clicks are behind them, and what it lost. What shows came to is exact, since
//! each is on a bill; clicks and conversions are magnitudes.

use crate::hash::stable_lower;
use crate::prediction::{LearnerStatus, QualitySummary, exchange_feature};
use crate::privacy::{magnitude, rounded};
use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::Arc;

/// The learner's figures.
pub struct LearnerMetrics {
    status: Arc<ArcSwap<LearnerStatus>>,
    /// Configured exchanges, by the id of their feature.
    names: Vec<(u32, String)>,
}

impl LearnerMetrics {
    /// The figures behind `status`, of exchanges with these names.
    pub fn new(
        status: Arc<ArcSwap<LearnerStatus>>,
        exchanges: impl Iterator<Item = String>,
    ) -> Self {
        let named = exchanges.map(|name| (exchange_feature(stable_lower(&name)), name));
        Self { status, names: named.collect() }
    }

    /// The quality of what the model predicted, by exchange; over all of them under no name.
    pub fn by_exchange<'a>(
        &'a self,
        status: &'a LearnerStatus,
    ) -> impl Iterator<Item = (&'a str, &'a QualitySummary)> {
        let named = self.names.iter().filter_map(|(id, name)| {
            let found = status.exchanges.iter().find(|(exchange, _)| exchange == id)?;
            Some((name.as_str(), &found.1))
        });
        std::iter::once(("", &status.model)).chain(named)
    }
}

impl fmt::Debug for LearnerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.names).finish()
    }
}

/// A ratio of one quality, and its name.
type Figure = (&'static str, &'static str, fn(&QualitySummary) -> f64);

const FIGURES: [Figure; 4] = [
    ("prediction_over_actual", "Clicks predicted of those that came", |one| {
        one.recent_predicted_over_actual
    }),
    ("prediction_calibration_error", "Expected calibration error", |one| {
        one.recent_calibration_error
    }),
    ("prediction_normalised_entropy", "Log loss over the entropy of the click rate", |one| {
        one.recent_normalised_entropy
    }),
    ("prediction_log_loss", "Mean log loss, nats", |one| one.recent_log_loss),
];

impl Collector for LearnerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.status.load();
        for (name, help, figure) in FIGURES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (exchange, quality) in self.by_exchange(&status) {
                if let Some(shown) = rounded(figure(quality), quality.clicks) {
                    family.encode_family(&[("exchange", exchange)])?.encode_gauge(&shown)?;
                }
            }
        }
        let help = "How long the oldest show that could be learned waits";
        let seconds = Some(&Unit::Seconds);
        let mut family =
            encoder.encode_descriptor("learner_lag", help, seconds, MetricType::Gauge)?;
        let lag_s = status.lag_ms as f64 / 1e3;
        family.encode_gauge(&lag_s)?;
        let help = "Conversions predicted of those that came so far";
        let mut family = encoder.encode_descriptor(
            "conversion_prediction_over_actual",
            help,
            None,
            MetricType::Gauge,
        )?;
        let conversions = &status.conversions;
        if let Some(shown) = rounded(conversions.predicted_over_actual(), conversions.conversions) {
            family.encode_gauge(&shown)?;
        }
        let help = "Clicks that wait for conversions";
        let mut family =
            encoder.encode_descriptor("learner_clicks_waiting", help, None, MetricType::Gauge)?;
        family.encode_gauge(&magnitude(status.conversions_waiting as u64))?;
        let help = "Shows in the join table";
        let mut family =
            encoder.encode_descriptor("learner_waiting", help, None, MetricType::Gauge)?;
        family.encode_gauge(&(status.waiting as u64))?;
        let counters = &status.counters;
        let help = "What the learner could not use, by what it was";
        let mut family =
            encoder.encode_descriptor("learner_lost", help, None, MetricType::Counter)?;
        for (what, count) in [
            ("show_duplicate", counters.duplicate_impressions),
            ("show_stale", counters.stale_impressions),
            ("show_dropped", counters.dropped_impressions),
            ("click_duplicate", magnitude(counters.duplicate_clicks)),
            ("click_late", magnitude(counters.late_clicks)),
            ("click_unknown", magnitude(counters.unknown_clicks)),
            ("exchange_refused", counters.exchanges_refused),
            ("conversion_click_dropped", magnitude(status.conversions.dropped_clicks)),
            ("conversion_duplicate", magnitude(status.conversions.duplicate)),
            ("conversion_late", magnitude(status.conversions.late)),
            ("conversion_unknown", magnitude(status.conversions.unknown)),
        ] {
            family
                .encode_family(&[("what", what)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
