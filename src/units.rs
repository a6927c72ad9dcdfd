//! Money, currencies and ids: the integers that every room speaks.
//!
//! A price is a CPM in micros (`Micros`); an account holds nanos (`Nanos`). One impression at a
//! CPM of `p` micros costs exactly `p` nanos, so nothing is ever rounded between a bid and a bill.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A CPM price in micros of a currency: 1.00 CPM is 1,000,000. Range: all of `u64`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// What one impression at this CPM costs: the same number, in nanos.
    #[must_use]
    pub const fn per_impression(self) -> Nanos {
        Nanos(self.0 as i128)
    }

    /// Parses a decimal CPM ("1.25") and rounds up to a whole micro, so that a charge is never
    /// understated. `None` for anything but a plain non-negative decimal (an exponent is accepted,
    /// since JSON writers emit it), and for a value above `u64::MAX` micros.
    #[must_use]
    pub fn parse_decimal(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        // The digits stand for `digits * 10^(exponent - fraction.len())`; micros shift by six.
        let shift = exponent + 6 - i32::try_from(fraction.len()).ok()?;
        let mut value: u128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
        }
        let scaled = if shift >= 0 {
            value.checked_mul(10u128.checked_pow(shift.unsigned_abs())?)?
        } else {
            match 10u128.checked_pow(shift.unsigned_abs()) {
                Some(divisor) => value.div_ceil(divisor),
                None => u128::from(value > 0),
            }
        };
        u64::try_from(scaled).ok().map(Self)
    }

    /// Rounds a floating CPM (1.25) up to a whole micro. `None` for NaN, infinities, negatives and
    /// values above 9e18 micros. For wire floats only: accounts never pass through here.
    #[must_use]
    pub fn from_cpm_f64(cpm: f64) -> Option<Self> {
        let micros = cpm * 1e6;
        // A wire decimal such as 0.1 has no exact binary form; a millionth of a micro of slack
        // keeps it from being rounded up by one.
        let rounded = (micros - micros.abs() * 1e-12).ceil();
        (0.0..=9e18).contains(&rounded).then_some(Self(rounded as u64))
    }

    /// The price as a floating CPM, for the wire and for people.
    #[must_use]
    pub fn as_cpm_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// Largest decimal exponent that a price may carry: far past any price, far below what would make
/// the arithmetic slow.
const EXPONENT_MAX: i32 = 30;

/// An amount of money in an account: nanos (1e-9) of its currency. Signed, because differences are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Nanos(pub i128);

impl Nanos {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Nanos in one unit of currency.
    pub const PER_UNIT: i128 = 1_000_000_000;

    /// From micros of currency (as the API speaks), exactly.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros as i128 * 1_000)
    }

    /// The amount in units of the currency, for people only.
    #[must_use]
    pub fn as_units_f64(self) -> f64 {
        self.0 as f64 / Self::PER_UNIT as f64
    }
}

impl fmt::Display for Nanos {
    /// Two decimals, rounded to nearest, for tables.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2}", self.as_units_f64())
    }
}

macro_rules! nanos_operator {
    ($trait:ident, $method:ident, $checked:ident) => {
        impl std::ops::$trait for Nanos {
            type Output = Self;
            /// Panics on overflow of `i128`, which 1e20 maximal prices cannot reach.
            fn $method(self, other: Self) -> Self {
                Self(self.0.$checked(other.0).expect("nanos fit an i128"))
            }
        }
    };
}
nanos_operator!(Add, add, checked_add);
nanos_operator!(Sub, sub, checked_sub);

impl std::ops::AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl std::ops::SubAssign for Nanos {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}
impl std::iter::Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |total, amount| total + amount)
    }
}

/// An ISO 4217 code: three ASCII capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CurrencyCode([u8; 3]);

impl CurrencyCode {
    /// US dollars, the currency of OpenRTB where none is named.
    pub const USD: Self = Self(*b"USD");

    /// Reads three letters of either case; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(bytes.map(|letter| letter.to_ascii_uppercase())))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl Default for CurrencyCode {
    fn default() -> Self {
        Self::USD
    }
}
impl fmt::Debug for CurrencyCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
impl fmt::Display for CurrencyCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
impl TryFrom<String> for CurrencyCode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a three-letter currency code"))
    }
}
impl From<CurrencyCode> for String {
    fn from(code: CurrencyCode) -> Self {
        code.as_str().to_owned()
    }
}

/// Civil time: milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time moved by `millis`.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Whole seconds since the epoch, saturating into `u32` (good until 2106).
    #[must_use]
    pub fn as_secs_u32(self) -> u32 {
        u32::try_from(self.0.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
    }

    /// The UTC day number since the epoch.
    #[must_use]
    pub fn utc_day(self) -> i32 {
        i32::try_from(self.0.div_euclid(86_400_000)).unwrap_or(i32::MAX)
    }
}

macro_rules! stable_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The id of this name: a stable 64-bit hash, the same on every machine and in every
            /// run. The catalog refuses two names with one id.
            #[must_use]
            pub fn of(name: &str) -> Self {
                Self(crate::hash::stable(name.as_bytes()))
            }
        }
    };
}
stable_id!(
    /// An advertiser, by the hash of its name.
    AdvertiserId
);
stable_id!(
    /// A campaign, by the hash of its name.
    CampaignId
);
stable_id!(
    /// A creative, by the hash of its name.
    CreativeId
);

/// A product category of interest ("running-shoes"), by the hash of its lower-case name. 32 bits:
/// a session holds several, and a collision between a few thousand names costs a little accuracy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CategoryId(pub u32);

impl CategoryId {
    /// The id of this category name, in any case.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(crate::hash::stable_lower(name) as u32)
    }
}

/// A position in a table that is rebuilt while it is read: `generation` tells a reused `index` from
/// the one before. Readers treat a slot whose generation differs as unknown, hence neutral.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Slot {
    /// Position in the table.
    pub index: u32,
    /// How often the position was given out before.
    pub generation: u32,
}

/// A user as we know one: a keyed hash of (namespace, raw id). Raw ids never get past the door.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserKey(pub u64);

impl fmt::Debug for UserKey {
    /// Logs and crash reports show no user key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UserKey(..)")
    }
}

/// A bid's claim on a lease: who may charge it, once. 24 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HoldId {
    /// The lease that the hold lives in, unique over all nodes and boots.
    pub lease: LeaseId,
    /// Its number within the lease, from 0.
    pub sequence: u32,
}

impl HoldId {
    /// A hash of it, for tables and draws.
    #[must_use]
    pub const fn key(self) -> u64 {
        let LeaseId { node, core, boot, number } = self.lease;
        let place = (node as u64) << 48 | (core as u64) << 32 | boot as u64;
        crate::hash::combine(place, (number as u64) << 32 | self.sequence as u64)
    }
}

/// A lease: (node, boot epoch, core, count), packed so that it is unique without coordination.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LeaseId {
    /// The node's number.
    pub node: u16,
    /// The core (worker) that holds the lease.
    pub core: u16,
    /// Increases with each start of the process.
    pub boot: u32,
    /// Counts the leases of this (node, boot, core).
    pub number: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_up_to_a_micro() {
        for (text, expected) in [
            ("1.25", Some(1_250_000)),
            ("0", Some(0)),
            (".5", Some(500_000)),
            ("3", Some(3_000_000)),
            ("0.0000001", Some(1)),
            ("1e-3", Some(1_000)),
            ("2.5E2", Some(250_000_000)),
            ("1e-30", Some(1)),
            ("", None),
            (".", None),
            ("-1", None),
            ("NaN", None),
            ("1,5", None),
            ("1e99", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(Micros::parse_decimal(text), expected.map(Micros), "{text}");
        }
    }

    #[test]
    fn wire_floats_keep_their_decimal_value() {
        for micros in [0, 1, 99, 100_000, 700_000, 1_100_000, 2_340_001, 123_456_789] {
            let cpm = Micros(micros).as_cpm_f64();
            assert_eq!(Micros::from_cpm_f64(cpm), Some(Micros(micros)));
        }
        assert_eq!(Micros::from_cpm_f64(f64::NAN), None);
        assert_eq!(Micros::from_cpm_f64(-0.5), None);
        assert_eq!(Micros::from_cpm_f64(f64::INFINITY), None);
    }

    #[test]
    fn currencies_are_three_letters() {
        assert_eq!(CurrencyCode::parse("eur").map(String::from), Some("EUR".to_owned()));
        assert_eq!(CurrencyCode::parse("EURO"), None);
        assert_eq!(CurrencyCode::parse("E1R"), None);
    }

    #[test]
    fn a_user_key_never_prints() {
        assert_eq!(format!("{:?}", UserKey(42)), "UserKey(..)");
    }
}
