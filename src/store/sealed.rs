//! Files that say nothing without their key: a head in clear, and frames sealed by AES-256-GCM.
//!
//! ```text
//! magic 8 | version u16 | key id 8 | salt 32 | kind u64 | boot u32 | sequence u64 | at i64   (little-endian)
//! then frames: length u32 | last u8 | sealed bytes and their tag (16)
//! ```
//! * Each file has a key of its own, HKDF-SHA256 of the master key and a salt of 256 random bits, so
//!   a frame's number is its nonce and none is ever used twice.
//! * The whole head, the frame's number and whether it is the last are authenticated with each frame:
//!   frames cannot be moved, left out, cut off or brought into another file.
//! * A file is written under another name, synced and renamed: a crash leaves the one before.

use crate::units::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"outbid\x00s";
/// Grows with every change of the format or of what a body consists of.
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 78;
const TAG_BYTES: usize = 16;

/// Longest piece: what a reader holds in memory before it knows whether it is ours.
pub const PIECE_BYTES_MAX: usize = 128 * 1_024;

/// Why a sealed file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not begin as our files do, or is of another kind.
    #[error("this is no such file of ours")]
    Foreign,
    /// Another version of this program wrote it.
    #[error("it is of version {0}, and this program reads {VERSION}")]
    Version(u16),
    /// None of the keys is the one that it names.
    #[error("it was sealed with another key")]
    WrongKey,
    /// A frame is not as it was written, or one is missing.
    #[error("it is damaged at frame {0}")]
    Damaged(u64),
    /// A piece is longer than [`PIECE_BYTES_MAX`], or the machine gave no random bytes.
    #[error("it could not be sealed")]
    Unsealable,
}

/// A master key. Shown nowhere.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// These 256 bits.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What is sealed calls it by this: it tells keys apart and says nothing else of them.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, b"outbid key id");
        let mut id = [0; 8];
        id.copy_from_slice(&tag.as_ref()[..8]);
        id
    }

    /// The key of whatever has this salt (HKDF-SHA256, RFC 5869), whose nonces are its own. `None` never,
    /// as far as the library says.
    #[must_use]
    pub fn of_salt(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let drawn = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.0);
        let unbound = UnboundKey::from(drawn.expand(&[b"outbid sealed file"], &AES_256_GCM).ok()?);
        Some(LessSafeKey::new(unbound))
    }
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What its body is; a file of another kind is foreign.
    pub kind: u64,
    /// The start of the process that wrote it.
    pub boot: u32,
    /// Counts the files of this kind, over restarts too.
    pub sequence: u64,
    /// When it was begun.
    pub at: Timestamp,
}

fn head_bytes(head: &Head, key_id: [u8; 8], salt: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(key_id);
    bytes.extend(salt);
    bytes.extend(head.kind.to_le_bytes());
    bytes.extend(head.boot.to_le_bytes());
    bytes.extend(head.sequence.to_le_bytes());
    bytes.extend(head.at.0.to_le_bytes());
    bytes
}

/// The nonce of a frame of a file, and all that is authenticated with it.
fn bound_to(head: &[u8], number: u64, is_last: bool) -> (Nonce, Aad<Vec<u8>>) {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    let mut with = head.to_vec();
    with.extend(number.to_le_bytes());
    with.push(u8::from(is_last));
    (Nonce::assume_unique_for_key(nonce), Aad::from(with))
}

/// Writes a file piece by piece; it is there once [`SealedWriter::finish`] has returned.
pub struct SealedWriter {
    path: PathBuf,
    draft: PathBuf,
    file: BufWriter<File>,
    key: LessSafeKey,
    head: Vec<u8>,
    frames: u64,
}

impl SealedWriter {
    /// Begins a file that is to stand at `path`, readable by its owner alone.
    ///
    /// # Errors
    /// [`SealedError`].
    pub fn begin(path: &Path, key: &SealKey, head: &Head) -> Result<Self, SealedError> {
        let mut salt = [0; 32];
        SystemRandom::new().fill(&mut salt).map_err(|_| SealedError::Unsealable)?;
        let head = head_bytes(head, key.id(), &salt);
        let key = key.of_salt(&salt).ok_or(SealedError::Unsealable)?;
        let draft = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = BufWriter::new(options.open(&draft)?);
        file.write_all(&head)?;
        Ok(Self { path: path.to_owned(), draft, file, key, head, frames: 0 })
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// [`SealedError`]; the file before is still there.
    pub fn add(&mut self, piece: &[u8]) -> Result<(), SealedError> {
        self.frame(piece, false)
    }

    /// Ends the file and puts it in its place. Returns its bytes.
    ///
    /// # Errors
    /// [`SealedError`]; the file before is still there.
    pub fn finish(mut self) -> Result<u64, SealedError> {
        self.frame(&[], true)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        std::fs::rename(&self.draft, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(bytes)
    }

    fn frame(&mut self, piece: &[u8], is_last: bool) -> Result<(), SealedError> {
        if piece.len() > PIECE_BYTES_MAX {
            return Err(SealedError::Unsealable);
        }
        let mut sealed = piece.to_vec();
        let (nonce, with) = bound_to(&self.head, self.frames, is_last);
        let done = self.key.seal_in_place_append_tag(nonce, with, &mut sealed);
        done.map_err(|_| SealedError::Unsealable)?;
        self.frames += 1;
        self.file.write_all(&(sealed.len() as u32).to_le_bytes())?;
        self.file.write_all(&[u8::from(is_last)])?;
        Ok(self.file.write_all(&sealed)?)
    }
}

/// Reads a file piece by piece. What it hands out is as it was written; whether the file is whole is
/// known once [`SealedReader::next`] has said `None`.
pub struct SealedReader {
    file: BufReader<File>,
    key: LessSafeKey,
    head: Vec<u8>,
    said: Head,
    frames: u64,
    is_over: bool,
}

impl SealedReader {
    /// Opens the file at `path`; `None` where there is none. Nothing of the head is to be believed
    /// before the first piece was read.
    ///
    /// # Errors
    /// [`SealedError`].
    pub fn open(path: &Path, keys: &[SealKey], kind: u64) -> Result<Option<Self>, SealedError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut file = BufReader::new(file);
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head).map_err(|_| SealedError::Foreign)?;
        if head[..8] != MAGIC {
            return Err(SealedError::Foreign);
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version != VERSION {
            return Err(SealedError::Version(version));
        }
        let key = keys.iter().find(|key| key.id() == head[10..18]).ok_or(SealedError::WrongKey)?;
        let key = key.of_salt(&head[18..50]).ok_or(SealedError::WrongKey)?;
        let said = Head {
            kind: u64::from_le_bytes(part(&head, 50)),
            boot: u32::from_le_bytes(part(&head, 58)),
            sequence: u64::from_le_bytes(part(&head, 62)),
            at: Timestamp(i64::from_le_bytes(part(&head, 70))),
        };
        if said.kind != kind {
            return Err(SealedError::Foreign);
        }
        Ok(Some(Self { file, key, head: head.to_vec(), said, frames: 0, is_over: false }))
    }

    /// What the file says of itself.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.said
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// [`SealedError`].
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, SealedError> {
        if self.is_over {
            return Ok(None);
        }
        let number = self.frames;
        let damaged = |_| SealedError::Damaged(number);
        let mut start = [0; 5];
        self.file.read_exact(&mut start).map_err(damaged)?;
        let length = u32::from_le_bytes(part(&start, 0)) as usize;
        let is_last = start[4] == 1;
        if start[4] > 1 || !(TAG_BYTES..=PIECE_BYTES_MAX + TAG_BYTES).contains(&length) {
            return Err(SealedError::Damaged(number));
        }
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed).map_err(damaged)?;
        let (nonce, with) = bound_to(&self.head, number, is_last);
        let opened = self.key.open_in_place(nonce, with, &mut sealed);
        let length = opened.map_err(|_| SealedError::Damaged(number))?.len();
        sealed.truncate(length);
        self.frames += 1;
        if is_last {
            self.is_over = true;
            let has_more = self.file.read(&mut [0])? > 0;
            return if has_more { Err(SealedError::Damaged(number)) } else { Ok(None) };
        }
        Ok(Some(sealed))
    }
}

/// `N` bytes from `at` on.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|place| bytes[at + place])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: u64 = 7;
    const HEAD: Head = Head { kind: KIND, boot: 3, sequence: 9, at: Timestamp(1_700_000_000_000) };

    fn key(byte: u8) -> SealKey {
        SealKey::new([byte; 32])
    }

    fn write(path: &Path) -> u64 {
        let mut writer = SealedWriter::begin(path, &key(1), &HEAD).expect("begun");
        writer.add(b"reader-7 likes running-shoes").expect("added");
        writer.add(&[5; 300]).expect("added");
        writer.finish().expect("written")
    }

    fn read(path: &Path, keys: &[SealKey]) -> Result<(Head, Vec<Vec<u8>>), SealedError> {
        let mut reader = SealedReader::open(path, keys, KIND)?.expect("a file");
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next()? {
            pieces.push(piece);
        }
        Ok((*reader.head(), pieces))
    }

    #[test]
    fn what_was_written_is_read_under_its_key_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.sealed");
        assert!(SealedReader::open(&path, &[key(1)], KIND).expect("no error").is_none());
        let bytes = write(&path);
        assert_eq!(std::fs::metadata(&path).expect("a file").len(), bytes);
        let (head, pieces) = read(&path, &[key(2), key(1)]).expect("read");
        assert_eq!((head, pieces.len()), (HEAD, 2));
        assert_eq!(pieces[0], b"reader-7 likes running-shoes");
        assert!(matches!(read(&path, &[key(2)]), Err(SealedError::WrongKey)));
        assert!(matches!(
            SealedReader::open(&path, &[key(1)], KIND + 1),
            Err(SealedError::Foreign)
        ));
        let text = std::fs::read(&path).expect("bytes");
        assert!(!text.windows(8).any(|part| part == b"reader-7"));
        let first = text[18..50].to_vec();
        write(&path);
        assert_ne!(std::fs::read(&path).expect("bytes")[18..50], first, "a salt of its own");
    }

    #[test]
    fn damage_anywhere_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.sealed");
        write(&path);
        let whole = std::fs::read(&path).expect("bytes");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).expect("written");
            assert!(read(&path, &[key(1)]).is_err(), "byte {at}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            assert!(read(&path, &[key(1)]).is_err(), "cut at {length}");
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).expect("written");
        assert!(read(&path, &[key(1)]).is_err(), "longer");
        // Two sound frames that changed places.
        let (one, two) =
            (HEAD_BYTES + 5 + 28 + TAG_BYTES, HEAD_BYTES + 5 + 28 + TAG_BYTES + 5 + 316);
        let swapped =
            [&whole[..HEAD_BYTES], &whole[one..two], &whole[HEAD_BYTES..one], &whole[two..]];
        std::fs::write(&path, swapped.concat()).expect("written");
        assert!(matches!(read(&path, &[key(1)]), Err(SealedError::Damaged(0))));
        std::fs::write(&path, whole).expect("written");
        assert!(read(&path, &[key(1)]).is_ok());
    }
}
