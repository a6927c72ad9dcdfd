//! base64url without padding (RFC 4648 §5) between fixed buffers: nothing is allocated, and one
//! byte string has exactly one text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What [`VALUES`] holds for a character outside of the alphabet.
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Writes the text of `bytes`, which fills `text`: 4 characters for 3 bytes, and 2 or 3 for the
/// last 1 or 2.
pub fn encode(bytes: &[u8], text: &mut [u8]) {
    debug_assert_eq!(text.len(), (bytes.len() * 4).div_ceil(3));
    let (groups, rest) = bytes.as_chunks::<3>();
    let (quads, tail) = text.as_chunks_mut::<4>();
    for (group, quad) in groups.iter().zip(quads) {
        *quad = characters(*group);
    }
    if !rest.is_empty() {
        let mut last = [0; 3];
        last[..rest.len()].copy_from_slice(rest);
        tail.copy_from_slice(&characters(last)[..tail.len()]);
    }
}

fn characters([first, second, third]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, first, second, third]);
    let character = |shift: u32| ALPHABET[(bits >> shift) as usize & 63];
    [character(18), character(12), character(6), character(0)]
}

/// Reads `text`, which fills `bytes`. `None` for a character outside of the alphabet, for another
/// length, and for a last character with bits that stand for nothing.
pub fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if text.len() != (bytes.len() * 4).div_ceil(3) {
        return None;
    }
    for (quad, group) in text.chunks(4).zip(bytes.chunks_mut(3)) {
        let mut bits = 0;
        for (index, character) in quad.iter().enumerate() {
            let value = VALUES[usize::from(*character)];
            if value == NONE {
                return None;
            }
            bits |= u32::from(value) << (18 - 6 * index);
        }
        let read = bits.to_be_bytes();
        group.copy_from_slice(&read[1..=group.len()]);
        if read[1 + group.len()..].iter().any(|stray| *stray != 0) {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(bytes: &[u8]) -> String {
        let mut text = vec![0; (bytes.len() * 4).div_ceil(3)];
        encode(bytes, &mut text);
        String::from_utf8(text).expect("ASCII")
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        // RFC 4648 §10, padding taken off.
        for (bytes, text) in
            [("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(text_of(bytes.as_bytes()), text);
            let mut back = vec![0; bytes.len()];
            decode(text.as_bytes(), &mut back).expect("decodes");
            assert_eq!(back, bytes.as_bytes());
        }
        assert_eq!(text_of(&[0xfb, 0xff, 0xbf]), "-_-_");
    }

    #[test]
    fn only_the_one_text_is_read() {
        let mut one = [0; 1];
        for text in ["Zh", "Z=", "Z+", "Z", "Zg=", "Zg==", ""] {
            assert_eq!(decode(text.as_bytes(), &mut one), None, "{text}");
        }
        assert_eq!(decode(b"Zg", &mut one), Some(()));
    }
}
