//! Counters of what users did: kept exactly for this process, shown as magnitudes.

use crate::notice::Purpose;
use crate::notice::outcome::Outcome;
use crate::privacy::magnitude;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What users did by its kind, of which `/metrics` tells magnitudes. A kind that is not told has no
/// line, since a line of 0 would say that there was one.
#[derive(Clone, Debug)]
pub struct Behaviour {
    name: &'static str,
    help: &'static str,
    // Held for one look-up in a handful of kinds.
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Behaviour {
    /// Nothing counted.
    pub fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counts: Arc::default() }
    }

    /// Counts `count` more of a kind.
    pub fn add(&self, what: &'static str, count: u64) {
        *self.counts.lock().entry(what).or_default() += count;
    }

    /// The count itself, which no route tells.
    pub fn exact(&self, what: &str) -> u64 {
        self.counts.lock().get(what).copied().unwrap_or(0)
    }
}

impl Collector for Behaviour {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let kind = MetricType::Counter;
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (what, count) in &*self.counts.lock() {
            let shown = magnitude(*count);
            if shown > 0 {
                family
                    .encode_family(&[("what", *what)])?
                    .encode_counter::<NoLabelSet, _, u64>(&shown, None)?;
            }
        }
        Ok(())
    }
}

/// Notices by kind and outcome: those of money exactly, since bills have them too, and clicks and
/// views as magnitudes.
#[derive(Clone, Debug)]
pub struct Notices(Arc<[[AtomicU64; Outcome::ALL.len()]; Purpose::ALL.len()]>);

impl Notices {
    /// Counts a notice.
    pub fn count(&self, purpose: Purpose, outcome: Outcome) {
        self.0[purpose as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The count itself, which no route tells of clicks and views.
    pub fn exact(&self, purpose: Purpose, outcome: Outcome) -> u64 {
        self.0[purpose as usize][outcome as usize].load(Ordering::Relaxed)
    }
}

impl Default for Notices {
    fn default() -> Self {
        Self(Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)))))
    }
}

impl Collector for Notices {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "Notices, by kind and outcome";
        let mut family = encoder.encode_descriptor("notices", help, None, MetricType::Counter)?;
        for purpose in Purpose::ALL {
            for outcome in Outcome::ALL {
                let exact = self.exact(purpose, outcome);
                let shown = if outcome.is_behaviour(purpose) { magnitude(exact) } else { exact };
                if shown > 0 {
                    let labels = [("kind", purpose.label()), ("outcome", outcome.label())];
                    family
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&shown, None)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn clicks_are_shown_by_their_magnitude_and_bills_as_they_are() {
        let (notices, events) = (Notices::default(), Behaviour::new("events", "Events"));
        for _ in 0..67 {
            notices.count(Purpose::Billing, Outcome::Charged);
            notices.count(Purpose::Click, Outcome::Clicked);
        }
        for _ in 0..49 {
            notices.count(Purpose::View, Outcome::Evidence);
            notices.count(Purpose::Click, Outcome::Forged);
        }
        events.add("accepted", 1_234);
        events.add("rejected", 49);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(notices.clone()));
        registry.register_collector(Box::new(events.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a text");
        for line in [
            "notices_total{kind=\"billing\",outcome=\"charged\"} 67",
            "notices_total{kind=\"click\",outcome=\"clicked\"} 60",
            "notices_total{kind=\"click\",outcome=\"forged\"} 49",
            "events_total{what=\"accepted\"} 1200",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("view") && !text.contains("rejected"), "49 are hidden: {text}");
        let exact = notices.exact(Purpose::Click, Outcome::Clicked);
        assert_eq!((exact, events.exact("rejected")), (67, 49));
    }
}
