//! Lists, optional parts and boxes of lenient values.

use super::lenient::{Lenient, drain_list};
use super::limits::{Limits, ParseError};
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use smallvec::SmallVec;
use std::fmt;

/// Bytes of elements kept of any one list, whatever [`Limits`] says: bounds the memory that a body
/// of `{},{},` can claim before the limits are looked at. Room for 43,690 texts or 1,800 imps.
const LIST_BYTES_MAX: usize = 1 << 20;

/// A list with room for `N` elements in its place, so that a usual request allocates hardly at all.
pub type List<T, const N: usize = 1> = SmallVec<[T; N]>;

impl<'de, T: Lenient<'de>> Lenient<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        let was_given = self.is_some();
        let is_given = self.get_or_insert_default().read(source)?;
        if !is_given && !was_given {
            *self = None;
        }
        Ok(is_given)
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        self.as_ref().map_or(Ok(()), |value| value.audit(field, limits))
    }
}

impl<'de, T: Lenient<'de>> Lenient<'de> for Box<T> {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        (**self).read(source)
    }
    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        (**self).audit(field, limits)
    }
}

impl<'de, T: Lenient<'de>, const N: usize> Lenient<'de> for List<T, N> {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        let before = self.len();
        source.deserialize_any(ListVisitor(self))?;
        let is_given = self.len() > before;
        if is_given && before > 0 {
            self.drain(..before);
        }
        Ok(is_given)
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        audit_list(self, field, limits)
    }
}

/// For what outlives its own borrow: a `SmallVec` ties the lifetimes of its elements down.
impl<'de, T: Lenient<'de>> Lenient<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(&mut self, source: D) -> Result<bool, D::Error> {
        let mut list = List::<T>::new();
        let is_given = list.read(source)?;
        if is_given {
            *self = list.into_vec();
        }
        Ok(is_given)
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        audit_list(self, field, limits)
    }
}

/// Refuses a list, or elements of it, beyond the limits.
fn audit_list<'de, T: Lenient<'de>>(
    list: &[T],
    field: &'static str,
    limits: &Limits,
) -> Result<(), ParseError> {
    if list.len() > limits.list_items {
        let limit = limits.list_items;
        return Err(ParseError::ListTooLong { field, limit });
    }
    list.iter().try_for_each(|item| item.audit(field, limits))
}

/// Appends one element, read in its place in the list; one that says nothing is taken off again.
struct ElementSeed<'t, T, const N: usize>(&'t mut List<T, N>);

impl<'de, T: Lenient<'de>, const N: usize> DeserializeSeed<'de> for ElementSeed<'_, T, N> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        self.0.push(T::default());
        if let Some(place) = self.0.last_mut()
            && !place.read(source)?
        {
            self.0.pop();
        }
        Ok(())
    }
}

/// Appends the elements of a list; a single value counts as a list of one. Elements that say nothing
/// are left out.
struct ListVisitor<'t, T, const N: usize>(&'t mut List<T, N>);

impl<'de, T: Lenient<'de>, const N: usize> ListVisitor<'_, T, N> {
    fn single<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        ElementSeed(self.0).deserialize(source)
    }
}

impl<'de, T: Lenient<'de>, const N: usize> Visitor<'de> for ListVisitor<'_, T, N> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let before = self.0.len();
        while list.next_element_seed(ElementSeed(self.0))?.is_some() {
            if (self.0.len() - before) * size_of::<T>() >= LIST_BYTES_MAX {
                drain_list(list)?;
                break;
            }
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.single(MapAccessDeserializer::new(object))
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.single(BorrowedStrDeserializer::new(text))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.single(text.into_deserializer())
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.single(number.into_deserializer())
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.single(number.into_deserializer())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.single(number.into_deserializer())
    }
    fn visit_bool<E>(self, _flag: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
}
