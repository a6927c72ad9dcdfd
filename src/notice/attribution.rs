//! Which ad a conversion is owed to: the last click, then the last view, each within its window.
//!
//! Two proofs count: a sealed token of ours that came along, and what [`Touches`] remembers of the
//! user for this advertiser. It remembers only what tokens say that may be measured, and is asked
//! only for users who consented; without consent a conversion counts through its token alone.
//!
//! Clicks and views lie apart, since a user sees hundreds of ads for each that he clicks: however
//! many views there are, they push out no click. Each table has two generations of entries, each
//! as long as the window: an entry is remembered for its window at least, unless more than
//! [`GENERATION_MAX`] newer ones push it out, which is counted.

use super::token::{BidToken, Purpose};
use crate::hash::combine;
use crate::units::{AdvertiserId, CampaignId, CreativeId, HoldId, Timestamp, UserKey};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Locks of one table. Notices come from one listener, events and pixels too, so that they hardly
/// meet; a write holds one for some 100 ns.
const SHARDS: usize = 16;
/// Entries of one generation of one table, over all shards: 64 bytes each, so at most 70 MB for
/// clicks and views with both generations full.
pub const GENERATION_MAX: usize = 1 << 18;

/// How far back a conversion looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// For a click, in milliseconds.
    pub click_ms: i64,
    /// For a view, in milliseconds.
    pub view_ms: i64,
}

/// A click or a view, as far as a conversion needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// When.
    pub at: Timestamp,
    /// Of which bid.
    pub hold: HoldId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// What was shown.
    pub creative: CreativeId,
    /// In which coarse context (the privacy room's bucket).
    pub bucket: u8,
    /// By which of the campaign's strategies.
    pub strategy_arm: u8,
}

const _: () = assert!(size_of::<(u64, Touch)>() <= 64);

impl Touch {
    /// The touch of a token's bid, at `at`.
    #[must_use]
    pub const fn of(token: &BidToken, at: Timestamp) -> Self {
        let &BidToken { hold, campaign, creative, bucket, strategy_arm, .. } = token;
        Self { at, hold, campaign, creative, bucket, strategy_arm }
    }
}

/// What became of one conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Converted {
    /// Owed to a click.
    ClickThrough,
    /// Owed to a view: there was no click.
    ViewThrough,
    /// Its order was counted before.
    Repeated,
    /// No token, and no click or view of this user is remembered.
    Unattributed,
    /// Dated before the only click or view that could have led to it.
    BeforeTouch,
    /// The click or view lies too far back.
    OutsideWindow,
    /// Its token is of another advertiser's ad.
    OtherAdvertiser,
    /// The catalog has no such advertiser.
    UnknownAdvertiser,
    /// Its token is none of ours.
    BadToken,
    /// More orders than one click may bring through a browser.
    TooMany,
    /// A parameter that cannot be read.
    Malformed,
}

impl Converted {
    /// The label of the counter and of the event log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClickThrough => "click_through",
            Self::ViewThrough => "view_through",
            Self::Repeated => "repeated",
            Self::Unattributed => "unattributed",
            Self::BeforeTouch => "before_touch",
            Self::OutsideWindow => "outside_window",
            Self::OtherAdvertiser => "other_advertiser",
            Self::UnknownAdvertiser => "unknown_advertiser",
            Self::BadToken => "bad_token",
            Self::TooMany => "too_many",
            Self::Malformed => "malformed",
        }
    }

    /// Whether it is a conversion that counts.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::ClickThrough | Self::ViewThrough)
    }
}

/// The proofs of one conversion.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proofs<'a> {
    /// A token that came along, stamped for a click or a view.
    pub token: Option<(Purpose, &'a BidToken)>,
    /// The user's last click on an ad of the advertiser.
    pub click: Option<Touch>,
    /// The last view.
    pub view: Option<Touch>,
}

/// What a conversion at `at` is owed to.
///
/// # Errors
/// Why it is owed to none of the proofs.
pub fn attribute(
    windows: Windows,
    proofs: &Proofs<'_>,
    at: Timestamp,
) -> Result<(Converted, Touch), Converted> {
    let (mut clicks, mut views) = ([proofs.click, None], [proofs.view, None]);
    if let Some((purpose, token)) = proofs.token {
        let (touches, known) = if purpose == Purpose::Click {
            (&mut clicks, proofs.click)
        } else {
            (&mut views, proofs.view)
        };
        // A token knows when its bid was made; the click itself, where remembered, is later.
        let known = known.filter(|touch| touch.hold == token.hold);
        touches[1] = Some(known.unwrap_or_else(|| Touch::of(token, token.issued)));
    }
    let mut missed = Converted::Unattributed;
    for (through, touches, window_ms) in [
        (Converted::ClickThrough, clicks, windows.click_ms),
        (Converted::ViewThrough, views, windows.view_ms),
    ] {
        let mut last: Option<Touch> = None;
        for touch in touches.into_iter().flatten() {
            let age_ms = at.millis_since(touch.at);
            if age_ms < 0 {
                missed = Converted::BeforeTouch;
            } else if age_ms >= window_ms {
                if missed == Converted::Unattributed {
                    missed = Converted::OutsideWindow;
                }
            } else if last.is_none_or(|last| touch.at > last.at) {
                last = Some(touch);
            }
        }
        if let Some(touch) = last {
            return Ok((through, touch));
        }
    }
    Err(missed)
}

/// The last touch of each user on an ad of each advertiser.
#[derive(Debug)]
pub struct Touches {
    window_ms: i64,
    generation_max: usize,
    shards: [Mutex<Generations>; SHARDS],
}

#[derive(Debug, Default)]
struct Generations {
    // Keys come from keyed hashes of user ids: a stranger cannot aim at these maps.
    newer: FxHashMap<u64, Touch>,
    older: FxHashMap<u64, Touch>,
    /// When `newer` began.
    since: Timestamp,
    pushed_out: u64,
}

impl Touches {
    /// An empty table that remembers each touch for `window_ms`; none where that is 0.
    #[must_use]
    pub fn new(window_ms: i64) -> Self {
        Self::bounded(window_ms, GENERATION_MAX)
    }

    fn bounded(window_ms: i64, generation_max: usize) -> Self {
        Self { window_ms, generation_max, shards: Default::default() }
    }

    /// Remembers a touch, unless it knows a later one.
    pub fn note(&self, user: UserKey, advertiser: AdvertiserId, touch: Touch) {
        if self.window_ms <= 0 {
            return;
        }
        let (key, mut shard) = self.shard(user, advertiser);
        shard.turn(touch.at, self.window_ms, self.generation_max / SHARDS);
        let known = shard.get(key);
        if known.is_none_or(|known| known.at <= touch.at) {
            shard.newer.insert(key, touch);
        }
    }

    /// The last touch of `user` on an ad of `advertiser`, if it is remembered; its age is for the
    /// caller to judge.
    #[must_use]
    pub fn last(&self, user: UserKey, advertiser: AdvertiserId) -> Option<Touch> {
        let (key, shard) = self.shard(user, advertiser);
        shard.get(key)
    }

    /// Forgets what is remembered of `user` with `advertiser`.
    pub fn forget(&self, user: UserKey, advertiser: AdvertiserId) {
        let (key, mut shard) = self.shard(user, advertiser);
        shard.newer.remove(&key);
        shard.older.remove(&key);
    }

    /// Touches that were pushed out before their time.
    #[must_use]
    pub fn pushed_out(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().pushed_out).sum()
    }

    fn shard(
        &self,
        user: UserKey,
        advertiser: AdvertiserId,
    ) -> (u64, parking_lot::MutexGuard<'_, Generations>) {
        let key = combine(user.0, advertiser.0);
        (key, self.shards[key as usize % SHARDS].lock())
    }
}

impl Generations {
    fn get(&self, key: u64) -> Option<Touch> {
        self.newer.get(&key).or_else(|| self.older.get(&key)).copied()
    }

    /// Begins a new generation when this one is as old as the window, or full.
    fn turn(&mut self, now: Timestamp, window_ms: i64, entries_max: usize) {
        let age_ms = now.millis_since(self.since);
        if age_ms >= 2 * window_ms {
            self.newer.clear();
        }
        let is_full = self.newer.len() >= entries_max.max(1);
        if age_ms < window_ms && !is_full {
            return;
        }
        if age_ms < window_ms {
            self.pushed_out += self.older.len() as u64;
        }
        std::mem::swap(&mut self.newer, &mut self.older);
        self.newer.clear();
        self.since = now;
    }
}

#[cfg(test)]
#[path = "attribution_tests.rs"]
mod tests;
