//! Exchange rates between currencies: integers only, rounded so that a charge is never understated.
//!
//! A [`Rate`] counts in 1e-12 (pico): 12 decimals keep 7 significant digits for the cheapest
//! currencies against the dearest (1 IRR is about 0.000007 KWD), and `u64` still reaches a rate of
//! 18 million. Amounts multiply in 128 bits. A rate that 12 decimals cannot hold is refused when the
//! table is read, never rounded in silence.
//!
//! Rounding, all in one direction: a rate between two foreign currencies and every converted amount
//! go up. A bid of `b` made for a value `v` is `rate.largest_within(v)`, so that the hold
//! `rate.convert_up(b)` is at most `v`; conversion is monotone, so a price told in a notice that
//! does not exceed the bid never converts to more than the hold.

use crate::units::{CurrencyCode, Micros};
use std::collections::BTreeMap;

/// Currencies in one table: ISO 4217 has about 180; a table is searched on the bid path.
const RATES_MAX: usize = 256;
/// One, in the units of [`Rate`].
const PICO: u64 = 1_000_000_000_000;
const DECIMALS: usize = 12;

/// What one unit of a currency is worth in another, in 1e-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub u64);

impl Rate {
    /// Between a currency and itself.
    pub const ONE: Self = Self(PICO);

    /// Reads a plain positive decimal ("0.0061"), exactly. `None` for zero, signs, exponents, more
    /// than 12 decimals that matter, and rates above 1.8e7.
    #[must_use]
    pub fn parse_decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        if whole.is_empty() || fraction.len() > DECIMALS {
            return None;
        }
        let mut value: u64 = 0;
        let padding = std::iter::repeat_n(b'0', DECIMALS - fraction.len());
        for byte in whole.bytes().chain(fraction.bytes()).chain(padding) {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        }
        (value > 0).then_some(Self(value))
    }

    /// `amount` in the other currency, rounded up to a whole micro. `None` above `u64::MAX` micros.
    #[must_use]
    pub fn convert_up(self, amount: Micros) -> Option<Micros> {
        if self == Self::ONE {
            return Some(amount); // the usual case, without a 128-bit division
        }
        let product = u128::from(amount.0) * u128::from(self.0);
        u64::try_from(product.div_ceil(u128::from(PICO))).ok().map(Micros)
    }

    /// Both conversions, one after the other, rounded up. `None` above a rate of 1.8e7.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        if other == Self::ONE {
            return Some(self);
        }
        let product = u128::from(self.0) * u128::from(other.0);
        u64::try_from(product.div_ceil(u128::from(PICO))).ok().map(Self)
    }

    /// The largest amount whose conversion is at most `limit`; `None` where that is above
    /// `u64::MAX` micros, or the rate is zero.
    #[must_use]
    pub fn largest_within(self, limit: Micros) -> Option<Micros> {
        if self == Self::ONE {
            return Some(limit);
        }
        let scaled = u128::from(limit.0) * u128::from(PICO);
        u64::try_from(scaled.checked_div(u128::from(self.0))?).ok().map(Micros)
    }
}

/// Why a table of rates was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// A key that is no currency.
    #[error("`{0}` is not a three-letter currency code")]
    Code(String),
    /// A value that is no rate.
    #[error(
        "the rate of {code} is `{text}`, not a positive decimal below 18000000 with at most 12 decimals"
    )]
    Rate {
        /// The currency.
        code: CurrencyCode,
        /// What stands there.
        text: String,
    },
    /// One currency under two spellings.
    #[error("{0} has two rates")]
    Twice(CurrencyCode),
    /// The base is worth itself.
    #[error("the rate of {0} is not 1, but it is the base currency")]
    Base(CurrencyCode),
    /// Too many.
    #[error("more than {RATES_MAX} rates")]
    TooMany,
}

/// A table of rates against one base currency.
#[derive(Clone, Debug)]
pub struct Rates {
    base: CurrencyCode,
    /// Sorted by code; contains the base.
    rates: Vec<(CurrencyCode, Rate)>,
}

impl Rates {
    /// Reads what one unit of each currency is worth in `base`, as the configuration has it: codes
    /// and decimal strings.
    ///
    /// # Errors
    /// The first entry that is wrong.
    pub fn parse(
        base: CurrencyCode,
        decimals: &BTreeMap<String, String>,
    ) -> Result<Self, RatesError> {
        if decimals.len() > RATES_MAX {
            return Err(RatesError::TooMany);
        }
        let mut rates = BTreeMap::from([(base, Rate::ONE)]);
        let mut seen = Vec::new();
        for (code, text) in decimals {
            let code = CurrencyCode::parse(code).ok_or_else(|| RatesError::Code(code.clone()))?;
            let rate = Rate::parse_decimal(text)
                .ok_or_else(|| RatesError::Rate { code, text: text.clone() })?;
            if seen.contains(&code) {
                return Err(RatesError::Twice(code));
            }
            if code == base && rate != Rate::ONE {
                return Err(RatesError::Base(base));
            }
            seen.push(code);
            rates.insert(code, rate);
        }
        Ok(Self { base, rates: rates.into_iter().collect() })
    }

    /// How many currencies it holds, the base among them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rates.len()
    }

    /// The currency that the others are given in.
    #[must_use]
    pub const fn base(&self) -> CurrencyCode {
        self.base
    }

    /// What one unit of `from` is worth in `to`; between two foreign currencies rounded up in the
    /// twelfth decimal. `None` for a currency that is not in the table (any currency converts to
    /// itself), or a rate above 1.8e7.
    #[must_use]
    pub fn rate(&self, from: CurrencyCode, to: CurrencyCode) -> Option<Rate> {
        if from == to {
            return Some(Rate::ONE);
        }
        let (from, to) = (self.in_base(from)?, self.in_base(to)?);
        if to == Rate::ONE {
            return Some(from);
        }
        let scaled = (u128::from(from.0) * u128::from(PICO)).div_ceil(u128::from(to.0));
        u64::try_from(scaled).ok().map(Rate)
    }

    /// `amount` of `from` in `to`, rounded up to a whole micro: the same number that a token's rate
    /// gives. `None` as for [`Rates::rate`] and [`Rate::convert_up`].
    #[must_use]
    pub fn convert(&self, amount: Micros, from: CurrencyCode, to: CurrencyCode) -> Option<Micros> {
        self.rate(from, to)?.convert_up(amount)
    }

    fn in_base(&self, code: CurrencyCode) -> Option<Rate> {
        let found = self.rates.binary_search_by_key(&code, |(code, _)| *code).ok()?;
        self.rates.get(found).map(|(_, rate)| *rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> CurrencyCode {
        CurrencyCode::parse(text).expect("a code")
    }

    fn table(entries: &[(&str, &str)]) -> Result<Rates, RatesError> {
        let entries = entries.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Rates::parse(CurrencyCode::USD, &entries.collect())
    }

    #[test]
    fn decimals_are_read_exactly_or_refused() {
        for (text, expected) in [
            ("1", Some(PICO)),
            ("1.10", Some(1_100_000_000_000)),
            ("0.000061", Some(61_000_000)),
            ("0.000000000001", Some(1)),
            ("0.0000000000010000", Some(1)),
            ("18000000", Some(18_000_000 * PICO)),
            ("0.0000000000001", None),
            ("0", None),
            ("0.0", None),
            (".5", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1,1", None),
            ("", None),
            ("19000000", None),
        ] {
            assert_eq!(Rate::parse_decimal(text), expected.map(Rate), "{text}");
        }
    }

    #[test]
    fn amounts_convert_through_the_base_and_round_up() {
        let rates = table(&[("EUR", "1.08"), ("jpy", "0.0067"), ("USD", "1")]).expect("good");
        for (amount, from, to, expected) in [
            (1_000_000, "EUR", "USD", Some(1_080_000)),
            (1, "EUR", "USD", Some(2)),
            (0, "EUR", "USD", Some(0)),
            (1_000_000, "USD", "USD", Some(1_000_000)),
            (u64::MAX, "USD", "USD", Some(u64::MAX)),
            (u64::MAX, "EUR", "USD", None),
            (1_000_000, "USD", "JPY", Some(149_253_732)),
            (1_000_000, "EUR", "JPY", Some(161_194_030)),
            (1, "CHF", "CHF", Some(1)),
            (1, "CHF", "USD", None),
            (1, "USD", "CHF", None),
        ] {
            let got = rates.convert(Micros(amount), code(from), code(to));
            assert_eq!(got, expected.map(Micros), "{amount} {from} in {to}");
        }
    }

    #[test]
    fn wrong_tables_are_refused() {
        assert!(matches!(table(&[("EURO", "1")]), Err(RatesError::Code(_))));
        assert!(matches!(table(&[("EUR", "one")]), Err(RatesError::Rate { .. })));
        assert_eq!(
            table(&[("EUR", "1"), ("eur", "2")]).err(),
            Some(RatesError::Twice(code("EUR")))
        );
        assert_eq!(table(&[("USD", "1.1")]).err(), Some(RatesError::Base(CurrencyCode::USD)));
    }

    proptest! {
        /// What the module promises of holds and bids, for any rate and value.
        #[test]
        fn a_bid_never_holds_more_than_its_value(
            rate in 1..18_000_000 * PICO, value in 0..u64::MAX / 4, told in 0..=100u64,
        ) {
            let rate = Rate(rate);
            if let Some(bid) = rate.largest_within(Micros(value)) {
                let held = rate.convert_up(bid).expect("not above the value");
                prop_assert!(held.0 <= value);
                let more = Micros(bid.0.saturating_add(1));
                prop_assert!(more == bid || rate.convert_up(more).is_none_or(|m| m.0 > value));
                let told = Micros((u128::from(bid.0) * u128::from(told) / 100) as u64);
                prop_assert!(rate.convert_up(told).expect("not above the hold") <= held);
            }
        }

        /// There and back again never gains.
        #[test]
        fn converting_there_and_back_loses_nothing(amount in 0..1u64 << 50, cents in 1..100_000u64) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            let rates = table(&[("EUR", &text)]).expect("good");
            let there = rates.convert(Micros(amount), CurrencyCode::USD, code("EUR")).expect("fits");
            let back = rates.convert(there, code("EUR"), CurrencyCode::USD).expect("fits");
            prop_assert!(back.0 >= amount);
        }
    }
}
