//! A look at the write-ahead log before SQLite opens it.
//!
//! SQLite takes a frame that does not fit its checksum for the end of what was written, which is
//! right after a crash in the middle of a write, and wrong when a disk has damaged what was durable
//! long ago: then everything behind would be cut off in silence. The difference can be seen: behind
//! a write that a crash tore there is no whole commit. Layout: <https://sqlite.org/fileformat2.html#walformat>.

use super::error::{Place, StoreError};
use super::file::{PAGE_BYTES, beside};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The magic number of logs whose checksums read words with the big end first; one less, and they
/// read them with the little end first.
const MAGIC_BIG: u32 = 0x377f_0683;

/// Reads the write-ahead log of `file`, if there is one.
///
/// # Errors
/// [`StoreError::Damaged`] where whole commits lie behind a frame that is not as it was written.
pub(super) fn check(file: &Path) -> Result<(), StoreError> {
    let file = beside(file, "-wal");
    let log = match File::open(&file) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io(&file)(error)),
    };
    match first_bad(BufReader::new(log)).map_err(StoreError::io(&file))? {
        None => Ok(()),
        Some(offset) => Err(StoreError::damaged(
            &file,
            Place::Offset(offset),
            "whole commits lie behind a frame with a wrong checksum",
        )),
    }
}

type Sums = (u32, u32);

/// The offset of the first bad frame, or of the header, if a whole commit of the same log follows.
fn first_bad(mut log: impl Read) -> std::io::Result<Option<u64>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let big_end = word(&header, 0) == MAGIC_BIG;
    let own = (word(&header, 24), word(&header, 28));
    let is_sound = word(&header, 0) | 1 == MAGIC_BIG
        && word(&header, 8) as usize == PAGE_BYTES
        && sums(big_end, (0, 0), &header[..24]) == own;
    let mut salts = is_sound.then(|| (word(&header, 16), word(&header, 20)));
    let mut bad = (!is_sound).then_some(0);
    // What the chain of checksums came to, and what the frame before says that it came to: where
    // only a checksum is damaged the first goes on, where a page is, the second.
    let (mut counted, mut said) = (own, own);
    let mut frame = vec![0; FRAME_HEADER_BYTES + PAGE_BYTES];
    let mut offset = HEADER_BYTES as u64;
    while fill(&mut log, &mut frame)? {
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        let its = (word(head, 16), word(head, 20));
        let from = |seed| sums(big_end, sums(big_end, seed, &head[..8]), page);
        let is_ours = salts.is_none_or(|salts| salts == (word(head, 8), word(head, 12)));
        let fits = is_ours && (from(counted) == its || from(said) == its);
        let is_commit = word(head, 4) != 0;
        match bad {
            Some(bad) if fits && is_commit => return Ok(Some(bad)),
            None if !fits => bad = Some(offset),
            _ => {}
        }
        if salts.is_none() && fits {
            salts = Some((word(head, 8), word(head, 12)));
        }
        counted = from(counted);
        said = its;
        offset += frame.len() as u64;
    }
    Ok(None)
}

/// Whether the buffer could be filled; the log may end anywhere.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

fn sums(big_end: bool, (mut first, mut second): Sums, bytes: &[u8]) -> Sums {
    let read = if big_end { u32::from_be_bytes } else { u32::from_le_bytes };
    for pair in bytes.chunks_exact(8) {
        let words = [&pair[..4], &pair[4..]].map(|half| read([half[0], half[1], half[2], half[3]]));
        first = first.wrapping_add(words[0]).wrapping_add(second);
        second = second.wrapping_add(words[1]).wrapping_add(first);
    }
    (first, second)
}
