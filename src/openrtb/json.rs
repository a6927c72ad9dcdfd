//! JSON out of text, value by value: what bid requests are read with.
//!
//! Whoever reads a value looks at how it begins ([`Source::peek`]) and takes it as what it is, or
//! skips it. Of a usual body a half is skipped, so that walks without recursion and looks at sixteen
//! bytes of text at a time. It takes what serde_json takes and refuses what that refuses, skipped or
//! not (a property test holds it to that), but what nests deeper than it was told; what is rare,
//! escapes and numbers with an exponent, it leaves to serde_json itself.

use super::escape::{BLOCK, first_special};
use super::number::Number;
use serde::Deserialize;
use std::borrow::Cow;
use std::num::NonZeroU64;

/// Levels that are skipped over, one bit each: twice of what [`super::DEPTH_MAX`] lets pass.
const SKIPPED_DEPTH_MAX: u32 = u128::BITS;
/// Digits of most whole numbers: sizes, codes, flags.
const PLAIN_DIGITS_MAX: usize = 8;
/// Digits of a number that surely fits 64 bits; longer ones are serde_json's.
const DIGITS_MAX: usize = 18;
/// Digits of a fraction's number that a float holds exactly, below 2^53. Divided by a power of ten
/// that is exact too it is rounded once, hence right (Clinger 1990).
const FRACTION_DIGITS_MAX: usize = 15;
const POWERS_OF_TEN: [f64; FRACTION_DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// What is left of a text of JSON.
pub(crate) struct Source<'de> {
    text: &'de str,
    at: usize,
    /// Lists and objects that may yet be opened inside of the present one.
    depth_left: usize,
}

/// Why reading stopped; [`Source::at`] says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is no JSON.
    NotJson,
    /// It nests too deep.
    TooDeep,
}

/// A key of an object: its letters as a number, so that a known one is found by comparing numbers.
/// What is longer than any that we know is no key at all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The first eight letters.
    pub(super) start: NonZeroU64,
    /// The next eight.
    pub(super) rest: u64,
}

impl Key {
    /// What no known key is: no text has such bytes.
    const UNKNOWN: Self = Self { start: NonZeroU64::MAX, rest: 0 };

    /// The letters of a known key, 1 to 15.
    pub(super) const fn known(letters: &[u8]) -> Self {
        assert!(!letters.is_empty() && letters.len() < BLOCK);
        Self::of(letters)
    }

    /// Any letters. A zero among them, which JSON can only escape, would read as their end.
    const fn of(letters: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        let mut at = 0;
        while at < letters.len() {
            if letters[at] == 0 || at == BLOCK - 1 {
                return Self::UNKNOWN;
            }
            block[at] = letters[at];
            at += 1;
        }
        match Self::within(&block, at) {
            Some(key) => key,
            None => Self::UNKNOWN,
        }
    }

    /// The first `letters` of a block; `None` where those are none or all of it.
    #[inline(always)]
    const fn within(block: &[u8; BLOCK], letters: usize) -> Option<Self> {
        /// The bits of so many letters, of the first eight and of the next.
        const MASKS: [(u64, u64); BLOCK] = {
            let mut masks = [(0, 0); BLOCK];
            let mut letters = 1;
            while letters < BLOCK {
                let mask = u128::MAX >> (8 * (BLOCK - letters));
                masks[letters] = (mask as u64, (mask >> 64) as u64);
                letters += 1;
            }
            masks
        };
        let (start, rest) = MASKS[letters % BLOCK];
        let packed = u128::from_le_bytes(*block);
        match NonZeroU64::new(packed as u64 & start) {
            Some(start) => Some(Self { start, rest: (packed >> 64) as u64 & rest }),
            None => None,
        }
    }
}

impl<'de> Source<'de> {
    /// All of `text`, in which lists and objects may stand `depth` deep, 128 at most.
    pub(super) fn new(text: &'de str, depth: usize) -> Self {
        Self { text, at: 0, depth_left: depth.min(SKIPPED_DEPTH_MAX as usize) }
    }

    /// How many bytes have been taken.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Makes sure that nothing but blanks is left.
    pub(super) fn end(&mut self) -> Result<(), Stop> {
        if self.peek().is_none() { Ok(()) } else { Err(Stop::NotJson) }
    }

    /// What is left: never `None`, which the compiler cannot know.
    #[inline(always)]
    fn rest(&self) -> Option<&'de [u8]> {
        self.text.as_bytes().get(self.at..)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no blank, which stays.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Makes sure that `byte` is next, and takes the blanks before it.
    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek() == Some(byte) { Ok(()) } else { Err(Stop::NotJson) }
    }

    /// Takes `byte`, blanks before it included.
    #[inline]
    fn take(&mut self, byte: u8) -> Result<(), Stop> {
        self.expect(byte)?;
        self.at += 1;
        Ok(())
    }

    /// Takes a text whose opening quote is next.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>, Stop> {
        match self.plain_text() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.long_text(),
        }
    }

    /// Takes a text without escapes if that is next and not at the very end.
    #[inline(always)]
    pub(super) fn plain_text(&mut self) -> Option<&'de str> {
        let from = self.at + 1;
        let letters = self.plain_letters()?;
        let text = self.text.get(from..from + letters)?;
        self.at = from + letters + 1;
        Some(text)
    }

    /// How many letters such a text has; it stays.
    #[inline(always)]
    fn plain_letters(&self) -> Option<usize> {
        let (b'"', text) = self.rest()?.split_first()? else { return None };
        let mut before = 0;
        loop {
            let block = text.get(before..)?.first_chunk()?;
            let letters = first_special(block, is_special);
            if let Some(end) = block.get(letters) {
                return (*end == b'"').then_some(before + letters);
            }
            before += BLOCK;
        }
    }

    #[inline(never)]
    fn long_text(&mut self) -> Result<Cow<'de, str>, Stop> {
        let from = self.at;
        if self.skip_long_text()? {
            return self.parsed(from).map(Cow::Owned);
        }
        // Quotes are ASCII, so this never takes the empty default.
        Ok(Cow::Borrowed(self.text.get(from + 1..self.at - 1).unwrap_or_default()))
    }

    /// Skips a text whose opening quote is next. Whether there were escapes.
    #[inline(never)]
    fn skip_long_text(&mut self) -> Result<bool, Stop> {
        self.at += 1;
        let mut has_escape = false;
        loop {
            while let Some(block) = self.rest().and_then(<[u8]>::first_chunk) {
                let plain = first_special(block, is_special);
                self.at += plain;
                if plain < BLOCK {
                    break;
                }
            }
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escape);
                }
                Some(b'\\') => {
                    has_escape = true;
                    self.skip_escape()?;
                }
                Some(b' '..) => self.at += 1,
                _ => return Err(Stop::NotJson),
            }
        }
    }

    #[cold]
    fn skip_escape(&mut self) -> Result<(), Stop> {
        let rest = self.rest().unwrap_or_default();
        let bytes = match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if rest.len() >= 6 && rest[2..6].iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return Err(Stop::NotJson),
        };
        self.at += bytes;
        Ok(())
    }

    /// Takes a whole number of few digits if that is next and ends a part of a list or an object, as
    /// most do.
    #[inline(always)]
    pub(super) fn plain_number(&mut self) -> Option<u64> {
        let rest = self.rest()?;
        let (mut number, mut digits) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            number = 10 * number + u64::from(digit - b'0');
            digits += 1;
            if digits > PLAIN_DIGITS_MAX {
                return None;
            }
        }
        let is_number = digits == 1 || digits > 1 && rest[0] != b'0';
        let is_end = matches!(rest.get(digits), Some(b',' | b'}' | b']'));
        (is_number && is_end).then(|| {
            self.at += digits;
            number
        })
    }

    /// Takes a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, Stop> {
        let from = self.at;
        let is_negative = self.byte() == Some(b'-');
        self.at += usize::from(is_negative);
        let has_zero = self.byte() == Some(b'0');
        let (whole, digits) = self.digits(0);
        let is_whole = digits == 1 || (2..=DIGITS_MAX).contains(&digits) && !has_zero;
        match self.byte() {
            Some(b'.') if is_whole => self.fraction(from, whole, digits),
            Some(b'.' | b'e' | b'E') => self.rare_number(from),
            _ if is_whole && !is_negative => Ok(Number::Uint(whole)),
            // Of at most 18 digits; -0 is a float.
            _ if is_whole && whole > 0 => Ok(Number::Int(-(whole as i64))),
            _ => self.rare_number(from),
        }
    }

    /// Takes what follows the whole part of a number that began at `from`, from the point on.
    fn fraction(&mut self, from: usize, whole: u64, digits: usize) -> Result<Number, Stop> {
        self.at += 1;
        let (all, more) = self.digits(whole);
        let is_exact = more > 0 && digits + more <= FRACTION_DIGITS_MAX;
        if !is_exact || matches!(self.byte(), Some(b'e' | b'E')) {
            return self.rare_number(from);
        }
        let size = all as f64 / POWERS_OF_TEN[more];
        Ok(Number::Float(if self.text.as_bytes()[from] == b'-' { -size } else { size }))
    }

    /// Appends the digits that are next to `number`, as long as it has room for them; how many there
    /// were.
    #[inline]
    fn digits(&mut self, number: u64) -> (u64, usize) {
        let (mut number, from) = (number, self.at);
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        (number, self.at - from)
    }

    /// Takes a number that began at `from` and is left to serde_json.
    #[cold]
    fn rare_number(&mut self, from: usize) -> Result<Number, Stop> {
        self.at = from;
        self.skip_number()?;
        self.parsed::<serde_json::Number>(from).map(Number::from)
    }

    /// What stands between `from` and here, as serde_json reads it.
    #[cold]
    fn parsed<T: Deserialize<'de>>(&mut self, from: usize) -> Result<T, Stop> {
        serde_json::from_str(&self.text[from..self.at]).map_err(|_| {
            self.at = from;
            Stop::NotJson
        })
    }

    fn skip_number(&mut self) -> Result<(), Stop> {
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), Stop> {
        let (_, digits) = self.digits(0);
        if digits == 0 { Err(Stop::NotJson) } else { Ok(()) }
    }

    /// Skips a text or a number that is next, without blanks before it, if it is as most are.
    #[inline(always)]
    fn skip_plain(&mut self) -> bool {
        match self.plain_letters() {
            Some(letters) => {
                self.at += letters + 2;
                true
            }
            None => self.plain_number().is_some(),
        }
    }

    /// Skips a value that holds no other and begins with `first`.
    fn skip_single(&mut self, first: Option<u8>) -> Result<(), Stop> {
        let literal = match first {
            Some(b'"') => return self.skip_long_text().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => return self.skip_number(),
            Some(b't') => "true",
            Some(b'f') => "false",
            Some(b'n') => "null",
            _ => return Err(Stop::NotJson),
        };
        if !self.rest().is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            return Err(Stop::NotJson);
        }
        self.at += literal.len();
        Ok(())
    }

    /// Skips one value.
    pub(super) fn skip(&mut self) -> Result<(), Stop> {
        let first = self.peek();
        if self.skip_plain() {
            return Ok(());
        }
        match first {
            Some(b'{' | b'[') => self.skip_nested(),
            first => self.skip_single(first),
        }
    }

    /// Skips a list or an object, whose bracket is next.
    #[inline(never)]
    fn skip_nested(&mut self) -> Result<(), Stop> {
        // One bit for each that is open, the innermost lowest: 1 for objects.
        let (mut open, mut depth) = (0u128, 0u32);
        loop {
            let first = self.peek();
            let mut has_more = if let Some(bracket @ (b'{' | b'[')) = first {
                depth += 1;
                open = open << 1 | u128::from(bracket == b'{');
                if bracket == b'{' { self.first_key()?.is_some() } else { self.first_element()? }
            } else {
                if !self.skip_plain() {
                    self.skip_single(first)?;
                }
                self.has_next(open & 1 == 1)?
            };
            // What ends may be the last part of what it is in.
            while !has_more {
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
                open >>= 1;
                has_more = self.has_next(open & 1 == 1)?;
            }
        }
    }

    fn has_next(&mut self, is_object: bool) -> Result<bool, Stop> {
        if is_object { Ok(self.next_key()?.is_some()) } else { self.next_element() }
    }

    /// Goes a level deeper.
    #[inline]
    fn open(&mut self) -> Result<(), Stop> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Stop::TooDeep)?;
        Ok(())
    }

    /// Takes `close` if that is next, which ends a list or an object.
    #[inline]
    fn closes(&mut self, close: u8) -> bool {
        let closes = self.peek() == Some(close);
        if closes {
            self.close();
        }
        closes
    }

    /// Takes the bracket that ends a list or an object.
    #[inline]
    fn close(&mut self) {
        self.at += 1;
        self.depth_left += 1;
    }

    /// Takes the bracket of a list, which is next. Whether the list has an element, which is to be
    /// taken then.
    #[inline]
    pub(super) fn first_element(&mut self) -> Result<bool, Stop> {
        self.open()?;
        self.at += 1;
        Ok(!self.closes(b']'))
    }

    /// Whether a list of which an element was taken has another, which is to be taken next.
    #[inline]
    pub(super) fn next_element(&mut self) -> Result<bool, Stop> {
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(b']') => {
                self.close();
                return Ok(false);
            }
            _ => return Err(Stop::NotJson),
        }
        Ok(true)
    }

    /// Takes the bracket of an object, which is next, and its first key, whose value is to be taken
    /// then.
    #[inline(always)]
    pub(super) fn first_key(&mut self) -> Result<Option<Key>, Stop> {
        self.open()?;
        match self.plain_key(*b"{\"") {
            None => self.first_rare_key(),
            key => Ok(key),
        }
    }

    #[inline(never)]
    fn first_rare_key(&mut self) -> Result<Option<Key>, Stop> {
        self.at += 1;
        if self.closes(b'}') { Ok(None) } else { self.key().map(Some) }
    }

    /// The next key of an object of which a value was taken; its value is to be taken next.
    #[inline(always)]
    pub(super) fn next_key(&mut self) -> Result<Option<Key>, Stop> {
        match self.plain_key(*b",\"") {
            None if self.byte() == Some(b'}') => {
                self.close();
                Ok(None)
            }
            None => self.next_rare_key(),
            key => Ok(key),
        }
    }

    #[inline(never)]
    fn next_rare_key(&mut self) -> Result<Option<Key>, Stop> {
        if self.closes(b'}') {
            return Ok(None);
        }
        self.take(b',')?;
        self.key().map(Some)
    }

    /// Takes a short key if that is next behind `start` and has its colon behind it, all without
    /// blanks, as most have.
    #[inline(always)]
    fn plain_key(&mut self, start: [u8; 2]) -> Option<Key> {
        // What is before the key, and its quote and colon behind it.
        let window = self.rest()?.first_chunk::<{ BLOCK + 4 }>()?;
        let (found, rest) = window.split_first_chunk()?;
        if *found != start {
            return None;
        }
        let block = rest.first_chunk()?;
        let letters = first_special(block, is_special);
        if rest.get(letters..)?.first_chunk() != Some(b"\":") {
            return None;
        }
        let key = Key::within(block, letters)?;
        self.at += start.len() + letters + 2;
        Some(key)
    }

    /// Any key.
    fn key(&mut self) -> Result<Key, Stop> {
        self.expect(b'"')?;
        let key = Key::of(self.text()?.as_bytes());
        self.take(b':')?;
        Ok(key)
    }

    /// Skips the rest of a list of which an element was taken.
    pub(super) fn skip_elements(&mut self) -> Result<(), Stop> {
        while self.next_element()? {
            self.skip()?;
        }
        Ok(())
    }
}

/// What ends a text, or may not stand in one as it is.
#[inline(always)]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
