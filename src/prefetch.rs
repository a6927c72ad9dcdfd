//! Cache lines asked for before they are needed: the one file with `unsafe` in it.
//!
//! An auction reads some six hundred cache lines that no core's own cache holds, at 75 ns each when
//! one waits for the other (measured). Asked for a few campaigns ahead, dozens are under way at once.
#![expect(unsafe_code, reason = "a prefetch takes an address, and so is unsafe by its signature")]

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the cache lines of `items[index]`; nothing where there is no such item, or no such
/// instruction. Changes nothing but how long later reads take.
#[inline(always)]
pub fn prefetch<T>(items: &[T], index: usize) {
    if let Some(item) = items.get(index) {
        prefetch_item(item);
    }
}

/// Lines of one list or text that are asked for at once: more would push others out of the nearest
/// cache, and what follows in order comes by itself once it is read.
const LINES_MAX: usize = 32;

/// Asks for the cache lines in which `items` begin.
#[inline]
pub fn prefetch_items<T>(items: &[T]) {
    let start = items.as_ptr().cast::<i8>();
    let lines = size_of_val(items).div_ceil(LINE).min(LINES_MAX);
    (0..lines).for_each(|line| ask(start.wrapping_add(line * LINE)));
}

/// Asks for the first cache line of `items[index]` alone.
#[inline(always)]
pub fn prefetch_start<T>(items: &[T], index: usize) {
    if let Some(item) = items.get(index) {
        ask(std::ptr::from_ref(item).cast());
    }
}

/// Asks for the cache lines of `item`.
#[inline(always)]
pub fn prefetch_item<T>(item: &T) {
    let start = std::ptr::from_ref(item).cast::<i8>();
    (0..size_of::<T>()).step_by(LINE).for_each(|offset| ask(start.wrapping_add(offset)));
}

#[inline(always)]
fn ask(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint, which reads nothing that the program can see and does not fault
        // at any address (Intel SDM, PREFETCHh).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
