//! One typed configuration: file, then environment (`OUTBID_*` for secrets and listeners), then
//! flags. Unknown keys are refused with file and line; every default stands here and nowhere else.

mod auction;
mod currency;
mod exchange;
mod locate;
mod network;
mod prediction;
mod relevance;
mod secret;
mod session;
mod store;

pub use auction::{Auction, Diversity};
pub use currency::Currency;
use exchange::environment_prefix;
pub use exchange::{
    Auth, BILLING_WINDOW_S_MAX, ChargeOn, Exchange, NoBidStyle, PriceForm, SupplyChains,
    TestRequests, is_within,
};
pub use network::Network;
pub use prediction::{OnnxReranker, Prediction};
pub use relevance::Relevance;
pub use secret::{PriceKeys, Secret};
pub use session::{AliasFrom, Session};
pub use store::{Store, StoreKind};

use crate::consent;
use crate::privacy;
pub use locate::line_of;
use locate::line_of_key;
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
    /// What belongs together.
    #[serde(default)]
    pub relevance: Relevance,
    /// Leases and pacing.
    #[serde(default)]
    pub budget: Budget,
    /// Differentially private releases.
    #[serde(default)]
    pub privacy: privacy::Config,
    /// Our place under the European consent framework.
    #[serde(default)]
    pub consent: consent::Config,
    /// What keeps pages and users from being flooded.
    #[serde(default)]
    pub auction: Auction,
    /// Experiment arms; without them every user is in arm `full`.
    #[serde(default)]
    pub experiment: Experiment,
    /// Currency rates: what one unit is worth in the base currency, as decimals.
    #[serde(default)]
    pub currency: Currency,
    /// What conversions are owed to.
    #[serde(default)]
    pub attribution: Attribution,
    /// Where logs are kept.
    #[serde(default)]
    pub store: Store,
    /// What is not wrong but should be otherwise, a line each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// What is wrong with a key.
struct Problem {
    /// The key with its tables, dots between them.
    key: String,
    reason: String,
}

impl Problem {
    fn at(key: &str, reason: String) -> Self {
        Self { key: key.trim_end_matches('.').to_owned(), reason }
    }
}

/// Folders, relative to the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Advertisers, campaigns, creatives.
    pub catalog: PathBuf,
    /// Bidding strategies, one file each.
    pub strategies: PathBuf,
    /// What the server writes: keys, boot count, logs.
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

/// What conversions are owed to: the last click within its window, else the last view within its.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attribution {
    /// Seconds after a click within which a conversion is owed to it.
    pub click_window_s: u32,
    /// Seconds after a view within which a conversion is owed to it; 0 owes none to views.
    pub view_window_s: u32,
}

impl Default for Attribution {
    fn default() -> Self {
        Self { click_window_s: 30 * 86_400, view_window_s: 86_400 }
    }
}

impl Config {
    /// Reads and checks a file; folders in it become absolute or relative to the working folder.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and reason.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, &|name| std::env::var(name).ok())
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        file: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let refuse = |line, reason| ConfigError { file: name.clone(), line, reason };
        let text = std::fs::read_to_string(file).map_err(|error| refuse(0, error.to_string()))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(&text, span.start));
            refuse(line, error.message().replace('\n', " "))
        })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        config.check().and_then(|()| config.read_secrets(folder, env)).map_err(|problem| {
            let line = line_of_key(&text, &problem.key);
            refuse(line, format!("{}: {}", problem.key, problem.reason))
        })?;
        for path in
            [&mut config.paths.catalog, &mut config.paths.strategies, &mut config.paths.state]
                .into_iter()
                .chain(&mut config.currency.file)
                .chain(&mut config.relevance.sequence_model)
                .chain(config.prediction.onnx.as_mut().map(|onnx| &mut onnx.file))
        {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    fn read_secrets(
        &mut self,
        folder: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Problem> {
        for (name, exchange) in &mut self.exchanges {
            exchange.read_secrets(name, folder, env, &mut self.warnings)?;
        }
        let read = self.session.read_secrets(folder, env, &mut self.warnings);
        read.map_err(|reason| Problem::at("session.key_file", reason))?;
        Ok(())
    }

    fn check(&self) -> Result<(), Problem> {
        let problem = |key: &str, reason: &str| Err(Problem::at(key, reason.to_owned()));
        if self.version != 1 {
            return problem("version", "it is not known; this is version 1");
        }
        if self.server.public_listen.ip().is_unspecified() && self.server.public_url.is_empty() {
            return problem(
                "server.public_url",
                "it is needed: notices cannot be sent to every address",
            );
        }
        let is_of_url = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte);
        if !self.server.public_url.bytes().all(is_of_url) {
            return problem("server.public_url", "it has a letter that no URL has");
        }
        if self.server.workers > WORKERS_MAX {
            return Err(Problem::at("server.workers", format!("it is above {WORKERS_MAX}")));
        }
        self.check_exchanges()?;
        self.currency.check()?;
        self.auction.check()?;
        if !self.experiment.arms.is_empty() {
            let total: u32 = self.experiment.arms.values().map(|share| u32::from(*share)).sum();
            if total != 100 {
                let reason = format!("they add up to {total}, not to 100");
                return Err(Problem::at("experiment.arms", reason));
            }
        }
        if self.server.in_flight_max == 0 || self.server.body_bytes_max < 1_024 {
            return problem("server", "in_flight_max or body_bytes_max is too small to bid");
        }
        consent::Policy::try_from(&self.consent).map_err(|wrong| {
            let (key, reason) = wrong.split_once(": ").unwrap_or(("consent", &wrong));
            Problem::at(key, reason.to_owned())
        })?;
        if self.budget.tick_ms == 0 {
            return problem("budget.tick_ms", "it must be positive");
        }
        if let Some((key, reason)) = self.relevance.problem() {
            return problem(key, &reason);
        }
        self.check_strict()?;
        if let Some((key, reason)) = self.session.problem() {
            return problem(key, &reason);
        }
        if let Some((key, reason)) = self.store.problem() {
            return problem(key, reason);
        }
        if let Some((key, reason)) = self.prediction.problem() {
            return problem(key, reason);
        }
        if let Err(privacy::Error::Config { key, problem }) = privacy::Plan::try_from(&self.privacy)
        {
            return Err(Problem::at(&format!("privacy.{key}"), problem));
        }
        Ok(())
    }

    /// Strict mode leaves nothing of others but releases, so what is learned of them without is off.
    fn check_strict(&self) -> Result<(), Problem> {
        if !self.privacy.mode.is_strict() {
            return Ok(());
        }
        if self.relevance.collaborative {
            let reason = "it must be false where privacy.mode is strict: what users of the pool visit \
                          together is no release";
            return Err(Problem::at("relevance.collaborative", reason.to_owned()));
        }
        if self.privacy.model == privacy::ModelKind::Plain {
            let reason = "it needs model = \"dp-ftrl\": the plain click model learns without noise";
            return Err(Problem::at("privacy.mode", reason.to_owned()));
        }
        Ok(())
    }

    fn check_exchanges(&self) -> Result<(), Problem> {
        if self.exchanges.is_empty() || self.exchanges.len() > EXCHANGES_MAX {
            let reason = format!("from 1 to {EXCHANGES_MAX} tables [exchange.NAME] are needed");
            return Err(Problem::at("exchange", reason));
        }
        let (mut paths, mut prefixes) = (BTreeMap::new(), BTreeMap::new());
        let is_loopback = self.server.exchange_listen.ip().is_loopback();
        for (name, exchange) in &self.exchanges {
            exchange.check(name)?;
            if !is_loopback && !exchange.auth.is_required() {
                let reason = "it must be a loopback address while an exchange has no `auth`: \
                              anybody could bid for the money of our advertisers";
                let reason = format!("{reason} (exchange.{name})");
                return Err(Problem::at("server.exchange_listen", reason));
            }
            if let Some(other) = paths.insert(exchange.path(name), name) {
                let reason = format!("exchange.{other} has the same path");
                return Err(Problem::at(&format!("exchange.{name}.path"), reason));
            }
            if let Some(other) = prefixes.insert(environment_prefix(name), name) {
                let reason = format!("its secrets have the same names as those of `{other}`");
                return Err(Problem::at(&format!("exchange.{name}"), reason));
            }
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

#[cfg(test)]
mod tests;
