//! Text into JSON: what the response and the native markup are written with.

/// Something that text can be appended to.
pub(super) trait Sink {
    /// Appends `text`.
    fn put(&mut self, text: &str);

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
        // Digits are ASCII.
        self.put(std::str::from_utf8(&digits[start..]).unwrap_or_default());
    }

    /// Appends `text` as a JSON string, quotes included (RFC 8259 §7).
    fn put_json(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.put("\"");
        let mut written = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' {
                continue;
            }
            // All three kinds are ASCII, so `at` is a character boundary.
            self.put(&text[written..at]);
            written = at + 1;
            match byte {
                b'"' => self.put("\\\""),
                b'\\' => self.put("\\\\"),
                b'\n' => self.put("\\n"),
                control => {
                    let digit = HEX[usize::from(control & 15)];
                    self.put(if control < 16 { "\\u000" } else { "\\u001" });
                    self.put(char::from(digit).encode_utf8(&mut [0; 4]));
                }
            }
        }
        self.put(&text[written..]);
        self.put("\"");
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

impl Sink for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}
