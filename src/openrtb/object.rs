//! `view!`: an OpenRTB object declared once, as a table of field, type and spellings.
//!
//! Each field names its 2.6 key (if it has one), after `or` older keys of the same object, and after `ext` the keys
//! under `ext` where 2.5 put it. The 2.6 key wins; then older keys; then `ext`; in any order of
//! appearance. A repeated key: the last one that says something counts. Unknown keys are skipped.

use super::lenient::{Lenient, Seed, drain_list};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// An object whose fields are read by key. Made by [`view!`].
pub(crate) trait Object<'de>: Default {
    /// Whether any field may come out of `ext`; otherwise `ext` is skipped unread.
    const HAS_EXT: bool;

    /// Reads the value of `key`, or skips it.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    /// Reads the value of `key` inside `ext`, or skips it.
    fn ext_field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// A key, borrowed unless it was written with escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}

/// Reads an object into its place, over whatever stood there; anything else says nothing and leaves
/// the place as it is. In place, because structs of this view are hundreds of bytes and would be
/// moved at every level.
pub(crate) struct ObjectVisitor<'t, T>(pub(crate) &'t mut T);

macro_rules! nothing {
    ($answer:expr; $($method:ident($type:ty)),*) => {$(
        fn $method<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Ok($answer)
        }
    )*};
}

impl<'de, T: Object<'de>> Visitor<'de> for ObjectVisitor<'_, T> {
    type Value = bool;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        *self.0 = T::default();
        while let Some(Key(key)) = map.next_key()? {
            if key != "ext" {
                self.0.field(&key, &mut map)?;
            } else if T::HAS_EXT {
                map.next_value_seed(ExtSeed(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(true)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error> {
        drain_list(list)?;
        Ok(false)
    }
    nothing!(false; visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// Reads `ext` into the object that it belongs to; an `ext` that is no object is skipped.
struct ExtSeed<'t, T>(&'t mut T);

impl<'de, T: Object<'de>> DeserializeSeed<'de> for ExtSeed<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for ExtSeed<'_, T> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            self.0.ext_field(&key, &mut map)?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        drain_list(list)
    }
    nothing!((); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads the value of an older spelling into `slot`, or skips it where another already filled it.
pub(crate) fn fill<'de, T: Lenient<'de>, A: MapAccess<'de>>(
    slot: &mut T,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_absent() {
        map.next_value_seed(Seed(slot))?;
    } else {
        map.next_value::<IgnoredAny>()?;
    }
    Ok(())
}

/// A field's name without the mark of a raw identifier.
pub(crate) fn plain(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Declares an object of the view, read from JSON that lives for the lifetime before the arrow; see
/// the module.
macro_rules! view {
    (
        $life:lifetime =>
        $(#[$meta:meta])*
        pub struct $name:ident $(<$own:lifetime>)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty = $($key:literal)? $(or $old:literal)* $(ext $ext:literal)*,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name $(<$own>)? {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl<$life> $crate::openrtb::object::Object<$life> for $name $(<$own>)? {
            const HAS_EXT: bool = [$($(!$ext.is_empty(),)*)* false][0];

            fn field<A: serde::de::MapAccess<$life>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                // Byte strings become a decision tree by length and letters; `str` patterns would be
                // compared one after the other, at a nanosecond each.
                match key.as_bytes() {
                    $(
                        $($key => {
                            map.next_value_seed($crate::openrtb::lenient::Seed(&mut self.$field))?;
                        })?
                        $($old => {
                            $crate::openrtb::object::fill(&mut self.$field, map)?;
                        })*
                    )*
                    _ => {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(())
            }

            fn ext_field<A: serde::de::MapAccess<$life>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                match key.as_bytes() {
                    $($($ext => {
                        $crate::openrtb::object::fill(&mut self.$field, map)?;
                    })*)*
                    _ => {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(())
            }
        }

        impl<$life> $crate::openrtb::lenient::Lenient<$life> for $name $(<$own>)? {
            fn read<D: serde::Deserializer<$life>>(&mut self, source: D) -> Result<bool, D::Error> {
                source.deserialize_any($crate::openrtb::object::ObjectVisitor(self))
            }
            fn is_absent(&self) -> bool {
                *self == Self::default()
            }
            fn audit(
                &self,
                _: &'static str,
                limits: &$crate::openrtb::limits::Limits,
            ) -> Result<(), $crate::openrtb::limits::ParseError> {
                use $crate::openrtb::lenient::Lenient;
                $(Lenient::audit(&self.$field, $crate::openrtb::object::plain(stringify!($field)), limits)?;)*
                Ok(())
            }
        }
    };
}
pub(crate) use view;
