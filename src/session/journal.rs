//! What changes sessions as bytes, for a journal. Whoever writes them to a disk seals them.
//!
//! ```text
//! 0 event: id u64 | user u64 | at i64 | advertiser u64 | category u32 | kind u8 | flags u8
//!          | item u32, where flag 1 says so | u64, where flag 2 does: of before       (flag 4: pooled)
//! 1 join:  source u64 | ids u8, and so many u64
//! 2 show:  user u64 | campaign u64 | creative u64 | at i64
//!          | node u16 | core u16 | boot u32 | lease u32 | sequence u32
//! ```
//! Numbers are little-endian. Events without consent touch no session and are left out, as is what
//! conversions are counted by. A piece is at most [`PIECE_BYTES_MAX`] long.

use super::alias::{IDS_MAX, Ids, Join};
use super::behaviour::{Behaviour, Event};
use super::saved::{Malformed, Reader};
use super::state::ConfirmShow;
use crate::units::{
    AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, LeaseId, Timestamp, UserKey,
};

/// Longest piece: with what a seal adds it fits into a record of the log.
pub const PIECE_BYTES_MAX: usize = 60 * 1_024;

const EVENT: u8 = 0;
const JOIN: u8 = 1;
const SHOW: u8 = 2;

const HAS_ITEM: u8 = 1;
/// A hash of a search's words follows, which nothing reads: written until they named the category.
const HAD_QUERY: u8 = 2;
const IS_POOLED: u8 = 4;

/// One thing that changes a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Somebody who consented did something.
    Event(Event),
    /// Ids are one user.
    Join(Join),
    /// An ad was shown.
    Show(ConfirmShow),
}

/// Changes in their order, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<Vec<u8>>);

impl Changes {
    /// Adds an event.
    pub fn add_event(&mut self, event: &Event) {
        if event.consent {
            self.add(|out| write_event(event, out));
        }
    }

    /// Adds a join.
    pub fn add_join(&mut self, join: &Join) {
        self.add(|out| {
            out.push(JOIN);
            out.extend(join.source.to_le_bytes());
            out.push(join.ids.len() as u8);
            join.ids.iter().for_each(|id| out.extend(id.0.to_le_bytes()));
        });
    }

    /// Adds a show.
    pub fn add_show(&mut self, show: &ConfirmShow) {
        let ConfirmShow { user, campaign, creative, hold, at } = *show;
        let HoldId { lease: LeaseId { node, core, boot, number }, sequence } = hold;
        self.add(|out| {
            out.push(SHOW);
            for word in [user.0, campaign.0, creative.0, at.0.cast_unsigned()] {
                out.extend(word.to_le_bytes());
            }
            for half in [node, core] {
                out.extend(half.to_le_bytes());
            }
            for word in [boot, number, sequence] {
                out.extend(word.to_le_bytes());
            }
        });
    }

    /// The pieces, none of them empty.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Vec<u8>> {
        self.0
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        /// More than any change takes.
        const CHANGE_BYTES: usize = 256;
        let has_room =
            self.0.last().is_some_and(|piece| piece.len() + CHANGE_BYTES <= PIECE_BYTES_MAX);
        if !has_room {
            self.0.push(Vec::new());
        }
        if let Some(piece) = self.0.last_mut() {
            write(piece);
        }
    }
}

fn write_event(event: &Event, out: &mut Vec<u8>) {
    let Event { id, user, kind, at, advertiser, category, item, pooled, .. } = event;
    out.push(EVENT);
    for word in [*id, user.0, at.0.cast_unsigned(), advertiser.0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(category.0.to_le_bytes());
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(item.is_some(), HAS_ITEM) | flag(*pooled, IS_POOLED);
    out.extend([*kind as u8, flags]);
    item.iter().for_each(|item| out.extend(item.to_le_bytes()));
}

/// Reads the changes of a piece.
///
/// # Errors
/// [`Malformed`]: it is none of this version.
pub fn read_changes(piece: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut reader = Reader(piece);
    let mut changes = Vec::new();
    while let Some(kind) = reader.u8() {
        let change = match kind {
            EVENT => read_event(&mut reader).map(Change::Event),
            JOIN => read_join(&mut reader).map(Change::Join),
            SHOW => read_show(&mut reader).map(Change::Show),
            _ => None,
        };
        changes.push(change.ok_or(Malformed)?);
    }
    Ok(changes)
}

fn read_event(reader: &mut Reader<'_>) -> Option<Event> {
    let (id, user) = (reader.u64()?, UserKey(reader.u64()?));
    let (at, advertiser) = (read_time(reader)?, AdvertiserId(reader.u64()?));
    let category = CategoryId(reader.u32()?);
    let kind = *Behaviour::ALL.get(usize::from(reader.u8()?))?;
    let flags = reader.u8()?;
    if flags & !(HAS_ITEM | HAD_QUERY | IS_POOLED) != 0 {
        return None;
    }
    let item = if flags & HAS_ITEM == 0 { None } else { Some(reader.u32()?) };
    if flags & HAD_QUERY != 0 {
        reader.u64()?;
    }
    let pooled = flags & IS_POOLED != 0;
    Some(Event {
        id,
        user,
        kind,
        at,
        advertiser,
        category,
        item,
        consent: true,
        pooled,
        conversion: None,
    })
}

fn read_join(reader: &mut Reader<'_>) -> Option<Join> {
    let source = reader.u64()?;
    let len = usize::from(reader.u8()?);
    let ids = (0..len.min(IDS_MAX)).map(|_| reader.u64().map(UserKey)).collect::<Option<Ids>>()?;
    (1..=IDS_MAX).contains(&len).then_some(Join { ids, source })
}

fn read_show(reader: &mut Reader<'_>) -> Option<ConfirmShow> {
    let user = UserKey(reader.u64()?);
    let (campaign, creative) = (CampaignId(reader.u64()?), CreativeId(reader.u64()?));
    let at = read_time(reader)?;
    let (node, core) = (reader.u16()?, reader.u16()?);
    let lease = LeaseId { node, core, boot: reader.u32()?, number: reader.u32()? };
    let hold = HoldId { lease, sequence: reader.u32()? };
    Some(ConfirmShow { user, campaign, creative, hold, at })
}

fn read_time(reader: &mut Reader<'_>) -> Option<Timestamp> {
    reader.u64().map(|at| Timestamp(at.cast_signed()))
}
