//! Text into JSON, HTML and XML, and how text is looked through for what must not stand in it: what
//! the response and all markup are written with.

use bytes::{BufMut, BytesMut};

/// Bytes that are looked at together: a vector register of any x86-64 or ARM.
pub(super) const BLOCK: usize = 16;

/// How many bytes at the start of `block` are not special. Fast where `is_special` is made of
/// comparisons joined by `|`: no branch, so that the compiler compares all bytes at once.
#[inline(always)]
pub(super) fn first_special(block: &[u8; BLOCK], is_special: impl Fn(u8) -> bool) -> usize {
    let mut marks = [0; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = if is_special(*byte) { u8::MAX } else { 0 };
    }
    // One bit a byte is one instruction, which the compiler does not find.
    #[cfg(target_arch = "x86_64")]
    if let Some(sse2) = pulp::core_arch::x86::Sse2::try_new() {
        let bits = sse2._mm_movemask_epi8(pulp::cast(marks)) as u32;
        return (bits | 1 << BLOCK).trailing_zeros() as usize;
    }
    u128::from_le_bytes(marks).trailing_zeros() as usize / 8
}

/// How many bytes at the start of `bytes` are not special. Fast where `is_special` is made of
/// comparisons joined by `|`.
#[inline]
pub(super) fn plain_prefix(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    let first_special = |block| first_special(block, &is_special);
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (number, block) in blocks.iter().enumerate() {
        let found = first_special(block);
        if found < BLOCK {
            return number * BLOCK + found;
        }
    }
    if rest.is_empty() {
        return bytes.len();
    }
    // What is left is the end of a block that reaches back into plain bytes, or of a padded one.
    if let Some(last) = bytes.last_chunk() {
        return bytes.len() - BLOCK + first_special(last);
    }
    let mut padded = [0; BLOCK];
    padded[..rest.len()].copy_from_slice(rest);
    first_special(&padded).min(rest.len())
}

/// Something that text can be appended to.
pub(super) trait Sink {
    /// Appends `text`.
    fn put(&mut self, text: &str);

    /// Appends an ASCII letter.
    fn put_letter(&mut self, letter: char);

    /// Appends a number in decimals.
    fn put_number(&mut self, number: u64) {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        let mut rest = number;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        // Digits are ASCII, so this never takes the empty default.
        self.put(std::str::from_utf8(&digits[start..]).unwrap_or_default());
    }

    /// Appends `text` as a JSON string, quotes included (RFC 8259 §7).
    fn put_json(&mut self, text: &str) {
        self.put("\"");
        self.put_json_text(text);
        self.put("\"");
    }

    /// Appends `text` inside of a JSON string.
    fn put_json_text(&mut self, text: &str) {
        let mut rest = text;
        loop {
            let is_special = |byte| (byte < b' ') | (byte == b'"') | (byte == b'\\');
            // All three kinds are ASCII, so both ends are character boundaries.
            let (plain, special) = rest.split_at(plain_prefix(rest.as_bytes(), is_special));
            self.put(plain);
            let Some(byte) = special.bytes().next() else { break };
            self.put_escaped(byte);
            rest = &special[1..];
        }
    }

    /// Appends the escape of a byte that may not stand in a JSON string.
    fn put_escaped(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' => self.put("\\\""),
            b'\\' => self.put("\\\\"),
            b'\n' => self.put("\\n"),
            control => {
                let digit = HEX[usize::from(control & 15)];
                self.put(if control < 16 { "\\u000" } else { "\\u001" });
                self.put_letter(char::from(digit));
            }
        }
    }
}

impl Sink for BytesMut {
    #[inline]
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
    #[inline]
    fn put_letter(&mut self, letter: char) {
        debug_assert!(letter.is_ascii());
        self.put_u8(letter as u8);
    }
}

impl Sink for String {
    #[inline]
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
    #[inline]
    fn put_letter(&mut self, letter: char) {
        self.push(letter);
    }
}

/// Appends text escaped for the place that it goes to: [`escape`], [`cdata`] or [`json`].
pub(super) type Put = fn(&str, &mut String);

/// Appends `text` inside of a JSON string.
pub(super) fn json(text: &str, out: &mut String) {
    out.put_json_text(text);
}

/// Appends `text` as [`escape`] does, inside of a JSON string.
pub(super) fn html_in_json(text: &str, out: &mut String) {
    let is_special = |byte| may_be_unfit(byte) | is_markup(byte) | (byte == b'\\');
    put_careful(text, out, is_special, |letter, out| match letter {
        '\t' | '\n' | '\r' | '\\' => out.put_escaped(letter as u8),
        letter => put_html(letter, out),
    });
}

/// Appends `text` so that it stays text between tags and in quoted attributes, of HTML and of XML.
/// Control characters, which XML cannot hold, are left out.
pub(super) fn escape(text: &str, out: &mut String) {
    put_careful(text, out, |byte| may_be_unfit(byte) | is_markup(byte), put_html);
}

/// Whether HTML and XML read a structure into `byte`.
const fn is_markup(byte: u8) -> bool {
    (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == b'"') | (byte == b'\'')
}

fn put_html(letter: char, out: &mut String) {
    match letter {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\t' | '\n' | '\r' => out.push(letter),
        unfit if is_unfit(unfit) => {}
        plain => out.push(plain),
    }
}

/// Appends `text` inside of a CDATA section; an end mark in it is split over two sections.
pub(super) fn cdata(text: &str, out: &mut String) {
    let is_special = |byte| may_be_unfit(byte) | (byte == b'>');
    put_careful(text, out, is_special, |letter, out| {
        if letter == '>' && out.ends_with("]]") {
            out.push_str("]]><![CDATA[");
        }
        if !is_unfit(letter) {
            out.push(letter);
        }
    });
}

/// Appends runs of `text` without a special byte as they are, and hands the letter at each special
/// byte to `put`. A special byte is the first of its letter.
#[inline]
fn put_careful(
    text: &str,
    out: &mut String,
    is_special: impl Fn(u8) -> bool + Copy,
    put: impl Fn(char, &mut String),
) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest.as_bytes(), is_special));
        out.push_str(plain);
        let mut letters = special.chars();
        let Some(letter) = letters.next() else { return };
        put(letter, out);
        rest = letters.as_str();
    }
}

/// Control characters and the two that are none at all: XML cannot hold them.
fn is_unfit(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}')
}

/// Whether an unfit letter may begin with `byte`: a control of ASCII, those from U+0080 (`c2 80`),
/// U+FFFE and U+FFFF (`ef bf be`).
const fn may_be_unfit(byte: u8) -> bool {
    (byte < b' ') | (byte == 0x7f) | (byte == 0xc2) | (byte == 0xef)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_plain_prefix_ends_where_the_first_special_byte_is(
            bytes in proptest::collection::vec(0..40u8, 0..70),
            special in 0..60u8,
        ) {
            let expected = bytes.iter().position(|byte| *byte == special).unwrap_or(bytes.len());
            prop_assert_eq!(plain_prefix(&bytes, |byte| byte == special), expected);
        }

        #[test]
        fn json_strings_read_back(text in "[a-z\"\\\\\n\r\u{0}\u{1f}é ]{0,60}") {
            let mut out = String::new();
            out.put_json(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("JSON"), text);
        }
    }

    /// What an escape must be, letter by letter.
    fn escaped(letter: char) -> String {
        match letter {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            '\'' => "&#39;".into(),
            '\t' | '\n' | '\r' => letter.into(),
            '\u{fffe}' | '\u{ffff}' => String::new(),
            control if control.is_control() => String::new(),
            plain => plain.into(),
        }
    }

    const LETTERS: &str = "[a-e&<>\"'\\\\\\]\\[\t\n\u{0}\u{1f}\u{7f}\u{80}\u{9f}\u{a0}é\u{fffd}-\u{ffff}\u{10ffff}]{0,50}";

    proptest! {
        #[test]
        fn texts_are_escaped_letter_by_letter(text in LETTERS) {
            let mut out = "before ".to_owned();
            escape(&text, &mut out);
            let expected: String = text.chars().map(escaped).collect();
            prop_assert_eq!(&out, &format!("before {expected}"));
            let mut in_json = "\"before ".to_owned();
            html_in_json(&text, &mut in_json);
            in_json.push('"');
            prop_assert_eq!(serde_json::from_str::<String>(&in_json).expect("JSON"), out);
        }

        #[test]
        fn sections_hold_the_text_without_what_xml_cannot(text in LETTERS) {
            let mut out = String::new();
            cdata(&text, &mut out);
            let sections: Vec<_> = out.split("]]><![CDATA[").collect();
            prop_assert!(sections.iter().all(|section| !section.contains("]]>")), "{}", out);
            let fit = |letter: &char| !letter.is_control() && !['\u{fffe}', '\u{ffff}'].contains(letter);
            prop_assert_eq!(sections.concat(), text.chars().filter(fit).collect::<String>());
        }
    }
}
