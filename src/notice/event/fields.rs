//! Field by field access to one JSON object, so that a fault names its field.

use crate::units::Micros;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Fields that an event can have, and some for what a newer sender may add (they are rejected by
/// name): bounds the search for repetitions.
const FIELDS_MAX: usize = 32;

/// Bytes of an unknown field's name that are told back.
const UNKNOWN_NAME_BYTES_MAX: usize = 64;

/// What is wrong with an event. A closed set, so that it can label a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Not JSON, or not an object.
    #[error("not a JSON object")]
    NotJson,
    /// Larger than the limit.
    #[error("too large")]
    TooLarge,
    /// Past the lines that one body may have; nothing from here on was read.
    #[error("too many events in one body; the rest was not read")]
    TooManyLines,
    /// A field that must be there is not, or is null.
    #[error("missing")]
    Missing,
    /// Of the wrong type, empty, or out of range.
    #[error("invalid")]
    Invalid,
    /// Longer than the limit.
    #[error("too long")]
    TooLong,
    /// The field is there twice.
    #[error("repeated")]
    Repeated,
    /// No such field, or nobody of this name.
    #[error("unknown")]
    Unknown,
    /// More than seven days ago.
    #[error("more than 7 days old")]
    TooOld,
    /// More than five minutes ahead.
    #[error("more than 5 minutes in the future")]
    InTheFuture,
    /// Not exactly one of the namespaces.
    #[error("must name exactly one of ifa, buyeruid, eid, id")]
    NotOneUserId,
    /// A search without a category whose words do not say which one is meant.
    #[error("its words name no category of the advertiser's, or several alike: name one")]
    NotOneCategory,
    /// Only a purchase has it.
    #[error("only on a purchase")]
    NotForThisType,
}

/// A reason and the field it is about.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) field: Cow<'static, str>,
    pub(super) reason: Reason,
}

impl Fault {
    pub(super) const fn of(field: &'static str, reason: Reason) -> Self {
        Self { field: Cow::Borrowed(field), reason }
    }

    pub(super) const fn whole(reason: Reason) -> Self {
        Self::of("", reason)
    }

    /// The same fault, of a field of `outer`.
    pub(super) fn within(self, outer: &'static str) -> Self {
        let field = match &*self.field {
            "" => Cow::Borrowed(outer),
            inner => Cow::Owned(format!("{outer}.{inner}")),
        };
        Self { field, ..self }
    }
}

/// The fields of one object that were not taken yet, unparsed.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        let fields: Self = serde_json::from_str(text).map_err(|_| Fault::whole(Reason::NotJson))?;
        for (place, (name, _)) in fields.0.iter().enumerate() {
            if fields.0[..place].iter().any(|(other, _)| other == name) {
                return Err(Fault { field: quoted(name), reason: Reason::Repeated });
            }
        }
        Ok(fields)
    }

    fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.0.swap_remove(place);
        (value.get() != "null").then_some(value)
    }

    /// A field that must be there.
    pub(super) fn required<T: Deserialize<'a>>(&mut self, name: &'static str) -> Result<T, Fault> {
        let value = self.take(name).ok_or(Fault::of(name, Reason::Missing))?;
        serde_json::from_str(value.get()).map_err(|_| Fault::of(name, Reason::Invalid))
    }

    /// A field that may be absent or null.
    pub(super) fn optional<T: Deserialize<'a>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let value = serde_json::from_str(value.get());
        value.map(Some).map_err(|_| Fault::of(name, Reason::Invalid))
    }

    /// A text that must be there, trimmed, not empty, of at most `bytes_max`.
    pub(super) fn required_text(
        &mut self,
        name: &'static str,
        bytes_max: usize,
    ) -> Result<Cow<'a, str>, Fault> {
        self.text(name, bytes_max)?.ok_or(Fault::of(name, Reason::Missing))
    }

    /// A text, trimmed, of at most `bytes_max`; `None` where it is absent or null. Empty is
    /// invalid: a sender that has nothing to say leaves the field out.
    pub(super) fn text(
        &mut self,
        name: &'static str,
        bytes_max: usize,
    ) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Text(text) =
            serde_json::from_str(value.get()).map_err(|_| Fault::of(name, Reason::Invalid))?;
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        if text.is_empty() {
            Err(Fault::of(name, Reason::Invalid))
        } else if text.len() > bytes_max {
            Err(Fault::of(name, Reason::TooLong))
        } else {
            Ok(Some(text))
        }
    }

    /// A non-negative decimal, as a number or a text, in micros rounded up; exact, since it never
    /// passes through a float.
    pub(super) fn price_micros(
        &mut self,
        name: &'static str,
        micros_max: u64,
    ) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let decimal = value.get().trim_matches('"');
        match Micros::parse_decimal(decimal) {
            Some(Micros(micros)) if micros <= micros_max => Ok(Some(micros)),
            _ => Err(Fault::of(name, Reason::Invalid)),
        }
    }

    /// The only field; `None` when there are none or more.
    pub(super) fn only(&self) -> Option<(&str, &'a RawValue)> {
        match self.0.as_slice() {
            [(name, value)] => Some((name, value)),
            _ => None,
        }
    }

    /// Nothing may be left: a misspelt field would be lost without a word.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Fault { field: quoted(name), reason: Reason::Unknown }),
        }
    }
}

fn quoted(name: &str) -> Cow<'static, str> {
    Cow::Owned(name[..name.floor_char_boundary(UNKNOWN_NAME_BYTES_MAX)].to_owned())
}

/// A text that borrows where it has no escapes, which a plain `Cow` would not.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(FIELDS_MAX / 2);
                while let Some((Text(name), value)) =
                    map.next_entry::<Text<'de>, &'de RawValue>()?
                {
                    if fields.len() == FIELDS_MAX {
                        return Err(A::Error::custom("too many fields"));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
