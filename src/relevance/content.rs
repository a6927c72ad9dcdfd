//! Content: which ads resemble an item. Made once for each catalog, off every bid's path.
//!
//! An item and an ad are the tokens of their category, brand, price band and words, weighted by how
//! rare they are:
//!
//! ```text
//! idf(t) = ln(1 + documents / documents with t)
//! similarity(i, a) = Σ_{t in both} idf(t)² / (|i| |a|),    |x|² = Σ_{t in x} idf(t)²
//! ```
//! Where both have a supplied vector of one length, the mean of this and the vectors' cosine (not
//! below 0). An ad that names the item is as similar as can be, 1.

use crate::catalog::{Ad, Campaign, Catalog, FeatureGroups, Item, Sector, Status, category_token};
use crate::units::{AdvertiserId, Slot};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Ads kept of an item, the most similar.
pub(super) const LIKES_MAX: usize = 32;
/// Ads that an item is compared with, those with its rarest tokens first: a word that all ads have
/// must not make a catalog's load quadratic. Some 10 us an item.
const COMPARED_MAX: usize = 4_096;
/// Below this two things are not alike.
const SIMILARITY_MIN: f32 = 0.05;
/// What merely has the same words comes after the ads that show the item itself.
const SIMILARITY_MAX: f32 = 0.99;

/// An ad, and how strongly something speaks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Like {
    /// The ad.
    pub ad: Slot,
    /// From 0 to 1.
    pub score: f32,
}

/// Whose ads the visits to an item may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Circle {
    /// The pool's.
    Pool,
    /// Those of its own advertiser, which is not in the pool.
    Own(AdvertiserId),
}

/// Ads by item.
pub struct Content {
    likes: FxHashMap<u32, (Circle, Box<[Like]>)>,
    /// Ads that show an item, of campaigns in the pool alone.
    pooled: FxHashMap<u32, Box<[Slot]>>,
    /// Advertisers in the pool.
    pool: FxHashSet<AdvertiserId>,
}

/// One ad as it is compared.
struct Document<'a> {
    ad: &'a Ad,
    campaign: &'a Campaign,
    /// Its advertiser's.
    sector: Sector,
    tokens: Vec<u32>,
    length: f32,
}

impl Content {
    /// Of no catalog.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        Arc::new(Self {
            likes: FxHashMap::default(),
            pooled: FxHashMap::default(),
            pool: FxHashSet::default(),
        })
    }

    /// Compares each item of a catalog with its ads, as far as the ads' domains let them be compared.
    /// Paused campaigns take no part.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let campaigns = catalog.all_campaigns();
        let campaigns = campaigns.filter(|one| one.status == Status::Active);
        let in_pool = catalog.all_campaigns().filter(|one| one.pooled_interest);
        let pool = in_pool.map(|one| one.advertiser);
        let pool: FxHashSet<_> = pool.collect();
        let sectors = catalog.advertisers().map(|advertiser| (advertiser.id, advertiser.sector));
        let sectors: FxHashMap<_, _> = sectors.collect();
        let mut documents: Vec<_> = campaigns
            .flat_map(|campaign| catalog.ads_of(campaign).map(move |ad| (campaign, ad)))
            .map(|(campaign, ad)| {
                let tokens = ad.about.tokens().iter().copied();
                let tokens = tokens.chain([category_token(campaign.category)]).collect();
                let sector = sectors.get(&campaign.advertiser).copied().unwrap_or(campaign.sector);
                Document { ad, campaign, sector, tokens, length: 0.0 }
            })
            .collect();
        let weights = Weights::of(catalog.items(), &documents);
        let mut postings: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (position, document) in (0..).zip(&mut documents) {
            document.length = weights.length(&document.tokens);
            for token in &document.tokens {
                postings.entry(*token).or_default().push(position);
            }
        }
        let mut likes: FxHashMap<u32, (AdvertiserId, Vec<Like>)> = FxHashMap::default();
        let mut compared = vec![0.0; documents.len()];
        for item in catalog.items() {
            let Some(sector) = sectors.get(&item.advertiser) else { continue };
            let from = From { item, sector: *sector, is_pooled: pool.contains(&item.advertiser) };
            let alike = alike(from, &weights, &postings, &documents, &mut compared);
            likes.insert(item.key, (item.advertiser, alike));
        }
        let mut pooled: FxHashMap<u32, Vec<Slot>> = FxHashMap::default();
        for document in &documents {
            let Document { campaign, sector, .. } = document;
            let features = campaign.domain().features;
            for item in &document.ad.items {
                let (owner, likes) =
                    likes.entry(*item).or_insert((campaign.advertiser, Vec::new()));
                // A key is 32 bits: another shop's item may have the same.
                if *owner != campaign.advertiser {
                    continue;
                }
                let category = catalog.item(*item).map_or("", |item| &item.category_name);
                let is_heard = campaign.domain().hears(*sector, category);
                if is_heard && features.has(FeatureGroups::CONTENT) {
                    show(likes, document.ad.slot);
                }
                if campaign.pooled_interest && features.has(FeatureGroups::COLLABORATIVE) {
                    pooled.entry(*item).or_default().push(document.ad.slot);
                }
            }
        }
        Self {
            likes: likes
                .into_iter()
                .map(|(item, (owner, likes))| {
                    let is_pooled = pool.contains(&owner);
                    let circle = if is_pooled { Circle::Pool } else { Circle::Own(owner) };
                    (item, (circle, likes.into()))
                })
                .collect(),
            pooled: pooled.into_iter().map(|(item, ads)| (item, ads.into())).collect(),
            pool,
        }
    }

    /// The ads that resemble an item, most similar first, of those that its visits may serve: its own
    /// advertiser's, and others' where both are in the pool. At most 32.
    #[inline]
    #[must_use]
    pub fn likes(&self, item: u32) -> &[Like] {
        self.known(item).map_or(&[], |(_, likes)| likes)
    }

    /// The same, with whose ads they are; `None` for an item of no feed that no ad shows.
    #[inline]
    pub(super) fn known(&self, item: u32) -> Option<(Circle, &[Like])> {
        self.likes.get(&item).map(|(circle, likes)| (*circle, &**likes))
    }

    /// The ads of pooled campaigns that show an item.
    pub(super) fn pooled_ads(&self, item: u32) -> &[Slot] {
        self.pooled.get(&item).map_or(&[], |ads| ads)
    }

    /// Whether everybody whose visits were pooled under `before` still is in the pool.
    pub(super) fn keeps_pool_of(&self, before: &Self) -> bool {
        before.pool.is_subset(&self.pool)
    }

    /// Items with at least one ad.
    #[must_use]
    pub fn items(&self) -> usize {
        self.likes.values().filter(|(_, likes)| !likes.is_empty()).count()
    }
}

/// Puts an ad that shows the item before all that resemble it.
fn show(likes: &mut Vec<Like>, ad: Slot) {
    likes.retain(|like| like.ad != ad);
    let shown = likes.iter().take_while(|like| like.score >= 1.0).count();
    likes.insert(shown, Like { ad, score: 1.0 });
    likes.truncate(LIKES_MAX);
}

/// The weight of each token.
struct Weights(FxHashMap<u32, f32>);

impl Weights {
    fn of(items: &[Item], documents: &[Document<'_>]) -> Self {
        let mut counts: FxHashMap<u32, f32> = FxHashMap::default();
        let of_items = items.iter().flat_map(|item| item.about.tokens());
        for token in of_items.chain(documents.iter().flat_map(|document| &document.tokens)) {
            *counts.entry(*token).or_default() += 1.0;
        }
        let all = (items.len() + documents.len()) as f32;
        Self(counts.into_iter().map(|(token, count)| (token, (1.0 + all / count).ln())).collect())
    }

    fn squared(&self, token: u32) -> f32 {
        self.0.get(&token).map_or(0.0, |weight| weight * weight)
    }

    fn length(&self, tokens: &[u32]) -> f32 {
        tokens.iter().map(|token| self.squared(*token)).sum::<f32>().sqrt()
    }
}

/// An item that is compared with ads.
#[derive(Clone, Copy)]
struct From<'a> {
    item: &'a Item,
    /// Its advertiser's.
    sector: Sector,
    is_pooled: bool,
}

/// The most similar ads. `compared` holds zeros, and does so again afterwards.
fn alike(
    From { item, sector, is_pooled }: From<'_>,
    weights: &Weights,
    postings: &FxHashMap<u32, Vec<u32>>,
    documents: &[Document<'_>],
    compared: &mut [f32],
) -> Vec<Like> {
    let mut tokens = item.about.tokens().to_vec();
    tokens.sort_unstable_by(|one, other| {
        weights.squared(*other).total_cmp(&weights.squared(*one)).then_with(|| one.cmp(other))
    });
    let (mut met, mut left) = (Vec::new(), COMPARED_MAX);
    for token in &tokens {
        let ads = postings.get(token).map_or(&[][..], |ads| ads);
        for position in ads.iter().take(left) {
            let product = &mut compared[*position as usize];
            if *product == 0.0 {
                met.push(*position);
            }
            *product += weights.squared(*token);
        }
        left = left.saturating_sub(ads.len());
    }
    let length = weights.length(&tokens);
    let mut likes = Vec::new();
    for position in met {
        let document = &documents[position as usize];
        let product = std::mem::take(&mut compared[position as usize]);
        let campaign = document.campaign;
        let may_serve =
            campaign.advertiser == item.advertiser || (is_pooled && campaign.pooled_interest);
        let domain = campaign.domain();
        let may_be_known = domain.features.has(FeatureGroups::CONTENT)
            && domain.hears(sector, &item.category_name);
        if !may_serve || !may_be_known {
            continue;
        }
        let mut score = product / (length * document.length).max(f32::MIN_POSITIVE);
        if let Some(cosine) = item.about.vector_cosine(&document.ad.about) {
            score = f32::midpoint(score, cosine.max(0.0));
        }
        if score >= SIMILARITY_MIN {
            likes.push(Like { ad: document.ad.slot, score: score.min(SIMILARITY_MAX) });
        }
    }
    likes.sort_unstable_by(|one, other| {
        other.score.total_cmp(&one.score).then_with(|| one.ad.index.cmp(&other.ad.index))
    });
    likes.truncate(LIKES_MAX);
    likes
}
