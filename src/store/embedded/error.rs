//! Why a database was not opened: each in one line that says what to do.

use crate::store::Position;
use std::path::{Path, PathBuf};

/// Why the embedded store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process writes it.
    #[error("{} is in use by another process: one server at a time has a state folder", file.display())]
    InUse {
        /// The database.
        file: PathBuf,
    },
    /// What it holds is not what was written.
    #[error(
        "{} is damaged at {place}: {reason}; `outbid ledger repair --state {}` keeps what is sound",
        file.display(), folder_of(file).display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What was found.
        reason: String,
    },
    /// A later version of this program wrote it.
    #[error("{} has schema version {version}, and this program knows {known}", file.display())]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The operating system refused.
    #[error("{}: {error}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// SQLite refused.
    #[error("{}: {error}", file.display())]
    Sqlite {
        /// The database.
        file: PathBuf,
        /// What it said.
        error: rusqlite::Error,
    },
}

/// Where damage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this record.
    Position(Position),
    /// At this byte of the file.
    Offset(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position(position) => write!(f, "position {}", position.0),
            Self::Offset(offset) => write!(f, "byte {offset}"),
        }
    }
}

/// The folder that holds `file`.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl StoreError {
    /// What was found, without what may be done about it.
    #[must_use]
    pub fn finding(&self) -> String {
        match self {
            Self::Damaged { file, place, reason } => {
                format!("{} is damaged at {place}: {reason}", file.display())
            }
            other => other.to_string(),
        }
    }

    pub(super) fn io(file: &Path) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Io { file: file.to_owned(), error }
    }

    pub(super) fn damaged(file: &Path, place: Place, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), place, reason: reason.into() }
    }

    /// What SQLite says of `file`, read as damage at `place` where it means that.
    pub(super) fn sqlite(file: &Path, place: Place) -> impl Fn(rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        move |error| match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::damaged(file, place, error.to_string()),
            _ => Self::Sqlite { file: file.to_owned(), error },
        }
    }
}
