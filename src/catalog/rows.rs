//! What an auction reads of campaigns and ads, packed into whole cache lines.
//!
//! An auction looks at some fifty campaigns and at three times as many ads, each at a place that no
//! cache holds. A [`Campaign`] and its [`Ad`]s are hundreds of bytes of names and lists; what decides
//! is copied here once an epoch: two lines a campaign, a fifth of one for each of its ads, side by
//! side, and one for the keys that a request may block, read only where one of them may be blocked.

use super::blockable::Blockable;
use super::campaign::{BidTerms, Campaign, CapScope, FrequencyCap};
use super::creative::{Ad, AdKind, Banner, language_key, mime_key};
use super::domain::FeatureGroups;
use super::filters::Dimension;
use crate::hash;
use crate::openrtb::vast::Linear;
use crate::prefetch::{prefetch, prefetch_item, prefetch_start};
use crate::units::{AdvertiserId, CampaignId, CategoryId, CurrencyCode, Micros, Slot};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// One campaign.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct CampaignRow {
    /// Hash of the name.
    pub id: CampaignId,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// Where it sits.
    pub slot: Slot,
    /// The first of its ads.
    ads_first: u32,
    /// Number of the set of its ads' shapes: [`super::Catalog::shape_set`] has it.
    pub shapes: u32,
    ads: u16,
    /// The number of its traffic split in [`super::Catalog::splits`], from 1; 0 where one strategy has
    /// all users.
    pub split: u16,
    /// Hash of the group that its click probabilities are calibrated with.
    pub calibration_group: u16,
    /// Whether it bids only through deals.
    pub requires_deal: bool,
    is_present: bool,
    /// One bit of 64 for each key in the lines of block keys; all bits where there is no such line.
    block_bits: u64,
    /// How often one user may see it.
    pub caps: Caps,
    /// What the model may use for its ads.
    pub features: FeatureGroups,
    /// The advertiser's currency.
    pub currency: CurrencyCode,
    blocks: u32,
    /// What it pays for.
    pub bid: BidTerms,
    /// The product category whose interest it seeks.
    pub category: CategoryId,
    /// Whether it uses the interest that consenting tenants share.
    pub pooled_interest: bool,
    /// Per cent of a user's last shows that its category may fill before it is ranked down.
    pub category_share_max_percent: u8,
}

const _: () = assert!(size_of::<CampaignRow>() == 128);
// What decides whether it takes part lies in the first line; the second prices it.
const _: () = assert!(std::mem::offset_of!(CampaignRow, bid) == 64);

/// Frequency caps as far as a row holds them.
#[derive(Clone, Copy, Debug)]
pub enum Caps {
    /// None.
    None,
    /// One, over all ads of the campaign: what nearly all campaigns with a cap have.
    Campaign(FrequencyCap),
    /// Something else: ask the [`Campaign`].
    Others,
}

/// One ad: a fifth of a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AdRow {
    /// Where it sits.
    pub slot: Slot,
    /// Number of its shape: [`super::Catalog::shape`] has it.
    pub shape: u32,
}

const _: () = assert!(size_of::<AdRow>() == 12);

/// What decides whether an ad fits an imp. Many ads share one, so that an auction decides on each
/// shape once and then looks the verdict up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The measures of what is shown.
    pub form: Form,
    /// OpenRTB creative attributes: bit `n` for attribute `n`.
    pub attr: u64,
    /// What the placement must offer.
    pub needs: Needs,
    /// Key of its language; 0 where it has none.
    pub language: u64,
}

impl Shape {
    /// The shape of one ad.
    #[must_use]
    pub fn of(ad: &Ad) -> Self {
        let (expdir, topframe) = match &ad.kind {
            AdKind::Banner(banner) => (u64::from(banner.expdir), banner.needs_topframe),
            _ => (0, false),
        };
        Self {
            form: Form::of(&ad.kind),
            attr: ad.attr,
            needs: Needs::new(ad.api, expdir, topframe),
            language: if ad.language.is_empty() { 0 } else { language_key(&ad.language) },
        }
    }
}

/// What an ad needs of a placement, or a placement offers: API frameworks (list 5.6, codes to 31),
/// directions to expand in (list 5.5), the top frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs(u64);

impl Needs {
    /// Bit `n` of each set is code `n`; codes that no ad of ours can need are left out.
    #[must_use]
    pub const fn new(api: u64, expdir: u64, topframe: bool) -> Self {
        let topframe = if topframe { 1 << 40 } else { 0 };
        Self(api & u32::MAX as u64 | (expdir & 0x7f) << 32 | topframe)
    }

    /// Whether all of it is among what is offered.
    #[inline]
    #[must_use]
    pub const fn are_met_by(self, offers: Self) -> bool {
        self.0 & !offers.0 == 0
    }
}

/// The measures of an ad.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// An image or HTML.
    Banner {
        /// Widths and heights in pixels, any of them.
        sizes: SmallVec<[(u16, u16); 2]>,
        /// Whether any other size will do too.
        is_fluid: bool,
        /// Key of the content type.
        mime: u64,
        /// Kinds of banner: bit `n` for code `n`.
        btypes: u8,
    },
    /// A video.
    Video {
        /// Length.
        seconds: u32,
        /// Codes of the VAST that it may be written in: bit `n` for code `n`.
        protocols: u32,
        /// Whether it may be skipped.
        is_skippable: bool,
        /// Its files, any of which may play.
        files: SmallVec<[FileShape; 1]>,
    },
    /// Sound.
    Audio {
        /// Length.
        seconds: u32,
        /// Codes of the VAST that it may be written in: bit `n` for code `n`.
        protocols: u32,
        /// Its files, any of which may play.
        files: SmallVec<[FileShape; 1]>,
    },
    /// Parts that the publisher lays out; the [`Ad`] has them.
    Native,
}

/// What decides whether a player takes a media file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileShape {
    /// Key of its mime type.
    pub mime: u64,
    /// Bit rate in kbit/s, 0 when unknown.
    pub bitrate: u32,
    /// OpenRTB delivery (list 5.15).
    pub delivery: u8,
}

/// What a request may block of an ad: keys of its domains, of its categories, and of its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(64))]
pub struct BlockKeys {
    keys: [u64; KEYS_MAX],
    domains: u8,
    categories: u8,
    apps: u8,
}

/// Keys that a row holds, so that it is one cache line: two domains with a parent each, three
/// categories, or an app in place of one. Ads with more are asked themselves.
const KEYS_MAX: usize = 7;
const _: () = assert!(size_of::<BlockKeys>() == 64);

/// In place of a row of block keys: the ads of the campaign differ, or have too many.
const ASK_THE_ADS: u32 = u32::MAX;

impl BlockKeys {
    fn of(ad: &Ad) -> Option<Self> {
        let (domains, categories) = (ad.adomain_keys.len(), ad.iab_cat_keys.len());
        let mut keys = [0; KEYS_MAX];
        keys.get_mut(..domains)?.copy_from_slice(&ad.adomain_keys);
        keys.get_mut(domains..domains + categories)?.copy_from_slice(&ad.iab_cat_keys);
        let app = ad.bundle_key();
        if let Some(app) = app {
            *keys.get_mut(domains + categories)? = app;
        }
        let apps = u8::from(app.is_some());
        Some(Self { keys, domains: domains as u8, categories: categories as u8, apps })
    }

    fn bits(&self) -> u64 {
        let keys = self.domains().iter().chain(self.categories()).chain(self.app());
        keys.fold(0, |bits, key| bits | block_bit(*key))
    }

    /// Keys of the advertiser's domains and their parents.
    #[must_use]
    pub fn domains(&self) -> &[u64] {
        &self.keys[..usize::from(self.domains)]
    }

    /// Keys of the categories and their parents.
    #[must_use]
    pub fn categories(&self) -> &[u64] {
        let from = usize::from(self.domains);
        &self.keys[from..from + usize::from(self.categories)]
    }

    /// Key of the app that is advertised, if one is.
    #[must_use]
    pub fn app(&self) -> Option<&u64> {
        let at = usize::from(self.domains) + usize::from(self.categories);
        self.keys[at..].first().filter(|_| self.apps > 0)
    }
}

/// The bit of a key in [`CampaignRow::may_be_blocked`].
#[must_use]
pub const fn block_bit(key: u64) -> u64 {
    1 << (key & 63)
}

/// The rows of one catalog.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// By slot index.
    campaigns: Vec<CampaignRow>,
    ads: Vec<AdRow>,
    blocks: Vec<BlockKeys>,
    pub(super) shapes: Vec<Shape>,
    /// Keys that block any of the ads.
    pub(super) blockable: Blockable,
    /// Numbers of shapes, set by set; each is sorted and has each number once.
    in_sets: Vec<u32>,
    /// Where each set ends in that list.
    set_ends: Vec<u32>,
}

/// Where equal rows are found again while rows are built.
#[derive(Default)]
struct Numbers {
    blocks: FxHashMap<BlockKeys, u32>,
    shapes: FxHashMap<Shape, u32>,
    sets: FxHashMap<SmallVec<[u32; 4]>, u32>,
    splits: u16,
}

impl Numbers {
    const fn next_split(&mut self) -> u16 {
        self.splits += 1;
        self.splits
    }
}

impl Rows {
    /// The rows of these campaigns and ads, each by slot index.
    pub(super) fn build(campaigns: &[Option<Campaign>], ads: &[Option<Ad>]) -> Self {
        let (mut rows, mut numbers) = (Self::default(), Numbers::default());
        for campaign in campaigns {
            let row = campaign.as_ref().map_or(ABSENT, |campaign| {
                let its =
                    campaign.ads.iter().filter_map(|index| ads.get(*index as usize)?.as_ref());
                rows.add(campaign, its, &mut numbers)
            });
            rows.campaigns.push(row);
        }
        rows.blockable = Blockable::of(ads.iter().flatten());
        rows
    }

    fn add<'a>(
        &mut self,
        campaign: &Campaign,
        ads: impl Iterator<Item = &'a Ad> + Clone,
        numbers: &mut Numbers,
    ) -> CampaignRow {
        let ads_first = self.ads.len() as u32;
        for ad in ads.clone() {
            let row = self.ad(ad, numbers);
            self.ads.push(row);
        }
        let mut keys = ads.map(BlockKeys::of);
        let shared = keys.next().flatten().filter(|first| keys.all(|other| other == Some(*first)));
        let blocks = shared.map_or(ASK_THE_ADS, |shared| {
            *numbers.blocks.entry(shared).or_insert_with(|| number_of(&mut self.blocks, shared))
        });
        let features = campaign.domain().features;
        CampaignRow {
            id: campaign.id,
            advertiser: campaign.advertiser,
            slot: campaign.slot,
            ads_first,
            shapes: self.shape_set_from(ads_first as usize, numbers),
            // At most 64 of them; splits are a few hundred.
            ads: (self.ads.len() as u32 - ads_first) as u16,
            split: if campaign.is_split() { numbers.next_split() } else { 0 },
            calibration_group: hash::mix(campaign.calibration_group) as u16,
            requires_deal: !campaign.filters.included(Dimension::Deal).is_empty(),
            is_present: true,
            block_bits: shared.map_or(u64::MAX, |shared| shared.bits()),
            caps: Caps::of(&campaign.frequency_caps),
            features: if campaign.pooled_interest { features } else { features.unpooled() },
            currency: campaign.currency,
            blocks,
            bid: campaign.bid,
            category: campaign.category,
            pooled_interest: campaign.pooled_interest,
            category_share_max_percent: campaign.domain().category_share_max_percent,
        }
    }

    fn ad(&mut self, ad: &Ad, numbers: &mut Numbers) -> AdRow {
        let shape = Shape::of(ad);
        let number = numbers.shapes.entry(shape);
        let shapes = &mut self.shapes;
        let number = number.or_insert_with_key(|shape| number_of(shapes, shape.clone()));
        AdRow { slot: ad.slot, shape: *number }
    }

    /// The number of the set of shapes of the ads from `first` on.
    fn shape_set_from(&mut self, first: usize, numbers: &mut Numbers) -> u32 {
        let mut set: SmallVec<[u32; 4]> = self.ads[first..].iter().map(|ad| ad.shape).collect();
        set.sort_unstable();
        set.dedup();
        let Self { in_sets, set_ends, .. } = self;
        *numbers.sets.entry(set).or_insert_with_key(|set| {
            in_sets.extend_from_slice(set);
            number_of(set_ends, in_sets.len() as u32)
        })
    }

    /// How many sets of shapes there are.
    pub(super) fn shape_sets(&self) -> usize {
        self.set_ends.len()
    }

    /// Numbers of the shapes in a set.
    #[inline]
    pub(super) fn shape_set(&self, number: u32) -> &[u32] {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.set_ends.get(before));
        let (start, end) = (start.copied().unwrap_or(0), self.set_ends.get(number).copied());
        end.and_then(|end| self.in_sets.get(start as usize..end as usize)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn campaign(&self, index: u32) -> Option<&CampaignRow> {
        self.campaigns.get(index as usize).filter(|row| row.is_present)
    }

    #[inline]
    pub(super) fn prefetch(&self, index: u32) {
        prefetch_start(&self.campaigns, index as usize);
    }

    /// Asks for what of a campaign is read once it may be among the best: how it is priced, and its ads.
    #[inline]
    pub(super) fn prefetch_ads(&self, index: u32) {
        let Some(row) = self.campaign(index) else { return };
        prefetch_item(&row.bid);
        prefetch(&self.ads, row.ads_first as usize);
        prefetch(&self.ads, (row.ads_first + u32::from(row.ads)).saturating_sub(1) as usize);
    }

    #[inline]
    pub(super) fn ads(&self, row: &CampaignRow) -> &[AdRow] {
        let first = row.ads_first as usize;
        self.ads.get(first..first + usize::from(row.ads)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn blocks(&self, row: &CampaignRow) -> Option<&BlockKeys> {
        self.blocks.get(row.blocks as usize)
    }
}

/// Appends `value` and says where.
fn number_of<T>(values: &mut Vec<T>, value: T) -> u32 {
    values.push(value);
    values.len() as u32 - 1
}

impl CampaignRow {
    /// Whether any of the keys behind these bits ([`block_bit`] of each) may be one of its own.
    #[inline]
    #[must_use]
    pub const fn may_be_blocked(&self, bits: u64) -> bool {
        self.block_bits & bits != 0
    }
}

/// The row of an empty slot.
const ABSENT: CampaignRow = CampaignRow {
    id: CampaignId(0),
    advertiser: AdvertiserId(0),
    slot: Slot { index: 0, generation: 0 },
    ads_first: 0,
    shapes: 0,
    ads: 0,
    split: 0,
    calibration_group: 0,
    requires_deal: false,
    is_present: false,
    block_bits: 0,
    caps: Caps::None,
    features: FeatureGroups::PRIORS,
    currency: CurrencyCode::USD,
    blocks: ASK_THE_ADS,
    bid: BidTerms {
        max_cpm: Micros::ZERO,
        cpc: None,
        target_cpa: None,
        expected_cvr_ppm: 0,
        target_roas_ppm: 0,
        expected_order_value: 0,
    },
    category: CategoryId(0),
    pooled_interest: false,
    category_share_max_percent: 100,
};

impl Caps {
    fn of(caps: &[FrequencyCap]) -> Self {
        match caps {
            [] => Self::None,
            [one] if one.scope == CapScope::Campaign => Self::Campaign(*one),
            _ => Self::Others,
        }
    }
}

impl Form {
    /// The measures of what is shown.
    #[must_use]
    pub fn of(kind: &AdKind) -> Self {
        match kind {
            AdKind::Banner(banner) => Self::of_banner(banner),
            AdKind::Video(video) => Self::Video {
                seconds: video.duration_s,
                protocols: video.protocols,
                is_skippable: video.skip_after_s.is_some(),
                files: files(video),
            },
            AdKind::Audio(audio) => Self::Audio {
                seconds: audio.duration_s,
                protocols: audio.protocols,
                files: files(audio),
            },
            AdKind::Native(_) => Self::Native,
        }
    }

    fn of_banner(banner: &Banner) -> Self {
        // `check_ad` refuses banners whose sides do not fit.
        let sizes = banner.sizes.iter().map(|(w, h)| (*w as u16, *h as u16));
        Self::Banner {
            sizes: sizes.collect(),
            is_fluid: banner.is_fluid,
            mime: mime_key(banner.mime),
            btypes: banner.btypes,
        }
    }
}

fn files(linear: &Linear) -> SmallVec<[FileShape; 1]> {
    let shapes = linear.files.iter().map(|file| FileShape {
        mime: mime_key(&file.mime),
        bitrate: file.bitrate,
        delivery: file.delivery,
    });
    shapes.collect()
}
