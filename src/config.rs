//! One typed configuration: file, then environment (`OUTBID_*` for secrets and listeners), then
//! flags. Unknown keys are refused with file and line; every default stands here and nowhere else.

use crate::privacy;
use crate::units::CurrencyCode;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a configuration was refused: one line for a person.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct ConfigError {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Everything that `outbid serve` is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this format; 1.
    pub version: u32,
    /// Where things lie on disk.
    pub paths: Paths,
    /// Listeners and workers.
    #[serde(default)]
    pub server: Server,
    /// Exchanges by name: the name in `/openrtb2/{name}/bid`.
    #[serde(rename = "exchange")]
    pub exchanges: BTreeMap<String, Exchange>,
    /// User sessions.
    #[serde(default)]
    pub session: Session,
    /// The click model.
    #[serde(default)]
    pub prediction: Prediction,
    /// Leases and pacing.
    #[serde(default)]
    pub budget: Budget,
    /// Differentially private releases.
    #[serde(default)]
    pub privacy: privacy::Config,
    /// Experiment arms; without them every user is in arm `full`.
    #[serde(default)]
    pub experiment: Experiment,
    /// Currency rates: what one unit is worth in the base currency, as decimals.
    #[serde(default)]
    pub currency: Currency,
}

/// Folders, relative to the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Advertisers, campaigns, creatives.
    pub catalog: PathBuf,
    /// Bidding strategies, one file each.
    pub strategies: PathBuf,
    /// What the server writes: keys, boot count.
    pub state: PathBuf,
}

/// Listeners and workers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where exchanges send bid requests.
    pub exchange_listen: SocketAddr,
    /// Where notices, clicks and events arrive.
    pub public_listen: SocketAddr,
    /// Where operators and advertisers look.
    pub admin_listen: SocketAddr,
    /// How the public listener is reached from outside; notice and click URLs start so. Empty:
    /// `http://` and the public listener's address.
    pub public_url: String,
    /// HTTP workers, each with its AuctionActor and SessionShard; 0 is one a core.
    pub workers: usize,
    /// Bid requests that one worker holds at once; what comes above is shed with an empty 204.
    pub in_flight_max: usize,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Milliseconds that a keep-alive connection may idle: exchanges ask for 90 s or more.
    pub keep_alive_ms: u64,
    /// Milliseconds from the first byte of a body to its last.
    pub body_deadline_ms: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            exchange_listen: ([127, 0, 0, 1], 8080).into(),
            public_listen: ([127, 0, 0, 1], 8081).into(),
            admin_listen: ([127, 0, 0, 1], 8082).into(),
            public_url: String::new(),
            workers: 0,
            in_flight_max: 512,
            body_bytes_max: 256 * 1024,
            keep_alive_ms: 95_000,
            body_deadline_ms: 1_000,
        }
    }
}

/// One exchange.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// Our seat with it.
    pub seat: String,
    /// Which notice charges the advertiser; the others are evidence.
    pub charge_on: ChargeOn,
    /// Milliseconds taken off `tmax` for the network.
    pub margin_ms: u64,
    /// `tmax` where a request names none, in milliseconds.
    pub tmax_default_ms: u64,
    /// How a no-bid looks.
    pub no_bid: NoBidStyle,
    /// Seconds without news after which a hold counts as late.
    pub decision_ttl_s: u32,
    /// Seconds within which the exchange bills; afterwards late money is free again.
    pub billing_window_s: u32,
    /// What is asked of supply chains (`source.schain`).
    pub schain: SupplyChains,
    /// Sellers that no money may reach: `asi!sid`, or `asi` for all that a system sells.
    pub blocked_sellers: Vec<String>,
    /// Sources of shared ids (`user.eids`) that name users, most trusted first; empty: all, as sent.
    pub eid_sources: Vec<String>,
    /// What requests with `test: 1` get.
    pub test_requests: TestRequests,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            seat: "outbid".to_owned(),
            charge_on: ChargeOn::Billing,
            margin_ms: 20,
            tmax_default_ms: 120,
            no_bid: NoBidStyle::Empty204,
            decision_ttl_s: 120,
            billing_window_s: 3_600,
            schain: SupplyChains::Ignore,
            blocked_sellers: Vec::new(),
            eid_sources: Vec::new(),
            test_requests: TestRequests::Bid,
        }
    }
}

/// Which notice moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeOn {
    /// The billing notice (`burl`).
    Billing,
    /// The win notice (`nurl`).
    Win,
    /// The view pixel in the markup.
    Impression,
}

/// What is asked of a supply chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupplyChains {
    /// Nothing.
    Ignore,
    /// To be complete, where there is one.
    CompleteIfPresent,
    /// To be there and complete.
    RequireComplete,
}

/// What a request with `test: 1` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestRequests {
    /// A bid as any other, for which no money is held and whose notices are refused.
    Bid,
    /// No bid.
    NoBid,
}

/// The forms of a no-bid (OpenRTB implementation guide §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoBidStyle {
    /// HTTP 204 without a body.
    #[serde(rename = "204")]
    Empty204,
    /// `{"id":…,"nbr":…}`.
    Nbr,
}

/// User sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Hard bound on sessions; the least recently used go first.
    pub sessions_max: usize,
    /// Seconds without a touch after which a session is dropped.
    pub idle_s: u32,
}

impl Default for Session {
    fn default() -> Self {
        Self { sessions_max: 2_000_000, idle_s: 14 * 86_400 }
    }
}

/// The click model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prediction {
    /// Seconds that an impression waits for its click before it counts as a negative.
    pub click_window_s: u32,
    /// Click probability before anything is known.
    pub base_click_rate: f32,
    /// Seed of the model's first weights.
    pub seed: u64,
}

impl Default for Prediction {
    fn default() -> Self {
        Self { click_window_s: 600, base_click_rate: 0.01, seed: 1 }
    }
}

/// Leases and pacing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Milliseconds between ticks: controllers, releases and model snapshots are due at ticks.
    pub tick_ms: u64,
    /// `false` takes the pacing multiplier out of the price: to compare, not to use.
    pub pacing: bool,
    /// Milliseconds that the in-memory log waits before it acknowledges: to see what a slow disk
    /// would do.
    pub log_delay_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tick_ms: 1_000, pacing: true, log_delay_ms: 0 }
    }
}

/// Experiment arms.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// Arm names by share in percent; they sum to 100.
    pub arms: BTreeMap<String, u8>,
}

/// Currency rates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Currency {
    /// The currency that rates are given in.
    pub base: CurrencyCode,
    /// What one unit is worth in the base currency, as a decimal string.
    pub rates: BTreeMap<String, String>,
}

impl Default for Currency {
    fn default() -> Self {
        Self { base: CurrencyCode::USD, rates: BTreeMap::new() }
    }
}

impl Config {
    /// Reads and checks a file; folders in it become absolute or relative to the working folder.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and reason.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let refuse = |line, reason| ConfigError { file: name.clone(), line, reason };
        let text = std::fs::read_to_string(file).map_err(|error| refuse(0, error.to_string()))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(&text, span.start));
            refuse(line, error.message().replace('\n', " "))
        })?;
        config.check().map_err(|reason| refuse(0, reason))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for path in
            [&mut config.paths.catalog, &mut config.paths.strategies, &mut config.paths.state]
        {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!("version {} is not known; this is version 1", self.version));
        }
        if !self.server.exchange_listen.ip().is_loopback() {
            return Err("server.exchange_listen must be a loopback address: exchanges cannot be \
                        authenticated yet, so put a proxy that does it in front"
                .to_owned());
        }
        if self.server.public_listen.ip().is_unspecified() && self.server.public_url.is_empty() {
            return Err(
                "server.public_url is needed: notices cannot be sent to every address".to_owned()
            );
        }
        if self.server.workers > WORKERS_MAX {
            return Err(format!("server.workers is above {WORKERS_MAX}"));
        }
        if self.exchanges.is_empty() {
            return Err("at least one [exchange.NAME] is needed".to_owned());
        }
        if self.exchanges.len() > EXCHANGES_MAX {
            return Err(format!("more than {EXCHANGES_MAX} exchanges"));
        }
        for (name, exchange) in &self.exchanges {
            if exchange.billing_window_s < exchange.decision_ttl_s {
                return Err(format!(
                    "exchange.{name}: billing_window_s must not be below decision_ttl_s"
                ));
            }
        }
        if !self.experiment.arms.is_empty() {
            let total: u32 = self.experiment.arms.values().map(|share| u32::from(*share)).sum();
            if total != 100 {
                return Err(format!("experiment.arms add up to {total}, not to 100"));
            }
        }
        if self.server.in_flight_max == 0 || self.server.body_bytes_max < 1_024 {
            return Err("server: in_flight_max and body_bytes_max are too small to bid".to_owned());
        }
        if self.budget.tick_ms == 0 {
            return Err("budget.tick_ms must be positive".to_owned());
        }
        let rate = self.prediction.base_click_rate;
        if !(rate > 0.0 && rate < 0.5) {
            return Err("prediction.base_click_rate lies between 0 and 0.5".to_owned());
        }
        Ok(())
    }

    /// How the public listener is reached from outside, without a slash at the end.
    #[must_use]
    pub fn public_url(&self) -> String {
        if self.server.public_url.is_empty() {
            format!("http://{}", self.server.public_listen)
        } else {
            self.server.public_url.trim_end_matches('/').to_owned()
        }
    }
}

/// Exchanges are numbered in a `u16` within tokens and metrics; a hundred is far past any bidder.
const EXCHANGES_MAX: usize = 100;

/// Workers are numbered in lease ids and nonces; more cores than this are several machines.
const WORKERS_MAX: usize = 1_024;

/// The line, from 1, that holds byte `offset` of `text`.
#[must_use]
pub fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("outbid.toml");
        std::fs::write(&file, text).expect("a file");
        Config::load(&file).map_err(|error| format!("{}: {}", error.line, error.reason))
    }

    const GOOD: &str =
        "version = 1\n[paths]\ncatalog = 'c'\nstrategies = 's'\nstate = 'v'\n[exchange.x]\n";

    #[test]
    fn a_small_file_is_enough() {
        let config = load(GOOD).expect("good");
        assert!(config.paths.catalog.is_absolute());
        assert_eq!(config.exchanges["x"].charge_on, ChargeOn::Billing);
        assert_eq!(config.public_url(), "http://127.0.0.1:8081");
    }

    #[test]
    fn wrong_files_are_refused_with_their_line() {
        for (text, expected) in [
            (format!("{GOOD}\nwrong = 1\n"), "8: unknown field `wrong`"),
            (GOOD.replace("version = 1", "version = 2"), "0: version 2"),
            (GOOD.replace("[exchange.x]", ""), "missing field `exchange`"),
            (format!("{GOOD}decision_ttl_s = 9\nbilling_window_s = 8\n"), "0: exchange.x: billing"),
            (
                format!("{GOOD}[experiment]\narms = {{ full = 99 }}\n"),
                "0: experiment.arms add up to 99",
            ),
            (format!("{GOOD}charge_on = 'never'\n"), "7: unknown variant"),
            (format!("{GOOD}[server]\nexchange_listen = '0.0.0.0:80'\n"), "0: server.exchange"),
            (format!("{GOOD}[server]\npublic_listen = '0.0.0.0:80'\n"), "0: server.public_url"),
        ] {
            let error = load(&text).expect_err(expected);
            assert!(error.contains(expected), "{error} against {expected}");
        }
    }
}
