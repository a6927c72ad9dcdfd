//! Reading what the wild sends: every value is read by what it is, never by what it should be.
//!
//! [`Lenient::read`] answers `false` for a value that says nothing (null, or of a kind that cannot
//! be understood) and fails only on broken JSON, so one odd optional never costs a whole request.

use super::limits::{Limits, ParseError};
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A value that is read leniently out of JSON.
pub(crate) trait Lenient<'de>: Default {
    /// Reads one JSON value of any kind in place of `self`. `false` when it says nothing: then `self`
    /// is as it was. An error only on broken JSON; `self` is of no use then.
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error>;

    /// Whether this is what a missing field would be: then an older spelling may fill it.
    fn is_absent(&self) -> bool;

    /// Refuses text and lists beyond the limits. `field` is the name for the refusal.
    fn audit(&self, _field: &'static str, _limits: &Limits) -> Result<(), ParseError> {
        Ok(())
    }
}

/// Carries [`Lenient::read`] into serde's seeds, with the place that is read into.
pub(crate) struct Seed<'t, T>(pub(crate) &'t mut T);

impl<'de, T: Lenient<'de>> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        self.0.read(source)
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
impl From<String> for Str<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
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
impl<'de> Lenient<'de> for Str<'de> {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        source.deserialize_any(StrVisitor(self))
    }
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        if self.len() > limits.string_bytes {
            let limit = limits.string_bytes;
            return Err(ParseError::StringTooLong { field, limit });
        }
        Ok(())
    }
}

/// Reads text; of a number its digits, of a list its first element.
struct StrVisitor<'t, 'de>(&'t mut Str<'de>);

impl<'de> StrVisitor<'_, 'de> {
    fn put(self, text: Cow<'de, str>) -> bool {
        let is_given = !text.is_empty();
        if is_given {
            self.0.0 = text;
        }
        is_given
    }
}

impl<'de> Visitor<'de> for StrVisitor<'_, 'de> {
    type Value = bool;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<bool, E> {
        Ok(self.put(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(self.put(Cow::Owned(text.to_owned())))
    }
    fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
        Ok(self.put(Cow::Owned(number.to_string())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        Ok(self.put(Cow::Owned(number.to_string())))
    }
    fn visit_f64<E>(self, number: f64) -> Result<bool, E> {
        Ok(self.put(Cow::Owned(number.to_string())))
    }
    fn visit_bool<E>(self, _flag: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        // Lists in lists recurse; the guard has bounded their depth.
        let first = list.next_element_seed(Seed(self.0))?;
        drain_list(list)?;
        Ok(first.unwrap_or(false))
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        drain_object(object)?;
        Ok(false)
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
