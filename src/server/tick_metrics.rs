//! How long ticks keep their threads, read when somebody looks.

use crate::latency::TickTimes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

/// The times of ticks by actor, those of all cores together.
#[derive(Clone, Debug)]
pub struct TickMetrics(pub Vec<(&'static str, TickTimes)>);

impl Collector for TickMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let unit = Some(&Unit::Seconds);
        let help = "Time that a tick worked, by actor";
        let mut family = encoder.encode_descriptor("tick", help, unit, MetricType::Histogram)?;
        for (actor, times) in &self.0 {
            times.whole().encode(family.encode_family(&[("actor", *actor)])?)?;
        }
        let help = "Longest time that a tick worked before others got their turn, by actor";
        let mut family =
            encoder.encode_descriptor("tick_stretch", help, unit, MetricType::Histogram)?;
        for (actor, times) in &self.0 {
            times.longest().encode(family.encode_family(&[("actor", *actor)])?)?;
        }
        Ok(())
    }
}
