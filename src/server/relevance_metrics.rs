//! What relevance holds, in magnitudes, read when somebody looks.

use crate::privacy::magnitude;
use crate::relevance::RelevanceState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Figures of the relevance actor's state.
pub struct RelevanceMetrics(pub RelevanceState);

impl fmt::Debug for RelevanceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelevanceMetrics")
    }
}

impl Collector for RelevanceMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.0.status();
        let (pairs, sessions) = (status.pairs, status.sessions);
        for (name, help, held) in [
            ("relevance_pairs", "Pairs of items visited together", pairs.pairs),
            ("relevance_items", "Items with pairs", pairs.items),
            ("relevance_sessions", "Sessions that others are compared with", sessions.sessions),
            ("relevance_content_items", "Items with ads that are like them", status.content_items),
            ("relevance_co_visited_lists", "Items with ads by pairs", status.co_visited_lists),
            ("relevance_suggested_lists", "Users with ads by sessions", status.suggested_lists),
            ("relevance_lists_waiting", "Lists that are to be made anew", status.waiting),
        ] {
            let gauge = ConstGauge::new(magnitude(held as u64));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let publish = ConstGauge::new(self.0.publish_us() as f64 / 1e6);
        let help = "Time that the last tick's lists took";
        let name = "relevance_publish_seconds";
        publish.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        for (name, help, count) in [
            ("relevance_visits", "Visits learned from", status.visits),
            ("relevance_lists_refused", "Lists not made as too many waited", status.refused),
            ("relevance_pairs_evicted", "Pairs that gave way", pairs.pairs_forgotten),
            ("relevance_items_evicted", "Items that gave way", pairs.items_forgotten),
            ("relevance_sessions_evicted", "Sessions that gave way", sessions.sessions_forgotten),
        ] {
            let counter = ConstCounter::new(magnitude(count));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
