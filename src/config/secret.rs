//! Secrets that a configuration refers to: read from files or the environment, shown nowhere.

use crate::base64;
use serde::Deserialize;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// A file of secrets is a line or two.
const SECRET_FILE_BYTES_MAX: u64 = 4_096;

/// Bytes that are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

impl Secret {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What a file holds, without white space around it.
    pub(super) fn read(file: &Path, warnings: &mut Vec<String>) -> Result<Self, String> {
        Ok(Self::new(read(file, warnings)?.trim().as_bytes()))
    }

    /// A key of 32 bytes as exchanges write them: base64, also for URLs, with or without padding,
    /// or 64 hexadecimal digits.
    pub(super) fn of_key(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut bytes = vec![0; KEY_BYTES];
        if text.len() == 2 * KEY_BYTES && text.is_ascii() {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
            }
        } else {
            let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
            base64::decode(text.as_bytes(), &mut bytes)?;
        }
        Some(Self(bytes))
    }
}

/// Bytes of each key.
const KEY_BYTES: usize = 32;

/// The two keys of encrypted prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceKeys {
    /// `e_key`: hides the price.
    pub encryption: Secret,
    /// `i_key`: signs it.
    pub integrity: Secret,
}

/// The file of the two keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    encryption_key: String,
    integrity_key: String,
}

impl PriceKeys {
    /// Reads both keys, each base64 or hexadecimal.
    ///
    /// # Errors
    /// Which of them is none, without showing it.
    pub fn parse(encryption: &str, integrity: &str) -> Result<Self, String> {
        let key = |name, text: &str| {
            let wrong = || format!("the {name} key is not 32 bytes in base64 or hexadecimal");
            Secret::of_key(text).ok_or_else(wrong)
        };
        Ok(Self {
            encryption: key("encryption", encryption)?,
            integrity: key("integrity", integrity)?,
        })
    }

    pub(super) fn read(file: &Path, warnings: &mut Vec<String>) -> Result<Self, String> {
        // What the parser would say may quote a key.
        let wrong = || format!("{}: needs encryption_key and integrity_key alone", file.display());
        let keys: KeyFile = toml::from_str(&read(file, warnings)?).map_err(|_| wrong())?;
        Self::parse(&keys.encryption_key, &keys.integrity_key)
            .map_err(|reason| format!("{}: {reason}", file.display()))
    }
}

pub(super) fn read(file: &Path, warnings: &mut Vec<String>) -> Result<String, String> {
    let refuse = |error: std::io::Error| format!("{}: {error}", file.display());
    let open = std::fs::File::open(file).map_err(refuse)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = open.metadata().map_err(refuse)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            warnings.push(format!(
                "{}: others than its owner may read it (mode {mode:o}): chmod 600",
                file.display()
            ));
        }
    }
    let mut text = String::new();
    open.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text).map_err(refuse)?;
    Ok(text)
}
