//! JSON out of text, value by value: what bid requests are read with.
//!
//! Whoever reads a value looks at how it begins ([`Source::peek`]) and takes it as what it is, or
//! skips it. Of a usual body a half is skipped, so that walks without recursion and looks at sixteen
//! bytes of text at a time. It takes what serde_json takes and refuses what that refuses, skipped or
//! not (a property test holds it to that); what is rare, escapes and numbers with a fraction, it
//! leaves to serde_json itself.
//!
//! It counts on [`super::guard`]: what nests deeper than 64 must not come here.

use super::escape::{BLOCK, first_special};
use super::number::Number;
use serde::Deserialize;
use std::borrow::Cow;

/// Levels that are skipped over, one bit each: twice what the guard lets pass.
const SKIPPED_DEPTH_MAX: u32 = u128::BITS;
/// Digits of a whole number that surely fits 64 bits; longer and negative ones are serde_json's.
const DIGITS_MAX: usize = 18;

/// What is left of a text of JSON.
pub(crate) struct Source<'de> {
    text: &'de str,
    at: usize,
}

/// It is no JSON, from this byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson {
    pub(super) at: usize,
}

impl<'de> Source<'de> {
    pub(super) const fn new(text: &'de str) -> Self {
        Self { text, at: 0 }
    }

    /// Makes sure that nothing but blanks is left.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail(),
        }
    }

    const fn fail<T>(&self) -> Result<T, NotJson> {
        Err(NotJson { at: self.at })
    }

    #[inline]
    fn rest(&self) -> &'de [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
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
    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() == Some(byte) { Ok(()) } else { self.fail() }
    }

    /// Takes `byte`, blanks before it included.
    #[inline]
    fn take(&mut self, byte: u8) -> Result<(), NotJson> {
        self.expect(byte)?;
        self.at += 1;
        Ok(())
    }

    /// Takes a text whose opening quote is next.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>, NotJson> {
        let from = self.at;
        if self.skip_text()? {
            return self.parsed(from).map(Cow::Owned);
        }
        // Quotes are ASCII, so this never takes the empty default.
        Ok(Cow::Borrowed(self.text.get(from + 1..self.at - 1).unwrap_or_default()))
    }

    /// Skips a text whose opening quote is next. Whether there were escapes.
    #[inline(always)]
    fn skip_text(&mut self) -> Result<bool, NotJson> {
        self.at += 1;
        // Most texts are short and plain.
        if let Some(block) = self.rest().first_chunk() {
            self.at += first_special(block, is_special);
            if self.byte() == Some(b'"') {
                self.at += 1;
                return Ok(false);
            }
        }
        self.skip_long_text()
    }

    #[inline(never)]
    fn skip_long_text(&mut self) -> Result<bool, NotJson> {
        let mut has_escape = false;
        loop {
            while let Some(block) = self.rest().first_chunk() {
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
                _ => return self.fail(),
            }
        }
    }

    #[cold]
    fn skip_escape(&mut self) -> Result<(), NotJson> {
        let rest = self.rest();
        let bytes = match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if rest.len() >= 6 && rest[2..6].iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return self.fail(),
        };
        self.at += bytes;
        Ok(())
    }

    /// Takes a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, NotJson> {
        let from = self.at;
        let mut whole = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - from;
        let is_plain = (digits == 1
            || (2..=DIGITS_MAX).contains(&digits) && self.text.as_bytes()[from] != b'0')
            && !matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        if is_plain {
            return Ok(Number::Uint(whole));
        }
        self.at = from;
        self.skip_number()?;
        self.parsed::<serde_json::Number>(from).map(Number::from)
    }

    /// What stands between `from` and here, as serde_json reads it.
    #[cold]
    fn parsed<T: Deserialize<'de>>(&self, from: usize) -> Result<T, NotJson> {
        serde_json::from_str(&self.text[from..self.at]).map_err(|_| NotJson { at: from })
    }

    fn skip_number(&mut self) -> Result<(), NotJson> {
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

    fn skip_digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == from { self.fail() } else { Ok(()) }
    }

    /// Skips a value that holds no other.
    #[inline]
    fn skip_single(&mut self) -> Result<(), NotJson> {
        let literal = match self.peek() {
            Some(b'"') => return self.skip_text().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => return self.skip_number(),
            Some(b't') => "true",
            Some(b'f') => "false",
            Some(b'n') => "null",
            _ => return self.fail(),
        };
        if !self.rest().starts_with(literal.as_bytes()) {
            return self.fail();
        }
        self.at += literal.len();
        Ok(())
    }

    /// Skips one value.
    pub(super) fn skip(&mut self) -> Result<(), NotJson> {
        // One bit for each list or object that is open, the innermost lowest: 1 for objects.
        let (mut open, mut depth) = (0u128, 0);
        loop {
            let bracket = self.peek();
            if let Some(b'{' | b'[') = bracket {
                if depth == SKIPPED_DEPTH_MAX {
                    return self.fail();
                }
                open = open << 1 | u128::from(bracket == Some(b'{'));
                depth += 1;
                self.at += 1;
            } else {
                self.skip_single()?;
            }
            // What is open goes on, or ends, and with it what it is the last of.
            let mut is_first = bracket.is_some_and(|byte| byte == b'{' || byte == b'[');
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let is_object = open & 1 == 1;
                let has_next = if is_object {
                    self.has_next(b'}', &mut is_first)?
                } else {
                    self.has_next(b']', &mut is_first)?
                };
                if has_next {
                    if is_object {
                        self.expect(b'"')?;
                        self.skip_text()?;
                        self.take(b':')?;
                    }
                    break;
                }
                is_first = false;
                open >>= 1;
                depth -= 1;
            }
        }
    }

    /// Takes the bracket that opens a list or an object.
    #[inline]
    pub(super) fn open(&mut self) {
        self.at += 1;
    }

    /// Whether another part follows in a list or an object; the comma before it is taken, or else
    /// `close`, which ends it.
    #[inline]
    fn has_next(&mut self, close: u8, is_first: &mut bool) -> Result<bool, NotJson> {
        let next = self.peek();
        if next == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(is_first) {
            if next != Some(b',') {
                return self.fail();
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// Whether a list that was opened has another element, which is to be taken next.
    #[inline]
    pub(super) fn has_element(&mut self, is_first: &mut bool) -> Result<bool, NotJson> {
        self.has_next(b']', is_first)
    }

    /// The next key of an object that was opened; its value is to be taken next.
    #[inline(always)]
    pub(super) fn key(&mut self, is_first: &mut bool) -> Result<Option<Cow<'de, str>>, NotJson> {
        if !self.has_next(b'}', is_first)? {
            return Ok(None);
        }
        self.expect(b'"')?;
        let key = self.text()?;
        self.take(b':')?;
        Ok(Some(key))
    }

    /// Skips the rest of a list.
    pub(super) fn skip_elements(&mut self, is_first: &mut bool) -> Result<(), NotJson> {
        while self.has_element(is_first)? {
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    /// Reads a value as the view's parts do.
    fn value(source: &mut Source<'_>) -> Result<Value, NotJson> {
        let mut is_first = true;
        match source.peek() {
            Some(b'"') => source.text().map(|text| Value::from(text.into_owned())),
            Some(b'-' | b'0'..=b'9') => source.number().map(|number| match number {
                Number::Int(number) => Value::from(number),
                Number::Uint(number) => Value::from(number),
                other => Value::from(other.float()),
            }),
            Some(b'[') => {
                source.open();
                let mut list = Vec::new();
                while source.has_element(&mut is_first)? {
                    list.push(value(source)?);
                }
                Ok(Value::from(list))
            }
            Some(b'{') => {
                source.open();
                let mut object = serde_json::Map::new();
                while let Some(key) = source.key(&mut is_first)? {
                    object.insert(key.into_owned(), value(source)?);
                }
                Ok(Value::from(object))
            }
            first => {
                source.skip()?;
                Ok(match first {
                    Some(b't') => Value::from(true),
                    Some(b'f') => Value::from(false),
                    _ => Value::Null,
                })
            }
        }
    }

    fn check(text: &str) {
        let read = |text| {
            let mut source = Source::new(text);
            value(&mut source).and_then(|value| source.end().map(|()| value))
        };
        let expected = serde_json::from_str::<Value>(text);
        assert_eq!(read(text).ok(), expected.as_ref().ok().cloned(), "{text}");
        let mut source = Source::new(text);
        let skipped = source.skip().and_then(|()| source.end());
        assert_eq!(skipped.is_ok(), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
    }

    #[test]
    fn it_reads_and_refuses_what_serde_json_does() {
        for text in [
            "0",
            "-0",
            "00",
            "-",
            "1",
            "-1",
            "01",
            "1.",
            ".1",
            "1.5",
            "-1.50",
            "1e5",
            "1E+5",
            "1e",
            "1e400",
            "123456789012345678",
            "1234567890123456789",
            "18446744073709551616",
            "-9223372036854775808",
            "0.1234567890123456789",
            "1-2",
            "0x1",
            "true",
            "tru",
            "nulll",
            "null",
            "false",
            "",
            " ",
            "[",
            "]",
            "[]",
            "[,]",
            "[1,]",
            "[1:2]",
            "{\"a\":1:\"b\":2}",
            "\"0123456789\u{1f}0123456789abcdef\"",
            "[1 2]",
            "[1,2] ",
            "[[],{},[{}]]",
            "{",
            "{}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
            "{1:2}",
            "[}",
            "{]",
            "[1}",
            "\"\"",
            "\"",
            "\"a",
            "\"a\\\"b\"",
            "\"\\u00e9\"",
            "\"\\u00g9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\x\"",
            "\"\\\"",
            "\"\\u12\"",
            "\"é\\n€\"",
            "\"1234567\"",
            "\"12345678\"",
            "\"a\tb\"",
            "\"1234567\u{1f}\"",
            "\u{a0}1",
            "\t[ 1 ,\r\n2 ]",
            "{\"\\u0061\":1,\"a\":2}",
            "\"\u{7f}\"",
        ] {
            check(text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn it_agrees_with_serde_json(text in r#"([\[\]{},: \n]|"a"|"[a-z\\"é]{0,12}"|"b":|-?[0-9]{1,4}|[0-9]\.?[0-9]*(e[-+]?[0-9])?|true|null){0,12}"#) {
            check(&text);
        }

        #[test]
        fn it_reads_back_any_value(words in prop::collection::vec("\\PC{0,20}", 0..8), numbers in prop::collection::vec(any::<f64>(), 0..4), cut in any::<prop::sample::Index>()) {
            let nested = serde_json::json!({"a": words, "b": [{"c": numbers, "d": [words, null]}, true]});
            for text in [nested.to_string(), serde_json::to_string_pretty(&nested).expect("it is JSON")] {
                check(&text);
                let cut = (0..=cut.index(text.len())).rev().find(|at| text.is_char_boundary(*at));
                check(&text[..cut.unwrap_or(0)]);
            }
        }
    }
}
