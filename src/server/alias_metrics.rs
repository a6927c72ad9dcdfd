//! What the alias table holds and counted, in magnitudes, read when somebody looks.

use crate::privacy::magnitude;
use crate::session::Aliases;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// Figures of the alias table.
#[derive(Debug)]
pub struct AliasMetrics(pub Arc<Aliases>);

impl Collector for AliasMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.0.status();
        let (gauge, help) = (ConstGauge::new(magnitude(status.aliases)), "Ids joined to others");
        gauge.encode(encoder.encode_descriptor("aliases", help, None, MetricType::Gauge)?)?;
        for (name, help, count) in [
            ("alias_joins", "Joins of ids that were news", status.joined),
            ("alias_joins_known", "Joins of ids that were one user", status.known),
            ("alias_joins_too_many", "Joins refused for too many ids", status.too_many),
            ("alias_joins_rate_limited", "Joins refused for their rate", status.rate_limited),
            ("aliases_evicted", "Ids that gave way", status.evicted),
            ("aliases_expired", "Ids that nobody used", status.expired),
            ("aliases_contended", "Look-ups given up for a lock", status.contended),
            ("sessions_merged", "Sessions that took over another id's", status.merged),
        ] {
            let counter = ConstCounter::new(magnitude(count));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
