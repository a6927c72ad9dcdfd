//! What an auction needs of a request: hashes and numbers, never the parsed request itself, so that
//! a pooled box crosses the mailbox and nothing is allocated once it is warm.

use crate::auction::arm::Arm;
use crate::auction::outcome::Outcome;
use crate::budget::Windows;
use crate::catalog::{Needs, RequestFacts, block_bit};
use crate::clock::Mono;
use crate::consent::{Permissions, Restrictions};
use crate::market::{Place, SizeClass};
use crate::openrtb::{Ask, size_by_ratio};
use crate::prediction::{ContextInput, SlotFormat};
use crate::rates::Rate;
use crate::session::{Found, Ids, Profile};
use crate::units::{CurrencyCode, Micros, Timestamp, UserKey};
use smallvec::SmallVec;

/// One request on its way through the auction, and, on the way back, its outcome. Reused: `clear`
/// keeps the buffers.
#[derive(Debug)]
pub struct AuctionInput {
    /// What targeting looks at.
    pub facts: RequestFacts,
    /// What may be bought.
    pub imps: SmallVec<[ImpInput; 4]>,
    /// What the request forbids.
    pub blocks: Blocks,
    /// What we may do with this request.
    pub permissions: Permissions,
    /// What took permissions away.
    pub restrictions: Restrictions,
    /// Who is asked for, if the session or measurement may know.
    pub user: Option<UserKey>,
    /// Under which of the request's ids the user was found, where a session may be read.
    pub found: Option<Found>,
    /// The request's ids, where they may be joined and are not yet; else empty.
    pub to_join: Ids,
    /// What we know of the user; empty without permission.
    pub profile: Profile,
    /// The exchange, by its position in the configuration.
    pub exchange: u16,
    /// Its name, as a hash.
    pub exchange_hash: u64,
    /// The model's context, as far as all imps share it.
    pub user_context: ContextInput,
    /// The currency that we would answer in.
    pub currency: CurrencyCode,
    /// How ads are ranked for this user.
    pub arm: Arm,
    /// Civil time of the request.
    pub now: Timestamp,
    /// After this an answer is worthless.
    pub deadline: Mono,
    /// How long the exchange may take with its notices.
    pub windows: Windows,
    /// Whether the open market is one of first prices: the winner pays what it bid.
    pub is_first_price: bool,
    /// A test: bids are made, but no money is held for them and nothing is remembered.
    pub is_test: bool,
    /// Seeds what is random in this auction: the same request gives the same decision.
    pub seed: u64,
    /// Filled by the auction.
    pub outcome: Outcome,
}

/// What the request forbids on all of its imps.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Advertiser domains, as hashes.
    pub badv: KeySet,
    /// Content categories, as hashes.
    pub bcat: KeySet,
    /// The only content categories permitted, as hashes; empty means all.
    pub acat: KeySet,
    /// Whether categories are blocked in a taxonomy in which our ads have none.
    pub has_foreign_bcat: bool,
    /// Apps that may not be advertised, as hashes of their bundles.
    pub bapp: KeySet,
}

impl Blocks {
    /// [`block_bit`] of every key by which an ad may be blocked, as far as `may_block` says so of it: all
    /// bits where only listed categories are permitted, or those blocked cannot be compared, since then
    /// every ad must be asked.
    #[must_use]
    pub fn bits(&self, may_block: impl Fn(u64) -> bool) -> u64 {
        if !self.acat.is_empty() || self.has_foreign_bcat {
            return u64::MAX;
        }
        let keys = [&self.badv, &self.bcat, &self.bapp].into_iter().flat_map(|list| &list.keys);
        keys.filter(|key| may_block(**key)).fold(0, |bits, key| bits | block_bit(*key))
    }
}

/// Hashes to look ads up in, sorted: a request may list thousands, and each ad asks. Most asks are
/// for what is not listed, and most of those end at the filter: one bit of 256 for each key, so
/// that of ten keys' lists 4 % are searched in vain.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: SmallVec<[u64; 8]>,
    filter: [u64; 4],
}

impl KeySet {
    /// Puts `keys` in place of what was there and keeps the memory.
    pub fn fill(&mut self, keys: impl Iterator<Item = u64>) {
        self.clear();
        self.keys.extend(keys);
        self.keys.sort_unstable();
        for &key in &self.keys {
            self.filter[Self::word(key)] |= Self::bit(key);
        }
    }

    /// Whether `key` is listed.
    #[inline]
    #[must_use]
    pub fn has(&self, key: u64) -> bool {
        self.filter[Self::word(key)] & Self::bit(key) != 0 && self.keys.binary_search(&key).is_ok()
    }

    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Empties the set and keeps its memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.filter = [0; 4];
    }

    const fn word(key: u64) -> usize {
        (key >> 6) as usize & 3
    }

    const fn bit(key: u64) -> u64 {
        block_bit(key)
    }
}

impl FromIterator<u64> for KeySet {
    fn from_iter<I: IntoIterator<Item = u64>>(keys: I) -> Self {
        let mut set = Self::default();
        set.fill(keys.into_iter());
        set
    }
}

/// One imp.
#[derive(Clone, Debug)]
pub struct ImpInput {
    /// Its position in the request.
    pub position: u8,
    /// A banner may stand here.
    pub banner: Option<BannerSlot>,
    /// A video may play here.
    pub video: Option<MediaSlot>,
    /// An audio ad may play here.
    pub audio: Option<MediaSlot>,
    /// A native ad may stand here.
    pub native: Option<NativeSlot>,
    /// Keys of the languages that ads may have; empty means any.
    pub languages: SmallVec<[u64; 2]>,
    /// The least bid that is looked at, in the currency of the answer.
    pub floor: Micros,
    /// Whether floors depend on the ad's length too.
    pub has_length_floors: bool,
    /// Impressions that one play counts for, as a factor of money: 1 but on street screens.
    pub quantity: Rate,
    /// A pod that several of our ads may share.
    pub pod: Option<PodRoom>,
    /// Only deals may buy.
    pub is_private: bool,
    /// What is offered to named buyers.
    pub deals: SmallVec<[DealInput; 2]>,
    /// Click probability to use in place of the model's: simulation mode only.
    pub given_p_click: Option<f32>,
    /// Probability of a conversion after a click to use in place of the declared and of the model's, for
    /// campaigns that pay for conversions: simulation mode only.
    pub given_p_conversion: Option<f32>,
    /// What the slot is, for the model.
    pub format: SlotFormat,
    /// Its first size in pixels, for the model; 0 where unknown.
    pub size: (u16, u16),
    /// OpenRTB's position on screen, for the model; 0 where unknown.
    pub screen_position: u8,
    /// The publisher's name for the place, as a hash; 0 where unknown.
    pub placement: u64,
}

impl ImpInput {
    /// Blocks these creative attributes too: bit `n` for attribute `n`.
    pub fn block_attributes(&mut self, attributes: u64) {
        let places = [
            self.banner.as_mut().map(|slot| &mut slot.battr),
            self.video.as_mut().map(|slot| &mut slot.battr),
            self.audio.as_mut().map(|slot| &mut slot.battr),
            self.native.as_mut().map(|slot| &mut slot.battr),
        ];
        places.into_iter().flatten().for_each(|battr| *battr |= attributes);
    }
}

/// Which sizes a banner may have, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRule {
    /// From the first to the second, both included.
    Range {
        /// Width.
        w: (u32, u32),
        /// Height.
        h: (u32, u32),
    },
    /// Any size of this shape and at least this width.
    Ratio {
        /// Relative width.
        wratio: u32,
        /// Relative height.
        hratio: u32,
        /// Least width; 0 is any.
        wmin: u32,
    },
}

impl SizeRule {
    /// Whether a banner that may be drawn in any size can keep the rule.
    #[must_use]
    pub fn admits_any(self) -> bool {
        match self {
            Self::Range { w, h } => w.0 <= w.1 && h.0 <= h.1,
            Self::Ratio { wratio, hratio, wmin } => size_by_ratio(wratio, hratio, wmin).is_some(),
        }
    }

    /// Whether a banner of `w` x `h` pixels keeps the rule.
    #[must_use]
    pub fn admits(self, w: u32, h: u32) -> bool {
        match self {
            Self::Range { w: wide, h: high } => {
                (wide.0..=wide.1).contains(&w) && (high.0..=high.1).contains(&h)
            }
            Self::Ratio { wratio, hratio, wmin } => {
                w >= wmin && u64::from(w) * u64::from(hratio) == u64::from(h) * u64::from(wratio)
            }
        }
    }
}

/// Where a banner may stand.
#[derive(Clone, Debug, Default)]
pub struct BannerSlot {
    /// A banner must keep one of these.
    pub sizes: SmallVec<[SizeRule; 4]>,
    /// Attributes blocked, one bit each.
    pub battr: u64,
    /// Banner types blocked, one bit each.
    pub btype: u64,
    /// MIME types allowed, as hashes; empty means any.
    pub mimes: KeySet,
    /// What it offers beyond a place to draw in.
    pub offers: Needs,
}

/// Where a video or audio ad may play.
#[derive(Clone, Debug, Default)]
pub struct MediaSlot {
    /// MIME types allowed, as hashes; empty means any.
    pub mimes: KeySet,
    /// Protocols allowed, one bit each; all bits mean any.
    pub protocols: u64,
    /// Shortest duration allowed, in seconds.
    pub seconds_min: u32,
    /// Longest duration allowed, in seconds.
    pub seconds_max: u32,
    /// Length of the pod that the ads share, in seconds.
    pub pod_seconds: u32,
    /// The only durations allowed, in place of the range; empty means the range.
    pub seconds_exact: SmallVec<[u32; 2]>,
    /// Floors by the ad's length, beside the imp's own.
    pub length_floors: LengthFloors,
    /// Attributes blocked, one bit each.
    pub battr: u64,
    /// Whether ads that take the whole player may play.
    pub accepts_linear: bool,
    /// Ways of delivery allowed, one bit each; all bits mean any.
    pub delivery: u64,
    /// Least and greatest bit rate of a file, in kbit/s.
    pub bitrates: (u32, u32),
    /// What an ad must be longer than to be skippable, in seconds; `None`: none may be.
    pub skip_longer_than_s: Option<u32>,
    /// What the player offers beyond playing.
    pub offers: Needs,
}

/// Floors by the ad's length, in the currency of the answer. Converted and rounded up part by part,
/// so that they are never below what the request means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LengthFloors {
    /// For each second.
    pub by_second: Micros,
    /// From the first to the second length in seconds, both included, at least the third.
    pub ranges: SmallVec<[(u32, u32, Micros); 1]>,
}

impl LengthFloors {
    /// Whether lengths do not matter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_second == Micros::ZERO && self.ranges.is_empty()
    }

    /// The least bid for an ad of `seconds`: the highest floor that is for it.
    #[must_use]
    pub fn at(&self, seconds: u32) -> Micros {
        let of_length =
            self.ranges.iter().filter(|(least, most, _)| (*least..=*most).contains(&seconds));
        let by_second = Micros(self.by_second.0.saturating_mul(u64::from(seconds)));
        of_length.map(|(_, _, floor)| *floor).fold(by_second, Micros::max)
    }
}

/// What a dynamic pod has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRoom {
    /// Whether it is the audio player's; else the video player's.
    pub is_audio: bool,
    /// Seconds, all ads together.
    pub seconds: u32,
    /// Ads.
    pub ads: u32,
}

/// Where a native ad may stand.
#[derive(Clone, Debug, Default)]
pub struct NativeSlot {
    /// Attributes blocked, one bit each.
    pub battr: u64,
    /// What is asked for, so that no ad is picked which could not be written down.
    pub asks: SmallVec<[Ask; 4]>,
    /// What the placement offers beyond showing parts.
    pub offers: Needs,
}

/// A deal on an imp.
#[derive(Clone, Debug)]
pub struct DealInput {
    /// Hash of its id.
    pub key: u64,
    /// Its position in the imp's list.
    pub position: u8,
    /// Its floor in the currency of the answer.
    pub floor: Micros,
    /// Floors by the ad's length in place of the placement's; empty where the deal has none.
    pub length_floors: LengthFloors,
    /// The floor is the price.
    pub is_fixed: bool,
    /// It is promised that we buy.
    pub is_guaranteed: bool,
    /// Advertisers that may use it, as hashes of their domains; empty means all.
    pub advertisers: KeySet,
}

impl AuctionInput {
    /// An empty input, to be filled.
    #[must_use]
    pub fn new() -> Self {
        Self {
            facts: RequestFacts::default(),
            imps: SmallVec::new(),
            blocks: Blocks::default(),
            permissions: Permissions::CONTEXTUAL,
            restrictions: Restrictions::default(),
            user: None,
            found: None,
            to_join: Ids::new(),
            profile: Profile::default(),
            exchange: 0,
            exchange_hash: 0,
            user_context: ContextInput::default(),
            currency: CurrencyCode::USD,
            arm: Arm::Full,
            now: Timestamp(0),
            deadline: Mono::now(),
            windows: Windows { decision_ttl_ms: 0, billing_window_ms: 0 },
            is_first_price: false,
            is_test: false,
            seed: 0,
            outcome: Outcome::default(),
        }
    }

    /// Where a bid on `imp` stands in the market.
    #[must_use]
    pub fn place(&self, imp: &ImpInput) -> Place {
        let (w, h) = imp.size;
        let size = match imp.format {
            SlotFormat::Video => SizeClass::video(w),
            SlotFormat::Native => SizeClass::NATIVE,
            SlotFormat::Audio => SizeClass::AUDIO,
            _ => SizeClass::banner(w, h),
        };
        Place { exchange: self.exchange_hash, currency: self.currency, size, at: self.now }
    }

    /// Empties the input and keeps its buffers.
    pub fn clear(&mut self) {
        self.facts.clear();
        self.imps.clear();
        self.blocks.badv.clear();
        self.blocks.bcat.clear();
        self.blocks.acat.clear();
        self.blocks.bapp.clear();
        self.blocks.has_foreign_bcat = false;
        self.is_test = false;
        self.profile.clear();
        self.user = None;
        self.found = None;
        self.to_join.clear();
        self.outcome.clear();
    }
}

impl Default for AuctionInput {
    fn default() -> Self {
        Self::new()
    }
}
