//! What is remembered of one user.

use super::behaviour::Event;
use super::extra::{Extra, Sequencer};
use super::frequency::{Noted, Show, ShowLog};
use super::interest::Interests;
use super::saved::Reader;
use super::table::SessionConfig;
use crate::relevance::sequence::State;
use crate::units::{Timestamp, UserKey};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Items remembered: what a co-visitation lookup asks for.
pub(super) const ITEMS_MAX: usize = 4;

/// The last items that a user touched, newest first. 0 stands for none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecentItems([u32; ITEMS_MAX]);

impl RecentItems {
    /// Moves `item` to the front.
    fn push(&mut self, item: u32) {
        let known = self.0.iter().position(|&one| one == item).unwrap_or(ITEMS_MAX - 1);
        self.0[..=known].rotate_right(1);
        self.0[0] = item;
    }

    /// The newest of two lists, of which the first is newer.
    fn merged(newer: Self, older: Self) -> Self {
        let mut merged = Self::default();
        older.as_slice().iter().rev().for_each(|&item| merged.push(item));
        newer.as_slice().iter().rev().for_each(|&item| merged.push(item));
        merged
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        let len = self.0.iter().position(|&item| item == 0).unwrap_or(ITEMS_MAX);
        &self.0[..len]
    }
}

/// One session, in cache lines of its own: a bid reads all of it.
#[repr(align(64))]
#[derive(Debug)]
pub(super) struct UserSession {
    pub(super) user: UserKey,
    pub(super) shows: ShowLog,
    interests: Interests,
    items: RecentItems,
    extra: Option<Box<Extra>>,
    /// The latest behaviour, or when the session was made.
    seen_s: u32,
    // Set by readers under a shared lock; a hint for eviction, so relaxed order is enough.
    is_used: AtomicBool,
    /// The cut of the last saving that has it. Set by the one saver under a shared lock, and by writers
    /// under theirs: the lock orders it.
    cut: AtomicU8,
}

/// What leaves one session for another.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) from: UserKey,
    pub(super) to: UserKey,
    /// Tells hand-overs apart.
    pub(super) number: u64,
    /// Copies: the session keeps its own until the other has them.
    pub(super) shows: SmallVec<[Show; 4]>,
    interests: Interests,
    items: RecentItems,
    extra: Option<Box<Extra>>,
    seen_s: u32,
}

impl Moved {
    /// Nothing yet, from this user.
    pub(super) fn nothing_of(from: UserKey) -> Self {
        Self {
            from,
            to: from,
            number: 0,
            shows: SmallVec::new(),
            interests: Interests::default(),
            items: RecentItems::default(),
            extra: None,
            seen_s: 0,
        }
    }
}

// With its share of the places (4 B a slot, between 3/8 and 3/4 full) and of the slab's slack a session
// stays below 256 bytes; `tests/memory.rs` measures it.
const _: () = assert!(size_of::<UserSession>() == 192);

impl UserSession {
    /// An empty one, that no saving as of `cut` needs.
    pub(super) fn new(user: UserKey, now: Timestamp, cut: u8) -> Self {
        Self {
            user,
            shows: ShowLog::default(),
            interests: Interests::default(),
            items: RecentItems::default(),
            extra: None,
            seen_s: now.as_secs_u32(),
            is_used: AtomicBool::new(true),
            cut: AtomicU8::new(cut),
        }
    }

    /// A behaviour event; the caller has seen to consent and repetition.
    pub(super) fn record(&mut self, event: &Event, sequencer: Option<&Sequencer>) {
        self.seen_s = self.seen_s.max(event.at.as_secs_u32());
        let weight = event.kind.weight();
        self.interests.record(event.category, event.advertiser, event.pooled, weight, event.at);
        if let Some(item) = event.item {
            self.items.push(item);
        }
        if let Some(sequencer) = sequencer {
            sequencer.step(&mut self.extra, event);
        }
    }

    /// Writes it.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.user.0.to_le_bytes());
        out.extend(self.seen_s.to_le_bytes());
        let (items, shows) = (self.items.as_slice(), self.shows.as_slice());
        let has_state = u8::from(self.extra.is_some());
        out.extend([self.interests.len(), items.len() as u8, shows.len() as u8, has_state]);
        self.interests.save(out);
        items.iter().for_each(|item| out.extend(item.to_le_bytes()));
        self.shows.save(out);
        self.extra.iter().for_each(|extra| out.extend(extra.sequence.to_bytes()));
    }

    /// Reads it; `None` where it is none.
    pub(super) fn load(reader: &mut Reader<'_>) -> Option<Self> {
        let (user, seen_s) = (UserKey(reader.u64()?), reader.u32()?);
        let [interests, items, shows, has_state] = reader.bytes()?;
        let interests = Interests::load(interests, reader)?;
        let mut recent = RecentItems::default();
        for item in recent.0.get_mut(..items.into())? {
            *item = reader.u32()?;
        }
        let shows = ShowLog::load(shows.into(), reader)?;
        let mut state = || Some(Box::new(Extra { sequence: State::from_bytes(&reader.bytes()?) }));
        let extra = if has_state == 0 { None } else { Some(state()?) };
        let (is_used, cut) = (AtomicBool::new(false), AtomicU8::new(0));
        Some(Self { user, shows, interests, items: recent, extra, seen_s, is_used, cut })
    }

    /// Drops the sequence model's state.
    pub(super) fn drop_state(&mut self) {
        self.extra = None;
    }

    /// Takes out what the user did, and copies what was shown.
    pub(super) fn hand_over(&mut self) -> Moved {
        Moved {
            shows: SmallVec::from_slice(self.shows.as_slice()),
            interests: std::mem::take(&mut self.interests),
            items: std::mem::take(&mut self.items),
            extra: self.extra.take(),
            seen_s: self.seen_s,
            ..Moved::nothing_of(self.user)
        }
    }

    /// Takes over what another session of the same user held. Returns how many shows made a full log
    /// merge two records.
    pub(super) fn adopt(&mut self, moved: &mut Moved) -> u64 {
        // One made for this purpose has seen nothing.
        let is_fresh = self.is_empty();
        let is_newer = is_fresh || moved.seen_s > self.seen_s;
        self.interests.merge(&moved.interests);
        let (own, other) = (self.items, moved.items);
        self.items = match is_newer {
            true => RecentItems::merged(other, own),
            false => RecentItems::merged(own, other),
        };
        if is_newer || self.extra.is_none() {
            self.extra = moved.extra.take().or_else(|| self.extra.take());
        }
        self.seen_s = if is_fresh { moved.seen_s } else { self.seen_s.max(moved.seen_s) };
        let shows = moved.shows.iter();
        shows.filter(|show| self.shows.adopt(**show) == Noted::Merged).count() as u64
    }

    /// Whether interest has expired: nothing happened for `idle_s`.
    pub(super) const fn is_idle(&self, config: &SessionConfig, now_s: u32) -> bool {
        self.seen_s.saturating_add(config.idle_s) <= now_s
    }

    pub(super) fn has_live_shows(&self, config: &SessionConfig, now_s: u32) -> bool {
        self.shows.as_slice().iter().any(|show| show.is_within(config.shows_keep_s, now_s))
    }

    /// Whether nothing here may be read any more: readers see an expired session as none, so that
    /// no answer depends on when the sweep comes by.
    pub(super) fn is_expired(&self, config: &SessionConfig, now_s: u32) -> bool {
        self.is_idle(config, now_s) && !self.has_live_shows(config, now_s)
    }

    /// Drops what has expired within the session.
    pub(super) fn tidy(&mut self, config: &SessionConfig, now_s: u32) {
        self.shows.purge(config.shows_keep_s, now_s);
        if self.is_idle(config, now_s) {
            self.interests.clear();
            self.items = RecentItems::default();
            self.extra = None;
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.interests.is_empty() && self.shows.is_empty() && self.items.as_slice().is_empty()
    }

    /// The latest second at which a show that some cap may need was, or may yet be, shown.
    pub(super) fn latest_live_show_s(&self, config: &SessionConfig, now_s: u32) -> Option<u32> {
        let live = |show: &&Show| show.is_within(config.shows_keep_s, now_s);
        self.shows.as_slice().iter().filter(live).map(Show::latest_s).max()
    }

    pub(super) const fn interests(&self) -> &Interests {
        &self.interests
    }

    pub(super) const fn items(&self) -> &RecentItems {
        &self.items
    }

    pub(super) fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    /// Notes a use, for eviction.
    pub(super) fn mark_used(&self) {
        // Most reads find it set; not writing keeps the line shared between cores.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that the saving as of `cut` has it. Whether it had not before.
    pub(super) fn is_due(&self, cut: u8) -> bool {
        let is_due = self.cut.load(Ordering::Relaxed) != cut;
        if is_due {
            self.cut.store(cut, Ordering::Relaxed);
        }
        is_due
    }

    /// Whether it was used since the last call.
    pub(super) fn take_used(&mut self) -> bool {
        std::mem::take(self.is_used.get_mut())
    }
}
