//! What releases cost and whether they are made, read when somebody looks.

use crate::privacy::{Aggregates, Part, Why};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// The releases of this process.
pub struct PrivacyMetrics(pub Aggregates);

impl fmt::Debug for PrivacyMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivacyMetrics")
    }
}

impl Collector for PrivacyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.0.status();
        let help = "Epsilon that the days up to today cost one user";
        let gauge = MetricType::Gauge;
        let mut family = encoder.encode_descriptor("privacy_epsilon", help, None, gauge)?;
        for (span, figures) in &status.spent_over {
            family.encode_family(&[("span", *span)])?.encode_gauge(&figures.epsilon)?;
        }
        let help = "Rho that was charged for today, by what it is spent on";
        let mut family = encoder.encode_descriptor("privacy_rho", help, None, gauge)?;
        for part in Part::ALL {
            let rho = status.parts.get(part.label()).copied().unwrap_or(0.0);
            family.encode_family(&[("part", part.label())])?.encode_gauge(&rho)?;
        }
        let help = "1 at the reason why nothing is released";
        let mut family = encoder.encode_descriptor("privacy_stopped", help, None, gauge)?;
        for why in Why::ALL {
            let is_it = u64::from(status.stopped == Some(why.label()));
            family.encode_family(&[("reason", why.label())])?.encode_gauge(&is_it)?;
        }
        for (name, help, value) in [
            ("privacy_full", "Whether today takes nobody new", i64::from(status.is_full)),
            ("privacy_segment", "Runs of mechanisms within the day", status.segment.into()),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, count) in [
            ("privacy_releases", "Intervals released since the start", status.releases),
            ("privacy_refused", "Intervals that were not released", status.refused),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
