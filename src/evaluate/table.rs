//! Tables of text, CSV and TSV, one record at a time.

use super::error::Error;
use super::input::{Allowance, Input, Position, ending};
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use std::path::Path;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Between two cells.
    pub delimiter: u8,
    /// Whether the first record names the columns.
    pub has_header: bool,
}

impl Dialect {
    /// Tabs where the name ends in `.tsv` (or `.tsv.gz`), else commas; with a header.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let is_tabbed = ending(path) == "tsv";
        Self { delimiter: if is_tabbed { b'\t' } else { b',' }, has_header: true }
    }
}

/// An open table and its present record.
pub struct Table {
    name: String,
    reader: Reader<Input>,
    position: Position,
    left: Allowance,
    columns: Vec<String>,
    record: ByteRecord,
}

impl Table {
    /// Opens a table. Quotes mean something between commas only: tab-separated files have none.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Shape`] where a column's name stands twice or is not text.
    pub fn open(path: &Path, dialect: Dialect) -> Result<Self, Error> {
        let (input, position, left) = Input::open(path)?;
        let mut reader = ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .has_headers(dialect.has_header)
            .quoting(dialect.delimiter != b'\t')
            .from_reader(input);
        let name = path.display().to_string();
        let columns = match dialect.has_header {
            true => names(&mut reader, &name)?,
            false => Vec::new(),
        };
        Ok(Self { name, reader, position, left, columns, record: ByteRecord::new() })
    }

    /// Moves to the next record; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] where the record has more or fewer cells than the first; the table can be read
    /// on after it. [`Error::File`] ends it.
    pub fn advance(&mut self) -> Option<Result<(), Error>> {
        self.left.renew();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(of_csv(error, &self.name))),
        }
    }

    /// What the header calls the columns; empty without one.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The column of this name.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is none.
    pub fn column(&self, name: &str) -> Result<usize, Error> {
        let found = self.columns.iter().position(|column| column == name);
        found.ok_or_else(|| Error::shape(self.name.clone(), format!("no column `{name}`")))
    }

    /// How many cells the present record has.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.record.len()
    }

    /// A cell of the present record, without spaces around it.
    #[must_use]
    pub fn cell(&self, column: usize) -> &[u8] {
        self.record.get(column).unwrap_or_default().trim_ascii()
    }

    /// A cell as a finite number.
    ///
    /// # Errors
    /// [`Error::Line`].
    pub fn number(&self, column: usize, name: &str) -> Result<f64, Error> {
        let text = String::from_utf8_lossy(self.cell(column));
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| self.wrong(format!("{name} `{}` is not a number", shown(&text))))
    }

    /// The present record's first line.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// An error of the present record.
    pub fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::line(&self.name, self.line(), reason)
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far it was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }
}

/// The start of a text that a message quotes.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn names(reader: &mut Reader<Input>, file: &str) -> Result<Vec<String>, Error> {
    let header = reader.byte_headers().map_err(|error| of_csv(error, file))?;
    let mut names = Vec::with_capacity(header.len());
    for (index, cell) in header.iter().enumerate() {
        // Spreadsheets put a byte order mark before the first name.
        let cell = cell.strip_prefix(b"\xef\xbb\xbf").filter(|_| index == 0).unwrap_or(cell);
        let name = std::str::from_utf8(cell.trim_ascii())
            .map_err(|_| Error::line(file, 1, "a column's name is not UTF-8"))?
            .to_owned();
        if names.contains(&name) {
            return Err(Error::shape(file, format!("two columns are called `{}`", shown(&name))));
        }
        names.push(name);
    }
    Ok(names)
}

fn of_csv(error: csv::Error, file: &str) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(source) => Error::File { file: file.to_owned(), source },
        ErrorKind::UnequalLengths { expected_len, len, .. } => Error::line(
            file,
            line,
            format!("{len} cells, where the first record has {expected_len}"),
        ),
        other => Error::line(file, line, format!("{other:?}")),
    }
}
