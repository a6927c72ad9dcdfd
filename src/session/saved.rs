//! Sessions and aliases as bytes, to outlive the process. Whoever writes them to a disk seals them.
//!
//! A body is pieces, each begun by a byte that says what it holds; numbers are little-endian, since
//! most are hashes that no packing makes smaller:
//! ```text
//! 0 intro:     digest of the sequence model u64, 0 for none | journaled u64
//! 1 sessions:  user u64 | seen u32 | interests u8 | items u8 | shows u8 | has state u8, and then those
//! 2 forgotten: number of the stripe u16 | 256 seconds u32
//! 3 groups:    ids u8, and for each id u64 | place of the next u8 | used u32
//! ```
//! Sessions are saved as of one moment, the cut, however long it takes: then what a journal has up to
//! there is in them and nothing of what it has after, so that it may be applied again. The walk takes
//! one stripe's lock for 64 sessions at a time, to read, from the last place down; whoever changes a
//! session that it has not met yet leaves an image of it as it was. What is removed meanwhile brings a
//! session from behind the walk before it, which is seen to have been saved. Groups are saved at the
//! end as they are then: a start brings the sessions of each together ([`super::Replay::settle`]).

use super::alias::Aliases;
use super::table::{Cut, SessionTable};
use super::user::UserSession;
use crate::units::{Timestamp, UserKey};

/// Bytes after which a piece is handed on; one stripe's turn may add some 50 kB.
const PIECE_BYTES: usize = 64 * 1_024;

/// Sessions copied under one lock: some microseconds, in which their shard waits and readers do not.
pub(super) const SESSIONS_PER_LOCK: usize = 64;

const INTRO: u8 = 0;
const SESSIONS: u8 = 1;
const FORGOTTEN: u8 = 2;
const GROUPS: u8 = 3;

/// Where pieces go.
pub(super) struct Pieces<'a, E> {
    take: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    bytes: Vec<u8>,
}

impl<E> Pieces<'_, E> {
    /// Adds what `write` writes, as part of a piece of this kind.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), E> {
        write(&mut self.bytes);
        if self.bytes.len() < PIECE_BYTES { Ok(()) } else { self.end() }
    }

    fn end(&mut self) -> Result<(), E> {
        if self.bytes.len() > 1 {
            (self.take)(&self.bytes)?;
            self.bytes.truncate(1);
        }
        Ok(())
    }
}

/// Hands all sessions, as of `cut`, and aliases to `take`, in pieces of at most 128 kB. `model` is the
/// digest of the sequence model that steps their states, 0 for none. Where `take` fails it is not called
/// again, and the walk ends all the same: the next one relies on it.
///
/// # Errors
/// Whatever `take` says first.
pub fn save<E>(
    (table, aliases): (&SessionTable, Option<&Aliases>),
    cut: &Cut,
    model: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut intro = vec![INTRO];
    intro.extend(model.to_le_bytes());
    intro.extend(cut.journaled.to_le_bytes());
    let mut outcome = take(&intro);
    let walked = save_sessions(table, cut, &mut |piece| {
        if outcome.is_ok() {
            outcome = take(piece);
        }
        Ok::<_, E>(())
    });
    walked.and(outcome)?;
    for stripe in 0..table.stripe_count() {
        let mut piece = vec![FORGOTTEN];
        piece.extend((stripe as u16).to_le_bytes());
        if table.save_forgotten(stripe, &mut piece) {
            take(&piece)?;
        }
    }
    let Some(aliases) = aliases else { return Ok(()) };
    let saved = save_groups(aliases, take);
    aliases.end_saving();
    saved
}

fn save_groups<E>(
    aliases: &Aliases,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut pieces = Pieces { take, bytes: vec![GROUPS] };
    let mut step = Some(aliases.begin_saving());
    while let Some(at) = step {
        pieces.add(|out| step = aliases.save(at, out))?;
    }
    pieces.end()
}

fn save_sessions<E>(
    table: &SessionTable,
    cut: &Cut,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut pieces = Pieces { take, bytes: vec![SESSIONS] };
    for stripe in 0..table.stripe_count() {
        let mut before = usize::MAX;
        while before > 0 {
            pieces.add(|out| before = table.save_some(stripe, before, cut, out))?;
        }
        for image in table.end_walk(stripe, cut) {
            pieces.add(|out| out.extend(image))?;
        }
    }
    pieces.end()
}

/// A piece is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece of it is none of this version")]
pub struct Malformed;

/// Puts pieces back, before anybody reads or writes the tables.
pub struct Restorer<'a> {
    /// Where sessions go.
    pub table: &'a SessionTable,
    /// Where aliases go; without it they are dropped.
    pub aliases: Option<&'a Aliases>,
    /// The digest of the present sequence model: states of another one mean nothing.
    pub model: u64,
    /// The present: what has expired is dropped.
    pub now: Timestamp,
    /// Users who are to be forgotten, with all their ids.
    pub is_forgotten: &'a dyn Fn(UserKey) -> bool,
    /// Sessions taken over so far, copies included.
    pub sessions: u64,
    /// Sessions and ids left out so far, because their users are forgotten.
    pub forgotten: u64,
    /// Whether states are of the present model.
    pub keeps_states: bool,
    /// The last position of the journal that is in the sessions; 0 for none.
    pub journaled: u64,
}

impl Restorer<'_> {
    /// Takes over a piece.
    ///
    /// # Errors
    /// [`Malformed`]; what the tables hold by then is to be dropped.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let (&kind, rest) = piece.split_first().ok_or(Malformed)?;
        let mut reader = Reader(rest);
        match kind {
            INTRO => {
                let model = reader.u64().ok_or(Malformed)?;
                self.keeps_states = model == self.model && model != 0;
                // Savings of before there was a journal end here.
                if !reader.0.is_empty() {
                    self.journaled = reader.u64().ok_or(Malformed)?;
                }
            }
            SESSIONS => {
                while !reader.0.is_empty() {
                    self.session(&mut reader).ok_or(Malformed)?;
                }
            }
            FORGOTTEN => {
                let stripe = reader.u16().ok_or(Malformed)?;
                self.table.restore_forgotten(stripe.into(), &mut reader).ok_or(Malformed)?;
            }
            GROUPS => {
                while !reader.0.is_empty() {
                    self.group(&mut reader).ok_or(Malformed)?;
                }
            }
            _ => return Err(Malformed),
        }
        if reader.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn session(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let mut session = UserSession::load(reader)?;
        if (self.is_forgotten)(session.user) {
            self.forgotten += 1;
            return Some(());
        }
        if !self.keeps_states {
            session.drop_state();
        }
        self.sessions += u64::from(self.table.restore(session, self.now));
        Some(())
    }

    fn group(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let group = super::alias::SavedGroup::load(reader)?;
        if group.ids().any(|id| (self.is_forgotten)(id)) {
            self.forgotten += 1;
        } else if let Some(aliases) = self.aliases {
            aliases.restore(&group);
        }
        Some(())
    }
}

/// Reads what was written, from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }
}
