//! What items and ads are about: brand, price, words, a vector that the advertiser supplies. The same
//! attributes on both sides, hashed to tokens, so that an ad can be compared with what a user looked
//! at, and an ad that nobody has seen yet resembles those that were.

use super::check::Faults;
use crate::hash;
use crate::units::{AdvertiserId, CategoryId, CurrencyCode};

/// Distinct words of one item or ad that become tokens: a title and a sentence.
const WORDS_MAX: usize = 24;
/// Components of a supplied vector: what small text and image models give after a projection.
pub(super) const VECTOR_MAX: usize = 128;

/// What one token says; part of its hash, so that the brand "light" is not the word.
#[derive(Clone, Copy)]
enum Say {
    Category = 1,
    Brand = 2,
    Price = 3,
    Word = 4,
}

/// The key of an item: of its advertiser's own numbering, so that two shops' "77" are two items.
/// Never 0.
#[must_use]
pub fn item_key(advertiser: AdvertiserId, id: &str) -> u32 {
    (hash::combine(advertiser.0, hash::stable(id.as_bytes())) as u32).max(1)
}

/// The token of a category: an ad has its campaign's, an item its own.
#[must_use]
pub fn category_token(category: CategoryId) -> u32 {
    token(Say::Category, category.0.into())
}

fn token(say: Say, value: u64) -> u32 {
    hash::combine(say as u64, value) as u32
}

/// The attributes of an item or an ad.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Hashes of its category, brand, price band and words; distinct.
    tokens: Box<[u32]>,
    /// The advertiser's own description as numbers, of length 1; empty where none was given.
    vector: Box<[f32]>,
}

/// The attributes as they were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Written<'a> {
    pub category: Option<&'a str>,
    pub brand: Option<&'a str>,
    /// In micros of the advertiser's currency.
    pub price_micros: Option<u64>,
    pub currency: CurrencyCode,
    pub text: &'a str,
    pub vector: &'a [f32],
}

impl About {
    pub(super) fn new(faults: &mut Faults, written: &Written<'_>) -> Self {
        let mut tokens = Vec::new();
        if let Some(category) = written.category {
            tokens.push(category_token(CategoryId::of(category)));
        }
        if let Some(brand) = written.brand {
            faults.text("brand", brand);
            tokens.push(token(Say::Brand, hash::stable_lower(brand.trim())));
        }
        if let Some(micros) = written.price_micros {
            faults.unless(micros > 0, "price", || "is 0; leave it out".to_owned());
            // A band is a factor of two: 64 to 128 of one currency are alike.
            let currency = hash::stable(written.currency.as_str().as_bytes());
            let band = u64::from(micros.max(1).ilog2());
            tokens.push(token(Say::Price, hash::combine(currency, band)));
        }
        let words = written.text.split(|letter: char| !letter.is_alphanumeric());
        let words = words.filter(|word| word.chars().nth(1).is_some());
        let said = tokens.len();
        for word in words {
            let word = token(Say::Word, hash::stable(word.to_lowercase().as_bytes()));
            if tokens.len() - said < WORDS_MAX && !tokens.contains(&word) {
                tokens.push(word);
            }
        }
        Self { tokens: tokens.into(), vector: unit(faults, written.vector) }
    }

    /// Hashes of its category, brand, price band and words.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The cosine of two supplied vectors; `None` where they cannot be compared.
    #[must_use]
    pub fn vector_cosine(&self, other: &Self) -> Option<f32> {
        let is_comparable = !self.vector.is_empty() && self.vector.len() == other.vector.len();
        let products = self.vector.iter().zip(&other.vector).map(|(one, two)| one * two);
        is_comparable.then(|| products.sum())
    }
}

/// The vector in length 1.
fn unit(faults: &mut Faults, vector: &[f32]) -> Box<[f32]> {
    faults.unless(vector.len() <= VECTOR_MAX, "vector", || {
        format!("has more than {VECTOR_MAX} components")
    });
    // In 64 bits no square of 32 overflows.
    let squares = vector.iter().map(|part| f64::from(*part) * f64::from(*part));
    let length = squares.sum::<f64>().sqrt();
    let is_direction = length.is_finite() && length > 0.0;
    faults.unless(vector.is_empty() || is_direction, "vector", || {
        "needs numbers that are finite, not all of them 0".to_owned()
    });
    vector.iter().map(|part| (f64::from(*part) / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(written: &Written<'_>) -> About {
        let mut faults = Faults::default();
        let about = About::new(&mut faults, written);
        assert!(faults.0.is_empty(), "{:?}", faults.0);
        about
    }

    fn shared(one: &About, other: &About) -> usize {
        one.tokens.iter().filter(|token| other.tokens.contains(token)).count()
    }

    #[test]
    fn alike_things_share_tokens_and_others_do_not() {
        let shoe = Written {
            category: Some("Running-Shoes"),
            brand: Some("Northtrail"),
            price_micros: Some(89_900_000),
            text: "Light trail-running SHOE, 2026",
            ..Written::default()
        };
        let same = Written {
            category: Some("running-shoes"),
            brand: Some(" northtrail "),
            price_micros: Some(100_000_000),
            text: "shoe: running (light) for trail; light",
            ..Written::default()
        };
        let (one, two) = (about(&shoe), about(&same));
        assert_eq!(one.tokens().len(), 3 + 5);
        assert_eq!(shared(&one, &two), 3 + 4, "all but 2026 and `for`");
        let brand = Written { brand: Some("light"), ..Written::default() };
        let dearer = Written { price_micros: Some(200_000_000), ..Written::default() };
        let euros = Written {
            price_micros: Some(89_900_000),
            currency: CurrencyCode::parse("EUR").expect("a code"),
            ..Written::default()
        };
        for other in [brand, dearer, euros] {
            assert_eq!(shared(&one, &about(&other)), 0, "{other:?}");
        }
    }

    #[test]
    fn a_key_is_of_one_shop() {
        let (one, two) = (AdvertiserId::of("one"), AdvertiserId::of("two"));
        assert_eq!(item_key(one, "77"), item_key(one, "77"));
        assert_ne!(item_key(one, "77"), item_key(two, "77"));
    }

    #[test]
    fn vectors_are_compared_by_direction() {
        let with = |vector| about(&Written { vector, ..Written::default() });
        let cosine = with(&[3.0, 4.0]).vector_cosine(&with(&[30.0, 40.0]));
        assert!(cosine.is_some_and(|cosine| (cosine - 1.0).abs() < 1e-6));
        let cosine = with(&[1.0, 0.0]).vector_cosine(&with(&[0.0, f32::MAX]));
        assert_eq!(cosine, Some(0.0));
        assert_eq!(with(&[1.0]).vector_cosine(&with(&[1.0, 0.0])), None);
        assert_eq!(with(&[]).vector_cosine(&with(&[])), None);
        for wrong in [&[0.0][..], &[f32::NAN], &[f32::INFINITY, 1.0], &[1.0; VECTOR_MAX + 1]] {
            let mut faults = Faults::default();
            About::new(&mut faults, &Written { vector: wrong, ..Written::default() });
            assert_eq!(faults.0.len(), 1, "{wrong:?}");
        }
    }
}
