//! The file of a model: a head that says what it is, and a body in postcard.
//!
//! ```text
//! magic 8 | version u32 | map u64 | epoch u64 | length u64 | crc u32 | body     (little-endian)
//! ```
//! The checksum (CRC-32) covers the head before it and the body. `map` is a digest of the feature map and of
//! the model's shape: weights mean nothing under other fields. A file is written whole under another
//! name, synced, and then renamed, so that a crash leaves the one before.

use super::config::{FwfmConfig, Rates};
use crate::hash;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write as _;
use std::path::Path;

const MAGIC: [u8; 8] = *b"outbid\x00m";
/// Grows with every change of what a body consists of.
const VERSION: u32 = 2;
/// Bytes of the head.
const HEAD: usize = 40;
/// Largest file that is read: four models of 2^22 vectors at k = 16 and 2^24 weights are 2.7 GB, and
/// whoever means that has the memory. A file beyond is not ours.
const BYTES_MAX: u64 = 4 << 30;

/// Why a model file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It does not begin as a model file does.
    #[error("this is no model file")]
    Foreign,
    /// Another version of this program wrote it.
    #[error("it is of version {found}, and this program reads {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It ends before its end, or goes on behind it.
    #[error("it has {found} bytes where its head says {expected}")]
    Length {
        /// Its bytes.
        found: u64,
        /// What they should be.
        expected: u64,
    },
    /// Its bytes are not those that were written.
    #[error("its checksum does not match: it is damaged")]
    Damaged,
    /// It is of a model with another feature map or shape.
    #[error("it belongs to another feature map, or to a model of another shape")]
    OtherMap {
        /// The digest that it was written under.
        found: u64,
    },
    /// It is of a model that differs in the size of its vectors alone.
    #[error("its vectors have {found} components, and `prediction.dim` is {expected}")]
    OtherDim {
        /// Its components.
        found: u8,
        /// Those of the model that was to go on with it.
        expected: u8,
    },
    /// Its numbers are none that learning can reach.
    #[error("its {0} are not those of a model")]
    Unsound(&'static str),
}

/// A digest of a feature map (the names of its fields in their order) and of the shape of the models
/// over it.
#[must_use]
pub fn map_digest<'a>(
    names: impl IntoIterator<Item = &'a str>,
    config: &FwfmConfig,
    rates: &[Rates],
) -> u64 {
    let names = names.into_iter().map(|name| hash::stable(name.as_bytes()));
    let numbers = [
        config.fields as u64,
        config.dense as u64,
        config.dim.into(),
        config.linear_bits.into(),
        config.vector_bits.into(),
        config.frozen_from as u64,
        // Weights say how far the logit lies from this rate's.
        config.base_rate.to_bits(),
    ];
    let rules = rates.iter().map(|rates| rates.rule as u64);
    names.chain(numbers).chain(rules).fold(hash::mix(VERSION.into()), hash::combine)
}

/// A model file's bytes.
#[must_use]
pub fn encode<T: Serialize>(map: u64, epoch: u64, body: &T) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(map.to_le_bytes());
    bytes.extend(epoch.to_le_bytes());
    // Its length and checksum follow when they are known.
    bytes.resize(HEAD, 0);
    // It cannot fail: every part has a postcard form and the vector grows. Should it, the empty file
    // is one that every reader refuses.
    let mut bytes = postcard::to_extend(body, bytes).unwrap_or_default();
    let length = bytes.len() as u64;
    if let Some(place) = bytes.get_mut(28..36) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    let checksum = checksum(&bytes);
    if let Some(place) = bytes.get_mut(36..HEAD) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// The epoch and the body of a model file for the feature map `map`.
///
/// # Errors
/// When it is foreign, of another version, cut off, damaged or of another feature map.
pub fn decode<T: DeserializeOwned>(map: u64, bytes: &[u8]) -> Result<(u64, T), ModelFileError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(ModelFileError::Foreign);
    }
    let length_error = |expected| ModelFileError::Length { found: bytes.len() as u64, expected };
    let head = bytes.first_chunk::<HEAD>().ok_or_else(|| length_error(HEAD as u64))?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
    let found = number(8) as u32;
    if found != VERSION {
        return Err(ModelFileError::Version { found });
    }
    if number(28) != bytes.len() as u64 {
        return Err(length_error(number(28)));
    }
    if u64::from(checksum(bytes)) != number(32) >> 32 {
        return Err(ModelFileError::Damaged);
    }
    if number(12) != map {
        return Err(ModelFileError::OtherMap { found: number(12) });
    }
    match postcard::take_from_bytes(&bytes[HEAD..]) {
        Ok((body, [])) => Ok((number(20), body)),
        _ => Err(ModelFileError::Unsound("parts")),
    }
}

/// Reads a model file; `None` where there is none.
///
/// # Errors
/// As [`decode`], and when it cannot be read.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    map: u64,
) -> Result<Option<(u64, T)>, ModelFileError> {
    let size = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found?.len(),
    };
    if size > BYTES_MAX {
        return Err(ModelFileError::Length { found: size, expected: BYTES_MAX });
    }
    decode(map, &std::fs::read(path)?).map(Some)
}

/// Puts `bytes` in the place of the file at `path`, in one step that outlives a crash.
///
/// # Errors
/// What the operating system says; the file before is still there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelFileError> {
    let draft = path.with_extension("new");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// Of everything but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    let (head, body) = bytes.split_at(bytes.len().min(HEAD));
    crc.update(&head[..head.len().min(HEAD - 4)]);
    crc.update(body);
    crc.finalize()
}
