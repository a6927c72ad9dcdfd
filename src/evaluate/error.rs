//! What can be wrong with the data of others: always with its place.

use std::path::Path;

/// Why data could not be read or judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened or read on.
    #[error("{file}: {source}")]
    File {
        /// As it was named.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line does not say what it must. The lines after it can still be read.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// As it was named.
        file: String,
        /// Counted from 1; where a record spans several lines, its first.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The file as a whole does not fit what is asked: a column that is missing, a wrong declaration.
    #[error("{file}: {reason}")]
    Shape {
        /// As it was named.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A private model cannot be made as it is asked for.
    #[error("the private model: {0}")]
    Private(&'static str),
}

impl Error {
    /// An [`Error::File`].
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { file: path.display().to_string(), source }
    }

    /// An [`Error::Line`].
    pub fn line(file: &str, line: u64, reason: impl Into<String>) -> Self {
        Self::Line { file: file.to_owned(), line, reason: reason.into() }
    }

    /// An [`Error::Shape`].
    pub fn shape(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Shape { file: file.into(), reason: reason.into() }
    }
}

/// What a reader does about lines that it cannot use: the first is an error, or all are counted.
#[derive(Clone, Debug, Default)]
pub struct Tolerance {
    is_lenient: bool,
    skipped: u64,
    first: Option<String>,
}

impl Tolerance {
    /// None, or all: whatever is wrong with single lines is counted and skipped.
    #[must_use]
    pub fn new(is_lenient: bool) -> Self {
        Self { is_lenient, ..Self::default() }
    }

    /// The value; `None` for a line that is skipped.
    ///
    /// # Errors
    /// What is wrong with the line where nothing is tolerated; else only what ends the reading.
    pub fn take<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error @ Error::Line { .. }) if self.is_lenient => {
                self.skipped += 1;
                self.first.get_or_insert_with(|| error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Lines skipped so far.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What was wrong with the first of them.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}
