//! The feature map: what a request, a user's interest and an ad are to the model.
//!
//! Every (field, value) pair becomes one 32-bit hash; a model masks it to the size of its tables,
//! so features do not depend on a model's size. A value that is absent is a value of its own.

use super::strength::Strengths;
use crate::hash;
use crate::units::{AdvertiserId, CampaignId, CategoryId, CreativeId, Slot};
use serde::{Deserialize, Serialize};

/// Fields of the request and its user.
pub const CONTEXT_FIELDS: usize = 17;
/// Fields of an ad.
pub const AD_FIELDS: usize = 6;
/// Those of them that have one value each; the last, content, may have none or several.
pub(super) const AD_SINGLE: usize = AD_FIELDS - 1;
/// Most values of an ad's content: brand, price band and four words.
pub const CONTENT_MAX: usize = 6;
/// The hashed ids of an ad: one for each field with one value, then those of its content, 0 where there
/// are no more.
pub type AdIds = [u32; AD_SINGLE + CONTENT_MAX];
/// All fields: the context's first, then the ad's.
pub const FIELDS: usize = CONTEXT_FIELDS + AD_FIELDS;

/// The context's fields, in the order of [`ContextFeatures::ids`].
pub const CONTEXT_FIELD_NAMES: [&str; CONTEXT_FIELDS] = [
    "exchange",
    "publisher",
    "placement",
    "format",
    "size",
    "position",
    "device",
    "os",
    "country",
    "region",
    "hour",
    "weekday",
    "page_category",
    "interest_1",
    "interest_2",
    "interest_3",
    "last_event",
];

/// The ad's fields, in the order of [`AdIds`].
pub const AD_FIELD_NAMES: [&str; AD_FIELDS] =
    ["advertiser", "campaign", "creative", "category", "shape", "content"];

/// Which of the ad's fields is its own alone.
pub(super) const CREATIVE: usize = 2;

/// Where the three interest fields begin. They share one salt, so that what is learned of a
/// category holds at any rank; the field matrix gives each rank its own weight.
const INTEREST_FIRST: usize = 13;
/// The value of the user's fields where interest is switched off: not the same as a user of whom
/// nothing is known (0), or an experiment's arm would teach the other arm's "nothing known".
const OFF: u64 = u64::MAX;

/// What an impression opportunity (or an ad) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum SlotFormat {
    /// A display banner.
    #[default]
    Banner = 0,
    /// A video, in stream or out.
    Video = 1,
    /// A native ad.
    Native = 2,
    /// An audio ad.
    Audio = 3,
}

impl SlotFormat {
    /// All of them, by number.
    pub const ALL: [Self; 4] = [Self::Banner, Self::Video, Self::Native, Self::Audio];
}

/// How many [`SlotFormat`]s there are.
pub(super) const FORMATS: usize = SlotFormat::ALL.len();

/// The last thing that a user did, as far as we may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEvent {
    /// The session's number for the kind of event.
    pub kind: u8,
    /// Milliseconds since; negative counts as 0.
    pub age_ms: i64,
}

/// What is known of the user's interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Switched off, by consent, by an experiment's arm or because sessions are not healthy.
    Off,
    /// Known; possibly to be nothing.
    Known {
        /// The strongest categories, strongest first.
        top: [Option<CategoryId>; 3],
        /// The last event of the session.
        last_event: Option<LastEvent>,
    },
}

impl Default for Interest {
    fn default() -> Self {
        Self::Known { top: [None; 3], last_event: None }
    }
}

/// One impression opportunity as plain numbers. Hashes are `hash::stable_lower`; 0 is "absent".
#[derive(Clone, Copy, Debug, Default)]
pub struct ContextInput {
    /// The exchange's name.
    pub exchange: u64,
    /// The site's domain or the app's bundle.
    pub publisher: u64,
    /// The publisher's name for the place (`tagid`).
    pub placement: u64,
    /// What is shown there.
    pub format: SlotFormat,
    /// Width and height in pixels; 0 where unknown.
    pub size: (u16, u16),
    /// OpenRTB's position on screen; 0 is unknown.
    pub position: u8,
    /// OpenRTB's device type; 0 is unknown.
    pub device_type: u8,
    /// The operating system.
    pub os: u64,
    /// The country.
    pub country: u64,
    /// The region within the country.
    pub region: u64,
    /// Hour of the user's day, 0 to 23.
    pub hour: u8,
    /// Day of the user's week, 0 to 6.
    pub weekday: u8,
    /// The page's or app's first content category.
    pub page_category: u64,
    /// The user's interest.
    pub interest: Interest,
    /// The coarse context under which privacy releases priors.
    pub bucket: u8,
}

impl ContextInput {
    /// The same request from a user of whom nothing may be known.
    #[must_use]
    pub const fn without_interest(mut self) -> Self {
        self.interest = Interest::Off;
        self
    }
}

/// One impression opportunity as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextFeatures {
    /// One hashed id per field, in the order of [`CONTEXT_FIELD_NAMES`].
    pub ids: [u32; CONTEXT_FIELDS],
    /// The coarse context under which privacy releases priors; the model does not read it.
    pub bucket: u8,
    /// The slot's format.
    pub format: SlotFormat,
}

impl ContextFeatures {
    /// The id of the exchange's feature.
    pub(super) const fn exchange(&self) -> u32 {
        self.ids[0]
    }
}

// It is copied into every auction input and every waiting example.
const _: () = assert!(size_of::<ContextFeatures>() <= 80);

impl From<&ContextInput> for ContextFeatures {
    fn from(input: &ContextInput) -> Self {
        let (top, last_event) = match input.interest {
            Interest::Off => ([OFF; 3], OFF),
            Interest::Known { top, last_event } => (
                top.map(|category| category.map_or(0, |id| u64::from(id.0) + 1)),
                last_event.map_or(0, event_value),
            ),
        };
        let values: [u64; CONTEXT_FIELDS] = [
            input.exchange,
            input.publisher,
            input.placement,
            input.format as u64,
            size_value(input.size),
            input.position.into(),
            input.device_type.into(),
            input.os,
            input.country,
            input.region,
            input.hour.into(),
            input.weekday.into(),
            input.page_category,
            top[0],
            top[1],
            top[2],
            last_event,
        ];
        Self {
            ids: std::array::from_fn(|field| {
                let is_interest = (INTEREST_FIRST..INTEREST_FIRST + 3).contains(&field);
                feature_id(if is_interest { INTEREST_FIRST } else { field }, values[field])
            }),
            bucket: input.bucket,
            format: input.format,
        }
    }
}

/// An ad as plain numbers.
#[derive(Clone, Copy, Debug)]
pub struct AdInput {
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The creative.
    pub creative: CreativeId,
    /// What it advertises.
    pub category: CategoryId,
    /// How it is shown.
    pub format: SlotFormat,
    /// Width and height in pixels; 0 where it has none.
    pub size: (u16, u16),
    /// Hashes of what it is about, 0 where there are no more.
    pub content: [u32; CONTENT_MAX],
    /// Whether it may be shown at all; an inactive ad keeps no row.
    pub is_active: bool,
}

/// An ad as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdFeatures {
    /// The ad's slot in the catalog, and so in every snapshot.
    pub slot: Slot,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its hashed ids.
    pub ids: AdIds,
    /// Whether it keeps a row.
    pub is_active: bool,
}

impl AdFeatures {
    /// The features of the ad in `slot`.
    #[must_use]
    pub fn new(slot: Slot, input: &AdInput) -> Self {
        let values: [u64; AD_SINGLE] = [
            input.advertiser.0,
            input.campaign.0,
            input.creative.0,
            input.category.0.into(),
            hash::combine(input.format as u64, size_value(input.size)),
        ];
        Self {
            slot,
            campaign: input.campaign,
            ids: std::array::from_fn(|place| match place.checked_sub(AD_SINGLE) {
                None => feature_id(CONTEXT_FIELDS + place, values[place]),
                Some(place) => content_id(input.content[place]),
            }),
            is_active: input.is_active,
        }
    }
}

/// What is known of one user and one campaign together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cross {
    /// The strength of the user's interest in the ad's category: 0 is none, negative or NaN is
    /// "switched off".
    pub interest: f32,
    /// The released prior of the campaign in this context, as a logit. NaN is "no prior", which
    /// counts as the base rate.
    pub prior_logit: f32,
    /// What speaks for the ad beside the interest in its category.
    pub strengths: Strengths,
}

/// How many values [`Cross::interest_bucket`] takes: none, eight strengths, switched off.
pub(super) const INTEREST_BUCKETS: usize = 10;
/// Upper edges of the strengths, a factor of about 3 apart. One view yesterday is about 0.02, one
/// view just now 1.05, an evening's search above 10.
const STRENGTH_EDGES: [f32; 7] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// A prior beyond ±12 (6 clicks in a million) is noise or worse.
const PRIOR_LOGIT_ABS_MAX: f32 = 12.0;

impl Cross {
    /// Nothing known: no prior, interest switched off.
    pub const NEUTRAL: Self = Self::without_interest(f32::NAN);

    /// With a prior, and interest switched off.
    #[must_use]
    pub const fn without_interest(prior_logit: f32) -> Self {
        Self { interest: -1.0, prior_logit, strengths: Strengths::NONE }
    }

    /// Which learned weight the strength of interest selects, below [`INTEREST_BUCKETS`].
    #[inline(always)]
    pub(super) fn interest_bucket(self) -> usize {
        // Counted without branches: it runs once a candidate, and nobody can guess how it ends.
        let above = |edge: f32| usize::from(self.interest > edge);
        let strength = above(0.0) + STRENGTH_EDGES.iter().map(|&edge| above(edge)).sum::<usize>();
        if self.interest >= 0.0 { strength } else { INTEREST_BUCKETS - 1 }
    }

    /// By how much the prior differs from the base rate, in logits; 0 without a prior.
    #[inline(always)]
    pub(super) fn prior_offset(self, base_logit: f32) -> f32 {
        if self.prior_logit.is_nan() {
            0.0
        } else {
            self.prior_logit.clamp(-PRIOR_LOGIT_ABS_MAX, PRIOR_LOGIT_ABS_MAX) - base_logit
        }
    }
}

/// The id of the feature of an exchange with this name hash.
#[must_use]
pub fn exchange_feature(exchange: u64) -> u32 {
    feature_id(0, exchange)
}

/// An ad's ids, each with its ad field and its value: 1, and for each of `n` contents `1 / sqrt(n)`, so
/// that ads of many words do not weigh more.
pub(super) fn valued(ids: &AdIds) -> impl Iterator<Item = (usize, u32, f32)> {
    let contents = ids[AD_SINGLE..].iter().filter(|id| **id != 0).count();
    let share = 1.0 / (contents.max(1) as f32).sqrt();
    ids.iter().enumerate().filter_map(move |(place, &id)| match place {
        single @ ..AD_SINGLE => Some((single, id, 1.0)),
        _ => (id != 0).then_some((AD_SINGLE, id, share)),
    })
}

/// The id of one content, never 0 but for none.
fn content_id(token: u32) -> u32 {
    match token {
        0 => 0,
        _ => feature_id(CONTEXT_FIELDS + AD_SINGLE, token.into()).max(1),
    }
}

/// The id of one (field, value) pair.
fn feature_id(field: usize, value: u64) -> u32 {
    hash::combine(field as u64 + 1, value) as u32
}

/// One number for a size; 0 only for (0, 0).
fn size_value((width, height): (u16, u16)) -> u64 {
    u64::from(width) << 16 | u64::from(height)
}

/// One number for (kind, how long ago in steps that widen); never 0.
fn event_value(event: LastEvent) -> u64 {
    // One minute, ten minutes, an hour, six hours, a day, a week.
    const AGE_EDGES_MS: [i64; 6] =
        [60_000, 600_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000];
    let age = AGE_EDGES_MS.partition_point(|&edge| edge <= event.age_ms);
    1 + (u64::from(event.kind) << 8 | age as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing_fields(left: &ContextInput, right: &ContextInput) -> Vec<&'static str> {
        let (left, right) = (ContextFeatures::from(left), ContextFeatures::from(right));
        (0..CONTEXT_FIELDS)
            .filter(|&field| left.ids[field] != right.ids[field])
            .map(|field| CONTEXT_FIELD_NAMES[field])
            .collect()
    }

    #[test]
    fn each_value_moves_its_own_field_only() {
        let base = ContextInput::default();
        let known = |top, last_event| Interest::Known { top, last_event };
        let event = |kind, age_ms| Some(LastEvent { kind, age_ms });
        let shoes = Some(CategoryId::of("shoes"));
        let with = |change: fn(&mut ContextInput)| {
            let mut input = base;
            change(&mut input);
            input
        };
        for (field, input) in [
            ("exchange", with(|input| input.exchange = 7)),
            ("publisher", with(|input| input.publisher = 7)),
            ("placement", with(|input| input.placement = 7)),
            ("format", with(|input| input.format = SlotFormat::Video)),
            ("size", with(|input| input.size = (300, 250))),
            ("position", with(|input| input.position = 3)),
            ("device", with(|input| input.device_type = 4)),
            ("os", with(|input| input.os = 7)),
            ("country", with(|input| input.country = 7)),
            ("region", with(|input| input.region = 7)),
            ("hour", with(|input| input.hour = 7)),
            ("weekday", with(|input| input.weekday = 6)),
            ("page_category", with(|input| input.page_category = 7)),
            ("interest_2", ContextInput { interest: known([None, shoes, None], None), ..base }),
            ("last_event", ContextInput { interest: known([None; 3], event(1, 0)), ..base }),
        ] {
            assert_eq!(differing_fields(&base, &input), [field]);
        }
    }

    #[test]
    fn an_interest_is_one_feature_at_any_rank_and_off_is_not_unknown() {
        let shoes = Some(CategoryId::of("shoes"));
        let at = |top| {
            ContextFeatures::from(&ContextInput {
                interest: Interest::Known { top, last_event: None },
                ..ContextInput::default()
            })
        };
        let (first, third) = (at([shoes, None, None]), at([None, None, shoes]));
        assert_eq!(first.ids[INTEREST_FIRST], third.ids[INTEREST_FIRST + 2]);
        let unknown = ContextInput::default();
        assert_eq!(
            differing_fields(&unknown, &unknown.without_interest()),
            ["interest_1", "interest_2", "interest_3", "last_event"]
        );
    }

    #[test]
    fn event_ages_fall_into_widening_steps() {
        let value = |age_ms| event_value(LastEvent { kind: 2, age_ms });
        assert_eq!(value(-5), value(59_999));
        assert_ne!(value(59_999), value(60_000));
        assert_eq!(value(604_800_000), value(i64::MAX));
        assert_ne!(value(0), event_value(LastEvent { kind: 3, age_ms: 0 }));
    }

    #[test]
    fn interest_strength_has_ten_buckets() {
        let bucket = |interest| Cross { interest, ..Cross::NEUTRAL }.interest_bucket();
        for (strength, expected) in [
            (0.0, 0),
            (0.005, 1),
            (0.02, 2),
            (0.05, 3),
            (0.2, 4),
            (0.5, 5),
            (1.05, 6),
            (5.0, 7),
            (1e9, 8),
            (f32::INFINITY, 8),
            (-1.0, 9),
            (f32::NAN, 9),
        ] {
            assert_eq!(bucket(strength), expected, "{strength}");
        }
    }

    #[test]
    fn a_prior_counts_from_the_base_rate() {
        let offset = |prior_logit| Cross::without_interest(prior_logit).prior_offset(-4.0);
        assert_eq!(offset(f32::NAN), 0.0);
        assert_eq!(offset(-3.0), 1.0);
        assert_eq!(offset(f32::NEG_INFINITY), -8.0);
    }
}
