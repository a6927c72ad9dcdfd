//! `[exchange.NAME]`: everything that differs from one exchange to the next.
//!
//! Secrets never stand in the configuration itself: a key names a file, or the environment has
//! them (`OUTBID_EXCHANGE_NAME_...`, the name in capitals, `-` as `_`). The environment wins.

use super::Problem;
use super::network::Network;
use super::secret::{PriceKeys, Secret};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// One exchange.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// Where it posts bid requests; empty: `/openrtb2/NAME/bid`.
    pub path: String,
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
    /// How it writes the clearing price into notices.
    pub price: PriceForm,
    /// The file with the keys of encrypted prices, relative to the configuration.
    pub price_keys_file: Option<PathBuf>,
    /// Whether gzip and zstd are read, and written where they are asked for.
    pub compression: bool,
    /// Answers below this many bytes are sent as they are: one segment of TCP gains nothing.
    pub compress_above_bytes: usize,
    /// OpenRTB creative attributes (list 5.3) that it takes; absent: all that a request does not
    /// block.
    pub allowed_attributes: Option<Vec<u8>>,
    /// Largest answer in bytes, before compression; 0 is any.
    pub answer_bytes_max: usize,
    /// Bid requests a second, over all workers of this process; 0 is any number.
    pub qps_max: u32,
    /// How it proves who it is.
    pub auth: Auth,
    /// What is asked of supply chains (`source.schain`).
    pub schain: SupplyChains,
    /// Sellers that no money may reach: `asi!sid`, or `asi` for all that a system sells.
    pub blocked_sellers: Vec<String>,
    /// Sources of shared ids (`user.eids`) that name users, most trusted first; empty: all, as sent.
    pub eid_sources: Vec<String>,
    /// What requests with `test: 1` get.
    pub test_requests: TestRequests,
    /// The keys of encrypted prices, once [`super::Config::load`] has read them.
    #[serde(skip)]
    pub price_keys: Option<PriceKeys>,
    /// The shared secret, once [`super::Config::load`] has read it.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            path: String::new(),
            seat: "outbid".to_owned(),
            charge_on: ChargeOn::Billing,
            margin_ms: 20,
            tmax_default_ms: 120,
            no_bid: NoBidStyle::Empty204,
            decision_ttl_s: 120,
            billing_window_s: 3_600,
            price: PriceForm::Plain,
            price_keys_file: None,
            compression: true,
            compress_above_bytes: 1_400,
            allowed_attributes: None,
            answer_bytes_max: 0,
            qps_max: 0,
            auth: Auth::None {},
            schain: SupplyChains::Ignore,
            blocked_sellers: Vec::new(),
            eid_sources: Vec::new(),
            test_requests: TestRequests::Bid,
            price_keys: None,
            secret: None,
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

/// The forms of a clearing price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceForm {
    /// A decimal CPM.
    Plain,
    /// Google's scheme: micros of CPM, encrypted and signed with HMAC-SHA1.
    Google,
}

/// How an exchange proves who it is. Without a proof the exchange listener is loopback only.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// It does not.
    None {},
    /// A header with a secret that both know.
    SharedSecret {
        /// The header's name.
        header: String,
        /// The file that holds the secret, relative to the configuration.
        secret_file: Option<PathBuf>,
    },
    /// A header by which a TLS proxy of ours says whose certificate it has verified.
    MtlsHeader {
        /// The header's name; the proxy must replace what clients send under it.
        header: String,
        /// The values admitted, byte for byte.
        allowed: Vec<String>,
        /// From where the header is believed.
        trusted_proxies: Vec<Network>,
    },
    /// The address that its connections come from.
    Addresses {
        /// The networks admitted.
        allowed: Vec<Network>,
    },
}

impl Auth {
    /// Whether there is any proof.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        !matches!(self, Self::None {})
    }
}

/// Creative attributes are bits of a `u64`.
const ATTRIBUTE_MAX: u8 = 63;
/// Seconds of the longest billing window: notices are taken for two of them, and closed leases are known
/// as long, so that a copy of an old bill is known as a copy.
pub const BILLING_WINDOW_S_MAX: u32 = 86_400;

/// No answer to a single imp is shorter than this: what is smaller would drop every bid.
const ANSWER_BYTES_MIN: usize = 512;

/// A shared secret below this many bytes can be guessed.
const SECRET_BYTES_MIN: usize = 16;

impl Exchange {
    /// The path at which it posts bid requests.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { format!("/openrtb2/{name}/bid") } else { self.path.clone() }
    }

    /// The creative attributes that it does not take: bit `n` for attribute `n`.
    #[must_use]
    pub fn refused_attributes(&self) -> u64 {
        let taken = |list: &Vec<u8>| list.iter().fold(0, |bits, code| bits | 1u64 << (code & 63));
        self.allowed_attributes.as_ref().map_or(0, |list| !taken(list))
    }

    /// What cannot be, by its key.
    pub(super) fn check(&self, name: &str) -> Result<(), Problem> {
        let problem = |key: &str, reason: &str| {
            Err(Problem::at(&format!("exchange.{name}.{key}"), reason.to_owned()))
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return problem("", "the name has letters, digits, `-` and `_` only: URLs carry it");
        }
        if self.billing_window_s < self.decision_ttl_s {
            return problem("billing_window_s", "it must not be below decision_ttl_s");
        }
        if self.billing_window_s > BILLING_WINDOW_S_MAX {
            return problem("billing_window_s", "it must not be above 86400, a day");
        }
        if self.tmax_default_ms <= self.margin_ms {
            return problem("tmax_default_ms", "it must be above margin_ms, or nothing is in time");
        }
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !self.path(name).starts_with('/') || !self.path.chars().all(is_path) {
            return problem("path", "it begins with `/` and has letters, digits and `/-_.~` only");
        }
        if self.price == PriceForm::Plain && self.price_keys_file.is_some() {
            return problem("price_keys_file", "plain prices have no keys: set price = \"google\"");
        }
        if self.answer_bytes_max != 0 && self.answer_bytes_max < ANSWER_BYTES_MIN {
            return problem(
                "answer_bytes_max",
                "no bid fits in less than 512 bytes; 0 is any size",
            );
        }
        let codes = self.allowed_attributes.iter().flatten();
        if codes.into_iter().any(|code| *code == 0 || *code > ATTRIBUTE_MAX) {
            return problem("allowed_attributes", "attributes are numbers from 1 to 63");
        }
        match &self.auth {
            Auth::None {} => Ok(()),
            Auth::SharedSecret { header, .. } | Auth::MtlsHeader { header, .. }
                if !is_header(header) =>
            {
                problem("auth.header", "it is not the name of an HTTP header")
            }
            Auth::SharedSecret { .. } => Ok(()),
            Auth::MtlsHeader { allowed, trusted_proxies, .. } => {
                if allowed.is_empty() || allowed.iter().any(String::is_empty) {
                    return problem("auth.allowed", "at least one value is needed, none empty");
                }
                is_network("auth.trusted_proxies", trusted_proxies, &problem)
            }
            Auth::Addresses { allowed } => is_network("auth.allowed", allowed, &problem),
        }
    }

    /// Reads the secrets that it needs from the environment or from their files.
    pub(super) fn read_secrets(
        &mut self,
        name: &str,
        folder: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Problem> {
        let prefix = environment_prefix(name);
        let env = |key: &str| env(&format!("{prefix}{key}"));
        let problem = |key: &str, reason| Problem::at(&format!("exchange.{name}.{key}"), reason);
        if self.price == PriceForm::Google {
            let keys = match (env("ENCRYPTION_KEY"), env("INTEGRITY_KEY"), &self.price_keys_file) {
                (Some(encryption), Some(integrity), _) => PriceKeys::parse(&encryption, &integrity),
                (None, None, Some(file)) => PriceKeys::read(&folder.join(file), warnings),
                (None, None, None) => Err(format!(
                    "google prices need price_keys_file, or {prefix}ENCRYPTION_KEY and \
                     {prefix}INTEGRITY_KEY in the environment"
                )),
                _ => Err(format!("{prefix}ENCRYPTION_KEY and {prefix}INTEGRITY_KEY go together")),
            };
            self.price_keys = Some(keys.map_err(|reason| problem("price", reason))?);
        }
        if let Auth::SharedSecret { secret_file, .. } = &self.auth {
            let secret = match (env("SECRET"), secret_file) {
                (Some(text), _) => Ok(Secret::new(text.trim().as_bytes())),
                (None, Some(file)) => Secret::read(&folder.join(file), warnings),
                (None, None) => {
                    Err(format!("secret_file or {prefix}SECRET in the environment is needed"))
                }
            };
            let secret = secret.map_err(|reason| problem("auth", reason))?;
            if secret.bytes().len() < SECRET_BYTES_MIN {
                return Err(problem("auth", "the secret has less than 16 bytes".to_owned()));
            }
            self.secret = Some(secret);
        }
        Ok(())
    }
}

/// What the names of an exchange's secrets in the environment begin with.
pub(super) fn environment_prefix(name: &str) -> String {
    format!("OUTBID_EXCHANGE_{}_", name.to_ascii_uppercase().replace('-', "_"))
}

fn is_header(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// A list that admits everybody is no proof.
fn is_network(
    key: &str,
    list: &[Network],
    problem: &dyn Fn(&str, &str) -> Result<(), Problem>,
) -> Result<(), Problem> {
    if list.is_empty() {
        return problem(key, "at least one network is needed");
    }
    if list.iter().any(Network::is_everything) {
        return problem(key, "a network of all addresses admits everybody");
    }
    Ok(())
}

/// Whether `address` lies in any of the networks.
#[must_use]
pub fn is_within(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.has(address))
}
