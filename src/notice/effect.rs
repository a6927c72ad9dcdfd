//! What a notice does, as a pure table: its purpose, which notice charges, and the price it tells.
//!
//! | purpose | charges when `charge_on` is | otherwise |
//! |---|---|---|
//! | win | `win` | evidence |
//! | billing | `billing` | evidence |
//! | view | `impression` | evidence |
//! | loss | never | releases the hold |
//! | click | never | a click |
//!
//! The table knows no order and no state: notices may come twice, late or in any order, and the
//! ledger settles each hold once, on the first charge that it applies.
//!
//! **Price.** A told price is a CPM in the bid's currency: a decimal rounded up to a micro or, with
//! an exchange that encrypts its prices, the micros in its cipher text and nothing else. It is converted
//! by the token's rate and bounded by the held price; what it tells beyond that is reported as
//! `excess`, never charged here. A charging notice whose price cannot be read (missing, a macro
//! left as it was, encrypted or damaged, of another currency) charges the **held** price: the
//! impression happened and will be on the exchange's invoice, for at most the bid. Charging nothing
//! would let the campaign spend the same money again; the held price is authorised, so no budget
//! is passed. Each such notice is counted under [`Price::label`], since it may overstate the cost.
//! So does a pixel whose price is plain: it is a browser that tells it, and whoever sits there may tell
//! any; only an encrypted price is the exchange's word there.

use super::token::{BidToken, Purpose, SealedText};
use crate::config::ChargeOn;
use crate::exchange::{DecryptError, PriceCipher};
use crate::units::{CurrencyCode, Micros};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The purpose of the notice that charges.
const fn charging(charge_on: ChargeOn) -> Purpose {
    match charge_on {
        ChargeOn::Billing => Purpose::Billing,
        ChargeOn::Win => Purpose::Win,
        ChargeOn::Impression => Purpose::View,
    }
}

/// How the price of a charge came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Price {
    /// As told.
    Told,
    /// Told above the held price, by `excess`; the held price stands.
    Bounded {
        /// The part above the held price, in the account's currency: a claim of the sender.
        excess: Micros,
    },
    /// Not told; the held price.
    Missing,
    /// The macro was not replaced; the held price.
    Unexpanded,
    /// Told, but no plain non-negative decimal, or no cipher text; the held price.
    Unreadable,
    /// Encrypted, and not signed by the exchange, or with another key; the held price.
    BadSignature,
    /// Told in a currency that was not bid; the held price.
    OtherCurrency,
    /// Plain, in a pixel that any browser may alter; the held price.
    Unsigned,
}

impl Price {
    /// The label of the counter.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Bounded { .. } => "bounded",
            Self::Missing => "missing",
            Self::Unexpanded => "unexpanded",
            Self::Unreadable => "unreadable",
            Self::BadSignature => "bad_signature",
            Self::OtherCurrency => "other_currency",
            Self::Unsigned => "unsigned",
        }
    }
}

/// What a notice does, if the ledger finds it to be the first of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Settles the hold at `price`; this is also the impression of record.
    Charge {
        /// A CPM in the account's currency, at most the held price.
        price: Micros,
        /// Where it comes from.
        source: Price,
    },
    /// Proves that something happened, and moves nothing.
    Evidence,
    /// Frees the hold.
    Release,
    /// The user clicked.
    Click,
}

impl Effect {
    /// The labels of the counters, by [`Effect::number`].
    pub const LABELS: [&str; 4] = ["charge", "evidence", "release", "click"];

    /// The number of its kind.
    #[must_use]
    pub const fn number(self) -> usize {
        match self {
            Self::Charge { .. } => 0,
            Self::Evidence => 1,
            Self::Release => 2,
            Self::Click => 3,
        }
    }

    /// The label of the counter.
    #[must_use]
    pub const fn label(self) -> &'static str {
        Self::LABELS[self.number()]
    }
}

/// What a notice of `purpose` does, by the module's table. `cipher` decrypts the prices of an
/// exchange that encrypts them.
#[must_use]
pub fn decide(
    purpose: Purpose,
    charge_on: ChargeOn,
    cipher: Option<&PriceCipher>,
    token: &BidToken,
    query: &Query,
) -> Effect {
    match purpose {
        Purpose::Loss => Effect::Release,
        Purpose::Click => Effect::Click,
        purpose if purpose == charging(charge_on) => {
            let (price, source) = match (purpose, cipher) {
                (Purpose::View, None) => (token.price, Price::Unsigned),
                _ => price(cipher, token, query),
            };
            Effect::Charge { price, source }
        }
        Purpose::Win | Purpose::Billing | Purpose::View => Effect::Evidence,
    }
}

fn price(cipher: Option<&PriceCipher>, token: &BidToken, query: &Query) -> (Micros, Price) {
    let held = |source| (token.price, source);
    let Some(text) = query.price.filter(|text| !text.is_empty()) else {
        return held(Price::Missing);
    };
    let text = &*unescape(text);
    if is_macro(text) {
        return held(Price::Unexpanded);
    }
    let currency = query.currency.map(unescape);
    let currency = currency.filter(|text| !text.is_empty() && !is_macro(text));
    if currency.is_some_and(|text| CurrencyCode::parse(&text) != Some(token.bid_currency)) {
        return held(Price::OtherCurrency);
    }
    let told = match cipher.map(|cipher| cipher.decrypt(text)) {
        Some(Ok(told)) => Some(told),
        Some(Err(DecryptError::Forged)) => return held(Price::BadSignature),
        Some(Err(DecryptError::Malformed)) => None,
        None => Micros::parse_decimal(text),
    };
    let Some(told) = told else { return held(Price::Unreadable) };
    // A price too large to convert is above any hold.
    let told = token.rate.convert_up(told).unwrap_or(Micros(u64::MAX));
    match told.0.checked_sub(token.price.0) {
        Some(excess) if excess > 0 => held(Price::Bounded { excess: Micros(excess) }),
        _ => (told, Price::Told),
    }
}

/// A price that a macro stands for, where it was replaced by one.
pub(super) fn told_price(text: &str) -> Option<Micros> {
    let text = unescape(text);
    if is_macro(&text) { None } else { Micros::parse_decimal(&text) }
}

/// `${AUCTION_PRICE}` as it was written, also cut.
fn is_macro(text: &str) -> bool {
    text.contains("AUCTION_") || text.starts_with('$')
}

/// A value of a query without its percent-encoding, which some exchanges put on what they replace.
/// What is no encoding of a text stays as it is.
#[must_use]
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let digit =
            |place: usize| others.get(place).and_then(|digit| (*digit as char).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &others[2..];
            }
            _ => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The parameters of a notice, borrowed from its URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `t`: the sealed token.
    pub token: &'a str,
    /// `e`: the exchange's name.
    pub exchange: &'a str,
    /// `price`: the clearing price as told.
    pub price: Option<&'a str>,
    /// `cur`: the currency of the price.
    pub currency: Option<&'a str>,
    /// `min`: the least bid that would have won, as told.
    pub min_to_win: Option<&'a str>,
    /// `reason`: why the bid lost (OpenRTB 2.6 list "Loss Reason Codes"), where it is a number.
    pub loss_reason: Option<u16>,
}

/// Why a notice's query was refused, before its token is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No token or no exchange.
    #[error("no token or no exchange")]
    Incomplete,
    /// One parameter twice: which one counts would be the sender's choice.
    #[error("a parameter is given twice")]
    Repeated,
    /// Longer than any notice of ours can be.
    #[error("too long")]
    TooLong,
}

/// A URL of ours has under 400 characters; exchanges append some of their own.
const QUERY_BYTES_MAX: usize = 2_048;

impl<'a> Query<'a> {
    /// Reads the part of a notice's URL after `?`. Unknown parameters are ignored, because
    /// exchanges append their own. Values stay as they came; [`unescape`] is for what was replaced.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn parse(query: &'a str) -> Result<Self, QueryError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(QueryError::TooLong);
        }
        let (mut token, mut exchange, mut price, mut currency) = (None, None, None, None);
        let (mut min_to_win, mut reason) = (None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match key {
                "t" => &mut token,
                "e" => &mut exchange,
                "price" => &mut price,
                "cur" => &mut currency,
                "min" => &mut min_to_win,
                "reason" => &mut reason,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(QueryError::Repeated);
            }
        }
        Ok(Self {
            token: token.ok_or(QueryError::Incomplete)?,
            exchange: exchange.ok_or(QueryError::Incomplete)?,
            price,
            currency,
            min_to_win,
            loss_reason: reason.and_then(|text| text.parse().ok()),
        })
    }
}

/// Appends the URL of one notice. `public_url` has no slash at its end; `exchange` is a name of the
/// configuration (letters, digits, `-`, `_`). A price is asked for where it can be told: on win and
/// billing, and on the pixel when the pixel charges; a browser has no other use for it.
pub fn write_url(
    out: &mut String,
    public_url: &str,
    exchange: &str,
    purpose: Purpose,
    charge_on: ChargeOn,
    sealed: SealedText<'_>,
) {
    out.push_str(public_url);
    out.push_str(purpose.path());
    out.push_str("?e=");
    out.push_str(exchange);
    out.push_str("&t=");
    sealed.write(purpose, out);
    out.push_str(match purpose {
        Purpose::Loss => "&reason=${AUCTION_LOSS}",
        Purpose::Win | Purpose::Billing => PRICE,
        Purpose::View if charge_on == ChargeOn::Impression => PRICE,
        Purpose::View | Purpose::Click => "",
    });
    if matches!(purpose, Purpose::Loss | Purpose::Win | Purpose::Billing) {
        out.push_str("&min=${AUCTION_MIN_TO_WIN}");
    }
}

const PRICE: &str = "&price=${AUCTION_PRICE}&cur=${AUCTION_CURRENCY}";

#[cfg(test)]
#[path = "effect_tests.rs"]
mod tests;
