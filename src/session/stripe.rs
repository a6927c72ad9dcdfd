//! One lock's worth of sessions: their places in a dense slab, with second-chance eviction.

use super::frequency::Show;
use super::places::Places;
use super::profile::{Profile, ReadOutcome};
use super::saved::{Reader, SESSIONS_PER_LOCK};
use super::slab::Slab;
use super::table::SessionConfig;
use super::user::UserSession;
use crate::hash;
use crate::prefetch::prefetch_item;
use crate::units::{Timestamp, UserKey};

/// Sessions looked at to find one to evict: bounds the time under the lock to a few microseconds.
const EVICT_STEPS_MAX: usize = 64;

/// Bytes after which images of sessions go on in another piece.
const IMAGES_BYTES: usize = 16 * 1_024;

/// Slots that remember when shows were forgotten with an evicted session. The more there are, the
/// fewer strangers are refused for somebody else's shows; 1 kB a stripe, and only once needed.
const FORGOTTEN_SLOTS: usize = 256;

/// How many sessions came and went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnover {
    pub(super) created: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

/// The sessions behind one lock.
#[derive(Debug, Default)]
pub(super) struct Stripe {
    // User keys are keyed hashes already: a stranger cannot aim at this table.
    places: Places,
    sessions: Slab,
    /// Where the search for a victim goes on.
    hand: usize,
    /// By hash of the user: the second of the latest show that went with an evicted session.
    forgotten: Option<Box<[u32; FORGOTTEN_SLOTS]>>,
    /// The cut of the last saving that has walked it whole.
    walked: u8,
    /// What is to be saved of sessions that have changed since the cut, before the walk came by; at
    /// most once each.
    images: Vec<Vec<u8>>,
}

impl Stripe {
    pub(super) const fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is a session, without marking it used.
    pub(super) fn knows(&self, user: UserKey) -> bool {
        self.place(user).is_some()
    }

    fn place(&self, user: UserKey) -> Option<usize> {
        self.places.get(user, &self.sessions).map(|place| place as usize)
    }

    /// Asks for the line that says where `user`'s session is.
    pub(super) fn prefetch_place(&self, user: UserKey) {
        self.places.prefetch(user);
    }

    /// Asks for `user`'s session.
    pub(super) fn prefetch_session(&self, user: UserKey) {
        let session = self.places.guess(user).and_then(|place| self.sessions.get(place as usize));
        session.into_iter().for_each(prefetch_item);
    }

    /// Copies `user`'s session into `profile`.
    pub(super) fn read(
        &self,
        user: UserKey,
        config: &SessionConfig,
        now: Timestamp,
        profile: &mut Profile,
    ) -> ReadOutcome {
        let now_s = now.as_secs_u32();
        match self.live(user, config, now_s) {
            Some(session) => {
                profile.copy_from(session, config, now_s);
                ReadOutcome::Known
            }
            None => {
                profile.become_stranger(self.forgotten(user, config, now_s), config);
                ReadOutcome::Unknown
            }
        }
    }

    /// `user`'s session, if it may be read; a use of it.
    pub(super) fn live(
        &self,
        user: UserKey,
        config: &SessionConfig,
        now_s: u32,
    ) -> Option<&UserSession> {
        let session = self.sessions.get(self.place(user)?);
        let session = session.filter(|session| !session.is_expired(config, now_s))?;
        session.mark_used();
        Some(session)
    }

    /// Lets `act` change `user`'s session, after dropping what has expired in it; a session left
    /// with nothing in it is removed. `None` when there is no session and none may be created. While a
    /// saving as of `cut` has not come by, it keeps for it what the session was.
    pub(super) fn write<R>(
        &mut self,
        user: UserKey,
        may_create: bool,
        (config, now, cut): (&SessionConfig, Timestamp, u8),
        turnover: &mut Turnover,
        act: impl FnOnce(&mut UserSession) -> R,
    ) -> Option<R> {
        let place = match self.place(user) {
            Some(place) => place,
            None if may_create => self.admit(user, config, (now, cut), turnover),
            None => return None,
        };
        let session = self.sessions.get_mut(place)?;
        if self.walked != cut && session.is_due(cut) {
            keep_image(session, &mut self.images);
        }
        session.tidy(config, now.as_secs_u32());
        session.mark_used();
        let result = act(session);
        if session.is_empty() {
            self.remove(place);
            turnover.expired += 1;
        }
        Some(result)
    }

    /// Visits up to `slots` sessions from `place` on and drops what has expired. Returns how many
    /// it visited, and where to go on; `None` at the end.
    pub(super) fn sweep(
        &mut self,
        mut place: usize,
        slots: usize,
        (config, now): (&SessionConfig, Timestamp),
        turnover: &mut Turnover,
    ) -> (usize, Option<usize>) {
        let mut visited = 0;
        while visited < slots
            && let Some(session) = self.sessions.get_mut(place)
        {
            visited += 1;
            session.tidy(config, now.as_secs_u32());
            if session.is_empty() {
                self.remove(place); // brings the last session here, which is visited next
                turnover.expired += 1;
            } else {
                place += 1;
            }
        }
        (visited, (place < self.sessions.len()).then_some(place))
    }

    /// Writes up to [`SESSIONS_PER_LOCK`] of the live sessions before the place `before`, the last first,
    /// but for those that the saving as of `cut` has. Returns the place before which to go on; 0 at the
    /// end.
    pub(super) fn save(
        &self,
        before: usize,
        (config, now_s, cut): (&SessionConfig, u32, u8),
        out: &mut Vec<u8>,
    ) -> usize {
        let before = before.min(self.sessions.len());
        let until = before.saturating_sub(SESSIONS_PER_LOCK);
        let sessions = (until..before).rev().filter_map(|place| self.sessions.get(place));
        // A place that was freed to be overwritten still holds whom it held.
        let is_listed =
            |session: &&UserSession| self.knows(session.user) && !session.is_expired(config, now_s);
        let due = sessions.filter(|session| session.is_due(cut));
        due.filter(is_listed).for_each(|session| session.save(out));
        until
    }

    /// Ends the walk of the saving as of `cut`. Returns what it has not met: sessions that changed before
    /// it came by, as they were, in pieces.
    pub(super) fn end_walk(&mut self, cut: u8) -> Vec<Vec<u8>> {
        self.walked = cut;
        std::mem::take(&mut self.images)
    }

    /// Takes over a session that was saved, in the place of one of the same user. Whether anything of
    /// it is left.
    pub(super) fn restore(
        &mut self,
        mut session: UserSession,
        config: &SessionConfig,
        (now, cut): (Timestamp, u8),
        turnover: &mut Turnover,
    ) -> bool {
        session.tidy(config, now.as_secs_u32());
        if session.is_empty() {
            return false;
        }
        let user = session.user;
        let place = match self.place(user) {
            Some(place) => place,
            None => self.admit(user, config, (now, cut), turnover),
        };
        if let Some(known) = self.sessions.get_mut(place) {
            *known = session;
        }
        true
    }

    /// Lets go of all that is known of `user`. Whether there was a session.
    pub(super) fn erase(&mut self, user: UserKey) -> bool {
        let place = self.place(user);
        place.into_iter().for_each(|place| self.remove(place));
        place.is_some()
    }

    /// Writes what was forgotten, 1 kB. Whether there was anything.
    pub(super) fn save_forgotten(&self, out: &mut Vec<u8>) -> bool {
        let slots = self.forgotten.iter().flat_map(|slots| slots.iter());
        slots.for_each(|latest_s| out.extend(latest_s.to_le_bytes()));
        self.forgotten.is_some()
    }

    /// Takes over what was forgotten.
    pub(super) fn restore_forgotten(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let slots = self.forgotten.get_or_insert_with(|| Box::new([0; FORGOTTEN_SLOTS]));
        for slot in slots.iter_mut() {
            *slot = reader.u32()?.max(*slot);
        }
        Some(())
    }

    /// A fresh session for `user`, in the place of another if the stripe is full.
    fn admit(
        &mut self,
        user: UserKey,
        config: &SessionConfig,
        (now, cut): (Timestamp, u8),
        turnover: &mut Turnover,
    ) -> usize {
        let now_s = now.as_secs_u32();
        let mut session = UserSession::new(user, now, cut);
        let place = if self.sessions.len() >= config.stripe_sessions_max() {
            self.make_room(config, now_s, turnover)
        } else {
            self.sessions.len()
        };
        if let Some(forgotten) = self.forgotten(user, config, now_s) {
            session.shows.inherit(forgotten);
        }
        match self.sessions.get_mut(place) {
            Some(evicted) => *evicted = session,
            None => self.sessions.push(session),
        }
        self.places.insert(user, place as u32, &self.sessions);
        turnover.created += 1;
        place
    }

    /// Frees the place of one session (which stays there, out of the index, to be overwritten).
    fn make_room(&mut self, config: &SessionConfig, now_s: u32, turnover: &mut Turnover) -> usize {
        let place = self.choose_victim(config, now_s);
        let Some(victim) = self.sessions.get(place) else { return place };
        let user = victim.user;
        if victim.is_expired(config, now_s) {
            turnover.expired += 1;
        } else {
            turnover.evicted += 1;
        }
        if let Some(latest_s) = victim.latest_live_show_s(config, now_s) {
            self.forget(user, latest_s);
        }
        self.places.remove(user, place as u32, &self.sessions);
        place
    }

    /// Second chance: the first session from the hand on that was not used since the hand last
    /// came by, if possible one without shows that a cap still needs.
    fn choose_victim(&mut self, config: &SessionConfig, now_s: u32) -> usize {
        let len = self.sessions.len();
        let mut second_choice = None;
        for _ in 0..EVICT_STEPS_MAX.min(2 * len) {
            let place = self.hand % len;
            self.hand = place + 1;
            let Some(session) = self.sessions.get_mut(place) else { continue };
            if session.is_expired(config, now_s) {
                return place;
            }
            if session.take_used() {
                continue;
            }
            if !session.has_live_shows(config, now_s) {
                return place;
            }
            second_choice.get_or_insert(place);
        }
        second_choice.unwrap_or(self.hand % len)
    }

    fn remove(&mut self, place: usize) {
        let Some(user) = self.sessions.user_at(place as u32) else { return };
        self.places.remove(user, place as u32, &self.sessions);
        self.sessions.swap_remove(place);
        if let Some(moved) = self.sessions.user_at(place as u32) {
            self.places.move_to(moved, self.sessions.len() as u32, place as u32);
        }
    }

    /// Remembers that shows of `user`, until `latest_s`, are out of reach.
    pub(super) fn forget(&mut self, user: UserKey, latest_s: u32) {
        let slots = self.forgotten.get_or_insert_with(|| Box::new([0; FORGOTTEN_SLOTS]));
        let slot = &mut slots[forgotten_slot(user)];
        *slot = latest_s.max(*slot);
    }

    /// The latest second at which a live show of `user` was, or may yet be, shown.
    pub(super) fn latest_live_show_s(
        &self,
        user: UserKey,
        config: &SessionConfig,
        now: Timestamp,
    ) -> Option<u32> {
        self.sessions.get(self.place(user)?)?.latest_live_show_s(config, now.as_secs_u32())
    }

    /// The shows that this user may have had in a session that was evicted.
    pub(super) fn forgotten(
        &self,
        user: UserKey,
        config: &SessionConfig,
        now_s: u32,
    ) -> Option<Show> {
        let latest_s = self.forgotten.as_ref()?[forgotten_slot(user)];
        let show = Show::forgotten(latest_s);
        show.is_within(config.shows_keep_s, now_s).then_some(show)
    }
}

/// Keeps what a session is.
fn keep_image(session: &UserSession, images: &mut Vec<Vec<u8>>) {
    if images.last().is_none_or(|image| image.len() >= IMAGES_BYTES) {
        images.push(Vec::new());
    }
    images.last_mut().into_iter().for_each(|image| session.save(image));
}

fn forgotten_slot(user: UserKey) -> usize {
    // The lowest bits chose the stripe, so they say nothing here.
    (hash::mix(user.0) % FORGOTTEN_SLOTS as u64) as usize
}
