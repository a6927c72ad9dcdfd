//! Reading what the wild sends: every value is read by what it is, never by what it should be.
//!
//! [`Lenient::read`] answers `None` for a value that says nothing (null, or of a kind that cannot
//! be understood) and fails only on broken JSON, so one odd optional never costs a whole request.

use super::limits::{Limits, ParseError};
use crate::units::Micros;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// Bytes of elements kept of any one list, whatever [`Limits`] says: bounds the memory that a body
/// of `{},{},` can claim before the limits are looked at. Room for 43,690 texts or 1,000 imps.
const LIST_BYTES_MAX: usize = 1 << 20;

/// A value that is read leniently out of JSON.
pub(crate) trait Lenient<'de>: Sized {
    /// Reads one JSON value of any kind. `None` when it says nothing; an error only on broken JSON.
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error>;

    /// Whether this is what a missing field would be: then an older spelling may fill it.
    fn is_absent(&self) -> bool;

    /// Refuses text and lists beyond the limits. `field` is the name for the refusal.
    fn audit(&self, _field: &'static str, _limits: &Limits) -> Result<(), ParseError> {
        Ok(())
    }
}

/// Carries [`Lenient::read`] into serde's seeds.
pub(crate) struct Seed<T>(PhantomData<T>);

impl<T> Seed<T> {
    /// A seed for `T`.
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Lenient<'de>> DeserializeSeed<'de> for Seed<T> {
    type Value = Option<T>;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Option<T>, D::Error> {
        T::read(source)
    }
}

/// Text that borrows from the request's buffer unless the JSON had to be unescaped. Empty text and
/// missing text are the same thing.
///
/// A newtype with its own visitor: serde's `Cow<str>` behind an alias or in a list is always owned.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Str<'a>(Cow<'a, str>);

impl<'a> Str<'a> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text lies in the request's buffer.
    #[must_use]
    pub const fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }

    /// The text, when there is any.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}
impl Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl AsRef<str> for Str<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Str<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}
impl PartialEq<str> for Str<'_> {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}
impl PartialEq<&str> for Str<'_> {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}
impl<'de> Deserialize<'de> for Str<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Ok(Self::read(source)?.unwrap_or_default())
    }
}

impl<'de> Lenient<'de> for Str<'de> {
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        Ok(match source.deserialize_any(ScalarVisitor)? {
            Scalar::Text(text) if !text.is_empty() => Some(text),
            Scalar::Int(number) => Some(Self(Cow::Owned(number.to_string()))),
            Scalar::Uint(number) => Some(Self(Cow::Owned(number.to_string()))),
            Scalar::Float(number) => Some(Self(Cow::Owned(number.to_string()))),
            Scalar::Text(_) | Scalar::Bool(_) | Scalar::Absent => None,
        })
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        if self.len() > limits.string_bytes {
            let limit = limits.string_bytes;
            return Err(ParseError::StringTooLong { field, limit });
        }
        Ok(())
    }
}

/// A JSON value that is not a list or an object; of a list, its first element.
enum Scalar<'de> {
    Absent,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Str<'de>),
}

impl Scalar<'_> {
    /// The value as a number: text is parsed, true is 1.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Bool(flag) => Some(f64::from(u8::from(*flag))),
            Self::Int(number) => Some(*number as f64),
            Self::Uint(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        }
    }

    /// The value as an integer: floats lose their fraction, what is out of range saturates.
    fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Uint(number) => Some(i64::try_from(*number).unwrap_or(i64::MAX)),
            // `as` saturates, and the number is finite.
            other => other.number().map(|number| number as i64),
        }
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(flag))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Int(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Uint(number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Str(Cow::Borrowed(text))))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Str(Cow::Owned(text.to_owned()))))
    }
    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Str(Cow::Owned(text))))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        // Lists in lists recurse; the guard has bounded their depth.
        let first = list.next_element_seed(ScalarSeed)?;
        drain_list(list)?;
        Ok(first.unwrap_or(Scalar::Absent))
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        drain_object(object)?;
        Ok(Scalar::Absent)
    }
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Scalar<'de>, D::Error> {
        source.deserialize_any(ScalarVisitor)
    }
}

/// Skips the rest of a list.
pub(crate) fn drain_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Skips the rest of an object.
pub(crate) fn drain_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

macro_rules! lenient_number {
    ($type:ty, $scalar:ident => $read:expr) => {
        impl<'de> Lenient<'de> for $type {
            fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
                let $scalar = source.deserialize_any(ScalarVisitor)?;
                Ok($read)
            }
            fn is_absent(&self) -> bool {
                *self == <$type>::default()
            }
        }
    };
}
lenient_number!(i32, scalar => scalar
    .integer()
    .map(|number| number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32));
// A negative size or duration says nothing.
lenient_number!(u32, scalar => scalar
    .integer()
    .filter(|number| *number >= 0)
    .map(|number| u32::try_from(number).unwrap_or(u32::MAX)));
lenient_number!(f64, scalar => scalar.number());

impl<'de> Lenient<'de> for bool {
    /// Any number but 0 is true; of text, "true" and numbers count.
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        let scalar = source.deserialize_any(ScalarVisitor)?;
        Ok(match &scalar {
            Scalar::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Scalar::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            other => other.number().map(|number| number != 0.0),
        })
    }
    fn is_absent(&self) -> bool {
        !self
    }
}

impl<'de> Lenient<'de> for Micros {
    /// A price: negative means none, and one past the range of [`Micros`] can never be met.
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        let scalar = source.deserialize_any(ScalarVisitor)?;
        if let Scalar::Text(text) = &scalar
            && let Some(exact) = Self::parse_decimal(text.trim())
        {
            return Ok(Some(exact));
        }
        if let Scalar::Uint(units) = scalar {
            return Ok(Some(Self(units.saturating_mul(1_000_000))));
        }
        Ok(scalar.number().map(|cpm| {
            let beyond = if cpm > 0.0 { Self(u64::MAX) } else { Self::ZERO };
            Self::from_cpm_f64(cpm).unwrap_or(beyond)
        }))
    }
    fn is_absent(&self) -> bool {
        *self == Self::ZERO
    }
}

impl<'de, T: Lenient<'de>> Lenient<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        Ok(T::read(source)?.map(Some))
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        self.as_ref().map_or(Ok(()), |value| value.audit(field, limits))
    }
}

impl<'de, T: Lenient<'de>> Lenient<'de> for Box<T> {
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        Ok(T::read(source)?.map(Self::new))
    }
    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        (**self).audit(field, limits)
    }
}

impl<'de, T: Lenient<'de>> Lenient<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        let list = source.deserialize_any(ListVisitor(PhantomData))?;
        Ok((!list.is_empty()).then_some(list))
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        if self.len() > limits.list_items {
            let limit = limits.list_items;
            return Err(ParseError::ListTooLong { field, limit });
        }
        self.iter().try_for_each(|item| item.audit(field, limits))
    }
}

/// Reads a list; a single value counts as a list of one. Elements that say nothing are left out.
struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> ListVisitor<T> {
    fn single<D: Deserializer<'de>>(source: D) -> Result<Vec<T>, D::Error> {
        Ok(T::read(source)?.into_iter().collect())
    }
}

impl<'de, T: Lenient<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Seed::<T>::new())? {
            items.extend(item);
            if items.len() * size_of::<T>() >= LIST_BYTES_MAX {
                drain_list(list)?;
                break;
            }
        }
        Ok(items)
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Vec<T>, A::Error> {
        Self::single(MapAccessDeserializer::new(object))
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Vec<T>, E> {
        Self::single(BorrowedStrDeserializer::new(text))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        Self::single(text.into_deserializer())
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Vec<T>, E> {
        Self::single(number.into_deserializer())
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Vec<T>, E> {
        Self::single(number.into_deserializer())
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Vec<T>, E> {
        Self::single(number.into_deserializer())
    }
    fn visit_bool<E>(self, _flag: bool) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_none<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
}

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
    fn read<D: Deserializer<'de>>(source: D) -> Result<Option<Self>, D::Error> {
        let set = source.deserialize_any(CodeSetVisitor)?;
        Ok(set.is_given().then_some(set))
    }
    fn is_absent(&self) -> bool {
        !self.is_given()
    }
}

struct CodeSetVisitor;

macro_rules! single_code {
    ($($method:ident($type:ty)),*) => {$(
        fn $method<E: serde::de::Error>(self, value: $type) -> Result<CodeSet, E> {
            let scalar = ScalarVisitor.$method::<E>(value)?;
            Ok(scalar.integer().into_iter().collect())
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
        while let Some(scalar) = list.next_element_seed(ScalarSeed)? {
            if let Some(code) = scalar.integer() {
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
