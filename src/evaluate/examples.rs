//! Examples out of a file of any known format.

use super::error::{Error, Tolerance};
use super::example::Example;
use super::input::{Position, ending};
use super::libsvm::LibsvmText;
use super::map::{FeatureMap, Format};
use super::rows::Rows;
use super::vw::VwText;
use crate::prediction::Feature;
use std::path::Path;

/// Most features held in memory to put examples into the order of time: 12 bytes each, 3 GB.
const SORTED_FEATURES_MAX: usize = 1 << 28;

/// An open file of examples.
pub struct Examples {
    source: Source,
    position: Position,
}

enum Source {
    Rows(Box<Rows>),
    Vw(Box<VwText>),
    Libsvm(Box<LibsvmText>),
    Sorted(Box<Sorted>),
}

impl Examples {
    /// The map of a file: as declared, with what its text alone tells filled in, or an automatic one by
    /// the file's ending (`.vw`; `.libsvm`, `.svm`, `.libffm`, `.ffm`).
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] where a map must be declared.
    pub fn map_of(path: &Path, declared: Option<FeatureMap>) -> Result<FeatureMap, Error> {
        let mut map = match declared {
            Some(map) => map,
            None => match ending(path).as_str() {
                "vw" => FeatureMap::automatic(Format::Vw),
                "libsvm" | "svm" | "libffm" | "ffm" => FeatureMap::automatic(Format::Libsvm),
                _ => {
                    let file = path.display().to_string();
                    return Err(Error::shape(file, "tables need a declared feature map (--map)"));
                }
            },
        };
        match map.format {
            Format::Vw if map.namespaces.is_empty() => map.namespaces = VwText::namespaces(path)?,
            Format::Libsvm if map.folded == 0 => map.folded = LibsvmText::folded(path)?,
            _ => {}
        }
        Ok(map)
    }

    /// Opens a file. Where the map asks for the order of time, it is read whole first, and what is
    /// wrong with its lines goes through `tolerance`.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Shape`], and of lines what `tolerance` returns.
    pub fn open(path: &Path, map: &FeatureMap, tolerance: &mut Tolerance) -> Result<Self, Error> {
        let (position, source) = match map.format {
            Format::Csv | Format::Tsv => {
                let rows = Rows::open(path, map)?;
                (rows.position().clone(), Source::Rows(Box::new(rows)))
            }
            Format::Vw => {
                let text = VwText::open(path, map)?;
                (text.position().clone(), Source::Vw(Box::new(text)))
            }
            Format::Libsvm => {
                let text = LibsvmText::open(path, map)?;
                (text.position().clone(), Source::Libsvm(Box::new(text)))
            }
        };
        let mut examples = Self { source, position };
        if map.time.as_ref().is_some_and(|time| time.sort) {
            let sorted = Sorted::read(&mut examples, path, tolerance)?;
            examples.source = Source::Sorted(Box::new(sorted));
        }
        Ok(examples)
    }

    /// Reads the next example; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] says what is wrong with a line; those after it can be read.
    pub fn advance(&mut self, example: &mut Example) -> Option<Result<(), Error>> {
        match &mut self.source {
            Source::Rows(rows) => rows.advance(example),
            Source::Vw(text) => text.advance(example),
            Source::Libsvm(text) => text.advance(example),
            Source::Sorted(sorted) => sorted.advance(example).then_some(Ok(())),
        }
    }

    /// How far the file was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }
}

/// Examples in the order of time; those of one moment in the order of the file.
#[derive(Default)]
struct Sorted {
    features: Vec<Feature>,
    heads: Vec<Head>,
    next: usize,
}

/// An example without its features.
struct Head {
    time: i64,
    first: u32,
    count: u16,
    is_positive: bool,
    weight: f32,
    user: Option<u64>,
}

impl Sorted {
    fn read(
        examples: &mut Examples,
        path: &Path,
        tolerance: &mut Tolerance,
    ) -> Result<Self, Error> {
        let (mut sorted, mut example) = (Self::default(), Example::default());
        while let Some(read) = examples.advance(&mut example) {
            if tolerance.take(read)?.is_none() {
                continue;
            }
            if sorted.features.len() + example.features.len() > SORTED_FEATURES_MAX {
                let reason = "too large to be sorted in memory: sort the file and take `sort` away";
                return Err(Error::shape(path.display().to_string(), reason));
            }
            sorted.heads.push(Head {
                time: example.time.map_or(0, |time| time.0),
                first: sorted.features.len() as u32,
                count: example.features.len() as u16,
                is_positive: example.is_positive,
                weight: example.weight,
                user: example.user,
            });
            sorted.features.extend_from_slice(&example.features);
        }
        sorted.heads.sort_by_key(|head| head.time);
        Ok(sorted)
    }

    fn advance(&mut self, example: &mut Example) -> bool {
        let Some(head) = self.heads.get(self.next) else { return false };
        self.next += 1;
        example.clear();
        let first = head.first as usize;
        example.features.extend_from_slice(&self.features[first..first + usize::from(head.count)]);
        (example.is_positive, example.weight) = (head.is_positive, head.weight);
        example.user = head.user;
        example.time = Some(crate::units::Timestamp(head.time));
        true
    }
}
