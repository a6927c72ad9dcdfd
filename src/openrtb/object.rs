//! `view!`: an OpenRTB object declared once, as a table of field, type and spellings.
//!
//! Each field names its 2.6 key (if it has one), after `or` older keys of the same object, and after `ext` the keys
//! under `ext` where 2.5 put it. The 2.6 key wins; then older keys; then `ext`; in any order of
//! appearance. A repeated key: the last one that says something counts. Unknown keys are skipped.

use super::json::{Key, Source, Stop};
use super::lenient::Lenient;

/// An object whose fields are read by key. Made by [`view!`].
pub(crate) trait Object<'de>: Default {
    /// Whether any field may come out of `ext`; otherwise `ext` is skipped unread.
    const HAS_EXT: bool;

    /// Reads the value of `key`, or skips it.
    fn field(&mut self, key: Key, source: &mut Source<'de>) -> Result<(), Stop>;

    /// Reads the value of `key` inside `ext`, or skips it.
    fn ext_field(&mut self, key: Key, source: &mut Source<'de>) -> Result<(), Stop>;
}

/// Reads an object into its place, where the default stands; anything else says nothing. In place,
/// because structs of this view are hundreds of bytes and would be moved at every level.
pub(crate) fn read_object<'de, T: Object<'de>>(
    object: &mut T,
    source: &mut Source<'de>,
) -> Result<bool, Stop> {
    if source.peek() != Some(b'{') {
        source.skip()?;
        return Ok(false);
    }
    let mut next = source.first_key()?;
    while let Some(key) = next {
        object.field(key, source)?;
        next = source.next_key()?;
    }
    Ok(true)
}

/// Reads what is under `ext`, of an object, where any field may come out of it.
#[inline]
pub(crate) fn read_ext<'de, T: Object<'de>>(
    object: &mut T,
    source: &mut Source<'de>,
) -> Result<(), Stop> {
    if !T::HAS_EXT || source.peek() != Some(b'{') {
        return source.skip();
    }
    let mut next = source.first_key()?;
    while let Some(key) = next {
        object.ext_field(key, source)?;
        next = source.next_key()?;
    }
    Ok(())
}

/// Reads the value of an older spelling into `slot`, or skips it where another already filled it.
pub(crate) fn fill<'de, T: Lenient<'de>>(
    slot: &mut T,
    source: &mut Source<'de>,
) -> Result<(), Stop> {
    if slot.is_absent() {
        slot.read(source)?;
        Ok(())
    } else {
        source.skip()
    }
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

            fn field(
                &mut self,
                key: $crate::openrtb::json::Key,
                source: &mut $crate::openrtb::json::Source<$life>,
            ) -> Result<(), $crate::openrtb::json::Stop> {
                use $crate::openrtb::json::Key;
                /// Patterns must be constants.
                struct Start;
                #[allow(non_upper_case_globals, reason = "named as the field")]
                impl Start {
                    const ext: u64 = Key::known(b"ext").start.get();
                    $($(const $field: u64 = Key::known($key).start.get();)?)*
                }
                // One number after the other, in a tree: text would be compared with one key after the
                // other.
                match key.start.get() {
                    $($(
                        Start::$field if key.rest == const { Key::known($key).rest } => {
                            $crate::openrtb::lenient::Lenient::read(&mut self.$field, source)?;
                        }
                    )?)*
                    $($(
                        _ if key == const { Key::known($old) } => {
                            $crate::openrtb::object::fill(&mut self.$field, source)?;
                        }
                    )*)*
                    Start::ext if key.rest == 0 => $crate::openrtb::object::read_ext(self, source)?,
                    _ => source.skip()?,
                }
                Ok(())
            }

            fn ext_field(
                &mut self,
                key: $crate::openrtb::json::Key,
                source: &mut $crate::openrtb::json::Source<$life>,
            ) -> Result<(), $crate::openrtb::json::Stop> {
                match key {
                    $($(
                        _ if key == const { $crate::openrtb::json::Key::known($ext) } => {
                            $crate::openrtb::object::fill(&mut self.$field, source)?;
                        }
                    )*)*
                    _ => source.skip()?,
                }
                Ok(())
            }
        }

        impl<$life> $crate::openrtb::lenient::Lenient<$life> for $name $(<$own>)? {
            fn read(
                &mut self,
                source: &mut $crate::openrtb::json::Source<$life>,
            ) -> Result<bool, $crate::openrtb::json::Stop> {
                if source.peek() == Some(b'{') {
                    *self = Self::default();
                }
                $crate::openrtb::object::read_object(self, source)
            }
            fn read_new(
                &mut self,
                source: &mut $crate::openrtb::json::Source<$life>,
            ) -> Result<bool, $crate::openrtb::json::Stop> {
                $crate::openrtb::object::read_object(self, source)
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
