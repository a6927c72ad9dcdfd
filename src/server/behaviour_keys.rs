//! The keys that seal the behaviour log: one for each day (UTC), drawn from the machine's generator and
//! destroyed when the day's time is over. What was sealed under it says nothing any more then, wherever
//! a copy of it lies.
//!
//! All keys that are kept lie in one file, sealed by the key that seals sessions. Where one goes, the
//! file is written anew under another name, takes the old one's place, and the old one's bytes are
//! overwritten with zeros and synced. Journaling file systems and flash keep older blocks where no
//! program reaches them.
//!
//! ```text
//! record: version u8 | day i32 | key id 8 | salt 16 | number u64 | sealed bytes and their tag (16)
//! ```
//! The salt is drawn at each start and the number counts from there, so the key of a day and a salt
//! (HKDF-SHA256) never seals two records under one nonce, also where an older folder comes back. The
//! whole head is authenticated.

use crate::hash;
use crate::server::saved_sessions::written;
use crate::session::PIECE_BYTES_MAX;
use crate::store::{BODY_BYTES_MAX, Head, SealKey, SealedError, SealedReader, SealedWriter};
use crate::units::Timestamp;
use bytes::Bytes;
use ring::aead::{Aad, LessSafeKey, Nonce};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the file holds, in its version.
const KIND: u64 = hash::mix(0x6265_6861_6b65_7901);
/// Grows with every change of what a record consists of.
const VERSION: u8 = 1;
/// Version, day, key id and salt: what all records of one sealing begin with.
const START_BYTES: usize = 29;
const HEAD_BYTES: usize = START_BYTES + 8;
const TAG_BYTES: usize = 16;
const _: () = assert!(HEAD_BYTES + PIECE_BYTES_MAX + TAG_BYTES <= BODY_BYTES_MAX);
const DAY_MS: i64 = 86_400_000;

/// The day (UTC) of a time, counted from 1970.
pub fn day_of(at: Timestamp) -> i32 {
    i32::try_from(at.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX)
}

/// When a day begins.
pub fn start_of(day: i32) -> Timestamp {
    Timestamp(i64::from(day) * DAY_MS)
}

/// One key. It has no `Debug`.
#[derive(Clone)]
struct DayKey {
    day: i32,
    secret: [u8; 32],
}

impl DayKey {
    fn draw(day: i32) -> Result<Self, SealedError> {
        Ok(Self { day, secret: random()? })
    }

    fn key(&self) -> SealKey {
        SealKey::new(self.secret)
    }

    fn to_bytes(&self) -> Vec<u8> {
        [self.day.to_le_bytes().as_slice(), &self.secret].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (day, secret) = bytes.split_first_chunk::<4>()?;
        Some(Self { day: i32::from_le_bytes(*day), secret: secret.try_into().ok()? })
    }
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], SealedError> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealedError::Unsealable)?;
    Ok(bytes)
}

/// The keys that are kept, and their file.
pub struct DayKeys {
    file: PathBuf,
    master: SealKey,
    boot: u32,
    /// Days after its own for which a key is kept.
    keep_days: i32,
    /// The oldest first; the last one seals.
    keys: Vec<DayKey>,
    /// Files written by this process.
    writings: u64,
}

impl DayKeys {
    /// The keys that `file` has; none where it cannot be read, and then it is put aside. The first of
    /// `masters` seals.
    pub fn open(file: &Path, masters: &[SealKey; 2], boot: u32, keep_days: i32) -> Self {
        let [master, _] = masters.clone();
        let file = file.to_owned();
        let keys = read(&file, masters).unwrap_or_else(|error| {
            let aside = file.with_extension("refused");
            let moved = std::fs::rename(&file, &aside);
            let (file, aside) = (file.display(), aside.display());
            tracing::error!(%error, %file, %aside, ?moved, "the behaviour log's keys are refused");
            Vec::new()
        });
        Self { file, master, boot, keep_days, keys, writings: 0 }
    }

    /// Keys that are kept.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// What seals from the start of this process on; as [`DayKeys::turn`] otherwise.
    ///
    /// # Errors
    /// As [`DayKeys::turn`].
    pub fn begin(&mut self, now: Timestamp) -> Result<Sealing, SealedError> {
        match self.turn(now)? {
            Some(sealing) => Ok(sealing),
            None => self.sealing(),
        }
    }

    /// Draws the key of the day of `now` where there is none, and destroys those whose time is over.
    /// Returns what seals from here on, where that is new.
    ///
    /// # Errors
    /// The file cannot be written, or there are no random bytes: the keys stay as they are.
    pub fn turn(&mut self, now: Timestamp) -> Result<Option<Sealing>, SealedError> {
        self.destroy_refused(now);
        let today = day_of(now);
        let is_over = |key: &DayKey| key.day.saturating_add(self.keep_days) < today;
        let is_new = self.keys.last().is_none_or(|key| key.day < today);
        if !is_new && !self.keys.iter().any(is_over) {
            return Ok(None);
        }
        let mut keys: Vec<_> = self.keys.iter().filter(|key| !is_over(key)).cloned().collect();
        if is_new {
            keys.push(DayKey::draw(today)?);
        }
        self.keep(keys, now)?;
        if is_new { self.sealing().map(Some) } else { Ok(None) }
    }

    /// Draws another key of the day of `now`; what it seals is told apart from all before.
    ///
    /// # Errors
    /// As [`DayKeys::turn`].
    pub fn renew(&mut self, now: Timestamp) -> Result<Sealing, SealedError> {
        let mut keys = self.keys.clone();
        keys.push(DayKey::draw(day_of(now))?);
        self.keep(keys, now)?;
        self.sealing()
    }

    /// Destroys all keys but the one that seals.
    ///
    /// # Errors
    /// As [`DayKeys::turn`].
    pub fn destroy_before(&mut self, now: Timestamp) -> Result<(), SealedError> {
        let last = self.keys.last().cloned().into_iter().collect();
        self.keep(last, now)
    }

    /// What opens records.
    pub fn opener(&self) -> Opener {
        Opener { keys: self.keys.iter().map(|key| (key.day, key.key())).collect(), last: None }
    }

    fn sealing(&self) -> Result<Sealing, SealedError> {
        let last = self.keys.last().ok_or(SealedError::Unsealable)?;
        let (key, salt) = (last.key(), random::<16>()?);
        let mut start = [0; START_BYTES];
        start[0] = VERSION;
        start[1..5].copy_from_slice(&last.day.to_le_bytes());
        start[5..13].copy_from_slice(&key.id());
        start[13..].copy_from_slice(&salt);
        let key = key.of_salt(&salt).ok_or(SealedError::Unsealable)?;
        Ok(Sealing { start, key, count: AtomicU64::new(0) })
    }

    /// Puts `keys` in the place of those before, also on the disk.
    fn keep(&mut self, keys: Vec<DayKey>, now: Timestamp) -> Result<(), SealedError> {
        let old = OpenOptions::new().write(true).open(&self.file);
        self.writings += 1;
        let head = Head { kind: KIND, boot: self.boot, sequence: self.writings, at: now };
        let mut writer = SealedWriter::begin(&self.file, &self.master, &head)?;
        for key in &keys {
            writer.add(&key.to_bytes())?;
        }
        writer.finish()?;
        self.keys = keys;
        // By now the name is the new file's.
        if let Ok(old) = old {
            overwrite(old)?;
        }
        Ok(())
    }

    /// A file that was refused may hold keys, so its time is theirs.
    fn destroy_refused(&self, now: Timestamp) {
        let aside = self.file.with_extension("refused");
        let keep_ms = (i64::from(self.keep_days) + 1) * DAY_MS;
        if written(&aside).is_none_or(|at| now.millis_since(at) <= keep_ms) {
            return;
        }
        let destroyed = OpenOptions::new().write(true).open(&aside).and_then(overwrite);
        let removed = destroyed.and_then(|()| std::fs::remove_file(&aside));
        tracing::info!(file = %aside.display(), ?removed, "a refused file has had its time");
    }
}

fn overwrite(mut file: std::fs::File) -> std::io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

fn read(file: &Path, masters: &[SealKey]) -> Result<Vec<DayKey>, SealedError> {
    let Some(mut reader) = SealedReader::open(file, masters, KIND)? else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    while let Some(piece) = reader.next()? {
        keys.push(DayKey::from_bytes(&piece).ok_or(SealedError::Foreign)?);
    }
    Ok(keys)
}

fn nonce_of(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Seals records, from any thread.
pub struct Sealing {
    start: [u8; START_BYTES],
    key: LessSafeKey,
    /// Records sealed; only that no two have one number matters.
    count: AtomicU64,
}

impl Sealing {
    /// The record that `piece` becomes; `None` never, as far as the library says.
    pub fn seal(&self, mut piece: Vec<u8>) -> Option<Bytes> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mut record = [&self.start[..], &number.to_le_bytes()].concat();
        let sealed =
            self.key.seal_in_place_append_tag(nonce_of(number), Aad::from(&record), &mut piece);
        sealed.ok()?;
        record.extend(piece);
        Some(record.into())
    }
}

/// Why a record says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its key is not there any more.
    NoKey,
    /// It is not as it was sealed, or of another version.
    Damaged,
}

/// Opens records.
pub struct Opener {
    keys: Vec<(i32, SealKey)>,
    /// The last one that was used, by what its records begin with: they come in runs.
    last: Option<([u8; START_BYTES], LessSafeKey)>,
}

impl Opener {
    /// What was sealed as `record`.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn open(&mut self, record: &[u8]) -> Result<Vec<u8>, Closed> {
        let (head, sealed) = record.split_at_checked(HEAD_BYTES).ok_or(Closed::Damaged)?;
        let (start, number) = head.split_first_chunk::<START_BYTES>().ok_or(Closed::Damaged)?;
        let number = u64::from_le_bytes(number.try_into().map_err(|_| Closed::Damaged)?);
        if start[0] != VERSION {
            return Err(Closed::Damaged);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != start) {
            let is_its = |(day, key): &&(i32, SealKey)| {
                day.to_le_bytes() == start[1..5] && key.id() == start[5..13]
            };
            let (_, key) = self.keys.iter().find(is_its).ok_or(Closed::NoKey)?;
            self.last = Some((*start, key.of_salt(&start[13..]).ok_or(Closed::Damaged)?));
        }
        let Some((_, key)) = &self.last else { return Err(Closed::NoKey) };
        let mut piece = sealed.to_vec();
        let opened = key.open_in_place(nonce_of(number), Aad::from(head), &mut piece);
        let length = opened.map_err(|_| Closed::Damaged)?.len();
        piece.truncate(length);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _};

    const MASTERS: [SealKey; 2] = [SealKey::new([1; 32]), SealKey::new([2; 32])];

    fn at_day(day: i32) -> Timestamp {
        start_of(day).plus_millis(DAY_MS / 2)
    }

    fn open(file: &Path) -> DayKeys {
        DayKeys::open(file, &MASTERS, 7, 1)
    }

    #[test]
    fn a_record_is_opened_with_its_days_key_alone_and_not_after_its_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("behaviour.key");
        let mut keys = open(&file);
        let first = keys.turn(at_day(5)).expect("drawn").expect("new");
        assert!(keys.turn(at_day(5)).expect("nothing to do").is_none());
        let record = first.seal(b"reader-7 likes shoes".to_vec()).expect("sealed");
        assert!(!record.windows(8).any(|part| part == b"reader-7"));
        let other = first.seal(b"reader-7 likes shoes".to_vec()).expect("sealed");
        assert_ne!(record[HEAD_BYTES..], other[HEAD_BYTES..], "a nonce of its own");
        // The next process, and the next day.
        let mut keys = open(&file);
        let second = keys.turn(at_day(6)).expect("drawn").expect("new");
        assert_ne!(second.start, first.start);
        assert_eq!(keys.opener().open(&record).as_deref(), Ok(&b"reader-7 likes shoes"[..]));
        for at in 0..record.len() {
            let mut damaged = record.to_vec();
            damaged[at] ^= 1;
            assert!(keys.opener().open(&damaged).is_err(), "byte {at}");
        }
        for length in 0..record.len() {
            assert!(keys.opener().open(&record[..length]).is_err(), "cut at {length}");
        }
        assert!(keys.turn(at_day(7)).expect("drawn").is_some());
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.opener().open(&record), Err(Closed::NoKey), "its time is over");
        assert_eq!(open(&file).opener().open(&record), Err(Closed::NoKey), "on the disk too");
    }

    #[test]
    fn a_key_that_goes_is_overwritten_and_other_masters_open_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("behaviour.key");
        let mut keys = open(&file);
        let first = keys.turn(at_day(5)).expect("drawn").expect("new");
        let record = first.seal(b"x".to_vec()).expect("sealed");
        let mut held = std::fs::File::open(&file).expect("a file");
        let second = keys.renew(at_day(5)).expect("drawn");
        let later = second.seal(b"y".to_vec()).expect("sealed");
        let mut left = Vec::new();
        held.rewind().and_then(|()| held.read_to_end(&mut left)).expect("read");
        assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0), "{left:?}");
        assert!(keys.opener().open(&record).is_ok());
        keys.destroy_before(at_day(5)).expect("written");
        assert_eq!(keys.opener().open(&record), Err(Closed::NoKey));
        assert_eq!(open(&file).opener().open(&later).as_deref(), Ok(&b"y"[..]));

        let strangers = [SealKey::new([3; 32]), SealKey::new([4; 32])];
        assert_eq!(DayKeys::open(&file, &strangers, 8, 1).len(), 0);
        assert!(file.with_extension("refused").exists() && !file.exists());
    }

    #[test]
    fn damaged_keys_are_put_aside_and_go_when_their_time_is_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("behaviour.key");
        open(&file).turn(at_day(5)).expect("drawn");
        let mut bytes = std::fs::read(&file).expect("a file");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&file, bytes).expect("written");
        let mut keys = open(&file);
        assert_eq!(keys.len(), 0);
        let aside = file.with_extension("refused");
        let today = day_of(written(&aside).expect("put aside"));
        keys.turn(at_day(today)).expect("drawn");
        assert!(aside.exists() && file.exists());
        keys.turn(at_day(today + 3)).expect("drawn");
        assert!(!aside.exists());
    }
}
