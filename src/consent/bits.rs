//! Bits of a web-safe base 64 text (RFC 4648 §5, without padding), read in place and never copied:
//! TC strings and GPP sections are fields of odd widths, most significant bit first.

/// Marks a letter that is none of the alphabet's.
const NO_SEXTET: u8 = 0xff;

/// The six bits of each letter.
const SEXTETS: [u8; 256] = {
    let mut table = [NO_SEXTET; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut value = 0;
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// The bits of one text, each letter of which is one of the alphabet's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    /// `None` where a letter is not of the alphabet.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let is_letter = |letter: &u8| SEXTETS[usize::from(*letter)] != NO_SEXTET;
        text.as_bytes().iter().all(is_letter).then_some(Self(text.as_bytes()))
    }

    /// How many there are.
    pub(super) const fn len(self) -> usize {
        self.0.len() * 6
    }

    /// The number in `width` bits from `at` on; at most 48 of them. `None` past the end.
    pub(super) fn get(self, at: usize, width: usize) -> Option<u64> {
        debug_assert!(width <= 48, "with up to five bits on either side it must fit in 64");
        let end = at + width;
        let after = end.div_ceil(6);
        let letters = self.0.get(at / 6..after)?;
        let number = letters
            .iter()
            .fold(0, |number, letter| number << 6 | u64::from(SEXTETS[usize::from(*letter)]));
        Some(number >> (after * 6 - end) & ((1 << width) - 1))
    }

    /// Whether the bit at `at` is there and set.
    pub(super) fn is_set(self, at: usize) -> bool {
        self.get(at, 1) == Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_those_of_the_letters(
            text in "[A-Za-z0-9_-]{0,20}", at in 0usize..130, width in 0usize..=48,
        ) {
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let digits: String =
                text.chars().map(|c| format!("{:06b}", alphabet.find(c).expect("one"))).collect();
            let bits = Bits::new(&text).expect("letters");
            prop_assert_eq!(bits.len(), digits.len());
            let expected = digits.get(at..at + width).map(|slice| {
                u64::from_str_radix(slice, 2).unwrap_or(0)
            });
            // Nothing, read past the end, is nothing either way.
            if width > 0 {
                prop_assert_eq!(bits.get(at, width), expected);
            }
        }
    }

    #[test]
    fn other_letters_are_refused() {
        for text in ["A=", "A+", "A/", "A B", "é", "A."] {
            assert!(Bits::new(text).is_none(), "{text}");
        }
    }
}
