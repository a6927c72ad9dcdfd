//! Vowpal Wabbit's text: `label importance base 'tag|namespace:weight feature:value ... |...`.
//!
//! Each namespace is a field; a feature's value is its own times that of its namespace. What a line
//! leaves out is 1, the namespace without a name is `` (empty). A tag stands before the first bar with
//! nothing between, or begins with a quote.

use super::error::Error;
use super::example::{Example, FEATURES_MAX, id, squashed};
use super::input::Position;
use super::lines::Lines;
use super::map::FeatureMap;
use super::table::shown;
use crate::hash;
use std::path::Path;

/// Lines that an automatic map looks at to find the namespaces: enough for those that are rare.
const LOOKED_AT: u64 = 10_000;
/// Bytes of a namespace's name that is kept, so that a map stays small.
const NAME_BYTES_MAX: usize = 64;

/// An open file of VW text.
pub struct VwText {
    lines: Lines,
    /// The fields' names and hashes.
    namespaces: Vec<(Vec<u8>, u64)>,
}

impl VwText {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] where the map has no namespaces.
    pub fn open(path: &Path, map: &FeatureMap) -> Result<Self, Error> {
        let lines = Lines::open(path)?;
        if map.namespaces.is_empty() {
            return Err(Error::shape(path.display().to_string(), "no namespaces"));
        }
        let names = map.namespaces.iter().map(|name| name.as_bytes());
        let namespaces = names.map(|name| (name.to_vec(), hash::stable(name))).collect();
        Ok(Self { lines, namespaces })
    }

    /// The namespaces of the file's first lines in the order in which they appear, as many as a model
    /// has fields.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn namespaces(path: &Path) -> Result<Vec<String>, Error> {
        let mut lines = Lines::open(path)?;
        let mut found = Vec::<String>::new();
        for _ in 0..LOOKED_AT {
            let Some(read) = lines.advance() else { break };
            read?;
            for section in sections(lines.line()).skip(1) {
                let (name, _) = namespace(section);
                let name = String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]);
                if found.len() < FeatureMap::FIELDS_MAX && !found.iter().any(|known| *known == name)
                {
                    found.push(name.into_owned());
                }
            }
        }
        Ok(found)
    }

    /// Reads the next line into `example`; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] says what is wrong with a line; those after it can be read.
    pub fn advance(&mut self, example: &mut Example) -> Option<Result<(), Error>> {
        Some(self.lines.advance()?.and_then(|()| self.parse(example)))
    }

    /// How far the file was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        self.lines.position()
    }

    fn parse(&self, example: &mut Example) -> Result<(), Error> {
        example.clear();
        let mut sections = sections(self.lines.line());
        let head = sections.next().unwrap_or_default();
        (example.is_positive, example.weight) = label(head).map_err(|why| self.lines.wrong(why))?;
        for section in sections {
            self.parse_section(section, example).map_err(|why| self.lines.wrong(why))?;
        }
        example.features.sort_by_key(|feature| feature.field);
        Ok(())
    }

    fn parse_section(&self, section: &[u8], example: &mut Example) -> Result<(), String> {
        let (name, rest) = namespace(section);
        let (name, scale) = (name, scale(section, name)?);
        let known = self.namespaces.iter().position(|(known, _)| known == name);
        // A namespace that the map does not know shares a field, always the same one.
        let hash = hash::stable(name);
        let field = known.unwrap_or_else(|| (hash % self.namespaces.len() as u64) as usize);
        for token in words(rest) {
            let (feature, value) = split_value(token)?;
            if example.features.len() == FEATURES_MAX {
                return Err(format!("more than {FEATURES_MAX} features"));
            }
            let value = value * scale;
            if value != 0.0 {
                example.value(field, id(hash, feature), squashed(value));
            }
        }
        Ok(())
    }
}

/// What stands between bars: first what is before all of them.
fn sections(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'|')
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A namespace's name, and the features after it. A section that begins with a space has no name.
fn namespace(section: &[u8]) -> (&[u8], &[u8]) {
    let end = section.iter().position(u8::is_ascii_whitespace).unwrap_or(section.len());
    let (head, rest) = section.split_at(end);
    let name = head.split(|byte| *byte == b':').next().unwrap_or_default();
    (name, rest)
}

/// By what a namespace's values are multiplied.
fn scale(section: &[u8], name: &[u8]) -> Result<f64, String> {
    let rest = section.get(name.len()..).unwrap_or_default();
    match rest.strip_prefix(b":") {
        None => Ok(1.0),
        Some(rest) => number(words(rest).next().unwrap_or_default(), "a namespace's weight"),
    }
}

/// A feature and its value. A colon within the last position is no value's.
fn split_value(token: &[u8]) -> Result<(&[u8], f64), String> {
    match token.iter().rposition(|byte| *byte == b':') {
        Some(at) if at > 0 => Ok((&token[..at], number(&token[at + 1..], "a feature's value")?)),
        _ => Ok((token, 1.0)),
    }
}

/// Whether it is positive, and how much it counts.
fn label(head: &[u8]) -> Result<(bool, f32), String> {
    // A tag touches the bar, or begins with a quote.
    let touches = head.last().is_some_and(|last| !last.is_ascii_whitespace());
    let mut words: Vec<&[u8]> = words(head).collect();
    let is_tag = |word: &[u8]| word.first() == Some(&b'\'');
    if words.last().is_some_and(|last| is_tag(last) || (touches && words.len() > 1)) {
        words.pop();
    }
    let Some((label, rest)) = words.split_first() else {
        return Err("no label".to_owned());
    };
    let label = number(label, "label")?;
    let is_positive = if label == 1.0 {
        true
    } else if label == -1.0 || label == 0.0 {
        false
    } else {
        return Err(format!("label {label} is none of 1, 0 and -1"));
    };
    // After the importance an initial prediction may stand, which is not ours.
    let weight = rest.first().map_or(Ok(1.0), |word| number(word, "importance"))?;
    match weight >= 0.0 && weight <= f64::from(f32::MAX) {
        true => Ok((is_positive, weight as f32)),
        false => Err(format!("importance {weight} is below 0 or too large")),
    }
}

/// A finite number.
pub(super) fn number(text: &[u8], what: &str) -> Result<f64, String> {
    let text = String::from_utf8_lossy(text);
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("{what} `{}` is not a number", shown(&text)))
}
