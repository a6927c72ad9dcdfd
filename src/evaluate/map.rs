//! The feature map: which columns of a table, or parts of a line, become which fields of the model.
//!
//! It is declared in TOML and kept beside each model that is saved, so that whoever reads the model
//! makes the same features.

use super::error::Error;
use crate::prediction::FwfmConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A declared feature map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureMap {
    /// How files are written.
    pub format: Format,
    /// Whether a table's first record names its columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// The names of a table's columns where it has no header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Where a table's label is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The column that says how much an example counts; 1 without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// When an example happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The column that says whose an example is. It makes no feature and is no part of the declaration:
    /// whoever reads a file asks for it.
    #[serde(skip)]
    pub user: Option<String>,
    /// How often a feature must be seen before it is learned, up to 255; 0 and 1 are at once. Where it
    /// is not given, the engine's own default holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u8>,
    /// Namespaces of VW text in the order of their fields. An automatic map finds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Into how many fields the indexes of libsvm text, or the fields of libffm text, are folded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub folded: usize,
    /// A table's fields, in order.
    #[serde(default, rename = "field", skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Crosses of fields, each a field after those.
    #[serde(default, rename = "cross", skip_serializing_if = "Vec::is_empty")]
    pub crosses: Vec<Cross>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Between commas, with quotes.
    Csv,
    /// Between tabs, without quotes.
    Tsv,
    /// Vowpal Wabbit's text: `label importance 'tag|namespace:weight feature:value ...`.
    Vw,
    /// `label index:value ...`, or libffm's `label field:index:value ...`.
    Libsvm,
}

/// Which column says what came of an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its name.
    pub column: String,
    /// What counts as positive; everything else is negative, but for an empty cell, which is an error.
    #[serde(default = "one")]
    pub positive: Vec<String>,
}

/// Which column says when an example happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Its name.
    pub column: String,
    /// `unix` (seconds), `unix_ms`, or a strptime format, read as UTC.
    pub format: String,
    /// Whether rows are put into the order of time first, which keeps their features in memory.
    #[serde(default)]
    pub sort: bool,
}

/// One field, or several of one kind: each column is a field of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Field {
    /// A cell's text is a category; an empty cell is one too.
    Category {
        /// The columns.
        columns: Vec<String>,
    },
    /// A cell is a number; an empty cell is a category.
    Number {
        /// The columns.
        columns: Vec<String>,
        /// How a number becomes a feature.
        #[serde(default)]
        scale: Scale,
        /// Width of a bucket: of the number, or of its base-2 logarithm.
        #[serde(default = "unit")]
        step: f64,
    },
    /// A cell has several categories with this text between them.
    List {
        /// The columns.
        columns: Vec<String>,
        /// What stands between two of them.
        separator: String,
    },
    /// The hour of the day, UTC.
    Hour {},
    /// The day of the week, UTC.
    Weekday {},
}

impl Field {
    fn columns(&self) -> &[String] {
        match self {
            Self::Category { columns }
            | Self::Number { columns, .. }
            | Self::List { columns, .. } => columns,
            Self::Hour {} | Self::Weekday {} => &[],
        }
    }
}

/// How a number becomes a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Its bucket on a logarithmic scale; each number of 0 or less is a category.
    #[default]
    Log,
    /// Its bucket on a linear scale.
    Linear,
    /// Itself: one weight, times the number.
    Value,
}

/// A field whose features are pairs of other fields' features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cross {
    /// The two columns.
    pub of: [String; 2],
}

const fn yes() -> bool {
    true
}

fn one() -> Vec<String> {
    vec!["1".to_owned()]
}

const fn unit() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One field of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<'a> {
    /// What its features' ids are made of, beside their values.
    pub name: String,
    /// How a cell becomes features.
    pub field: &'a Field,
}

impl FeatureMap {
    /// Most fields.
    pub const FIELDS_MAX: usize = FwfmConfig::FIELDS_MAX;

    /// Reads a declaration.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] with the line and key that is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a declaration, from the file of this name.
    ///
    /// # Errors
    /// As [`FeatureMap::read`].
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let map: Self =
            toml::from_str(text).map_err(|error| Error::shape(file, error.to_string()))?;
        map.check().map_err(|reason| Error::shape(file, reason))?;
        Ok(map)
    }

    /// A map without declaration: of text that names its own features.
    #[must_use]
    pub fn automatic(format: Format) -> Self {
        Self {
            format,
            header: true,
            columns: Vec::new(),
            label: None,
            weight: None,
            time: None,
            user: None,
            min_count: None,
            namespaces: Vec::new(),
            folded: 0,
            fields: Vec::new(),
            crosses: Vec::new(),
        }
    }

    /// Its declaration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// How many fields the model has.
    #[must_use]
    pub fn width(&self) -> usize {
        match self.format {
            Format::Csv | Format::Tsv => self.plans().count() + self.crosses.len(),
            Format::Vw => self.namespaces.len(),
            Format::Libsvm => self.folded,
        }
    }

    /// A table's fields before the crosses.
    pub fn plans(&self) -> impl Iterator<Item = Plan<'_>> {
        self.fields.iter().flat_map(|field| {
            let of_time = match field {
                Field::Hour {} => Some("hour".to_owned()),
                Field::Weekday {} => Some("weekday".to_owned()),
                _ => None,
            };
            let names = field.columns().iter().cloned().chain(of_time);
            names.map(move |name| Plan { name, field })
        })
    }

    /// The names of the model's fields in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self.format {
            Format::Csv | Format::Tsv => {
                let crosses = self.crosses.iter().map(|cross| cross.of.join(" x "));
                self.plans().map(|plan| plan.name).chain(crosses).collect()
            }
            Format::Vw => self.namespaces.clone(),
            Format::Libsvm => (0..self.folded).map(|field| field.to_string()).collect(),
        }
    }

    /// Whether its parts fit together.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check(&self) -> Result<(), String> {
        let is_table = matches!(self.format, Format::Csv | Format::Tsv);
        let ensure =
            |holds: bool, reason: &str| if holds { Ok(()) } else { Err(reason.to_owned()) };
        let (width, most) = (self.width(), Self::FIELDS_MAX);
        ensure(width <= most, &format!("{width} fields, more than {most}"))?;
        if !is_table {
            let has_columns = self.label.is_some() || !self.fields.is_empty();
            return ensure(!has_columns, "labels and fields are declared of tables alone");
        }
        ensure(self.label.is_some(), "no [label]")?;
        ensure(width > 0, "no [[field]]")?;
        ensure(
            self.header == self.columns.is_empty(),
            "columns are named where there is no header",
        )?;
        for field in &self.fields {
            let is_of_time = matches!(field, Field::Hour {} | Field::Weekday {});
            ensure(!is_of_time || self.time.is_some(), "hours and weekdays need a [time]")?;
            ensure(is_of_time || !field.columns().is_empty(), "a [[field]] without columns")?;
            match field {
                Field::Number { step, .. } => {
                    ensure(step.is_finite() && *step > 0.0, "a step is above 0")?;
                }
                Field::List { separator, .. } => {
                    ensure(!separator.is_empty(), "a separator is not empty")?;
                }
                _ => {}
            }
        }
        let names: Vec<_> = self.plans().map(|plan| plan.name).collect();
        for (index, name) in names.iter().enumerate() {
            ensure(!names[..index].contains(name), &format!("`{name}` is a field twice"))?;
        }
        for name in self.crosses.iter().flat_map(|cross| &cross.of) {
            ensure(names.contains(name), &format!("a cross of `{name}`, which is no field"))?;
        }
        Ok(())
    }
}
