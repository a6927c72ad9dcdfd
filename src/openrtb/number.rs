//! Numbers, flags, prices and sets of codes out of whatever was sent in their place.

use super::lenient::{Lenient, drain_list, drain_object};
use crate::units::Micros;
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What a JSON value says as a number; of a list, its first element.
#[derive(Clone, Copy)]
enum Number {
    Absent,
    Int(i64),
    Uint(u64),
    Float(f64),
    /// Exact millionths, of a price written as text.
    Micros(u64),
}

impl Number {
    /// Text is parsed as a decimal number.
    fn of_text(text: &str) -> Self {
        let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        number.map_or(Self::Absent, Self::Float)
    }

    /// A flag in text: "true", "false" or a number.
    fn of_flag(text: &str) -> Self {
        match text {
            text if text.eq_ignore_ascii_case("true") => Self::Uint(1),
            text if text.eq_ignore_ascii_case("false") => Self::Uint(0),
            other => Self::of_text(other),
        }
    }

    /// A price in text: exact where it is a plain decimal.
    fn of_price(text: &str) -> Self {
        Micros::parse_decimal(text.trim())
            .map_or_else(|| Self::of_text(text), |exact| Self::Micros(exact.0))
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Int(number) => Some(number as f64),
            Self::Uint(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Micros(micros) => Some(micros as f64 / 1e6),
        }
    }

    /// The number as an integer: floats lose their fraction, what is out of range saturates.
    fn integer(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            Self::Uint(number) => Some(i64::try_from(number).unwrap_or(i64::MAX)),
            // `as` saturates, and the number is finite.
            other => other.float().map(|number| number as i64),
        }
    }

    /// The number as a price: negative means none, and one past the range of [`Micros`] can never
    /// be met.
    fn price(self) -> Option<Micros> {
        match self {
            Self::Micros(exact) => Some(Micros(exact)),
            Self::Uint(units) => Some(Micros(units.saturating_mul(1_000_000))),
            other => other.float().map(|cpm| {
                let beyond = if cpm > 0.0 { Micros(u64::MAX) } else { Micros::ZERO };
                Micros::from_cpm_f64(cpm).unwrap_or(beyond)
            }),
        }
    }
}

/// Reads a [`Number`]; the function reads text. One visitor for all kinds of numbers keeps the code
/// of the bid path small.
#[derive(Clone, Copy)]
struct NumberVisitor(fn(&str) -> Number);

impl<'de> DeserializeSeed<'de> for NumberVisitor {
    type Value = Number;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Number, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Number, E> {
        Ok(Number::Uint(u64::from(flag)))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
        Ok(Number::Int(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
        Ok(Number::Uint(number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
        Ok(Number::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Number, E> {
        Ok((self.0)(text))
    }
    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number::Absent)
    }
    fn visit_none<E>(self) -> Result<Number, E> {
        Ok(Number::Absent)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Number, A::Error> {
        // Lists in lists recurse; the guard has bounded their depth.
        let first = list.next_element_seed(self)?;
        drain_list(list)?;
        Ok(first.unwrap_or(Number::Absent))
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Number, A::Error> {
        drain_object(object)?;
        Ok(Number::Absent)
    }
}

macro_rules! lenient_number {
    ($type:ty, $text:ident, $number:ident => $read:expr) => {
        impl<'de> Lenient<'de> for $type {
            fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
                let $number = source.deserialize_any(NumberVisitor(Number::$text))?;
                let value: Option<$type> = $read;
                *self = value.unwrap_or(*self);
                Ok(value.is_some())
            }
            fn is_absent(&self) -> bool {
                *self == <$type>::default()
            }
        }
    };
}
lenient_number!(i32, of_text, number => number
    .integer()
    .map(|number| number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32));
// A negative size or duration says nothing.
lenient_number!(u32, of_text, number => number
    .integer()
    .filter(|number| *number >= 0)
    .map(|number| u32::try_from(number).unwrap_or(u32::MAX)));
lenient_number!(f64, of_text, number => number.float());
// Any number but 0 is true.
lenient_number!(bool, of_flag, number => number.float().map(|number| number != 0.0));
lenient_number!(Micros, of_price, number => number.price());

/// A set of OpenRTB codes (`battr`, `api`, `protocols`, ...): codes below 64 exactly, of all others
/// only that there were some. No list of the standard goes past 63; vendors' own codes from 500 on
/// are never ours, so a block of one is void and a permission for nothing else permits us nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct CodeSet {
    /// Bit `n` is code `n`.
    pub bits: u64,
    /// Whether codes outside 0..=63 were named too.
    pub has_other: bool,
}

impl CodeSet {
    /// Whether any code was named.
    #[must_use]
    pub const fn is_given(self) -> bool {
        self.bits != 0 || self.has_other
    }

    /// Whether `code` was named. Codes above 63 are never found.
    #[must_use]
    pub const fn contains(self, code: u8) -> bool {
        code < 64 && self.bits & (1 << code) != 0
    }

    /// Whether a list of permitted codes permits `code`: an empty list permits all.
    #[must_use]
    pub const fn permits(self, code: u8) -> bool {
        !self.is_given() || self.contains(code)
    }

    fn insert(&mut self, code: i64) {
        match u32::try_from(code) {
            Ok(code @ 0..64) => self.bits |= 1 << code,
            _ => self.has_other = true,
        }
    }
}

impl FromIterator<i64> for CodeSet {
    fn from_iter<I: IntoIterator<Item = i64>>(codes: I) -> Self {
        let mut set = Self::default();
        for code in codes {
            set.insert(code);
        }
        set
    }
}

impl<'de> Lenient<'de> for CodeSet {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        let set = source.deserialize_any(CodeSetVisitor)?;
        if set.is_given() {
            *self = set;
        }
        Ok(set.is_given())
    }
    fn is_absent(&self) -> bool {
        !self.is_given()
    }
}

struct CodeSetVisitor;

macro_rules! single_code {
    ($($method:ident($type:ty)),*) => {$(
        fn $method<E: serde::de::Error>(self, value: $type) -> Result<CodeSet, E> {
            let number = NumberVisitor(Number::of_text).$method::<E>(value)?;
            Ok(number.integer().into_iter().collect())
        }
    )*};
}

impl<'de> Visitor<'de> for CodeSetVisitor {
    type Value = CodeSet;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of codes")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<CodeSet, A::Error> {
        let mut set = CodeSet::default();
        while let Some(number) = list.next_element_seed(NumberVisitor(Number::of_text))? {
            if let Some(code) = number.integer() {
                set.insert(code);
            }
        }
        Ok(set)
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<CodeSet, A::Error> {
        drain_object(object)?;
        Ok(CodeSet::default())
    }
    single_code!(visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    fn visit_bool<E>(self, _flag: bool) -> Result<CodeSet, E> {
        Ok(CodeSet::default())
    }
    fn visit_unit<E>(self) -> Result<CodeSet, E> {
        Ok(CodeSet::default())
    }
    fn visit_none<E>(self) -> Result<CodeSet, E> {
        Ok(CodeSet::default())
    }
}
