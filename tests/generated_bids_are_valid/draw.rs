//! Draws from a seeded stream: the same seed gives the same requests.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Texts that break markup, JSON, XML, URLs or macros where somebody forgot to escape.
const HOSTILE: [&str; 12] = [
    "\"><script>alert(1)</script>",
    "]]><Ad id='x'/>",
    "</VAST>",
    "\\\"\\",
    "a\u{0}b\u{7f}",
    "%00%0d%0aSet-Cookie: a=b",
    "${AUCTION_PRICE}",
    "&lt;b&gt;&#39;",
    "日本語\u{202e}\u{feff}",
    "' OR 1=1 --",
    "\u{fffe}\u{ffff}",
    "../../../etc/passwd",
];

pub struct Draw(ChaCha8Rng);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// True this often in a hundred.
    pub fn often(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// A number from `least` to `most`.
    pub fn number(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    /// One of these.
    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())].clone()
    }

    /// Some of these, at most `most`.
    pub fn some<T: Clone>(&mut self, of: &[T], most: u64) -> Vec<T> {
        (0..self.number(0, most)).map(|_| self.one(of)).collect()
    }

    /// `usual`, or now and then a text that means harm.
    pub fn text(&mut self, usual: &str) -> String {
        if self.often(3) { self.one(&HOSTILE).to_owned() } else { usual.to_owned() }
    }

    /// A number, now and then as the wild writes it: as a text.
    pub fn loose(&mut self, number: u64) -> Value {
        if self.often(5) { json!(number.to_string()) } else { json!(number) }
    }

    /// A flag in one of its spellings.
    pub fn flag(&mut self, percent: u32) -> Value {
        let is_set = self.often(percent);
        if self.often(10) { json!(is_set) } else { json!(u8::from(is_set)) }
    }

    /// Puts `value` at `key`, this often in a hundred; now and then a null in its place.
    pub fn put(&mut self, object: &mut Value, percent: u32, key: &str, value: Value) {
        if self.often(percent) {
            object[key] = if self.often(2) { Value::Null } else { value };
        }
    }

    /// Puts `value` where 2.6 has it, or where 2.5 has it: in `ext`.
    pub fn put_either(&mut self, object: &mut Value, percent: u32, key: &str, value: Value) {
        if !self.often(percent) {
        } else if self.often(50) {
            object[key] = value;
        } else {
            object["ext"][key] = value;
        }
    }

    pub fn id(&mut self) -> String {
        let number = self.0.next_u64();
        self.text(&format!("{number:016x}"))
    }
}
