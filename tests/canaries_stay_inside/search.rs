//! What is looked for, and where.

use super::planted::{CLICKS, CONVERSIONS, Canary, EVENTS, USERS};
use outbid::hash::UserHasher;
use outbid::session::UserId;
use serde_json::Value;
use std::path::Path;

/// Texts and bytes that must be nowhere, each with the name of what it is.
pub struct Needles {
    all: Vec<(String, Vec<u8>)>,
    /// By their first two bytes, the places in `all`.
    index: Vec<Vec<usize>>,
}

impl Needles {
    /// Of what was planted, with the keys that this installation has for its users.
    pub fn of(canaries: &[Canary], state: &Path) -> Self {
        let mut all = Vec::new();
        let hashers = hashers(state);
        assert!(!hashers.is_empty(), "the key that users are hashed with");
        for canary in canaries {
            for text in canary.texts() {
                all.extend(spelled(&text).into_iter().map(|bytes| (text.clone(), bytes)));
            }
            let ids = [
                UserId::Ifa(&canary.ifa),
                UserId::Buyeruid { exchange: "x", id: &canary.buyeruid },
                UserId::Id(&canary.user_id),
                UserId::Eid { source: "shared.example", id: &canary.eid },
            ];
            for key in hashers.iter().flat_map(|hasher| ids.map(|id| id.key(hasher))).flatten() {
                let name = format!("the key of {}", canary.user_id);
                all.extend(key_spelled(key.0).into_iter().map(|bytes| (name.clone(), bytes)));
            }
        }
        let mut index = vec![Vec::new(); 1 << 16];
        for (place, (_, bytes)) in all.iter().enumerate() {
            index[usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))].push(place);
        }
        Self { all, index }
    }

    pub fn spellings(&self, text: &str) -> Vec<Vec<u8>> {
        let own = self.all.iter().filter(|(name, _)| name == text);
        own.map(|(_, bytes)| bytes.clone()).collect()
    }

    pub fn in_text(&self, place: &str, text: &str) -> Vec<String> {
        self.found(text.as_bytes()).into_iter().map(|what| format!("{place}: {what}")).collect()
    }

    pub fn in_files(&self, files: &[(String, Vec<u8>)]) -> Vec<String> {
        let found = files.iter().flat_map(|(name, bytes)| {
            self.found(bytes).into_iter().map(move |what| format!("{name}: {what}"))
        });
        found.collect()
    }

    fn found(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            for &place in &self.index[usize::from(u16::from_le_bytes([pair[0], pair[1]]))] {
                let (name, needle) = &self.all[place];
                if bytes[at..].starts_with(needle) && !found.contains(name) {
                    found.push(name.clone());
                }
            }
        }
        found
    }
}

/// Whoever may be hashing users: every secret of the right length in the folder's own files.
fn hashers(state: &Path) -> Vec<UserHasher> {
    let texts = files(state).into_iter().filter(|(name, _)| name.ends_with(".toml"));
    let texts: String =
        texts.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
    let words = texts.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 32);
    let keys = words.filter_map(|word| {
        let bytes = (0..16).map(|at| u8::from_str_radix(&word[2 * at..2 * at + 2], 16).ok());
        <[u8; 16]>::try_from(bytes.collect::<Option<Vec<_>>>()?).ok()
    });
    keys.map(UserHasher::new).collect()
}

/// An id as it is, in small and capital letters, without its signs, and in hexadecimal and base64.
fn spelled(text: &str) -> Vec<Vec<u8>> {
    let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut all: Vec<Vec<u8>> =
        [text.to_owned(), text.to_lowercase(), text.to_uppercase(), bare.to_lowercase(), bare]
            .into_iter()
            .map(String::into_bytes)
            .collect();
    for plain in [text.to_owned(), text.to_lowercase()] {
        let hex: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
        all.extend([hex.to_uppercase().into_bytes(), hex.into_bytes()]);
        for alphabet in [*b"+/", *b"-_"] {
            all.push(base64(plain.as_bytes(), alphabet));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// One of our keys in decimal, in hexadecimal, as bytes of either order, and as a varint.
fn key_spelled(key: u64) -> Vec<Vec<u8>> {
    let mut varint = Vec::new();
    let mut rest = key;
    while rest >= 0x80 {
        varint.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    varint.push(rest as u8);
    vec![
        key.to_string().into_bytes(),
        format!("{key:016x}").into_bytes(),
        format!("{key:016X}").into_bytes(),
        key.to_le_bytes().to_vec(),
        key.to_be_bytes().to_vec(),
        varint,
    ]
}

/// The groups of three bytes that stand whole in base64, whatever follows them.
fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let letters: Vec<u8> =
        (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last).collect();
    let groups = bytes.chunks_exact(3).flat_map(|group| {
        let word = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        [18, 12, 6, 0].map(|shift| letters[(word >> shift) as usize & 63])
    });
    groups.collect()
}

/// All files below a folder, with what is in them.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    files
}

/// What the planted users did, each by its number.
const COUNTS: [(usize, &str); 4] =
    [(CLICKS, "clicks"), (CONVERSIONS, "conversions"), (EVENTS, "events"), (USERS, "users")];

fn what_counts(number: f64) -> Option<&'static str> {
    COUNTS.iter().find(|(count, _)| *count as f64 == number).map(|(_, what)| *what)
}

/// Series of `/metrics` that show one of the numbers. Times and numbers of requests may be anything.
pub fn counts_in_metrics(text: &str) -> Vec<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_own = ["_seconds", "_position", "_no_bids", "_bid_requests"]
            .into_iter()
            .any(|own| series.contains(own));
        let what = what_counts(value.parse().ok()?).filter(|_| !is_own)?;
        Some(format!("{line} is the number of {what}"))
    });
    samples.collect()
}

/// Places in an answer that show one of the numbers. Released sums, which are noisy, stand beside their
/// interval and may be anything; so may times and positions.
pub fn counts_in_json(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(value, "", &mut found);
    found
}

fn look(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.contains_key("interval_95") => {
            let is_own = |key: &str| OF_ITS_OWN.contains(&key) || key.ends_with("_ms");
            for (key, inner) in map.iter().filter(|(key, _)| !is_own(key)) {
                look(inner, &format!("{place}.{key}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|inner| look(inner, place, found)),
        Value::Number(number) => {
            let what = number.as_f64().and_then(what_counts);
            found.extend(what.map(|what| format!("{place} is the number of {what}")));
        }
        _ => {}
    }
}

/// Keys whose numbers count nothing that users do: positions, epochs and times of the server's own, and
/// requests, of which there are as many as it takes until the first money is granted.
const OF_ITS_OWN: [&str; 8] =
    ["position", "epoch", "at", "interval", "day", "requests", "auctions", "no_bid_reasons"];
