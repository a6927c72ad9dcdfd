//! Counters for operators, in Prometheus' text format. Labels come from closed lists; nothing here
//! is counted per user, and per campaign only what the arms of traffic splits spent. Exact is what
//! moves with requests or with bills; what users did otherwise is shown as a magnitude.

use crate::auction::NoBid;
use crate::consent::{Restriction, Restrictions};
use crate::notice::Purpose;
use crate::notice::outcome::Outcome;
use crate::server::behaviour::{Behaviour, Notices};
use crate::server::behaviour_log::Refusals;
use crate::server::event_log;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// One label from a closed list.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Label {
    what: &'static str,
}

/// What an exchange was refused; exchanges are those of the configuration.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ExchangeLabels {
    exchange: String,
    what: &'static str,
}

/// All counters. The bid path holds the counters themselves: an increment is one atomic addition,
/// without a look-up.
pub struct Metrics {
    registry: Registry,
    /// Bid requests received.
    pub requests: Counter,
    /// Requests answered with at least one bid.
    pub answers: Counter,
    /// Bids in those answers.
    pub bids: Counter,
    no_bids: [Counter; NoBid::ALL.len()],
    restricted: [Counter; Restriction::ALL.len()],
    /// Seconds since the rates were read, as of the last look.
    pub rates_age_s: Gauge,
    /// Milliseconds that the server's time is ahead of the machine's, as of the last look.
    pub clock_ahead_ms: Gauge,
    rates_reloads: Family<Label, Counter>,
    /// Bids that were made to learn.
    pub explorations: Counter,
    /// Bids for users whose cap other workers' bids had reached by then.
    pub bids_beyond_cap: Counter,
    /// Bids left out because the answer was longer than the exchange takes.
    pub bids_cut: Counter,
    exchange_refusals: Family<ExchangeLabels, Counter>,
    /// Campaigns that were ranked down for diversity.
    pub ranked_down: Counter,
    /// Session reads that found the stripe taken and went on with a cold profile.
    pub sessions_contended: Counter,
    adjustments: Family<Label, Counter>,
    edits: Family<Label, Counter>,
    forgotten: Family<Label, Counter>,
    campaigns_stopped: Gauge,
    astray: Family<Label, Counter>,
    /// Messages that a full mailbox refused, by what they carried.
    pub refused: Family<Label, Counter>,
    /// Events by outcome.
    pub events: Behaviour,
    /// Notices, views and clicks by kind and outcome.
    pub notices: Notices,
    /// What became of first-price bids, by what the notice told of the market.
    pub market: Family<Label, Counter>,
    /// Conversions by what they are owed to, or why to nothing.
    pub conversions: Behaviour,
    /// Entries of the event log.
    pub event_entries: event_log::Counters,
    /// Charges by where their price came from.
    pub prices: Family<Label, Counter>,
}

impl Metrics {
    /// Fresh counters, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("outbid");
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let requests = counter(&mut registry, "bid_requests", "Bid requests received");
        let answers = counter(&mut registry, "bid_answers", "Requests answered with a bid");
        let bids = counter(&mut registry, "bids", "Bids made");
        let help =
            "Bids beyond a frequency cap that bids of other workers reached at the same time";
        let bids_beyond_cap = counter(&mut registry, "bids_beyond_cap", help);
        let bids_cut = counter(&mut registry, "bids_cut", "Bids left out to shorten an answer");
        let explorations = counter(&mut registry, "explorations", "Bids made to learn");
        let help = "Campaigns ranked down, as their category filled too much of what a user saw";
        let ranked_down = counter(&mut registry, "ranked_down", help);
        let sessions_contended =
            counter(&mut registry, "sessions_contended", "Session reads given up for a lock");
        let by_reason = Family::<Label, Counter>::default();
        registry.register("no_bids", "Requests without a bid, by reason", by_reason.clone());
        let no_bids = NoBid::ALL
            .map(|reason| by_reason.get_or_create(&Label { what: reason.as_str() }).clone());
        let by_signal = Family::<Label, Counter>::default();
        registry.register("restricted", "Requests restricted, by the signal", by_signal.clone());
        let restricted = Restriction::ALL
            .map(|signal| by_signal.get_or_create(&Label { what: signal.as_str() }).clone());
        let family = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<Label, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let exchange_refusals = Family::<ExchangeLabels, Counter>::default();
        let help = "Bid requests refused with an error, by exchange and reason";
        registry.register("exchange_refusals", help, exchange_refusals.clone());
        let rates_age_s = Gauge::default();
        let help = "Seconds since the rates table was read";
        registry.register("rates_age_seconds", help, rates_age_s.clone());
        let clock_ahead_ms = Gauge::default();
        let help = "Milliseconds that time is ahead of the machine's clock, which was set back";
        registry.register("clock_ahead_milliseconds", help, clock_ahead_ms.clone());
        let rates_reloads =
            family(&mut registry, "rates_reloads", "Reloads of the rates table, by outcome");
        let adjustments = family(&mut registry, "adjustments", "Adjustments by what came of them");
        let forgotten = family(&mut registry, "forgotten", "Wishes to be forgotten by outcome");
        let edits = family(&mut registry, "edits", "Edits of campaigns by what came of them");
        let campaigns_stopped = Gauge::default();
        let help = "Campaigns whose edits do not fit their files";
        registry.register("campaigns_stopped", help, campaigns_stopped.clone());
        let help = "Requests for a path, method or exchange that a listener does not have";
        let astray = family(&mut registry, "astray_requests", help);
        let refused = family(&mut registry, "messages_refused", "Messages a mailbox refused");
        let events = Behaviour::new("events", "Behaviour events, by outcome");
        registry.register_collector(Box::new(events.clone()));
        let conversions = Behaviour::new("conversions", "Conversions, by outcome");
        registry.register_collector(Box::new(conversions.clone()));
        let market = family(
            &mut registry,
            "market_observations",
            "First-price bids that ended, by what was told",
        );
        let event_entries = event_log::Counters::default();
        registry.register_collector(Box::new(event_entries.clone()));
        let prices = family(&mut registry, "charges", "Charging notices, by the price's source");
        let notices = Notices::default();
        registry.register_collector(Box::new(notices.clone()));
        Self {
            registry,
            requests,
            answers,
            bids,
            bids_beyond_cap,
            bids_cut,
            explorations,
            ranked_down,
            rates_age_s,
            clock_ahead_ms,
            rates_reloads,
            exchange_refusals,
            no_bids,
            restricted,
            sessions_contended,
            adjustments,
            edits,
            forgotten,
            campaigns_stopped,
            astray,
            refused,
            events,
            notices,
            market,
            conversions,
            event_entries,
            prices,
        }
    }

    /// Shows what the steps of the sequence model take.
    pub fn time_steps(&mut self, seconds: Histogram) {
        let help = "Time that a step of the sequence model took";
        self.registry.register_with_unit("sequence_step", help, Unit::Seconds, seconds);
    }

    /// Shows what the behaviour log did not keep, and the keys that it keeps.
    pub fn behaviour_log(&mut self, refusals: &Refusals, keys: &Gauge) {
        let help = "What the behaviour log did not keep in time, and why";
        self.registry.register("behaviour_log_refused", help, refusals.clone());
        let help = "Keys of days that open the behaviour log";
        self.registry.register("behaviour_log_keys", help, keys.clone());
    }

    /// Also tells what others count.
    pub fn watch(&mut self, others: impl Collector + 'static) {
        self.registry.register_collector(Box::new(others));
    }

    /// Counts a request that got no bid.
    pub fn no_bid(&self, reason: NoBid) {
        self.no_bids[reason as usize].inc();
    }

    /// Counts a reload of the rates.
    pub fn rates_reloaded(&self, what: &'static str) {
        self.rates_reloads.get_or_create(&Label { what }).inc();
    }

    /// Counts a bid request that was answered with an error.
    pub fn exchange_refused(&self, exchange: &str, what: &'static str) {
        let labels = ExchangeLabels { exchange: exchange.to_owned(), what };
        self.exchange_refusals.get_or_create(&labels).inc();
    }

    /// Counts what restricts a request, each signal for itself.
    pub fn restricted(&self, by: Restrictions) {
        for restriction in by.iter() {
            self.restricted[restriction as usize].inc();
        }
    }

    /// Requests without a bid so far, by reason.
    #[must_use]
    pub fn no_bids(&self) -> Vec<(&'static str, u64)> {
        let counts = self.no_bids.iter().map(Counter::get);
        NoBid::ALL.iter().map(|reason| reason.as_str()).zip(counts).collect()
    }

    /// Counts an adjustment of the ledger.
    pub fn adjusted(&self, what: &'static str) {
        self.adjustments.get_or_create(&Label { what }).inc();
    }

    /// Counts an edit of a campaign.
    pub fn edited(&self, what: &'static str) {
        self.edits.get_or_create(&Label { what }).inc();
    }

    /// Counts what came of a wish to be forgotten.
    pub fn forgot(&self, what: &'static str) {
        self.forgotten.get_or_create(&Label { what }).inc();
    }

    /// Says how many campaigns are stopped because of their edits.
    pub fn stopped(&self, campaigns: usize) {
        self.campaigns_stopped.set(i64::try_from(campaigns).unwrap_or(i64::MAX));
    }

    /// What counts the requests that the listener `what` has no path for.
    pub fn astray(&self, what: &'static str) -> Counter {
        self.astray.get_or_create(&Label { what }).clone()
    }

    /// Counts a message that a full mailbox refused.
    pub fn refused(&self, what: &'static str) {
        self.refused_many(what, 1);
    }

    /// Counts what was in a message that a full mailbox refused.
    pub fn refused_many(&self, what: &'static str, count: u64) {
        self.refused.get_or_create(&Label { what }).inc_by(count);
    }

    /// Counts what a notice told of the market.
    pub fn market(&self, what: &'static str) {
        self.market.get_or_create(&Label { what }).inc();
    }

    /// Counts a charge by where its price came from.
    pub fn price(&self, what: &'static str) {
        self.prices.get_or_create(&Label { what }).inc();
    }

    /// Counts a notice.
    pub fn notice(&self, purpose: Purpose, outcome: Outcome) {
        self.notices.count(purpose, outcome);
    }

    /// All counters in Prometheus' text format.
    ///
    /// # Errors
    /// Formatting failed, which a `String` does not do.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
