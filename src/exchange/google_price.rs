//! Google's price encryption (Authorized Buyers, "Decrypt Price Confirmations").
//!
//! ```text
//! iv 16 | price 8 | signature 4     = 28 bytes, as base64 for URLs, with or without padding
//! price      = micros of CPM, big-endian, xor the first 8 bytes of HMAC-SHA1(e_key, iv)
//! signature  = the first 4 bytes of HMAC-SHA1(i_key, price in clear | iv)
//! ```
//!
//! Four bytes of signature are little, and they bind the price to no bid: what a replayed or
//! guessed price can do is bounded by the sealed token beside it, which settles one hold, once, at
//! no more than its held price.

use crate::base64;
use crate::config::PriceKeys;
use crate::units::Micros;
use ring::hmac;
use subtle::ConstantTimeEq;

const IV: usize = 16;
const PRICE: usize = 8;
const SIGNATURE: usize = 4;
const BYTES: usize = IV + PRICE + SIGNATURE;

/// Why a price could not be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Not 28 bytes in base64.
    #[error("not an encrypted price")]
    Malformed,
    /// Not signed with the integrity key, or hidden with another encryption key.
    #[error("the signature of the price is wrong")]
    Forged,
}

/// Decrypts the prices of one exchange.
#[derive(Clone, Debug)]
pub struct PriceCipher {
    encryption: hmac::Key,
    integrity: hmac::Key,
}

impl PriceCipher {
    /// A cipher with these keys; HMAC takes keys of any length.
    #[must_use]
    pub fn new(keys: &PriceKeys) -> Self {
        let key = |bytes| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes);
        Self { encryption: key(keys.encryption.bytes()), integrity: key(keys.integrity.bytes()) }
    }

    /// The price behind `text`: a CPM in micros of the exchange's currency. Padding may be missing,
    /// or percent-encoded as some encode it in URLs.
    ///
    /// # Errors
    /// See [`DecryptError`].
    pub fn decrypt(&self, text: &str) -> Result<Micros, DecryptError> {
        let mut bytes = [0; BYTES];
        let bare = text.strip_suffix("%3D%3D").or_else(|| text.strip_suffix("%3d%3d"));
        let bare = bare.unwrap_or(text);
        let bare = bare.strip_suffix("==").unwrap_or(bare);
        base64::decode(bare.as_bytes(), &mut bytes).ok_or(DecryptError::Malformed)?;
        let (iv, rest) = bytes.split_at(IV);
        let (hidden, signature) = rest.split_at(PRICE);
        let pad = hmac::sign(&self.encryption, iv);
        let mut price = [0; PRICE];
        for (clear, (hidden, pad)) in price.iter_mut().zip(hidden.iter().zip(pad.as_ref())) {
            *clear = hidden ^ pad;
        }
        let mut signed = hmac::Context::with_key(&self.integrity);
        signed.update(&price);
        signed.update(iv);
        let expected = signed.sign();
        let is_genuine = expected.as_ref()[..SIGNATURE].ct_eq(signature);
        if !bool::from(is_genuine) {
            return Err(DecryptError::Forged);
        }
        Ok(Micros(u64::from_be_bytes(price)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use serde_json::Value;
    use std::path::PathBuf;

    fn from_hex(text: &str) -> Secret {
        let bytes = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        });
        Secret::new(&bytes.collect::<Vec<_>>())
    }

    #[test]
    fn every_public_vector_is_decrypted_or_refused() {
        let shared = std::env::var_os("OUTBID_SHARED").map_or("../shared".into(), PathBuf::from);
        let file = shared.join("vectors/google_price.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            eprintln!("skipped: no {}", file.display());
            return;
        };
        let vectors: Vec<Value> = serde_json::from_str(&text).expect("vectors");
        assert_eq!(vectors.len(), 16);
        for vector in &vectors {
            let keys = PriceKeys {
                encryption: from_hex(vector["e_key_hex"].as_str().expect("a key")),
                integrity: from_hex(vector["i_key_hex"].as_str().expect("a key")),
            };
            let cipher = PriceCipher::new(&keys);
            let given = vector["encrypted"].as_str().expect("a text");
            let expected = match vector["expected_value"].as_u64() {
                Some(micros) => Ok(Micros(micros)),
                None => Err(DecryptError::Forged),
            };
            let bare = given.trim_end_matches('=');
            for text in [bare.to_owned(), format!("{bare}=="), format!("{bare}%3D%3D")] {
                assert_eq!(cipher.decrypt(&text), expected, "{text}: {vector}");
            }
            for text in [format!("{bare}="), format!("{bare}A"), bare[1..].to_owned()] {
                assert_eq!(cipher.decrypt(&text), Err(DecryptError::Malformed), "{text}");
            }
        }
    }

    #[test]
    fn a_price_with_any_bit_changed_is_refused() {
        let key = |byte| Secret::new(&[byte; 32]);
        let cipher = PriceCipher::new(&PriceKeys { encryption: key(1), integrity: key(2) });
        let other = PriceCipher::new(&PriceKeys { encryption: key(2), integrity: key(1) });
        let bytes = encrypt(&cipher, [7; IV], 1_354_000);
        let text_of = |bytes: &[u8]| {
            let mut text = [0; 38];
            base64::encode(bytes, &mut text);
            String::from_utf8(text.to_vec()).expect("ASCII")
        };
        assert_eq!(cipher.decrypt(&text_of(&bytes)), Ok(Micros(1_354_000)));
        assert_eq!(other.decrypt(&text_of(&bytes)), Err(DecryptError::Forged));
        for bit in 0..BYTES * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher.decrypt(&text_of(&changed)), Err(DecryptError::Forged), "{bit}");
        }
    }

    fn encrypt(cipher: &PriceCipher, iv: [u8; IV], micros: u64) -> [u8; BYTES] {
        let price = micros.to_be_bytes();
        let mut bytes = [0; BYTES];
        bytes[..IV].copy_from_slice(&iv);
        let pad = hmac::sign(&cipher.encryption, &iv);
        for at in 0..PRICE {
            bytes[IV + at] = price[at] ^ pad.as_ref()[at];
        }
        let signature = hmac::sign(&cipher.integrity, &[&price[..], &iv].concat());
        bytes[IV + PRICE..].copy_from_slice(&signature.as_ref()[..SIGNATURE]);
        bytes
    }
}
