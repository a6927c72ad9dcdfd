//! libsvm's text, `label index:value ...`, and libffm's, `label field:index:value ...`.
//!
//! libsvm knows no fields: each index is one, folded where there are more than a model has. So are
//! libffm's fields.

use super::error::Error;
use super::example::{Example, FEATURES_MAX, squashed};
use super::input::Position;
use super::lines::Lines;
use super::map::FeatureMap;
use super::table::shown;
use super::vw::number;
use crate::hash;
use std::path::Path;

/// Lines that an automatic map looks at to find how many fields there are.
const LOOKED_AT: u64 = 10_000;

/// An open file of libsvm or libffm text.
pub struct LibsvmText {
    lines: Lines,
    folded: u64,
}

impl LibsvmText {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] where the map has no fields.
    pub fn open(path: &Path, map: &FeatureMap) -> Result<Self, Error> {
        let lines = Lines::open(path)?;
        match map.folded {
            0 => Err(Error::shape(path.display().to_string(), "no fields")),
            folded => Ok(Self { lines, folded: folded as u64 }),
        }
    }

    /// How many fields the file's first lines need, as many as a model has at most.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn folded(path: &Path) -> Result<usize, Error> {
        let mut lines = Lines::open(path)?;
        let mut most = 0;
        for _ in 0..LOOKED_AT {
            let Some(read) = lines.advance() else { break };
            read?;
            let features = words(lines.line()).skip(1);
            most = features
                .filter_map(|word| feature(word).ok())
                .fold(most, |most, read| most.max(read.0));
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(most.saturating_add(1).min(FeatureMap::FIELDS_MAX))
    }

    /// Reads the next line into `example`; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] says what is wrong with a line; those after it can be read.
    pub fn advance(&mut self, example: &mut Example) -> Option<Result<(), Error>> {
        Some(
            self.lines
                .advance()?
                .and_then(|()| self.parse(example).map_err(|reason| self.lines.wrong(reason))),
        )
    }

    /// How far the file was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        self.lines.position()
    }

    fn parse(&self, example: &mut Example) -> Result<(), String> {
        example.clear();
        let mut words = words(self.lines.line());
        let label = number(words.next().unwrap_or_default(), "label")?;
        if ![1.0, 0.0, -1.0].contains(&label) {
            return Err(format!("label {label} is none of 1, 0 and -1"));
        }
        example.is_positive = label > 0.0;
        for word in words.take_while(|word| word.first() != Some(&b'#')) {
            let (field, index, value) = feature(word)?;
            if example.features.len() == FEATURES_MAX {
                return Err(format!("more than {FEATURES_MAX} features"));
            }
            if value != 0.0 {
                let field = (field % self.folded) as usize;
                example.value(field, hash::mix(index), squashed(value));
            }
        }
        example.features.sort_by_key(|feature| feature.field);
        Ok(())
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Field, index and value.
fn feature(word: &[u8]) -> Result<(u64, u64, f64), String> {
    let parts: Vec<&[u8]> = word.splitn(4, |byte| *byte == b':').collect();
    let whole = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.parse::<u64>().map_err(|_| format!("`{}` is not an index", shown(&text)))
    };
    match parts[..] {
        [index, value] => {
            let index = whole(index)?;
            Ok((index, index, number(value, "a value")?))
        }
        [field, index, value] => Ok((whole(field)?, whole(index)?, number(value, "a value")?)),
        _ => Err(format!("`{}` is not index:value", shown(&String::from_utf8_lossy(word)))),
    }
}
