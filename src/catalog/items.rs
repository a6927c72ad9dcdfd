//! Feeds of items: what shops sell, beside the ads for it. `items.toml` with `[[item]]` tables, or
//! `items.csv` with a header of the same names, or both; a catalog without them has no items.

use super::about::{About, Written, item_key};
use super::campaign::Advertiser;
use super::check::Faults;
use super::filters::Fault;
use super::load::{CatalogError, ERRORS_MAX, FILE_BYTES_MAX, Lines, read_bounded};
use super::raw::Amount;
use crate::units::{AdvertiserId, CategoryId, Micros};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// Items of one catalog: with tokens and their ads some kilobyte each.
const ITEMS_MAX: usize = 50_000;
/// Longest id in bytes, as events may name one.
const ID_BYTES_MAX: usize = 128;

const TOML: &str = "items.toml";
const CSV: &str = "items.csv";

/// One thing that a shop sells.
#[derive(Clone, Debug)]
pub struct Item {
    /// [`item_key`] of advertiser and id.
    pub key: u32,
    /// The shop's own id ("sku-9"), as its events name it.
    pub id: String,
    /// Whose it is.
    pub advertiser: AdvertiserId,
    /// Its category, of those that campaigns and events name.
    pub category: CategoryId,
    /// That category's name, in lower case.
    pub category_name: String,
    /// As it was written; empty where there is none.
    pub brand: String,
    /// In the advertiser's currency.
    pub price: Option<Micros>,
    /// What it is about.
    pub about: About,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItems {
    #[serde(default)]
    item: Vec<RawItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItem {
    advertiser: String,
    id: String,
    category: String,
    brand: Option<String>,
    price: Option<Amount>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    vector: Vec<f32>,
}

/// A line of a table: decimals are plain there, and a vector's numbers have spaces between them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvItem {
    advertiser: String,
    id: String,
    category: String,
    #[serde(default)]
    brand: Option<String>,
    #[serde(default)]
    price: Option<String>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    vector: String,
}

impl CsvItem {
    fn raw(self) -> Result<RawItem, Fault> {
        let amount = |text: String| {
            let micros = Micros::parse_decimal(text.trim());
            let wrong = || ("price".to_owned(), format!("`{text}` is no amount such as 2.50"));
            micros.map(|Micros(micros)| Amount(micros)).ok_or_else(wrong)
        };
        let number = |text: &str| {
            text.parse().map_err(|_| ("vector".to_owned(), format!("`{text}` is no number")))
        };
        Ok(RawItem {
            advertiser: self.advertiser,
            id: self.id,
            category: self.category,
            brand: self.brand.filter(|brand| !brand.trim().is_empty()),
            price: self.price.filter(|price| !price.trim().is_empty()).map(amount).transpose()?,
            text: self.text,
            vector: self.vector.split_whitespace().map(number).collect::<Result<_, _>>()?,
        })
    }
}

/// All items of a folder, by key.
///
/// # Errors
/// All that is wrong with the files, up to fifty lines.
pub(super) fn read(
    folder: &Path,
    advertisers: &[Advertiser],
) -> Result<Vec<Item>, Vec<CatalogError>> {
    let mut reader =
        Reader { advertisers, items: Vec::new(), keys: HashMap::new(), errors: Vec::new() };
    if folder.join(TOML).exists() {
        reader.toml(folder);
    }
    if folder.join(CSV).exists() {
        reader.csv(folder);
    }
    reader.items.sort_unstable_by_key(|item| item.key);
    if reader.errors.is_empty() { Ok(reader.items) } else { Err(reader.errors) }
}

struct Reader<'a> {
    advertisers: &'a [Advertiser],
    items: Vec<Item>,
    /// Advertiser and id by key.
    keys: HashMap<u32, (AdvertiserId, String)>,
    errors: Vec<CatalogError>,
}

impl Reader<'_> {
    fn refuse(&mut self, file: &str, line: usize, reason: String) {
        self.errors.push(CatalogError { file: file.to_owned(), line, reason });
    }

    fn toml(&mut self, folder: &Path) {
        let (text, raw) = match read_bounded::<RawItems>(folder, TOML) {
            Ok(read) => read,
            Err(error) => return self.errors.push(error),
        };
        for (position, raw) in raw.item.into_iter().enumerate() {
            if let Err(faults) = self.take(raw) {
                let lines = Lines::new(&text);
                for (key, reason) in faults {
                    let line = lines.of(&format!("item[{position}].{key}"));
                    self.refuse(TOML, line, format!("{key}: {reason}"));
                }
            }
            if self.is_full(TOML) {
                return;
            }
        }
    }

    fn csv(&mut self, folder: &Path) {
        let path = folder.join(CSV);
        let size = std::fs::metadata(&path).map_or(0, |facts| facts.len());
        if size > FILE_BYTES_MAX {
            return self.refuse(CSV, 0, format!("is larger than {FILE_BYTES_MAX} bytes"));
        }
        let table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path);
        let opened = table.and_then(|mut table| Ok((table.headers()?.clone(), table)));
        let (header, table) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.refuse(CSV, 1, error.to_string()),
        };
        for record in table.into_records() {
            let read = record.and_then(|record| {
                let line = record.position().map_or(0, csv::Position::line);
                Ok((line, record.deserialize::<CsvItem>(Some(&header))?))
            });
            match read {
                Ok((line, item)) => {
                    let raw = item.raw().map_err(|fault| vec![fault]);
                    let taken = raw.and_then(|raw| self.take(raw));
                    for (key, reason) in taken.err().into_iter().flatten() {
                        self.refuse(CSV, line as usize, format!("{key}: {reason}"));
                    }
                }
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    self.refuse(CSV, line as usize, error.to_string().replace('\n', " "));
                }
            }
            if self.is_full(CSV) {
                return;
            }
        }
    }

    /// Whether there is no use in reading on.
    fn is_full(&mut self, file: &str) -> bool {
        if self.items.len() > ITEMS_MAX {
            self.refuse(file, 0, format!("holds more than {ITEMS_MAX} items"));
        }
        self.errors.len() >= ERRORS_MAX || self.items.len() > ITEMS_MAX
    }

    fn take(&mut self, raw: RawItem) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::default();
        let advertiser = self.advertisers.iter().find(|one| one.name == raw.advertiser);
        let Some(advertiser) = advertiser else {
            let reason = format!("`{}` is not in advertisers.toml", raw.advertiser);
            return Err(vec![("advertiser".to_owned(), reason)]);
        };
        let is_id = !raw.id.is_empty() && raw.id.len() <= ID_BYTES_MAX && raw.id == raw.id.trim();
        faults.unless(is_id, "id", || {
            format!("is empty, above {ID_BYTES_MAX} bytes, or has spaces around it")
        });
        faults.text("category", &raw.category);
        faults.unless(raw.text.len() <= super::check::TEXT_BYTES_MAX, "text", || {
            format!("is above {} bytes", super::check::TEXT_BYTES_MAX)
        });
        let key = item_key(advertiser.id, &raw.id);
        if let Some((other, id)) = self.keys.insert(key, (advertiser.id, raw.id.clone())) {
            let is_same = other == advertiser.id && id == raw.id;
            faults.unless(false, "id", || match is_same {
                true => format!("`{id}` exists already"),
                false => format!("`{}` has the same key as `{id}`; rename", raw.id),
            });
        }
        let about = About::new(
            &mut faults,
            &Written {
                category: Some(&raw.category),
                brand: raw.brand.as_deref(),
                price_micros: raw.price.map(|price| price.0),
                currency: advertiser.currency,
                text: &raw.text,
                vector: &raw.vector,
            },
        );
        let item = Item {
            key,
            id: raw.id,
            advertiser: advertiser.id,
            category: CategoryId::of(&raw.category),
            category_name: raw.category.trim().to_lowercase(),
            brand: raw.brand.unwrap_or_default(),
            price: raw.price.map(|price| Micros(price.0)),
            about,
        };
        self.items.push(faults.finish(item)?);
        Ok(())
    }
}
