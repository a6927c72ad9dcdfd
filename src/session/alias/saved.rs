//! Groups of ids as bytes, and how a user's ids are forgotten.

use super::{Alias, Aliases, Group, Ids, NAMES_MAX};
use crate::session::saved::Reader;
use crate::units::UserKey;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU32, Ordering};

/// Groups copied under the lock of joins: some ten microseconds.
const GROUPS_PER_LOCK: usize = 256;

/// Where saving stands.
#[derive(Clone, Copy, Debug)]
pub struct SavingStep(usize);

/// A group as it was saved: the root first, each id with the place of the one that it leads to and when
/// it was used.
pub struct SavedGroup(SmallVec<[(UserKey, u8, u32); NAMES_MAX]>);

impl SavedGroup {
    /// Reads one; `None` where it is none: two to sixteen ids, the smallest first, of which each leads to
    /// itself or a smaller one.
    pub(in crate::session) fn load(reader: &mut Reader<'_>) -> Option<Self> {
        let len = usize::from(reader.u8()?);
        let mut ids = SmallVec::new();
        for _ in 0..len.min(NAMES_MAX) {
            ids.push((UserKey(reader.u64()?), reader.u8()?, reader.u32()?));
        }
        let group = Self(ids);
        let (root, others) = group.0.split_first()?;
        let leads_down = |(id, next, _): &(UserKey, u8, u32)| {
            group.0.get(usize::from(*next)).is_some_and(|(next, ..)| next < id)
        };
        let is_sound = root.1 == 0 && others.iter().all(leads_down);
        let is_twice = |at: usize| group.0[..at].iter().any(|one| one.0 == group.0[at].0);
        let is_one_each = !(1..group.0.len()).any(is_twice);
        ((2..=NAMES_MAX).contains(&len) && is_sound && is_one_each).then_some(group)
    }

    /// Its ids.
    pub(in crate::session) fn ids(&self) -> impl Iterator<Item = UserKey> {
        self.0.iter().map(|(id, ..)| *id)
    }
}

impl Aliases {
    /// From here on groups that are made are noted. Returns the first step.
    pub(in crate::session) fn begin_saving(&self) -> SavingStep {
        self.groups.lock().made = Some(Vec::new());
        SavingStep(0)
    }

    /// Nothing is noted any more.
    pub(in crate::session) fn end_saving(&self) {
        self.groups.lock().made = None;
    }

    /// Writes some groups, and returns the next step; after the last, those that were made meanwhile.
    pub(in crate::session) fn save(&self, at: SavingStep, out: &mut Vec<u8>) -> Option<SavingStep> {
        let mut groups = self.groups.lock();
        let until = at.0.saturating_add(GROUPS_PER_LOCK).min(groups.all.len());
        groups.all.get(at.0..until).into_iter().flatten().for_each(|group| self.write(group, out));
        if until < groups.all.len() {
            return Some(SavingStep(until));
        }
        for number in groups.made.take().unwrap_or_default() {
            groups.all.get(number as usize).into_iter().for_each(|group| self.write(group, out));
        }
        None
    }

    fn write(&self, group: &Group, out: &mut Vec<u8>) {
        if group.ids().len() < 2 {
            return;
        }
        out.push(group.ids().len() as u8);
        for id in group.ids() {
            let stripe = self.stripe(*id).read();
            let (next, used_s) = stripe
                .get(&id.0)
                .map_or((*id, 0), |alias| (alias.next, alias.used_s.load(Ordering::Relaxed)));
            let place = group.ids().iter().position(|one| *one == next).unwrap_or(0);
            out.extend(id.0.to_le_bytes());
            out.push(place as u8);
            out.extend(used_s.to_le_bytes());
        }
    }

    /// Takes over a group that was saved, in the place of those that had its ids; not where there is
    /// no room.
    pub(in crate::session) fn restore(&self, saved: &SavedGroup) {
        let mut groups = self.groups.lock();
        for id in saved.ids() {
            let known = self.stripe(id).read().get(&id.0).map(|alias| alias.group);
            if let Some(number) = known {
                let group = groups.all[number as usize].clone();
                group.ids().iter().for_each(|id| self.remove(*id));
                groups.release(number);
            }
        }
        if self.len.load(Ordering::Relaxed) + saved.0.len() > self.config.aliases_max {
            return;
        }
        let ids: Ids = saved.ids().collect();
        let group = groups.keep(Group::of(&ids));
        for &(id, next, used_s) in &saved.0 {
            let alias =
                Alias { next: ids[usize::from(next)], group, used_s: AtomicU32::new(used_s) };
            self.stripe(id).write().insert(id.0, alias);
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The ids of the group with this number, the root first; none where it is free. `None` past the
    /// last number.
    pub(in crate::session) fn group(&self, number: usize) -> Option<Ids> {
        self.groups.lock().all.get(number).map(|group| Ids::from_slice(group.ids()))
    }

    /// Every id that is known to be the user's, `id` among them, however long they were not used.
    #[must_use]
    pub fn ids_of(&self, id: UserKey) -> Ids {
        let groups = self.groups.lock();
        let number = self.stripe(id).read().get(&id.0).map(|alias| alias.group as usize);
        let group = number.and_then(|number| groups.all.get(number));
        group.map_or_else(|| Ids::from_slice(&[id]), |group| Ids::from_slice(group.ids()))
    }

    /// Parts all ids of a user: each names a user of its own again.
    pub fn forget(&self, ids: &[UserKey]) {
        let mut groups = self.groups.lock();
        for id in ids {
            let number = self.stripe(*id).read().get(&id.0).map(|alias| alias.group);
            if let Some(number) = number {
                let group = groups.all[number as usize].clone();
                group.ids().iter().for_each(|id| self.remove(*id));
                groups.release(number);
            }
        }
    }
}
