//! Which category somebody means who searches for words: what the catalog calls an advertiser's own
//! categories, and the keywords of the campaigns that sell in them.
//!
//! A category whose whole name stands in the query goes before one of which only keywords do, and more
//! words go before fewer. Where two are alike nobody can say which is meant, and none is. Words are
//! compared in lower case, and in the singular as far as an `s` makes it.

use crate::catalog::Catalog;
use crate::units::AdvertiserId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Wordings of one advertiser; what is beyond is not found.
const WORDINGS_MAX: usize = 16_384;
/// Wordings that begin with one word, and words of a query: each of them is held against each.
const ALIKE_MAX: usize = 16;

/// What advertisers call their categories, each made when it is first asked for: of 50,000 items that
/// takes milliseconds, and bills come on the same thread.
#[derive(Default)]
pub struct Searched(Mutex<Made>);

/// Of one catalog.
#[derive(Default)]
struct Made {
    epoch: u64,
    wordings: BTreeMap<AdvertiserId, Arc<Wordings>>,
}

impl Searched {
    /// What an advertiser of the catalog calls its categories; nothing of one that is not there.
    pub fn of(&self, catalog: &Catalog, advertiser: AdvertiserId) -> Arc<Wordings> {
        if catalog.advertiser(advertiser).is_none() {
            return Arc::default();
        }
        let made = &mut *self.0.lock();
        if made.epoch != catalog.epoch {
            *made = Made { epoch: catalog.epoch, ..Made::default() };
        }
        let own = made.wordings.entry(advertiser);
        own.or_insert_with(|| Arc::new(Wordings::of(catalog, advertiser))).clone()
    }
}

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
    fn of(catalog: &Catalog, advertiser: AdvertiserId) -> Self {
        let mut own = Self::default();
        for campaign in catalog.all_campaigns().filter(|one| one.advertiser == advertiser) {
            own.add(&campaign.category_name, &campaign.category_name, true);
            for keyword in &campaign.targeting.keywords {
                own.add(&campaign.category_name, keyword, false);
            }
        }
        let items = catalog.items().iter().filter(|item| item.advertiser == advertiser);
        let categories: BTreeSet<_> = items.map(|item| &item.category_name).collect();
        categories.into_iter().for_each(|category| own.add(category, category, true));
        own
    }

    fn add(&mut self, category: &str, text: &str, is_name: bool) {
        let words: Vec<String> = words(text).collect();
        let Some(first) = words.first().filter(|_| self.count < WORDINGS_MAX) else { return };
        let category = category.to_lowercase();
        let those = self.by_first.entry(first.clone()).or_default();
        if those.len() < ALIKE_MAX {
            self.count += usize::from(those.insert(Wording { category, words, is_name }));
        }
    }

    /// The category that the query means.
    pub fn meant(&self, query: &str) -> Option<&str> {
        let asked: BTreeSet<String> = words(query).take(ALIKE_MAX).collect();
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
        (0..ALIKE_MAX + 5).for_each(|number| own.add("c", &format!("k l{number}"), false));
        assert_eq!(own.count, ALIKE_MAX);
        (0..WORDINGS_MAX + 5).for_each(|number| own.add("c", &format!("k{number}"), false));
        assert_eq!(own.count, WORDINGS_MAX);
    }
}
