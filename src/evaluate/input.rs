//! Files as streams of bytes: unpacked where they are packed, counted for progress, and bounded, so
//! that no damaged file is ever held in memory whole.

use super::error::Error;
use flate2::read::MultiGzDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

/// Most bytes of one record. Text of ads and lists of tokens take kilobytes; what is longer is a file
/// without line ends, or a quote that nobody closed.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;

/// How far a file was read, in bytes as they lie on disk.
#[derive(Clone, Debug)]
pub struct Position {
    read: Rc<Cell<u64>>,
    total: u64,
}

impl Position {
    /// Bytes read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.get()
    }

    /// Bytes of the whole file.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}

/// An open file. Reading fails when more than [`RECORD_BYTES_MAX`] bytes are taken since the last
/// call of [`Allowance::renew`].
pub struct Input {
    inner: Box<dyn Read>,
    left: Allowance,
}

/// How many bytes a reader may still take for the record that it is in.
#[derive(Clone)]
pub struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// A record ended.
    pub fn renew(&self) {
        self.0.set(RECORD_BYTES_MAX);
    }
}

impl Input {
    /// Opens `path`; a name that ends in `.gz` is unpacked.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(path: &Path) -> Result<(Self, Position, Allowance), Error> {
        let file = File::open(path).map_err(|error| Error::file(path, error))?;
        let facts = file.metadata().map_err(|error| Error::file(path, error))?;
        let position = Position { read: Rc::default(), total: facts.len() };
        let counted = Counted { file, read: Rc::clone(&position.read) };
        let inner: Box<dyn Read> = match is_packed(path) {
            // Several members stand for one file, as `cat a.gz b.gz` makes it.
            true => Box::new(MultiGzDecoder::new(counted)),
            false => Box::new(counted),
        };
        let left = Allowance(Rc::new(Cell::new(RECORD_BYTES_MAX)));
        Ok((Self { inner, left: left.clone() }, position, left))
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.0.get();
        if left == 0 {
            let text = format!(
                "a record of more than {RECORD_BYTES_MAX} bytes: no line ends, or an open quote"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let count = self.inner.read(into)?;
        self.left.0.set(left.saturating_sub(count as u64));
        Ok(count)
    }
}

/// Whether a file is unpacked as gzip.
fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

/// The ending of a file's name that tells its format: that before `.gz`, in lower case.
#[must_use]
pub fn ending(path: &Path) -> String {
    let stem = path.file_stem().map(Path::new);
    let named = if is_packed(path) { stem.unwrap_or(path) } else { path };
    named.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}
