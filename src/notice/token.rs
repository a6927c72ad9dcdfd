//! Sealed tokens: what a notice URL carries, readable and forgeable by nobody but us.
//!
//! A bid has up to five URLs (win, billing, loss, click, view), and a token of one must be worth
//! nothing on another: a click URL is seen by a browser, which must not be able to bill with it.
//! Sealing the same 102 bytes five times costs five times; so a token has two parts:
//!
//! ```text
//! core    version 1 | key id 1 | nonce 12 | AES-256-GCM of the fields 102 | tag 16   = 132 bytes
//! stamp   the purpose's block of an AES-256 key stream of five blocks                 =  16 bytes
//! ```
//!
//! The core is sealed and base64-encoded once a bid; each URL gets the same core and its own stamp.
//! The core's associated data is (version, key id, exchange). The key stream is that of AES-256-GCM
//! under a key of its own, with the first 12 bytes of the core's tag as the nonce: a pseudorandom
//! function of the tag, so a stamp fits one core, hence one exchange, and one path, and whoever has
//! seen some blocks knows nothing of the others. Tags are as good as random: of 10^12 bids, two share
//! a nonce, and with it their stamps, once in 10^5 such installations. Both keys are derived from the
//! master key by HKDF-SHA-256, and their cipher states are computed once. Forging either part is
//! guessing 128 bits.
//!
//! Text: 176 + 22 characters of base64url without padding, always 198; exactly one text stands for
//! one token (stray bits in the last character are refused). No allocation but growth of the
//! caller's `String`.
//!
//! Rotation: tokens are sealed under the current key and opened under the current or the previous
//! one, told apart by the key id. A token lives hours, a key should live longer.

mod layout;

use crate::base64;
use crate::market::SizeClass;
use crate::rates::Rate;
use crate::units::{
    AdvertiserId, CampaignId, CreativeId, CurrencyCode, HoldId, Micros, Slot, Timestamp, UserKey,
};
use layout::{decode, encode};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::hkdf;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Layout of the fields; a token of another version is refused.
const VERSION: u8 = 2;
/// Bytes of the fields in their fixed layout ([`encode`] has it).
const FIELDS: usize = 102;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Version and key id.
const HEADER: usize = 2;
const CORE: usize = HEADER + NONCE + FIELDS + TAG;
const CORE_TEXT: usize = CORE / 3 * 4;
const STAMP_TEXT: usize = 22;
/// Characters of every token.
pub const TEXT_LEN: usize = CORE_TEXT + STAMP_TEXT;

// A core of whole 3-byte groups can be encoded once and be followed by any stamp.
const _: () = assert!(CORE.is_multiple_of(3) && TEXT_LEN <= 200);

/// What a sealed text is for; each has a path, and a token works only on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Purpose {
    /// The exchange says that the bid won (`nurl`).
    Win = 0,
    /// The exchange says that it bills (`burl`).
    Billing = 1,
    /// The exchange says that the bid lost (`lurl`).
    Loss = 2,
    /// The user clicked: the markup's click-through.
    Click = 3,
    /// The ad was shown: the markup's pixel.
    View = 4,
}

impl Purpose {
    /// All purposes, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Win, Self::Billing, Self::Loss, Self::Click, Self::View];

    /// The path at which notices of this purpose arrive.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Win => "/notice/win",
            Self::Billing => "/notice/billing",
            Self::Loss => "/notice/loss",
            Self::Click => "/click",
            Self::View => "/pixel",
        }
    }

    /// The label of counters and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Win => "win",
            Self::Billing => "billing",
            Self::Loss => "loss",
            Self::Click => "click",
            Self::View => "view",
        }
    }
}

/// What a notice must know of its bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BidToken {
    /// The claim on the budget that a charge settles, once.
    pub hold: HoldId,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// What was shown.
    pub creative: CreativeId,
    /// Where the creative stood in the catalog when it was bid.
    pub ad: Slot,
    /// The account day of the bid, as the budget numbers days.
    pub day: i32,
    /// The held price: a CPM in the account's currency. No charge exceeds it.
    pub price: Micros,
    /// The price as it was bid: a CPM in `bid_currency`.
    pub bid_price: Micros,
    /// The currency of the bid, hence of the price that a notice tells.
    pub bid_currency: CurrencyCode,
    /// From the bid's currency to the account's, as it was when the bid was made.
    pub rate: Rate,
    /// The user, where the session or measurement may know.
    pub user: Option<UserKey>,
    /// Whether consent allows this bid's events to be measured.
    pub measure: bool,
    /// Whether consent allows the user's session to hear of the show.
    pub store_session: bool,
    /// The experiment arm, below 32.
    pub arm: u8,
    /// The arm of the campaign's traffic split, below 4; 0 where one strategy has all users.
    pub strategy_arm: u8,
    /// Whether the winner pays what it bid: what became of the bid tells of the market then.
    pub is_first_price: bool,
    /// The slot's size, as the market tells sizes apart.
    pub size: SizeClass,
    /// The coarse context of the bid (the privacy room's bucket).
    pub bucket: u8,
    /// When the bid was made.
    pub issued: Timestamp,
    /// From when on the token is refused.
    pub expires: Timestamp,
}

impl BidToken {
    /// When the tokens of a test end: before they began, so that whatever comes back is refused.
    pub const TEST_EXPIRES: Timestamp = Timestamp(0);

    /// Takes back what the user allowed: he asked to be forgotten since.
    pub const fn withhold(&mut self) {
        self.measure = false;
        self.store_session = false;
    }

    /// Whether nothing may be kept of the user, who let himself be known when the bid was made.
    #[must_use]
    pub const fn is_withheld(&self) -> bool {
        self.user.is_some() && !self.measure && !self.store_session
    }

    /// Whether it belongs to a test request, of which nothing may follow.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.expires == Self::TEST_EXPIRES
    }
}

/// Why a token was refused. The text is for logs; the answer to the sender never says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the text of any token: length, alphabet or layout version.
    #[error("not a token")]
    Malformed,
    /// Sealed under a key that is not live.
    #[error("unknown key")]
    UnknownKey,
    /// Altered or made up.
    #[error("forged, altered or repurposed")]
    Forged,
    /// Genuine, and stamped for another purpose.
    #[error("forged, altered or repurposed")]
    Repurposed,
    /// Genuine, and sealed for another exchange.
    #[error("forged, altered or repurposed")]
    OtherExchange,
    /// Genuine, and past its end.
    #[error("expired")]
    Expired,
}

/// The nonces of one worker: never one twice.
///
/// 16 bits of worker number and an 80-bit counter that starts at a random point. Workers of one
/// start cannot meet; two starts (or nodes) under one key meet only when their random points lie
/// within each other's run: below 1e-9 for a thousand starts of 1e9 bids each. A persisted boot
/// count would be certain until somebody restores a backup, and then fatal.
#[derive(Debug)]
pub struct NonceSequence {
    worker: u16,
    counter: u128,
}

impl NonceSequence {
    /// The sequence of `worker` from `start`: 10 bytes from the operating system's generator, drawn
    /// anew at each start of the process.
    #[must_use]
    pub fn new(start: [u8; 10], worker: u16) -> Self {
        let mut wide = [0; 16];
        wide[6..].copy_from_slice(&start);
        Self { worker, counter: u128::from_be_bytes(wide) }
    }

    /// The next nonce.
    pub fn next_nonce(&mut self) -> [u8; NONCE] {
        self.counter = self.counter.wrapping_add(1); // 2^80 of them: the top 48 bits are cut off
        let mut nonce = [0; NONCE];
        nonce[..2].copy_from_slice(&self.worker.to_be_bytes());
        nonce[2..].copy_from_slice(&self.counter.to_be_bytes()[6..]);
        nonce
    }
}

/// The cipher states of one master key.
struct KeySet {
    id: u8,
    core: LessSafeKey,
    stamps: LessSafeKey,
}

impl KeySet {
    fn derive(master: &[u8; 32], id: u8) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"outbid token v1").extract(master);
        let key = |label: &str| {
            let info = [label.as_bytes()];
            // HKDF refuses only outputs above 255 hashes; this one is a single hash long.
            let okm = extracted.expand(&info, &AES_256_GCM).expect("32 bytes can be derived");
            LessSafeKey::new(UnboundKey::from(okm))
        };
        Self { id, core: key("core"), stamps: key("stamps") }
    }

    /// The stamps of all purposes, by their numbers, for the core with this tag.
    fn stamps(&self, tag: [u8; TAG]) -> [[u8; TAG]; 5] {
        let mut blocks = [0; 5 * TAG];
        let (mut nonce, mut stamps) = ([0; NONCE], [[0; TAG]; 5]);
        nonce.copy_from_slice(&tag[..NONCE]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        // Zeros sealed are the key stream itself.
        let _of_no_use = self
            .stamps
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut blocks)
            .expect("80 bytes can be sealed");
        stamps.as_flattened_mut().copy_from_slice(&blocks);
        stamps
    }
}

/// Seals and opens tokens. Share one between workers (`Arc`); it has no mutable state.
pub struct Sealer {
    current: KeySet,
    previous: Option<KeySet>,
}

impl Sealer {
    /// A sealer under one master key (32 secret bytes) that tokens name by `key_id`.
    #[must_use]
    pub fn new(master: &[u8; 32], key_id: u8) -> Self {
        Self { current: KeySet::derive(master, key_id), previous: None }
    }

    /// The same, also opening what an older key sealed. An older key of the current id is ignored.
    #[must_use]
    pub fn with_previous(mut self, master: &[u8; 32], key_id: u8) -> Self {
        self.previous = (key_id != self.current.id).then(|| KeySet::derive(master, key_id));
        self
    }

    /// Seals a bid's token; the result writes the text of each purpose. `exchange` is the stable
    /// hash of the exchange's name, which survives renumbering; `nonce` comes from the worker's
    /// [`NonceSequence`] and is never used again.
    #[must_use]
    pub fn seal(&self, exchange: u64, token: &BidToken, nonce: [u8; NONCE]) -> Sealed {
        let keys = &self.current;
        let mut core = [0; CORE];
        core[..HEADER].copy_from_slice(&[VERSION, keys.id]);
        core[HEADER..HEADER + NONCE].copy_from_slice(&nonce);
        let body = &mut core[HEADER + NONCE..];
        encode(token, &mut body[..FIELDS]);
        let aad = Aad::from(core_aad(keys.id, exchange));
        // GCM refuses only inputs above 64 GiB; this one is of fixed size.
        let tag = keys
            .core
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                aad,
                &mut body[..FIELDS],
            )
            .expect("102 bytes can be sealed");
        body[FIELDS..].copy_from_slice(tag.as_ref());
        let mut text = [0; CORE_TEXT];
        base64::encode(&core, &mut text);
        let (_, tag) = nonce_and_tag(&core);
        Sealed { stamps: keys.stamps(tag), text }
    }

    /// Opens the text that arrived at the path of `purpose` for `exchange`.
    ///
    /// # Errors
    /// See [`TokenError`]; a refused token reveals none of its fields. What is genuine elsewhere is
    /// [`TokenError::Forged`] here; [`Sealer::where_genuine`] tells.
    pub fn open(
        &self,
        purpose: Purpose,
        exchange: u64,
        text: &str,
        now: Timestamp,
    ) -> Result<BidToken, TokenError> {
        let token = self.open_expired(purpose, exchange, text)?;
        if now >= token.expires { Err(TokenError::Expired) } else { Ok(token) }
    }

    /// The same at any age: a purchase may come weeks after its click, where the window of
    /// attribution decides.
    ///
    /// # Errors
    /// See [`Sealer::open`].
    pub fn open_expired(
        &self,
        purpose: Purpose,
        exchange: u64,
        text: &str,
    ) -> Result<BidToken, TokenError> {
        let parts = self.take_apart(text)?;
        if parts.stamped() != Some(purpose) {
            return Err(TokenError::Forged);
        }
        parts.opened(exchange).ok_or(TokenError::Forged)
    }

    /// Why a text that is forged at the path of `purpose` for `exchange` is so: whether it is
    /// genuine on another path, or for one of `others`. Only for the books: it costs a GCM tag
    /// (0.3 us) for each exchange that is tried.
    #[must_use]
    pub fn where_genuine(
        &self,
        purpose: Purpose,
        exchange: u64,
        others: impl Iterator<Item = u64>,
        text: &str,
    ) -> TokenError {
        let Ok(parts) = self.take_apart(text) else { return TokenError::Malformed };
        let stamped = parts.stamped();
        if stamped.is_some_and(|stamped| stamped != purpose) && parts.opened(exchange).is_some() {
            return TokenError::Repurposed;
        }
        let mut others = others.filter(|other| *other != exchange);
        if stamped == Some(purpose) && others.any(|other| parts.opened(other).is_some()) {
            return TokenError::OtherExchange;
        }
        TokenError::Forged
    }

    fn take_apart(&self, text: &str) -> Result<Parts<'_>, TokenError> {
        let (core_text, stamp_text) = text
            .as_bytes()
            .split_at_checked(CORE_TEXT)
            .filter(|(_, stamp)| stamp.len() == STAMP_TEXT)
            .ok_or(TokenError::Malformed)?;
        let (mut core, mut stamp) = ([0; CORE], [0; TAG]);
        base64::decode(core_text, &mut core).ok_or(TokenError::Malformed)?;
        base64::decode(stamp_text, &mut stamp).ok_or(TokenError::Malformed)?;
        if core[0] != VERSION {
            return Err(TokenError::Malformed);
        }
        let keys = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|keys| keys.id == core[1])
            .ok_or(TokenError::UnknownKey)?;
        Ok(Parts { keys, core, stamp })
    }
}

/// A text decoded, not yet believed.
struct Parts<'a> {
    keys: &'a KeySet,
    core: [u8; CORE],
    stamp: [u8; TAG],
}

impl Parts<'_> {
    /// What it is stamped for, if for anything; each stamp is compared in constant time.
    fn stamped(&self) -> Option<Purpose> {
        let (_, tag) = nonce_and_tag(&self.core);
        let stamps = self.keys.stamps(tag);
        let is_its = |purpose: &Purpose| stamps[*purpose as usize].ct_eq(&self.stamp).into();
        Purpose::ALL.into_iter().find(is_its)
    }

    /// The fields, if the core was sealed for `exchange`.
    fn opened(&self, exchange: u64) -> Option<BidToken> {
        let (nonce, tag) = nonce_and_tag(&self.core);
        let aad = Aad::from(core_aad(self.keys.id, exchange));
        let mut body = [0; FIELDS];
        body.copy_from_slice(&self.core[HEADER + NONCE..CORE - TAG]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = &self.keys.core;
        let fields = key.open_in_place_separate_tag(nonce, aad, Tag::from(tag), &mut body, 0..);
        decode(fields.ok()?)
    }
}

/// The nonce and the tag of a core.
fn nonce_and_tag(core: &[u8; CORE]) -> ([u8; NONCE], [u8; TAG]) {
    let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
    nonce.copy_from_slice(&core[HEADER..HEADER + NONCE]);
    tag.copy_from_slice(&core[CORE - TAG..]);
    (nonce, tag)
}

/// A sealed bid, ready to be stamped for each of its URLs.
pub struct Sealed {
    stamps: [[u8; TAG]; 5],
    text: [u8; CORE_TEXT],
}

impl Sealed {
    /// The same as text: made once for all URLs.
    #[must_use]
    pub fn as_text(&self) -> SealedText<'_> {
        SealedText { core: ascii(&self.text), stamps: &self.stamps }
    }
}

/// A sealed bid whose core is text.
#[derive(Clone, Copy)]
pub struct SealedText<'s> {
    core: &'s str,
    stamps: &'s [[u8; TAG]; 5],
}

impl SealedText<'_> {
    /// Appends the text for `purpose`, [`TEXT_LEN`] characters.
    pub fn write(&self, purpose: Purpose, out: &mut String) {
        let mut stamp = [0; STAMP_TEXT];
        base64::encode(&self.stamps[purpose as usize], &mut stamp);
        out.push_str(self.core);
        out.push_str(ascii(&stamp));
    }
}

/// Text of base64's alphabet, which is ASCII, so this never takes the empty default.
fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

fn core_aad(key_id: u8, exchange: u64) -> [u8; 10] {
    let mut aad = [0; 10];
    aad[..2].copy_from_slice(&[VERSION, key_id]);
    aad[2..].copy_from_slice(&exchange.to_be_bytes());
    aad
}

#[cfg(test)]
pub(crate) mod tests;
