//! Reading a folder of files, all or nothing.
//!
//! `advertisers.toml` says who pays; each `campaigns/*.toml` holds the campaigns of one advertiser;
//! `domains/*.toml`, which may be absent, declare the rules of trades.

use super::campaign::{Advertiser, Campaign, Status};
use super::check;
use super::creative::Ad;
use super::domain::{Domain, Domains, RawDomain};
use super::edit::{self, CampaignEdit, Edited, Edits};
use super::filters::Fault;
use super::items::{self, Item};
use super::raw::{RawAdvertisers, RawCampaigns};
use super::snapshot::{Catalog, Parts};
use super::split::{self, KnownStrategies};
use crate::units::{AdvertiserId, CampaignId, CategoryId, CreativeId};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Errors reported at once: more would scroll past whoever reads them.
pub(super) const ERRORS_MAX: usize = 50;
/// Files of one catalog; one advertiser a file.
const FILES_MAX: usize = 10_000;
/// Bytes of one file: some 10,000 campaigns. A larger one is a mistake, or an attack on memory.
pub(super) const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Why a file was refused: one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct CatalogError {
    /// The file, relative to the catalog's folder.
    pub file: String,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl CatalogError {
    /// The same, with the file as it is found from where the folder is.
    #[must_use]
    pub fn within(self, folder: &Path) -> Self {
        Self { file: folder.join(&self.file).display().to_string(), ..self }
    }
}

impl Catalog {
    /// Reads a folder. `known_strategies` are those that campaigns may name; slots and the epoch
    /// carry over from `previous`.
    ///
    /// # Errors
    /// All that is wrong, up to fifty lines; then nothing is loaded.
    pub fn load(
        folder: &Path,
        known_strategies: &KnownStrategies,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<CatalogError>> {
        let loaded = Self::load_edited(folder, known_strategies, previous, &Edits::new())?;
        Ok(loaded.catalog)
    }

    /// The same, with edits on top of the files, by campaign name. Names without a campaign are
    /// passed over.
    pub(super) fn load_edited(
        folder: &Path,
        known_strategies: &KnownStrategies,
        previous: Option<&Self>,
        edits: &Edits,
    ) -> Result<Loaded, Vec<CatalogError>> {
        let mut reader = Reader::new(folder, known_strategies);
        if !folder.is_dir() {
            reader.refuse("", 0, "the catalog's folder is missing");
            return Err(reader.errors);
        }
        reader.domains();
        reader.advertisers();
        reader.campaign_files();
        reader.items();
        let campaigns = reader.campaigns.iter().map(|(campaign, _)| campaign);
        if let Some(reason) = split::too_many(campaigns) {
            reader.refuse("campaigns", 0, reason);
        }
        if reader.errors.is_empty() {
            let stopped = if edits.is_empty() { Vec::new() } else { reader.edit(edits) };
            let Reader { advertisers, campaigns, domains, items, .. } = reader;
            let parts = Parts { advertisers, campaigns, domains, items: items.into() };
            let catalog = Self::assemble(parts, Arc::new(known_strategies.clone()), previous);
            return Ok(Loaded { catalog, stopped });
        }
        reader.errors.truncate(ERRORS_MAX);
        Err(reader.errors)
    }
}

/// A catalog, and what the files say no longer.
pub(super) struct Loaded {
    pub catalog: Catalog,
    /// Campaigns that are stopped because their edits do not fit their files, with the reason.
    pub stopped: Vec<(String, CatalogError)>,
}

/// What was read so far.
struct Reader<'a> {
    folder: &'a Path,
    strategies: &'a KnownStrategies,
    domains: Arc<Domains>,
    advertisers: Vec<Advertiser>,
    campaigns: Vec<(Campaign, Vec<Ad>)>,
    items: Vec<Item>,
    /// The file of each campaign.
    files: Vec<String>,
    advertiser_ids: Taken<AdvertiserId>,
    campaign_ids: Taken<CampaignId>,
    ad_ids: Taken<CreativeId>,
    category_ids: HashMap<CategoryId, String>,
    errors: Vec<CatalogError>,
}

/// Ids in use, with the name that took each.
type Taken<Id> = HashMap<Id, String>;

/// A campaign with its edits on top, and its ads where they are others; or why they do not fit.
type Top = Result<(Campaign, Option<Vec<Ad>>), String>;

/// Takes an id for a name that must be new.
fn take<Id: std::hash::Hash + Eq>(taken: &mut Taken<Id>, id: Id, name: &str) -> Result<(), Fault> {
    match taken.insert(id, name.to_owned()) {
        None => Ok(()),
        Some(other) if other == name => Err(fault("name", format!("`{name}` exists already"))),
        Some(other) => Err(fault("name", format!("`{name}` has the same id as `{other}`; rename"))),
    }
}

fn fault(key: &str, reason: String) -> Fault {
    (key.to_owned(), reason)
}

impl<'a> Reader<'a> {
    fn new(folder: &'a Path, strategies: &'a KnownStrategies) -> Self {
        Self {
            folder,
            strategies,
            domains: Arc::default(),
            advertisers: Vec::new(),
            campaigns: Vec::new(),
            items: Vec::new(),
            files: Vec::new(),
            advertiser_ids: HashMap::new(),
            campaign_ids: HashMap::new(),
            ad_ids: HashMap::new(),
            category_ids: HashMap::new(),
            errors: Vec::new(),
        }
    }

    fn refuse(&mut self, file: &str, line: usize, reason: impl Into<String>) {
        self.errors.push(CatalogError { file: file.to_owned(), line, reason: reason.into() });
    }

    fn refuse_all(&mut self, file: &str, text: &str, place: &str, faults: Vec<Fault>) {
        let lines = Lines::new(text);
        for (key, reason) in faults {
            let line = lines.of(&format!("{place}.{key}"));
            let name = key.rsplit('.').next().unwrap_or(&key);
            self.refuse(file, line, format!("{name}: {reason}"));
        }
    }

    /// Reads a file of the folder into its raw form.
    fn read<T: serde::de::DeserializeOwned>(&mut self, file: &str) -> Option<(String, T)> {
        read_bounded(self.folder, file).map_err(|error| self.errors.push(error)).ok()
    }

    fn items(&mut self) {
        match items::read(self.folder, &self.advertisers) {
            Ok(items) => self.items = items,
            Err(errors) => self.errors.extend(errors),
        }
    }

    fn advertisers(&mut self) {
        let file = "advertisers.toml";
        let Some((text, raw)) = self.read::<RawAdvertisers>(file) else { return };
        for (position, raw) in raw.advertiser.into_iter().enumerate() {
            let made = check::advertiser(raw).and_then(|advertiser| {
                take(&mut self.advertiser_ids, advertiser.id, &advertiser.name)
                    .map_err(|fault| vec![fault])?;
                Ok(advertiser)
            });
            match made {
                Ok(advertiser) => self.advertisers.push(advertiser),
                Err(faults) => {
                    self.refuse_all(file, &text, &format!("advertiser[{position}]"), faults);
                }
            }
        }
    }

    /// The TOML files of an inner folder, in order: that of a folder differs between machines, and
    /// slots should not.
    fn files(&mut self, inner: &str) -> Vec<String> {
        let mut files = Vec::new();
        match fs::read_dir(self.folder.join(inner)) {
            Ok(entries) => {
                let names = entries.flatten().map(|entry| entry.file_name());
                let names = names.filter_map(|name| name.into_string().ok());
                let names = names.filter(|name| name.ends_with(".toml"));
                files.extend(names.map(|name| format!("{inner}/{name}")));
            }
            Err(error) => self.refuse(inner, 0, error.to_string()),
        }
        files.sort();
        if files.len() > FILES_MAX {
            self.refuse(inner, 0, format!("holds more than {FILES_MAX} files"));
            files.clear();
        }
        files
    }

    fn domains(&mut self) {
        if !self.folder.join("domains").exists() {
            return;
        }
        let mut domains = Domains::default();
        let mut declared = HashMap::new();
        for file in self.files("domains") {
            let Some((text, raw)) = self.read::<RawDomain>(&file) else { continue };
            match Domain::declared(raw) {
                Ok(domain) => {
                    if let Some(other) = declared.insert(domain.sector, file.clone()) {
                        let line = Lines::new(&text).of("sector");
                        let reason = format!("sector: {other} declares {:?}", domain.sector);
                        self.refuse(&file, line, reason);
                    }
                    domains.declare(domain);
                }
                Err(faults) => {
                    let lines = Lines::new(&text);
                    for (key, reason) in faults {
                        self.refuse(&file, lines.of(&key), format!("{key}: {reason}"));
                    }
                }
            }
        }
        self.domains = Arc::new(domains);
    }

    fn campaign_files(&mut self) {
        for file in self.files("campaigns") {
            self.campaign_file(&file);
        }
    }

    fn campaign_file(&mut self, file: &str) {
        let Some((text, raw)) = self.read::<RawCampaigns>(file) else { return };
        let known = self.advertisers.iter().find(|known| known.name == raw.advertiser).cloned();
        let Some(advertiser) = known else {
            let line = Lines::new(&text).of("advertiser");
            let reason = format!("advertiser `{}` is not in advertisers.toml", raw.advertiser);
            self.refuse(file, line, reason);
            return;
        };
        for (position, raw) in raw.campaign.into_iter().enumerate() {
            let made = check::campaign(raw, &advertiser, self.strategies, &self.domains);
            let place = format!("campaign[{position}]");
            match made.and_then(|made| self.register(&made).map(|()| made)) {
                Ok(made) => {
                    self.campaigns.push(made);
                    self.files.push(file.to_owned());
                }
                Err(faults) => self.refuse_all(file, &text, &place, faults),
            }
        }
    }

    /// Puts the edits on top. A campaign whose edits do not fit is stopped, and named.
    fn edit(&mut self, edits: &Edits) -> Vec<(String, CatalogError)> {
        let mut tops: Vec<_> = self
            .campaigns
            .iter()
            .map(|(campaign, ads)| Some(self.top(campaign, ads, edits.get(&campaign.name)?)))
            .collect();
        self.keep_ad_names_apart(&mut tops);
        let mut stopped = Vec::new();
        for (((campaign, ads), top), file) in self.campaigns.iter_mut().zip(tops).zip(&self.files) {
            let Some((changes, top)) = edits.get(&campaign.name).cloned().zip(top) else {
                continue;
            };
            let (base, base_ads) = (campaign.clone(), ads.clone());
            let mut edited = Edited { changes, fault: None, base, base_ads };
            match top {
                Ok((changed, others)) => {
                    *campaign = changed;
                    *ads = others.unwrap_or_else(|| std::mem::take(ads));
                }
                Err(reason) => {
                    campaign.status = Status::Paused;
                    let why =
                        format!("the API's edit of `{}` does not fit: {reason}", campaign.name);
                    let error = CatalogError { file: file.clone(), line: 0, reason: why };
                    stopped.push((campaign.name.clone(), error));
                    edited.fault = Some(reason);
                }
            }
            campaign.edited = Some(Arc::new(edited));
        }
        stopped
    }

    fn top(&self, campaign: &Campaign, ads: &[Ad], changes: &Result<CampaignEdit, String>) -> Top {
        let changes = changes.as_ref().map_err(Clone::clone)?;
        let advertiser = self.advertisers.iter().find(|one| one.id == campaign.advertiser);
        let advertiser = advertiser.ok_or("its advertiser is gone")?;
        edit::apply(campaign.clone(), advertiser, ads.iter(), changes, self.strategies)
            .map_err(|faults| edit::in_one_line(&faults))
    }

    /// Refuses edits whose ads have names that are taken by then: one campaign may have given up what
    /// another took. Whoever is refused has its file's ads again, so it begins anew with each.
    fn keep_ad_names_apart(&self, tops: &mut [Option<Top>]) {
        loop {
            let mut taken = HashSet::new();
            for ((_, ads), top) in self.campaigns.iter().zip(&*tops) {
                if !matches!(top, Some(Ok((_, Some(_))))) {
                    taken.extend(ads.iter().map(|ad| ad.id));
                }
            }
            let wrong = tops.iter_mut().find_map(|top| {
                let Some(Ok((_, Some(others)))) = top else { return None };
                let twice = others.iter().find(|ad| !taken.insert(ad.id))?;
                let reason = format!("ads: `{}` exists already", twice.name);
                Some((top, reason))
            });
            match wrong {
                Some((top, reason)) => *top = Some(Err(reason)),
                None => return,
            }
        }
    }

    /// Takes the ids of a campaign, its ads and its category.
    fn register(&mut self, (campaign, ads): &(Campaign, Vec<Ad>)) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        faults.extend(take(&mut self.campaign_ids, campaign.id, &campaign.name).err());
        for (position, ad) in ads.iter().enumerate() {
            let taken = take(&mut self.ad_ids, ad.id, &ad.name);
            faults.extend(taken.err().map(|(key, why)| (format!("ad[{position}].{key}"), why)));
        }
        let name = campaign.category_name.to_ascii_lowercase();
        let other = self.category_ids.entry(campaign.category).or_insert_with(|| name.clone());
        if *other != name {
            let reason = format!("`{name}` has the same id as `{other}`; rename one");
            faults.push(fault("category", reason));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// A file of the folder, whole, and in its raw form.
pub(super) fn read_bounded<T: serde::de::DeserializeOwned>(
    folder: &Path,
    file: &str,
) -> Result<(String, T), CatalogError> {
    let refuse = |line, reason| CatalogError { file: file.to_owned(), line, reason };
    let path = folder.join(file);
    let size = fs::metadata(&path).map_or(0, |facts| facts.len());
    if size > FILE_BYTES_MAX {
        return Err(refuse(0, format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(&path).map_err(|error| refuse(0, error.to_string()))?;
    match toml::from_str(&text) {
        Ok(raw) => Ok((text, raw)),
        Err(error) => {
            let line = error.span().map_or(0, |span| line_at(&text, &span));
            Err(refuse(line, error.message().replace('\n', " ")))
        }
    }
}

/// Finds the lines of keys such as `campaign[2].targeting.geo` in a file that parses.
pub(super) struct Lines<'a> {
    text: &'a str,
    table: Option<DeTable<'a>>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, table: DeTable::parse(text).ok().map(toml::Spanned::into_inner) }
    }

    /// The line of the key, or of the innermost table around it that exists.
    pub(super) fn of(&self, path: &str) -> usize {
        let Some(mut table) = self.table.as_ref() else { return 0 };
        let mut line = 0;
        for step in path.split('.') {
            let (name, position) = match step.split_once('[') {
                Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
                None => (step, None),
            };
            let Some((key, value)) = table.get_key_value(name) else { break };
            line = line_at(self.text, &key.span());
            let value = match (value.get_ref(), position) {
                (DeValue::Array(entries), Some(position)) => {
                    let Some(entry) = entries.get(position) else { break };
                    line = line_at(self.text, &entry.span());
                    entry.get_ref()
                }
                (value, _) => value,
            };
            let DeValue::Table(inner) = value else { break };
            table = inner;
        }
        line
    }
}

/// The line, from 1, on which a span of the text starts.
fn line_at(text: &str, span: &Range<usize>) -> usize {
    let end = span.start.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}
