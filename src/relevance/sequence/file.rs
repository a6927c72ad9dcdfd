//! A model's file: written whole or not at all, and refused unless it is whole.
//!
//! Little-endian: `OUTBIDSQ`, version (u32), hidden, categories, items (u32 each), digest of the
//! vocabulary (u64), the category ids (u32 each), the parameters (f32 each), and at the end the
//! CRC-32 of everything before it.

use super::SequenceError;
use super::model::SequenceModel;
use super::shape::Shape;
use super::vocabulary::Vocabulary;
use crate::units::CategoryId;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};

const MAGIC: &[u8; 8] = b"OUTBIDSQ";
const VERSION: u32 = 1;
const HEADER: usize = 32;
/// Bytes of the largest file that is read: the largest shape comes to some 130 MB.
const BYTES_MAX: u64 = 256 << 20;

impl SequenceModel {
    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Shape { hidden, categories, items } = self.shape;
        let ids = self.vocabulary.ids();
        let mut bytes = Vec::with_capacity(HEADER + 4 * (ids.len() + self.weights.len() + 1));
        bytes.extend(MAGIC);
        for number in [VERSION, hidden as u32, categories as u32, items as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.vocabulary.digest().to_le_bytes());
        ids.iter().for_each(|id| bytes.extend(id.0.to_le_bytes()));
        self.weights.iter().for_each(|weight| bytes.extend(weight.to_le_bytes()));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// A model from a file's bytes.
    ///
    /// # Errors
    /// Anything but a whole file of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SequenceError> {
        let refuse = |reason| Err(SequenceError::Refused(reason));
        if bytes.len() < HEADER + 4 {
            return refuse("it is too short");
        }
        let (header, rest) = bytes.split_at(HEADER);
        if !header.starts_with(MAGIC) {
            return refuse("it starts with something else");
        }
        let mut numbers = header[MAGIC.len()..].chunks_exact(4).map(u32_of);
        let mut next = || numbers.next().unwrap_or(0);
        if next() != VERSION {
            return refuse("it is of another version");
        }
        let (hidden, categories, items) = (next() as usize, next() as usize, next() as usize);
        let digest = u64::from(next()) | u64::from(next()) << 32;
        let shape = Shape { hidden, categories, items };
        if !shape.is_valid() {
            return Err(SequenceError::Shape);
        }
        // Sizes within their bounds cannot overflow.
        if rest.len() != 4 * (categories + shape.len() + 1) {
            return refuse("its length is not that of its sizes");
        }
        let (body, sum) = bytes.split_at(bytes.len() - 4);
        if crc32fast::hash(body) != u32_of(sum) {
            return refuse("its checksum is wrong");
        }
        let (ids, weights) = body[HEADER..].split_at(4 * categories);
        let ids = ids.chunks_exact(4).map(|id| CategoryId(u32_of(id)));
        let vocabulary = Vocabulary::new(ids.collect());
        if vocabulary.ids().len() != categories || vocabulary.digest() != digest {
            return refuse("its vocabulary is not the one that it was trained on");
        }
        let weights: Vec<_> =
            weights.chunks_exact(4).map(|bytes| f32::from_bits(u32_of(bytes))).collect();
        if weights.iter().any(|weight| !weight.is_finite()) {
            return refuse("a parameter is not a number");
        }
        Ok(Self { shape, vocabulary: Arc::new(vocabulary), weights, usual: OnceLock::new() })
    }

    /// Reads a model.
    ///
    /// # Errors
    /// A file that cannot be read or must not be used.
    pub fn read(path: &Path) -> Result<Self, SequenceError> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if read as u64 > BYTES_MAX {
            return Err(SequenceError::Refused("it is too large"));
        }
        Self::from_bytes(&bytes)
    }

    /// Writes the model: whole, or what was there before stays.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> Result<(), SequenceError> {
        let beside = path.with_extension("part");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&self.to_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        Ok(())
    }
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}
