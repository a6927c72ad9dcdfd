//! Reading what the wild sends: every value is read by what it is, never by what it should be.
//!
//! [`Lenient::read`] answers `false` for a value that says nothing (null, or of a kind that cannot
//! be understood) and fails only on broken JSON, so one odd optional never costs a whole request.

use super::json::{Source, Stop};
use super::limits::{Limits, ParseError};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A value that is read leniently out of JSON.
pub(crate) trait Lenient<'de>: Default {
    /// Reads one JSON value of any kind in place of `self`. `false` when it says nothing: then `self`
    /// is as it was. An error only on broken JSON; `self` is of no use then.
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop>;

    /// The same where `self` is still the default, so that nothing has to be cleared.
    fn read_new(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        self.read(source)
    }

    /// Whether this is what a missing field would be: then an older spelling may fill it.
    fn is_absent(&self) -> bool;

    /// Refuses text and lists beyond the limits. `field` is the name for the refusal.
    fn audit(&self, _field: &'static str, _limits: &Limits) -> Result<(), ParseError> {
        Ok(())
    }
}

/// Text that borrows from the request's buffer unless the JSON had to be unescaped. Empty text and
/// missing text are the same thing.
///
/// A number in place of text is its digits, and of a list its first element counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

    /// Puts `text` in place of this one if there is any in it. Whether there is.
    #[cold]
    fn set(&mut self, text: Cow<'a, str>) -> bool {
        let is_given = !text.is_empty();
        if is_given {
            self.0 = text;
        }
        is_given
    }

    /// Reads what is no short text without escapes.
    #[inline(never)]
    fn read_rare(&mut self, source: &mut Source<'a>) -> Result<bool, Stop> {
        let text = match source.peek() {
            Some(b'"') => source.text()?,
            Some(b'-' | b'0'..=b'9') => Cow::Owned(source.number()?.to_string()),
            Some(b'[') => return read_first(source, |source| self.read(source)),
            _ => {
                source.skip()?;
                return Ok(false);
            }
        };
        Ok(self.set(text))
    }

    /// The text, when there is any.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

/// Borrowed, unlike `Cow`'s: what takes its place has nothing to free.
impl Default for Str<'_> {
    fn default() -> Self {
        Self(Cow::Borrowed(""))
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
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        match (source.plain_text(), &mut self.0) {
            (None, _) => self.read_rare(source),
            (Some(""), _) => Ok(false),
            // Nearly always: nothing is to be freed.
            (Some(text), Cow::Borrowed(place)) => {
                *place = text;
                Ok(true)
            }
            (Some(text), Cow::Owned(_)) => Ok(self.set(Cow::Borrowed(text))),
        }
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

/// Reads the first element of a list and skips the others; the default where there is none.
pub(super) fn read_first<'de, T: Default>(
    source: &mut Source<'de>,
    read: impl FnOnce(&mut Source<'de>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    if !source.first_element()? {
        return Ok(T::default());
    }
    // Lists in lists recurse, as deep as the source lets them.
    let first = read(source)?;
    source.skip_elements()?;
    Ok(first)
}
