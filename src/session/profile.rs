//! A bid's own copy of one session: small, reusable, unlocked.

use super::frequency::{self, CapKey, CapWindow, SHOWS_MAX, Show, WINDOW_S_MAX};
use super::interest::Interests;
use super::state::{CancelShow, PendShow, ShowChange};
use super::table::SessionConfig;
use super::user::{RecentItems, UserSession};
use crate::relevance::sequence::State;
use crate::units::{AdvertiserId, CategoryId, Timestamp};

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A session.
    Known,
    /// No session, or one that has expired.
    Unknown,
    /// The session's stripe is being written. The profile is cold, and refuses every cap.
    Contended,
}

/// What a decision may know of a user. Reuse one per worker: it allocates when made, and never again.
#[derive(Clone, Debug)]
pub struct Profile {
    interests: Interests,
    items: RecentItems,
    sequence: State,
    shows: Vec<Show>,
    /// The bits of all shows: what has none of them was never shown.
    shown: u64,
    shows_keep_s: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

impl Profile {
    /// A profile of nobody.
    #[must_use]
    pub fn new() -> Self {
        Self {
            interests: Interests::default(),
            items: RecentItems::default(),
            sequence: State::default(),
            shows: Vec::with_capacity(2 * SHOWS_MAX),
            shown: 0,
            shows_keep_s: WINDOW_S_MAX,
        }
    }

    /// Makes it a profile of nobody: no interest, and nothing shown yet. For a request without a
    /// user that we may know; whether caps let such a request pass is the caller's choice.
    pub fn clear(&mut self) {
        self.interests.clear();
        self.items = RecentItems::default();
        self.sequence = State::default();
        self.shows.clear();
        self.shown = 0;
    }

    /// How strongly the user is drawn to `category`, as far as an ad of `advertiser` may know: by
    /// its own events, and by other tenants' pooled ones if its campaign is `pooled`. `[0, inf)`,
    /// compressed: 0 unknown, 0.7 one view just now, 2.4 ten.
    #[must_use]
    pub fn strength(
        &self,
        category: CategoryId,
        advertiser: AdvertiserId,
        pooled: bool,
        now: Timestamp,
    ) -> f32 {
        self.interests.strength(category, advertiser, pooled, now)
    }

    /// The strongest categories, strongest first; of pooled interest only, since the answer serves
    /// ads of every tenant.
    #[must_use]
    pub fn top_categories(&self, now: Timestamp) -> [Option<CategoryId>; 3] {
        self.interests.top_categories(now)
    }

    /// Stable hashes of the last items, newest first; at most 4.
    #[must_use]
    pub fn recent_items(&self) -> &[u32] {
        self.items.as_slice()
    }

    /// Where the sequence model stands with the user, by pooled events alone: for campaigns that use
    /// the pool.
    #[must_use]
    pub const fn sequence(&self) -> &State {
        &self.sequence
    }

    /// The campaigns that the user was shown, the last first, each by its
    /// [`campaign_tag`](super::campaign_tag) and with how many shows it stands for; as far as they are
    /// remembered, which those of campaigns with a frequency cap are.
    pub fn shown(&self, now: Timestamp) -> impl Iterator<Item = (u32, u16)> {
        frequency::shown(&self.shows, self.shows_keep_s, now.as_secs_u32())
    }

    /// Whether one more show of `key` now keeps within `cap`. Errs to `false` only: where shows
    /// were forgotten, and for a window longer than they are kept.
    #[must_use]
    pub fn allows(&self, cap: CapWindow, key: CapKey, now: Timestamp) -> bool {
        // Most have seen little, and are asked about fifty caps.
        let is_fresh = self.shown & key.bit() == 0 && cap.count > 0;
        cap.window_s <= self.shows_keep_s
            && (is_fresh || frequency::allows(&self.shows, cap, key, now.as_secs_u32()))
    }

    /// Whether any show counts: one of a session, or one that may be forgotten.
    pub(super) const fn has_shows(&self) -> bool {
        !self.shows.is_empty()
    }

    /// Takes over `session`, without what has expired.
    pub(super) fn copy_from(&mut self, session: &UserSession, config: &SessionConfig, now_s: u32) {
        self.copy_behaviour(session, config, now_s);
        self.shows.clear();
        self.shows.extend_from_slice(session.shows.as_slice());
        self.shown = frequency::bits(&self.shows);
        self.shows_keep_s = config.shows_keep_s;
    }

    fn copy_behaviour(&mut self, session: &UserSession, config: &SessionConfig, now_s: u32) {
        if session.is_idle(config, now_s) {
            self.interests.clear();
            self.items = RecentItems::default();
            self.sequence = State::default();
        } else {
            self.interests = *session.interests();
            self.items = *session.items();
            self.sequence = session.extra().map_or(State::default(), |extra| extra.sequence);
        }
    }

    /// Goes on to a session of the same user: its behaviour, and the shows of both.
    pub(super) fn add(&mut self, session: &UserSession, config: &SessionConfig, now_s: u32) {
        self.copy_behaviour(session, config, now_s);
        session.shows.as_slice().iter().for_each(|show| self.add_show(*show, now_s));
    }

    /// Also counts what may have been forgotten of the same user.
    pub(super) fn add_forgotten(&mut self, forgotten: Option<Show>, now_s: u32) {
        forgotten.into_iter().for_each(|show| self.add_show(show, now_s));
    }

    /// Counts a show, once: a copy of it may be under way from one session to the other. Where there
    /// is no room, every cap refuses until there is.
    fn add_show(&mut self, show: Show, now_s: u32) {
        self.shown |= frequency::bits(&[show]);
        let is_full = self.shows.len() == 2 * SHOWS_MAX;
        match self.shows.iter_mut().find(|known| known.is_copy_of(&show)) {
            Some(known) => *known = known.surer(show),
            None if is_full => {
                self.shows[0] = Show::forgotten(now_s);
                self.shown = frequency::bits(&self.shows);
            }
            None => self.shows.push(show),
        }
    }

    /// Counts a change that is under way, as if it were written.
    pub(super) fn change(&mut self, change: &ShowChange, now: Timestamp) {
        match *change {
            ShowChange::Pend(PendShow { campaign, creative, hold, expires, .. }) => {
                self.add_show(Show::may_be(campaign, creative, hold, expires), now.as_secs_u32());
            }
            ShowChange::Cancel(CancelShow { hold, .. }) => {
                self.shows.retain(|show| !show.awaits(hold));
            }
            // Notices tell the shard themselves.
            ShowChange::Confirm(_) => {}
        }
    }

    /// Makes it a profile of somebody whose shows may have been `forgotten`.
    pub(super) fn become_stranger(&mut self, forgotten: Option<Show>, config: &SessionConfig) {
        self.clear();
        self.shows.extend(forgotten);
        self.shown = frequency::bits(&self.shows);
        self.shows_keep_s = config.shows_keep_s;
    }

    /// Makes it a profile of somebody who could not be read: whatever was shown may be forgotten.
    pub(super) fn become_contended(&mut self, now: Timestamp, config: &SessionConfig) {
        self.become_stranger(Some(Show::forgotten(now.as_secs_u32())), config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{CampaignId, CreativeId, HoldId, UserKey};
    use proptest::prelude::*;

    #[test]
    fn reading_the_longest_log_allocates_nothing() {
        let mut session = UserSession::new(UserKey(1), Timestamp(0), 0);
        for sequence in 0..100 {
            let hold = HoldId { sequence, ..HoldId::default() };
            session.shows.confirm(CampaignId(1), CreativeId(1), hold, Timestamp(0));
        }
        let mut profile = Profile::new();
        let buffer = (profile.shows.as_ptr(), profile.shows.capacity());
        profile.copy_from(&session, &SessionConfig::default(), 1);
        assert_eq!(profile.shows.len(), SHOWS_MAX);
        assert_eq!((profile.shows.as_ptr(), profile.shows.capacity()), buffer);
    }

    #[test]
    fn without_room_for_a_show_every_cap_refuses() {
        let mut profile = Profile::new();
        let (cap, other) = (CapWindow { count: 9, window_s: 50 }, CapKey::campaign(CampaignId(2)));
        let room = SHOWS_MAX as u32;
        for (sequences, is_known) in
            [(0..room, true), (room..2 * room, true), (2 * room..2 * room + 1, false)]
        {
            let mut session = UserSession::new(UserKey(1), Timestamp(0), 0);
            for sequence in sequences {
                let hold = HoldId { sequence, ..HoldId::default() };
                session.shows.confirm(CampaignId(1), CreativeId(1), hold, Timestamp(90_000));
            }
            profile.add(&session, &SessionConfig::default(), 100);
            assert_eq!(profile.allows(cap, other, Timestamp(100_000)), is_known);
        }
        assert_eq!(profile.shows.len(), 2 * SHOWS_MAX);
    }

    proptest! {
        /// The bits of shows spare most caps a look at them, and never one that it would have refused.
        #[test]
        fn caps_hold_as_if_every_show_was_looked_at(
            shown in proptest::collection::vec((0_u64..6, 0_u64..6, 0_i64..100, any::<bool>()), 0..40),
            forgotten in any::<bool>(),
            (count, window_s) in (0_u16..4, 1_u32..80),
        ) {
            let config = SessionConfig::default();
            let mut sessions = [1, 2].map(|user| UserSession::new(UserKey(user), Timestamp(0), 0));
            for (sequence, (campaign, creative, at_s, is_second)) in (0..).zip(shown) {
                let hold = HoldId { sequence, ..HoldId::default() };
                let log = &mut sessions[usize::from(is_second)].shows;
                let at = Timestamp(at_s * 1_000);
                log.confirm(CampaignId(campaign), CreativeId(creative), hold, at);
            }
            let (now, cap) = (Timestamp(100_000), CapWindow { count, window_s });
            let mut profile = Profile::new();
            profile.copy_from(&sessions[0], &config, 100);
            profile.add(&sessions[1], &config, 100);
            profile.add_forgotten(forgotten.then(|| Show::forgotten(50)), 100);
            for number in 0..8 {
                let (campaign, creative) = (CampaignId(number), CreativeId(number));
                for key in [CapKey::campaign(campaign), CapKey::creative(creative)] {
                    let plain = frequency::allows(&profile.shows, cap, key, 100);
                    prop_assert_eq!(profile.allows(cap, key, now), plain);
                }
            }
        }
    }
}
