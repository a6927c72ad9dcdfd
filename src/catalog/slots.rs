//! Stable slots: who sits where, carried over from one catalog to the next.
//!
//! Other rooms keep tables by slot index (model rows, pacing). A slot therefore belongs to one id
//! from its first epoch to its last; what is freed waits [`SLOT_GRACE_EPOCHS`] epochs and then
//! comes back with the next generation. Whoever returns within the grace gets his old slot.

use crate::units::Slot;
use rustc_hash::FxHashMap;

/// Epochs that a freed slot stays empty. Readers hold a snapshot for one request and learners for
/// one tick: eight changes of the catalog later nobody writes by the old one any more, and the
/// generation tells whoever does.
pub const SLOT_GRACE_EPOCHS: u64 = 8;

/// The assignment of ids to slots at one epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotTable {
    seats: Vec<Seat>,
    index_by_id: FxHashMap<u64, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    id: u64,
    generation: u32,
    /// The epoch without this id; `None` while it is there.
    freed_at: Option<u64>,
}

impl SlotTable {
    /// The table in which exactly `ids` (distinct) have slots, from the one before.
    #[must_use]
    pub(super) fn assign(&self, ids: &[u64], epoch: u64) -> Self {
        let mut next = self.clone();
        for seat in &mut next.seats {
            seat.freed_at = seat.freed_at.or(Some(epoch));
        }
        let mut newcomers = Vec::new();
        for id in ids {
            match next.index_by_id.get(id) {
                Some(index) => next.seats[*index as usize].freed_at = None,
                None => newcomers.push(*id),
            }
        }
        let mut free = (0..next.seats.len())
            .filter(|index| next.seats[*index].is_reusable(epoch))
            .collect::<Vec<_>>()
            .into_iter();
        for id in newcomers {
            let index = free.next().unwrap_or(next.seats.len());
            next.seat(index, id);
        }
        next
    }

    fn seat(&mut self, index: usize, id: u64) {
        match self.seats.get_mut(index) {
            Some(seat) => {
                self.index_by_id.remove(&seat.id);
                *seat = Seat { id, generation: seat.generation.wrapping_add(1), freed_at: None };
            }
            None => self.seats.push(Seat { id, generation: 0, freed_at: None }),
        }
        self.index_by_id.insert(id, u32::try_from(index).unwrap_or(u32::MAX));
    }

    /// The slot of an id that is present.
    #[must_use]
    pub(super) fn slot(&self, id: u64) -> Option<Slot> {
        let index = *self.index_by_id.get(&id)?;
        let seat = self.seats.get(index as usize)?;
        seat.freed_at.is_none().then_some(Slot { index, generation: seat.generation })
    }

    /// How many slots there are, empty ones included.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }
}

impl Seat {
    fn is_reusable(&self, epoch: u64) -> bool {
        self.freed_at.is_some_and(|freed_at| epoch >= freed_at + SLOT_GRACE_EPOCHS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_freed_slot_waits_and_returns_with_a_new_generation() {
        let first = SlotTable::default().assign(&[10, 20], 1);
        let freed = first.assign(&[20], 2);
        assert_eq!(freed.slot(10), None);
        let early = freed.assign(&[20, 30], 3);
        assert_eq!(early.slot(30), Some(Slot { index: 2, generation: 0 }));
        let returned = freed.assign(&[20, 10], 3);
        assert_eq!(returned.slot(10), Some(Slot { index: 0, generation: 0 }));
        let late = freed.assign(&[20, 30], 2 + SLOT_GRACE_EPOCHS);
        assert_eq!(late.slot(30), Some(Slot { index: 0, generation: 1 }));
        assert_eq!(late.slot(10), None);
    }

    proptest! {
        /// Over any history no (index, generation) is ever held by two ids, and who stays sits still.
        #[test]
        fn a_slot_has_one_owner_for_ever(history in prop::collection::vec(
            prop::collection::btree_set(0u64..12, 0..8), 1..40))
        {
            let mut owners = FxHashMap::default();
            let mut table = SlotTable::default();
            for (epoch, ids) in history.iter().enumerate() {
                let ids: Vec<u64> = ids.iter().copied().collect();
                let next = table.assign(&ids, epoch as u64 + 1);
                for id in &ids {
                    let slot = next.slot(*id).expect("present");
                    prop_assert_eq!(*owners.entry(slot_key(slot)).or_insert(*id), *id);
                    if let Some(before) = table.slot(*id) {
                        prop_assert_eq!(before, slot);
                    }
                }
                table = next;
            }
        }
    }

    fn slot_key(slot: Slot) -> (u32, u32) {
        (slot.index, slot.generation)
    }
}
