//! What the logs say of themselves, read when somebody looks. The log of events has a record
//! for each bill, which are known, and for each click and conversion, and the behaviour log for what users
//! did, so their records are not counted.

use crate::store::{COMMIT_BOUNDS_US, Health, LogStatus, OrderedLog};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::Arc;

/// The server's logs by name.
pub struct LogMetrics(pub Vec<(&'static str, Arc<dyn OrderedLog>)>);

impl fmt::Debug for LogMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Collector for LogMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let logs: Vec<_> =
            self.0.iter().map(|(name, log)| ([("log", *name)], log.status(), log.head())).collect();
        let is_counted = |name| !["events", "behaviour"].contains(&name);
        let counted = || logs.iter().filter(|(log, ..)| is_counted(log[0].1));
        let help = "Records made durable since the start";
        let mut family =
            encoder.encode_descriptor("log_appends", help, None, MetricType::Counter)?;
        for (log, status, _) in counted() {
            family
                .encode_family(log)?
                .encode_counter::<NoLabelSet, _, u64>(&status.appends, None)?;
        }
        let help = "Time until a commit was durable";
        let seconds = Some(&Unit::Seconds);
        let mut family =
            encoder.encode_descriptor("log_commit", help, seconds, MetricType::Histogram)?;
        for (log, status, _) in counted() {
            let buckets = buckets(status);
            let count = status.commits.iter().sum();
            family.encode_family(log)?.encode_histogram::<NoLabelSet>(
                status.commit_nanos as f64 / 1e9,
                count,
                &buckets,
                None,
            )?;
        }
        let mut family =
            encoder.encode_descriptor("log_health", "1 at its state", None, MetricType::Gauge)?;
        for (log, status, _) in &logs {
            for state in Health::LABELS {
                let is_it = u64::from(status.health.label() == state);
                family.encode_family(&[log[0], ("state", state)])?.encode_gauge(&is_it)?;
            }
        }
        let help = "How long the present write takes already";
        let mut family = encoder.encode_descriptor("log_lag", help, seconds, MetricType::Gauge)?;
        for (log, status, _) in &logs {
            family.encode_family(log)?.encode_gauge(&(status.lag_nanos as f64 / 1e9))?;
        }
        let mut family =
            encoder.encode_descriptor("log_position", "Last position", None, MetricType::Gauge)?;
        for (log, _, head) in counted() {
            family.encode_family(log)?.encode_gauge(&head.0)?;
        }
        Ok(())
    }
}

/// Upper bounds in seconds, each with the commits of its class alone: the encoder sums them up.
fn buckets(status: &LogStatus) -> Vec<(f64, u64)> {
    let bounds = COMMIT_BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
    bounds.zip(status.commits).collect()
}
