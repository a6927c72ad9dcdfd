//! Frequency caps: how often a user was shown what.
//!
//! A user's shows are one bounded log of records of (campaign, creative, time, count). A cap reads
//! it directly, so any count and any window up to [`WINDOW_S_MAX`] is exact while the log has room
//! (32 records). Everything that loses detail errs to the side of the cap:
//! * Times are whole seconds: a show's rounds up, the present rounds down.
//! * A pending show (bid, not yet known to be won) counts in every window until it expires.
//! * A full log merges two records into one with the later time and both counts: of one campaign
//!   and creative where there are such, else into a record that counts against every cap.
//! * Keys are 32-bit tags: a collision counts a show twice.

use super::saved::Reader;
use crate::catalog::CAPS_MAX;
use crate::hash;
use crate::units::{CampaignId, CreativeId, HoldId, Timestamp};

/// The longest window of a cap, in seconds: 30 days. Shows are remembered for no longer; a longer
/// cap is answered as if it were reached.
pub const WINDOW_S_MAX: u32 = 30 * 86_400;

/// Records a user keeps: 640 bytes at worst. A user of more shows within the caps' windows is
/// rare, and is answered more strictly instead of wrongly.
pub const SHOWS_MAX: usize = 32;

/// At most `count` shows within any `window_s` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapWindow {
    /// Shows allowed within the window; 0 allows none.
    pub count: u16,
    /// Length of the sliding window in seconds, at most [`WINDOW_S_MAX`].
    pub window_s: u32,
}

/// What a cap counts: the shows of one campaign or of one creative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapKey(u64);

impl CapKey {
    const CREATIVE: u64 = 1;

    /// Counts a campaign's shows.
    #[must_use]
    pub const fn campaign(id: CampaignId) -> Self {
        Self(hash::mix(id.0) & !Self::CREATIVE)
    }

    /// Counts a creative's shows.
    #[must_use]
    pub const fn creative(id: CreativeId) -> Self {
        Self(hash::mix(id.0) | Self::CREATIVE)
    }

    const fn is_creative(self) -> bool {
        self.0 & Self::CREATIVE != 0
    }

    /// One of 64 bits, which the [`bits`] of whatever counts for it have.
    pub(super) const fn bit(self) -> u64 {
        bit(self.tag())
    }

    /// 32 bits of the id, never [`EVERY`].
    const fn tag(self) -> u32 {
        let tag = (self.0 >> 32) as u32;
        if tag == EVERY { 1 } else { tag }
    }
}

/// The caps that a bid was made under; what is beyond [`CAPS_MAX`] is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps([Option<OwnCap>; CAPS_MAX]);

/// A cap of the campaign, or of the creative, that the bid was of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnCap {
    window_s: u32,
    count: u16,
    is_of_creative: bool,
}

const _: () = assert!(size_of::<Caps>() == 32);

impl FromIterator<(CapKey, CapWindow)> for Caps {
    fn from_iter<T: IntoIterator<Item = (CapKey, CapWindow)>>(caps: T) -> Self {
        let mut all = Self::default();
        for (place, (key, CapWindow { count, window_s })) in all.0.iter_mut().zip(caps) {
            *place = Some(OwnCap { window_s, count, is_of_creative: key.is_creative() });
        }
        all
    }
}

/// The tag of a record that counts against every campaign or creative.
const EVERY: u32 = 0;

/// 46 bits of a hold's hash (two of a user's 32 records share them once in 10^11 users), above
/// them a bit that is always set, so that no hold has 0, and lowest whether the show is pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark([u16; 3]);

impl Mark {
    fn of(hold: HoldId) -> Self {
        let lease = hold.lease;
        let place = u64::from(lease.node) << 48 | u64::from(lease.core) << 32;
        let lease = hash::combine(place | u64::from(lease.boot), u64::from(lease.number));
        let tag = hash::combine(lease, u64::from(hold.sequence));
        Self([tag as u16 & !1, (tag >> 16) as u16, (tag >> 32) as u16 | 1])
    }

    const fn pending(self) -> Self {
        Self([self.0[0] | 1, self.0[1], self.0[2]])
    }

    const fn shown(self) -> Self {
        Self([self.0[0] & !1, self.0[1], self.0[2]])
    }

    const fn is_pending(self) -> bool {
        self.0[0] & 1 == 1
    }

    const fn has_hold(self) -> bool {
        self.0[2] & 1 == 1
    }

    /// What is left of a mark when its record is merged: the state without the hold.
    const fn merged(self) -> Self {
        Self([self.0[0] & 1, 0, 0])
    }
}

/// One record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Show {
    campaign: u32,
    creative: u32,
    /// When it was shown, rounded up; for a pending show, when it expires.
    at_s: u32,
    mark: Mark,
    /// How many shows; `u16::MAX` reaches every cap.
    count: u16,
}

const _: () = assert!(size_of::<Show>() == 20);

impl Show {
    fn new(campaign: CampaignId, creative: CreativeId, mark: Mark, at_s: u32) -> Self {
        Self {
            campaign: CapKey::campaign(campaign).tag(),
            creative: CapKey::creative(creative).tag(),
            at_s,
            mark,
            count: 1,
        }
    }

    /// One that may happen until `expires`.
    pub(super) fn may_be(
        campaign: CampaignId,
        creative: CreativeId,
        hold: HoldId,
        expires: Timestamp,
    ) -> Self {
        Self::new(campaign, creative, Mark::of(hold).pending(), seconds_up(expires))
    }

    /// As many shows of everything as reach any cap, at `at_s`: stands for what was forgotten.
    pub(super) const fn forgotten(at_s: u32) -> Self {
        Self { campaign: EVERY, creative: EVERY, at_s, mark: Mark([0; 3]), count: u16::MAX }
    }

    fn counts_for(&self, key: CapKey) -> bool {
        let tag = if key.is_creative() { self.creative } else { self.campaign };
        tag == EVERY || tag == key.tag()
    }

    /// Whether the record counts in a window of this length that ends at `now_s`.
    pub(super) const fn is_within(&self, window_s: u32, now_s: u32) -> bool {
        if self.mark.is_pending() {
            self.at_s >= now_s
        } else {
            self.at_s.saturating_add(window_s) > now_s
        }
    }

    /// The latest moment at which it was, or may yet be, shown.
    pub(super) const fn latest_s(&self) -> u32 {
        self.at_s
    }

    /// Whether it may yet happen, for this hold.
    pub(super) fn awaits(&self, hold: HoldId) -> bool {
        self.mark == Mark::of(hold).pending()
    }

    /// Whether both tell of one show: of one hold, or, where merging has lost the hold, the same words.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        if self.mark.has_hold() { self.mark.shown() == other.mark.shown() } else { self == other }
    }

    /// Of two records of one show that which says more: what happened outlasts what might.
    pub(super) const fn surer(self, other: Self) -> Self {
        let is_news =
            self.mark.is_pending() && (!other.mark.is_pending() || self.at_s < other.at_s);
        if is_news { other } else { self }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.campaign == other.campaign
            && self.creative == other.creative
            && self.mark.is_pending() == other.mark.is_pending()
    }
}

/// What sessions know a campaign by: 32 bits of its id.
#[must_use]
pub const fn campaign_tag(id: CampaignId) -> u32 {
    CapKey::campaign(id).tag()
}

/// The campaigns of the shows that are remembered or pending, the last that was noted first, each by
/// its tag and with how many shows it stands for. What was forgotten or merged over campaigns is left
/// out.
pub(super) fn shown(shows: &[Show], keep_s: u32, now_s: u32) -> impl Iterator<Item = (u32, u16)> {
    let known = shows.iter().rev();
    let known = known.filter(move |show| show.campaign != EVERY && show.is_within(keep_s, now_s));
    known.map(|show| (show.campaign, show.count))
}

const fn bit(tag: u32) -> u64 {
    if tag == EVERY { u64::MAX } else { 1 << (tag & 63) }
}

/// The bits of all that these shows may count for.
pub(super) fn bits(shows: &[Show]) -> u64 {
    shows.iter().fold(0, |bits, show| bits | bit(show.campaign) | bit(show.creative))
}

/// Whether one more show keeps within `cap`, after these shows.
pub(super) fn allows<'a>(
    shows: impl IntoIterator<Item = &'a Show>,
    cap: CapWindow,
    key: CapKey,
    now_s: u32,
) -> bool {
    let counted = shows
        .into_iter()
        .filter(|show| show.counts_for(key) && show.is_within(cap.window_s, now_s))
        .map(|show| u32::from(show.count))
        .sum::<u32>();
    counted < u32::from(cap.count)
}

/// The second at or after this time: for shows and expiries, which must not end early.
pub(super) fn seconds_up(at: Timestamp) -> u32 {
    at.plus_millis(999).as_secs_u32()
}

/// What became of a change to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is in the log.
    Stored,
    /// It is in the log, and two records were merged for it.
    Merged,
    /// It changed nothing: a repetition, too old to matter, or unknown.
    Unneeded,
}

/// The shows of one user; no heap while there are none, and never more of it than they need.
#[derive(Debug, Default)]
pub(super) struct ShowLog(Box<[Show]>);

impl ShowLog {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[Show] {
        &self.0
    }

    /// Writes the records, 20 bytes each.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        for Show { campaign, creative, at_s, mark, count } in &self.0 {
            for word in [campaign, creative, at_s] {
                out.extend(word.to_le_bytes());
            }
            for half in mark.0.iter().chain([count]) {
                out.extend(half.to_le_bytes());
            }
        }
    }

    /// Reads `len` records; `None` where there are fewer, or no log has so many.
    pub(super) fn load(len: usize, reader: &mut Reader<'_>) -> Option<Self> {
        let mut load = || {
            Some(Show {
                campaign: reader.u32()?,
                creative: reader.u32()?,
                at_s: reader.u32()?,
                mark: Mark([reader.u16()?, reader.u16()?, reader.u16()?]),
                count: reader.u16()?,
            })
        };
        let shows = (0..len.min(SHOWS_MAX)).map(|_| load()).collect::<Option<_>>()?;
        (len <= SHOWS_MAX).then_some(Self(shows))
    }

    /// Whether a pending show that is news goes beyond one of `caps`, as other shows are now. A
    /// repetition never does; one whose confirmation came first may.
    pub(super) fn goes_beyond(
        &self,
        caps: &Caps,
        (campaign, creative): (CampaignId, CreativeId),
        hold: HoldId,
        now_s: u32,
    ) -> bool {
        let mark = Mark::of(hold);
        let others = || self.0.iter().filter(|show| show.mark.shown() != mark);
        let is_kept = |cap: &OwnCap| {
            let key = match cap.is_of_creative {
                true => CapKey::creative(creative),
                false => CapKey::campaign(campaign),
            };
            let OwnCap { count, window_s, .. } = *cap;
            allows(others(), CapWindow { count, window_s }, key, now_s)
        };
        !self.0.iter().any(|show| show.awaits(hold)) && !caps.0.iter().flatten().all(is_kept)
    }

    /// A show that may happen.
    pub(super) fn pend(&mut self, show: Show) -> Noted {
        match self.find(show.mark.shown()) {
            Some(known) if known.mark.is_pending() && known.at_s < show.at_s => {
                *known = show; // announced anew, for longer
                Noted::Stored
            }
            Some(_) => Noted::Unneeded,
            None => self.push(show),
        }
    }

    /// A show that happened, whether or not it was pending, once for each hold.
    pub(super) fn confirm(
        &mut self,
        campaign: CampaignId,
        creative: CreativeId,
        hold: HoldId,
        at: Timestamp,
    ) -> Noted {
        let mark = Mark::of(hold);
        let show = Show::new(campaign, creative, mark.shown(), seconds_up(at));
        match self.find(mark) {
            Some(known) if known.mark.is_pending() => {
                *known = show;
                Noted::Stored
            }
            Some(_) => Noted::Unneeded,
            None => self.push(show),
        }
    }

    /// A pending show will not happen; one that happened stays. Whether there was one.
    pub(super) fn cancel(&mut self, hold: HoldId) -> bool {
        let mark = Mark::of(hold).pending();
        let was = self.0.len();
        self.retain(|show| show.mark != mark);
        self.0.len() < was
    }

    /// Forgets what counts in no window of `keep_s` seconds any more.
    pub(super) fn purge(&mut self, keep_s: u32, now_s: u32) {
        self.retain(|show| show.is_within(keep_s, now_s));
    }

    /// Adds what an earlier session of this user, now evicted, may have held.
    pub(super) fn inherit(&mut self, forgotten: Show) {
        self.push(forgotten);
    }

    /// Takes over a record of another log, once.
    pub(super) fn adopt(&mut self, show: Show) -> Noted {
        let known = self.0.iter_mut().find(|known| known.is_copy_of(&show));
        let Some(known) = known else { return self.push(show) };
        let surer = known.surer(show);
        if *known == surer {
            return Noted::Unneeded;
        }
        *known = surer;
        Noted::Stored
    }

    /// Forgets records that somebody else keeps now.
    pub(super) fn drop_where(&mut self, is_kept_elsewhere: impl Fn(&Show) -> bool) {
        self.retain(|show| !is_kept_elsewhere(show));
    }

    fn find(&mut self, mark: Mark) -> Option<&mut Show> {
        self.0.iter_mut().find(|show| show.mark.shown() == mark)
    }

    fn retain(&mut self, keep: impl Fn(&Show) -> bool) {
        if !self.0.iter().all(&keep) {
            self.0 = self.0.iter().copied().filter(keep).collect();
        }
    }

    fn push(&mut self, show: Show) -> Noted {
        let mut shows = std::mem::take(&mut self.0).into_vec();
        let is_full = shows.len() >= SHOWS_MAX;
        if is_full {
            merge_two(&mut shows);
        }
        shows.reserve_exact(1);
        shows.push(show);
        self.0 = shows.into_boxed_slice();
        if is_full { Noted::Merged } else { Noted::Stored }
    }
}

/// Makes one record of two, so that it counts wherever either did: the two nearest in time of one
/// campaign and creative, else the two oldest pending ones (which end soonest), else the two
/// oldest. Needs three records, of which two are always of one state.
fn merge_two(shows: &mut Vec<Show>) {
    let like = (0..shows.len())
        .flat_map(|one| (one + 1..shows.len()).map(move |other| (one, other)))
        .filter(|&(one, other)| shows[one].is_like(&shows[other]))
        .min_by_key(|&(one, other)| shows[one].at_s.abs_diff(shows[other].at_s));
    let (one, other) = match like {
        Some(pair) => pair,
        None => {
            shows.sort_unstable_by_key(|show| (!show.mark.is_pending(), show.at_s));
            let has_two_pending = shows[1].mark.is_pending();
            // One pending record alone stands first, before those that were shown.
            if has_two_pending || !shows[0].mark.is_pending() { (0, 1) } else { (1, 2) }
        }
    };
    let absorbed = shows.swap_remove(other);
    let kept = &mut shows[one];
    if !kept.is_like(&absorbed) {
        kept.campaign = EVERY;
        kept.creative = EVERY;
    }
    kept.at_s = kept.at_s.max(absorbed.at_s);
    kept.count = kept.count.saturating_add(absorbed.count);
    kept.mark = kept.mark.merged();
}
