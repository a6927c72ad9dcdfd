//! Lists, optional parts and boxes of lenient values.

use super::json::{Source, Stop};
use super::lenient::Lenient;
use super::limits::{Limits, ParseError};
use smallvec::SmallVec;

/// Bytes of elements kept of any one list, whatever [`Limits`] says: bounds the memory that a body
/// of `{},{},` can claim before the limits are looked at. Room for 43,690 texts or 1,800 imps.
const LIST_BYTES_MAX: usize = 1 << 20;

/// A list with room for `N` elements in its place, so that a usual request allocates hardly at all.
pub type List<T, const N: usize = 1> = SmallVec<[T; N]>;

impl<'de, T: Lenient<'de>> Lenient<'de> for Option<T> {
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        if let Some(value) = self {
            return value.read(source);
        }
        let is_given = self.insert(T::default()).read_new(source)?;
        if !is_given {
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
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        (**self).read(source)
    }
    fn read_new(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        (**self).read_new(source)
    }
    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        (**self).audit(field, limits)
    }
}

impl<'de, T: Lenient<'de>, const N: usize> Lenient<'de> for List<T, N> {
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        let before = self.len();
        read_elements(self, source)?;
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
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
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

/// Appends the elements of a list; a single value counts as a list of one. Elements that say nothing
/// are left out.
fn read_elements<'de, T: Lenient<'de>, const N: usize>(
    list: &mut List<T, N>,
    source: &mut Source<'de>,
) -> Result<(), Stop> {
    match source.peek() {
        Some(b'[') => {
            let before = list.len();
            let mut has_more = source.first_element()?;
            while has_more {
                read_element(list, source)?;
                if (list.len() - before) * size_of::<T>() >= LIST_BYTES_MAX {
                    return source.skip_elements();
                }
                has_more = source.next_element()?;
            }
            Ok(())
        }
        Some(b't' | b'f' | b'n') | None => source.skip(),
        Some(_) => read_element(list, source),
    }
}

/// Appends one element, read in its place in the list; one that says nothing is taken off again.
#[inline]
fn read_element<'de, T: Lenient<'de>, const N: usize>(
    list: &mut List<T, N>,
    source: &mut Source<'de>,
) -> Result<(), Stop> {
    list.push(T::default());
    if let Some(place) = list.last_mut()
        && !place.read_new(source)?
    {
        list.pop();
    }
    Ok(())
}
