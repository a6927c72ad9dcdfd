//! Numbers, flags, prices and sets of codes out of whatever was sent in their place.

use super::json::{Source, Stop};
use super::lenient::{Lenient, read_first};
use crate::units::Micros;
use serde::Serialize;
use std::fmt;

/// What a JSON value says as a number; of a list, its first element.
#[derive(Clone, Copy, Default)]
pub(super) enum Number {
    #[default]
    Absent,
    /// Something was sent, and it is no number.
    Unreadable,
    Int(i64),
    Uint(u64),
    Float(f64),
    /// Exact millionths, of a price written as text.
    Micros(u64),
}

impl Number {
    /// Text is parsed as a decimal number.
    fn of_text(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::Absent;
        }
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.map_or(Self::Unreadable, Self::Float)
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

    pub(super) fn float(self) -> Option<f64> {
        match self {
            Self::Absent | Self::Unreadable => None,
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

    /// The number as a side.
    fn side(self) -> Option<Side> {
        match (self, self.integer()) {
            (Self::Unreadable, _) => Some(Side::UNREADABLE),
            (_, pixels) => {
                pixels.map(|pixels| u32::try_from(pixels).map_or(Side::UNREADABLE, Side))
            }
        }
    }

    /// The number as a price: negative means none, and one past the range of [`Micros`] can never
    /// be met. Nor can one that was sent and cannot be read: a floor that we do not understand is not
    /// a floor of nothing.
    fn price(self) -> Option<Micros> {
        match self {
            Self::Unreadable => Some(Micros(u64::MAX)),
            Self::Micros(exact) => Some(Micros(exact)),
            Self::Uint(units) => Some(Micros(units.saturating_mul(1_000_000))),
            other => other.float().map(|cpm| {
                let beyond = if cpm > 0.0 { Micros(u64::MAX) } else { Micros::ZERO };
                Micros::from_cpm_f64(cpm).unwrap_or(beyond)
            }),
        }
    }
}

/// One side of a banner in pixels, of which one that cannot be read is kept: it says that a size was
/// meant, which no ad of ours has then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Side(pub u32);

impl Side {
    /// What was sent is no number, negative, or beyond 32 bits.
    pub const UNREADABLE: Self = Self(u32::MAX);

    /// The pixels; none where none were named, or 0 of them.
    #[must_use]
    pub fn pixels(side: Option<Self>) -> Option<u32> {
        side.map(|side| side.0).filter(|pixels| *pixels > 0)
    }
}

impl From<serde_json::Number> for Number {
    fn from(number: serde_json::Number) -> Self {
        match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), ..) => Self::Uint(number),
            (_, Some(number), _) => Self::Int(number),
            (.., number) => number.map_or(Self::Absent, Self::Float),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absent | Self::Unreadable => Ok(()),
            Self::Int(number) => write!(formatter, "{number}"),
            Self::Uint(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number}"),
            Self::Micros(micros) => write!(formatter, "{}", micros as f64 / 1e6),
        }
    }
}

/// Reads a [`Number`]; `of_text` reads text.
#[inline(never)]
fn read_number(source: &mut Source<'_>, of_text: fn(&str) -> Number) -> Result<Number, Stop> {
    match source.peek() {
        Some(b'-' | b'0'..=b'9') => source.number(),
        Some(b'"') => Ok(of_text(&source.text()?)),
        Some(b'[') => read_first(source, |source| read_number(source, of_text)),
        first => {
            source.skip()?;
            Ok(match first {
                Some(b't') => Number::Uint(1),
                Some(b'f') => Number::Uint(0),
                Some(b'{') => Number::Unreadable,
                _ => Number::Absent,
            })
        }
    }
}

macro_rules! lenient_number {
    ($type:ty, $text:ident, $number:ident => $read:expr) => {
        impl<'de> Lenient<'de> for $type {
            fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
                let read = |$number: Number| -> Option<$type> { $read };
                let value = match source.plain_number() {
                    Some(number) => read(Number::Uint(number)),
                    None => read(read_number(source, Number::$text)?),
                };
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
lenient_number!(Side, of_text, number => number.side());
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
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        let mut set = Self::default();
        match source.peek() {
            Some(b'[') => {
                let mut has_more = source.first_element()?;
                while has_more {
                    match source.plain_number() {
                        // Of few digits, so it fits.
                        Some(code) => set.insert(code as i64),
                        None => {
                            let number = read_number(source, Number::of_text)?;
                            number.integer().into_iter().for_each(|code| set.insert(code));
                        }
                    }
                    has_more = source.next_element()?;
                }
            }
            Some(b'"' | b'-' | b'0'..=b'9') => {
                let number = read_number(source, Number::of_text)?;
                number.integer().into_iter().for_each(|code| set.insert(code));
            }
            _ => source.skip()?,
        }
        if set.is_given() {
            *self = set;
        }
        Ok(set.is_given())
    }
    fn is_absent(&self) -> bool {
        !self.is_given()
    }
}
