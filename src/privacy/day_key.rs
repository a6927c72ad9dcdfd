//! The secret of one day: what turns a user's key into the pseudonym of one day, and seals what the
//! bounder writes down of it. It is drawn anew for each day and destroyed after it, and what was kept
//! under it says nothing more then.
//!
//! The file is 0600, overwritten with zeros and synced before it is removed. Journaling file systems
//! and flash keep older blocks where no program reaches them; who fears for those encrypts the disk.

use super::cell::{KINDS, Kind};
use super::config::Error;
use super::ledger::record::digest_of;
use crate::units::UserKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

/// Most bytes of a key file that are read: it has some eighty.
const FILE_BYTES_MAX: u64 = 1_024;
/// Sealed records are padded to a multiple of so many bytes: their lengths tell nothing finer.
const PADDING: usize = 4_096;
/// Admissions of one sealed record: at most 20 bytes each.
const ADMISSIONS_MAX: usize = super::ledger::record::CHUNK_BYTES / 20 - PADDING / 20;

/// One user on one day. Without the day's key it belongs to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub(super) u64);

/// What the bounder has admitted of somebody. No `Debug`: it is as raw as a count.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Admission {
    user: u64,
    cell: u32,
    kind: u8,
    units: u16,
}

impl Admission {
    /// In the place of a kind: a shown ad that taught.
    const EXAMPLE: u8 = u8::MAX;

    /// One shown ad that taught.
    pub const fn example(user: Pseudonym) -> Self {
        Self { user: user.0, cell: 0, kind: Self::EXAMPLE, units: 1 }
    }

    /// Whose shown ad it was that taught; `None` where it is something else.
    pub const fn taught_by(self) -> Option<Pseudonym> {
        if self.kind == Self::EXAMPLE { Some(Pseudonym(self.user)) } else { None }
    }

    /// `units` of `kind` that `user` counts in a cell.
    pub const fn new(user: Pseudonym, cell: u32, kind: Kind, units: u16) -> Self {
        Self { user: user.0, cell, kind: kind.index() as u8, units }
    }

    /// Its parts; `None` where it names no kind.
    pub fn parts(self) -> Option<(Pseudonym, u32, Kind, u16)> {
        let kind = *Kind::ALL.get(usize::from(self.kind)).filter(|kind| kind.index() < KINDS)?;
        Some((Pseudonym(self.user), self.cell, kind, self.units))
    }
}

/// The secret of one day. It has no `Debug` and no `Serialize`.
#[derive(Clone)]
pub struct DayKey {
    pseudonyms: [u8; 16],
    seal: [u8; 32],
    /// The noised bar of the day's users: as secret as what is held against it.
    bar: Option<i64>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    day: i32,
    pseudonyms: [u8; 16],
    seal: [u8; 32],
    bar: Option<i64>,
    check: u64,
}

impl DayKey {
    /// A new one from the machine's generator.
    ///
    /// # Errors
    /// [`Error::Noise`] where the machine gives no random bytes.
    pub fn draw() -> Result<Self, Error> {
        Ok(Self { pseudonyms: random()?, seal: random()?, bar: None })
    }

    /// Who `user` is on this day (SipHash-2-4 under the day's key).
    #[must_use]
    pub fn pseudonym(&self, user: UserKey) -> Pseudonym {
        let mut hasher = SipHasher24::new_with_key(&self.pseudonyms);
        hasher.write_u64(user.0);
        Pseudonym(hasher.finish())
    }

    /// A digest that says nothing of it: whether another is the same.
    pub(super) fn digest(&self) -> u64 {
        digest_of(&[self.pseudonyms.as_slice(), self.seal.as_slice()].concat())
    }

    pub(super) const fn bar(&self) -> Option<i64> {
        self.bar
    }

    pub(super) const fn set_bar(&mut self, bar: i64) {
        self.bar = Some(bar);
    }

    /// Sealed records of what was admitted, sorted by pseudonym so that they tell no order.
    ///
    /// # Errors
    /// [`Error::Noise`] where the machine gives no random bytes.
    pub(super) fn seal(&self, mut admissions: Vec<Admission>) -> Result<Vec<Vec<u8>>, Error> {
        admissions.sort_unstable_by_key(|one| (one.user, one.cell, one.kind));
        let sealed = admissions.chunks(ADMISSIONS_MAX).map(|chunk| self.seal_list(b"", chunk));
        sealed.collect()
    }

    /// Seals a list, padded; what it is sealed as must be named again to open it.
    ///
    /// # Errors
    /// [`Error::Noise`] where the machine gives no random bytes.
    pub(super) fn seal_list<T: Serialize>(
        &self,
        sealed_as: &[u8],
        list: &[T],
    ) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let failed = || Error::Noise("the bounder's records could not be sealed".to_owned());
        let mut body = postcard::to_allocvec(list).map_err(|_| failed())?;
        body.resize(body.len().next_multiple_of(PADDING), 0);
        let key = self.aead().ok_or_else(failed)?;
        let sealed = Nonce::assume_unique_for_key(nonce);
        let sealed_as = Aad::from(sealed_as);
        key.seal_in_place_append_tag(sealed, sealed_as, &mut body).map_err(|_| failed())?;
        Ok([nonce.as_slice(), &body].concat())
    }

    /// What a sealed record holds; `None` where it is not of this day, or damaged.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<Admission>> {
        self.open_list(b"", sealed)
    }

    /// What a sealed list holds; `None` where it is not of this day, sealed as something else, or
    /// damaged.
    pub(super) fn open_list<T: DeserializeOwned>(
        &self,
        sealed_as: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<T>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let opened = self.aead()?.open_in_place(nonce, Aad::from(sealed_as), &mut body).ok()?;
        // What follows is padding.
        postcard::take_from_bytes(opened).ok().map(|(list, _)| list)
    }

    fn aead(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.seal).ok().map(LessSafeKey::new)
    }
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Error> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Noise("the machine gave no random bytes".to_owned()))?;
    Ok(bytes)
}

/// Where the day's key is kept while the day lasts.
pub struct KeyFile(Option<PathBuf>);

impl KeyFile {
    /// A file of this name.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// Nowhere: it ends with the process.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self(None)
    }

    /// The key of `day`, if the file has it whole.
    pub(super) fn load(&self, day: i32) -> Option<DayKey> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(self.0.as_ref()?).ok()?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let stored: Stored = postcard::from_bytes(&bytes).ok()?;
        let key = DayKey { pseudonyms: stored.pseudonyms, seal: stored.seal, bar: stored.bar };
        let is_whole = stored.version == 1 && stored.check == check(day, &key);
        (is_whole && stored.day == day).then_some(key)
    }

    /// Keeps the key of `day` in the place of any other. Durable when it returns.
    pub(super) fn store(&self, day: i32, key: &DayKey) -> std::io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        self.destroy()?;
        let DayKey { pseudonyms, seal, bar } = key.clone();
        let stored = Stored { version: 1, day, pseudonyms, seal, bar, check: check(day, key) };
        let bytes = postcard::to_allocvec(&stored).map_err(std::io::Error::other)?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        self.sync_folder()
    }

    /// Overwrites and removes whatever key is there: its day is released no more.
    ///
    /// # Errors
    /// What the operating system says; the file may still be there.
    pub fn destroy(&self) -> std::io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut file = match std::fs::OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(file.metadata()?.len().min(FILE_BYTES_MAX)).unwrap_or(0);
        file.write_all(&vec![0; length])?;
        file.sync_all()?;
        std::fs::remove_file(path)?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        let folder = self.0.as_ref().and_then(|path| path.parent());
        match folder.filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn check(day: i32, key: &DayKey) -> u64 {
    let bar = key.bar.unwrap_or(i64::MIN).to_le_bytes();
    digest_of(&[key.digest().to_le_bytes().as_slice(), &day.to_le_bytes(), &bar].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admissions(count: u64) -> Vec<Admission> {
        let one = |user: u64| Admission::new(Pseudonym(u64::MAX - user), u32::MAX, Kind::Spend, 9);
        (0..count).map(one).collect()
    }

    #[test]
    fn what_is_sealed_is_read_with_its_key_alone_and_has_one_length() {
        let (key, other) = (DayKey::draw().unwrap(), DayKey::draw().unwrap());
        let sealed = key.seal(admissions(1)).unwrap();
        assert_eq!(sealed.len(), 1);
        assert!(other.open(&sealed[0]).is_none());
        let opened = key.open(&sealed[0]).unwrap();
        let (user, cell, kind, units) = opened[0].parts().unwrap();
        assert_eq!((user, cell, kind, units), (Pseudonym(u64::MAX), u32::MAX, Kind::Spend, 9));
        for at in [0, NONCE_LEN, sealed[0].len() - 1] {
            let mut damaged = sealed[0].clone();
            damaged[at] ^= 1;
            assert!(key.open(&damaged).is_none(), "{at}");
        }
        assert_eq!(key.seal(admissions(100)).unwrap()[0].len(), sealed[0].len());
        let many = key.seal(admissions(20_000)).unwrap();
        assert!(many.iter().all(|one| one.len() < 60_000));
        let opened: usize = many.iter().map(|one| key.open(one).unwrap().len()).sum();
        assert_eq!(opened, 20_000);
    }

    #[test]
    fn a_key_is_kept_for_its_day_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("privacy.key");
        let file = KeyFile::at(path.clone());
        assert!(file.load(5).is_none());
        let mut key = DayKey::draw().unwrap();
        key.set_bar(-7);
        file.store(5, &key).unwrap();
        let loaded = file.load(5).unwrap();
        assert_eq!((loaded.digest(), loaded.bar()), (key.digest(), Some(-7)));
        assert!(file.load(6).is_none(), "of another day");
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            assert!(file.load(5).is_none(), "byte {at} damaged");
        }
        // The file's blocks are overwritten before its name goes.
        std::fs::write(&path, &bytes).unwrap();
        let held = std::fs::File::open(&path).unwrap();
        file.destroy().unwrap();
        assert!(!path.exists());
        let mut left = Vec::new();
        { held }.read_to_end(&mut left).unwrap();
        assert_eq!(left, vec![0; bytes.len()]);
        file.destroy().unwrap();
    }
}
