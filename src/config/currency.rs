//! `[currency]`: the rates table, in the configuration or in a file of its own that can be read
//! again while the server runs.

use super::locate::{line_of, line_of_key};
use super::{ConfigError, Problem};
use crate::rates::{Rates, RatesError};
use crate::units::CurrencyCode;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Currency rates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Currency {
    /// The currency that rates are given in.
    pub base: CurrencyCode,
    /// What one unit is worth in the base currency, as a decimal string.
    pub rates: BTreeMap<String, String>,
    /// The file that has `base` and `[rates]` in their place, relative to the configuration.
    pub file: Option<PathBuf>,
}

impl Default for Currency {
    fn default() -> Self {
        Self { base: CurrencyCode::USD, rates: BTreeMap::new(), file: None }
    }
}

/// What a file of rates holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesFile {
    base: CurrencyCode,
    rates: BTreeMap<String, String>,
}

/// All currencies of the world take 4 kB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

impl Currency {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.file.is_some() && !self.rates.is_empty() {
            let reason = "rates stand either here or in the file";
            return Err(Problem::at("currency.rates", reason.to_owned()));
        }
        let parsed = Rates::parse(self.base, &self.rates);
        parsed.map(drop).map_err(|error| {
            Problem::at(&format!("currency.{}", key_of(&error)), error.to_string())
        })
    }

    /// The table: from the file where one is named, as it is now.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and reason.
    pub fn read(&self) -> Result<Rates, ConfigError> {
        match &self.file {
            Some(file) => self.read_file(file),
            // Was checked when the configuration was read.
            None => Rates::parse(self.base, &self.rates).map_err(|error| ConfigError {
                file: "currency.rates".to_owned(),
                line: 0,
                reason: error.to_string(),
            }),
        }
    }

    fn read_file(&self, file: &Path) -> Result<Rates, ConfigError> {
        let refuse = |line, reason| ConfigError { file: file.display().to_string(), line, reason };
        let mut text = String::new();
        let open = std::fs::File::open(file).map_err(|error| refuse(0, error.to_string()))?;
        let read = open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| refuse(0, error.to_string()))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(refuse(0, format!("more than {FILE_BYTES_MAX} bytes")));
        }
        let found: RatesFile = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(&text, span.start));
            refuse(line, error.message().replace('\n', " "))
        })?;
        if found.base != self.base {
            let reason = format!("base is {}, but {} is configured", found.base, self.base);
            return Err(refuse(line_of_key(&text, "base"), reason));
        }
        Rates::parse(found.base, &found.rates)
            .map_err(|error| refuse(line_of_key(&text, &key_of(&error)), error.to_string()))
    }
}

/// The key that an error is about.
fn key_of(error: &RatesError) -> String {
    match error {
        RatesError::Code(code) => format!("rates.{code}"),
        RatesError::Rate { code, .. } | RatesError::Twice(code) | RatesError::Base(code) => {
            format!("rates.{code}")
        }
        RatesError::TooMany => "rates".to_owned(),
    }
}
