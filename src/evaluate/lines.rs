//! Text by lines, each bounded, with its number: what VW and libsvm files are.

use super::error::Error;
use super::input::{Allowance, Input, Position};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// An open file and its present line.
pub struct Lines {
    name: String,
    reader: BufReader<Input>,
    position: Position,
    left: Allowance,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (input, position, left) = Input::open(path)?;
        let (name, reader) = (path.display().to_string(), BufReader::new(input));
        Ok(Self { name, reader, position, left, number: 0, line: Vec::new() })
    }

    /// Moves to the next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn advance(&mut self) -> Option<Result<(), Error>> {
        loop {
            self.left.renew();
            self.line.clear();
            self.number += 1;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) if self.line.trim_ascii().is_empty() => {}
                Ok(_) => return Some(Ok(())),
                Err(source) => {
                    return Some(Err(Error::File { file: self.name.clone(), source }));
                }
            }
        }
    }

    /// The present line, without what ends it.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.line.trim_ascii_end()
    }

    /// An error of the present line.
    pub fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::line(&self.name, self.number, reason)
    }

    /// How far it was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }
}
