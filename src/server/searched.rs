//! Which category somebody means who searches for words: what the catalog calls an advertiser's own
//! categories, and the keywords of the campaigns that sell in them.
//!
//! A category whose whole name stands in the query goes before one of which only keywords do, and more
//! words go before fewer. Where two are alike nobody can say which is meant, and none is. Words are
//! compared in lower case, and in the singular as far as an `s` makes it.

use crate::catalog::Catalog;
use crate::units::AdvertiserId;
use std::collections::{BTreeMap, BTreeSet};

/// Wordings of one advertiser, so that one of ten thousand campaigns holds up its batch for some
/// milliseconds only; what is beyond is not found.
const WORDINGS_MAX: usize = 16_384;

/// What an advertiser calls its categories.
#[derive(Debug, Default)]
pub struct Wordings {
    /// By their first word: its category, and all its words. A query is short and this is not.
    by_first: BTreeMap<String, BTreeSet<Wording>>,
    count: usize,
}

/// Words that mean a category.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wording {
    category: String,
    words: Vec<String>,
    is_name: bool,
}

/// How well a category fits: words of its name, and words of keywords.
type Fit = (usize, usize);

impl Wordings {
    /// Those of the catalog.
    pub fn of(catalog: &Catalog, advertiser: AdvertiserId) -> Self {
        let mut own = Self::default();
        for campaign in catalog.all_campaigns().filter(|one| one.advertiser == advertiser) {
            own.add(&campaign.category_name, &campaign.category_name, true);
            for keyword in &campaign.targeting.keywords {
                own.add(&campaign.category_name, keyword, false);
            }
        }
        for item in catalog.items().iter().filter(|item| item.advertiser == advertiser) {
            own.add(&item.category_name, &item.category_name, true);
        }
        own
    }

    fn add(&mut self, category: &str, text: &str, is_name: bool) {
        let words: Vec<String> = words(text).collect();
        let Some(first) = words.first().filter(|_| self.count < WORDINGS_MAX) else { return };
        let category = category.to_lowercase();
        let those = self.by_first.entry(first.clone()).or_default();
        self.count += usize::from(those.insert(Wording { category, words, is_name }));
    }

    /// The category that the query means.
    pub fn meant(&self, query: &str) -> Option<&str> {
        let asked: BTreeSet<String> = words(query).collect();
        let mut fits: BTreeMap<&str, Fit> = BTreeMap::new();
        for wording in asked.iter().filter_map(|word| self.by_first.get(word)).flatten() {
            if wording.words.iter().all(|word| asked.contains(word)) {
                let (name, keywords) = fits.entry(&wording.category).or_default();
                *(if wording.is_name { name } else { keywords }) += wording.words.len();
            }
        }
        let best = *fits.values().max()?;
        let mut alike = fits.iter().filter(|(_, fit)| **fit == best);
        let (meant, _) = alike.next()?;
        alike.next().is_none().then_some(*meant)
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(|word| {
        let word = word.to_lowercase();
        match word.strip_suffix('s') {
            // Not of a word such as "gas" or "dress".
            Some(one) if one.chars().count() > 2 && !one.ends_with('s') => one.to_owned(),
            _ => word,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_query_mean_a_category() {
        let mut own = Wordings::default();
        for (category, text, is_name) in [
            ("Running-Shoes", "Running-Shoes", true),
            ("Running-Shoes", "marathon", false),
            ("trail-shoes", "trail-shoes", true),
            ("trail-shoes", "ultra trail", false),
            ("dresses", "dresses", true),
            ("hay-fever", "hay-fever", true),
            ("hay-fever", "spring", false),
            ("tents", "tents", true),
            ("tents", "spring", false),
        ] {
            own.add(category, text, is_name);
        }
        for (query, meant) in [
            ("running shoes", Some("running-shoes")),
            ("best SHOE for running", Some("running-shoes")),
            ("marathon", Some("running-shoes")),
            ("tent for a marathon", Some("tents")),
            ("ultra trail", Some("trail-shoes")),
            ("shoes", None),
            ("ultra", None),
            ("spring", None),
            ("spring tent", Some("tents")),
            ("trail running shoes", None),
            ("ultra trail running shoes", Some("trail-shoes")),
            ("hay-fever!", Some("hay-fever")),
            ("dress", None),
            ("dresses", Some("dresses")),
            ("", None),
        ] {
            assert_eq!(own.meant(query), meant, "{query}");
        }
    }

    #[test]
    fn wordings_are_bounded() {
        let mut own = Wordings::default();
        (0..WORDINGS_MAX + 5).for_each(|number| own.add("c", &format!("k{number}"), false));
        assert_eq!(own.count, WORDINGS_MAX);
    }
}
