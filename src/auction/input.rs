//! What an auction needs of a request: hashes and numbers, never the parsed request itself, so that
//! a pooled box crosses the mailbox and nothing is allocated once it is warm.

use crate::auction::arm::Arm;
use crate::auction::outcome::Outcome;
use crate::budget::Windows;
use crate::catalog::RequestFacts;
use crate::clock::Mono;
use crate::consent::Permissions;
use crate::prediction::{ContextInput, SlotFormat};
use crate::session::Profile;
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
    /// Who is asked for, if we may know.
    pub user: Option<UserKey>,
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
    /// Seeds what is random in this auction: the same request gives the same decision.
    pub seed: u64,
    /// Filled by the auction.
    pub outcome: Outcome,
}

/// What the request forbids on all of its imps.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Advertiser domains, as hashes.
    pub badv: SmallVec<[u64; 8]>,
    /// Content categories, as hashes.
    pub bcat: SmallVec<[u64; 8]>,
    /// The only content categories permitted, as hashes; empty means all.
    pub acat: SmallVec<[u64; 8]>,
    /// Apps that may not be advertised, as hashes of their bundles.
    pub bapp: SmallVec<[u64; 4]>,
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
    /// The least bid that is looked at, in the currency of the answer.
    pub floor: Micros,
    /// Only deals may buy.
    pub is_private: bool,
    /// What is offered to named buyers.
    pub deals: SmallVec<[DealInput; 2]>,
    /// Click probability to use in place of the model's: simulation mode only.
    pub given_p_click: Option<f32>,
    /// What the slot is, for the model.
    pub format: SlotFormat,
    /// Its first size in pixels, for the model; 0 where unknown.
    pub size: (u16, u16),
    /// OpenRTB's position on screen, for the model; 0 where unknown.
    pub screen_position: u8,
    /// The publisher's name for the place, as a hash; 0 where unknown.
    pub placement: u64,
}

/// Which sizes a banner may have, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRule {
    /// From the first to the second, both included.
    Range {
        /// Width.
        w: (u16, u16),
        /// Height.
        h: (u16, u16),
    },
    /// Any size of this shape and at least this width.
    Ratio {
        /// Relative width.
        wratio: u16,
        /// Relative height.
        hratio: u16,
        /// Least width; 0 is any.
        wmin: u16,
    },
}

impl SizeRule {
    /// Whether a banner of `w` x `h` pixels keeps the rule.
    #[must_use]
    pub fn admits(self, w: u16, h: u16) -> bool {
        match self {
            Self::Range { w: wide, h: high } => {
                (wide.0..=wide.1).contains(&w) && (high.0..=high.1).contains(&h)
            }
            Self::Ratio { wratio, hratio, wmin } => {
                w >= wmin && u32::from(w) * u32::from(hratio) == u32::from(h) * u32::from(wratio)
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
    pub mimes: SmallVec<[u64; 4]>,
}

/// Where a video or audio ad may play.
#[derive(Clone, Debug, Default)]
pub struct MediaSlot {
    /// MIME types allowed, as hashes; empty means any.
    pub mimes: SmallVec<[u64; 4]>,
    /// Protocols allowed, one bit each; 0 means any.
    pub protocols: u64,
    /// Shortest duration allowed, in seconds.
    pub seconds_min: u32,
    /// Longest duration allowed, in seconds.
    pub seconds_max: u32,
    /// The only durations allowed, in place of the range; empty means the range.
    pub seconds_exact: SmallVec<[u32; 2]>,
    /// Attributes blocked, one bit each.
    pub battr: u64,
    /// Whether ads that take the whole player may play.
    pub accepts_linear: bool,
}

/// Where a native ad may stand. Its assets are matched when the answer is written.
#[derive(Clone, Debug, Default)]
pub struct NativeSlot {
    /// Attributes blocked, one bit each.
    pub battr: u64,
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
    /// Advertisers that may use it, as hashes of their domains; empty means all.
    pub advertisers: SmallVec<[u64; 2]>,
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
            user: None,
            profile: Profile::default(),
            exchange: 0,
            exchange_hash: 0,
            user_context: ContextInput::default(),
            currency: CurrencyCode::USD,
            arm: Arm::Full,
            now: Timestamp(0),
            deadline: Mono::now(),
            windows: Windows { decision_ttl_ms: 0, billing_window_ms: 0 },
            seed: 0,
            outcome: Outcome::default(),
        }
    }

    /// Empties the input and keeps its buffers.
    pub fn clear(&mut self) {
        self.facts.clear();
        self.imps.clear();
        self.blocks.badv.clear();
        self.blocks.bcat.clear();
        self.blocks.acat.clear();
        self.blocks.bapp.clear();
        self.profile.clear();
        self.user = None;
        self.outcome.clear();
    }
}

impl Default for AuctionInput {
    fn default() -> Self {
        Self::new()
    }
}
