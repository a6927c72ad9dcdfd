//! Examples out of tables, by a declared feature map.

use super::error::Error;
use super::example::{Example, FEATURES_MAX, id, squashed};
use super::input::Position;
use super::map::{FeatureMap, Field, Format, Scale, Time};
use super::table::{Dialect, Table, shown};
use crate::hash;
use crate::prediction::Feature;
use crate::units::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::ops::Range;
use std::path::Path;

/// Buckets lie within ±this: numbers beyond say the same.
const BUCKET_ABS_MAX: f64 = 1e9;
const HOUR_MS: i64 = 3_600_000;

/// An open table whose records become examples.
pub struct Rows {
    table: Table,
    label: usize,
    positive: Vec<Vec<u8>>,
    weight: Option<usize>,
    time: Option<(usize, Time)>,
    user: Option<usize>,
    encoders: Vec<Encoder>,
    /// Two encoders' places, and the cross's own hash.
    crosses: Vec<(usize, usize, u64)>,
    /// How many cells each record has by the map; 0 where a header says it.
    named: usize,
}

/// A field, resolved.
struct Encoder {
    column: Option<usize>,
    name: String,
    hash: u64,
    field: Field,
}

impl Rows {
    /// Opens a table.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] where a declared column is not there.
    pub fn open(path: &Path, map: &FeatureMap) -> Result<Self, Error> {
        let delimiter = if map.format == Format::Tsv { b'\t' } else { b',' };
        let table = Table::open(path, Dialect { delimiter, has_header: map.header })?;
        let find =
            |name: &str| match map.header {
                true => table.column(name),
                false => map.columns.iter().position(|column| column == name).ok_or_else(|| {
                    Error::shape(table.name(), format!("no column `{name}` is named"))
                }),
            };
        let Some(label) = &map.label else {
            return Err(Error::shape(table.name(), "its feature map has no label"));
        };
        let encoders = map.plans().map(|plan| {
            let is_of_time = matches!(plan.field, Field::Hour {} | Field::Weekday {});
            let column = if is_of_time { None } else { Some(find(&plan.name)?) };
            let hash = hash::stable(plan.name.as_bytes());
            Ok(Encoder { column, name: plan.name, hash, field: plan.field.clone() })
        });
        let encoders = encoders.collect::<Result<Vec<_>, Error>>()?;
        let place = |name: &String| encoders.iter().position(|encoder| encoder.name == *name);
        let crosses = map.crosses.iter().filter_map(|cross| {
            let (first, second) = place(&cross.of[0]).zip(place(&cross.of[1]))?;
            let both = hash::combine(encoders[first].hash, encoders[second].hash);
            Some((first, second, both))
        });
        let time = map.time.as_ref().map(|time| Ok((find(&time.column)?, time.clone())));
        Ok(Self {
            label: find(&label.column)?,
            positive: label.positive.iter().map(|text| text.as_bytes().to_vec()).collect(),
            weight: map.weight.as_deref().map(find).transpose()?,
            time: time.transpose()?,
            user: map.user.as_deref().map(find).transpose()?,
            crosses: crosses.collect(),
            named: map.columns.len(),
            encoders,
            table,
        })
    }

    /// Reads the next record into `example`; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] says what is wrong with a record; those after it can be read.
    pub fn advance(&mut self, example: &mut Example) -> Option<Result<(), Error>> {
        Some(self.table.advance()?.and_then(|()| self.encode(example)))
    }

    /// How far the table was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        self.table.position()
    }

    fn encode(&self, example: &mut Example) -> Result<(), Error> {
        example.clear();
        let cells = self.table.cells();
        if self.named > 0 && cells != self.named {
            return Err(self
                .table
                .wrong(format!("{cells} cells, where the map names {}", self.named)));
        }
        let label = self.table.cell(self.label);
        if label.is_empty() {
            return Err(self.table.wrong("no label"));
        }
        example.is_positive = self.positive.iter().any(|positive| positive == label);
        if let Some(column) = self.weight {
            let weight = self.table.number(column, "weight")?;
            if weight < 0.0 {
                return Err(self.table.wrong(format!("weight {weight} is below 0")));
            }
            example.weight = weight as f32;
        }
        if let Some((column, time)) = &self.time {
            example.time = Some(self.time(*column, time)?);
        }
        if let Some(column) = self.user {
            let user = self.table.cell(column);
            if user.is_empty() {
                return Err(self.table.wrong("no user"));
            }
            example.user = Some(hash::stable(user));
        }
        for (field, encoder) in self.encoders.iter().enumerate() {
            self.encode_field(field, encoder, example)?;
        }
        self.encode_crosses(example);
        if example.features.len() > FEATURES_MAX {
            let count = example.features.len();
            return Err(self.table.wrong(format!("{count} features, more than {FEATURES_MAX}")));
        }
        Ok(())
    }

    fn encode_field(
        &self,
        field: usize,
        encoder: &Encoder,
        example: &mut Example,
    ) -> Result<(), Error> {
        let cell = encoder.column.map_or(&b""[..], |column| self.table.cell(column));
        let hash = encoder.hash;
        match &encoder.field {
            Field::Category { .. } => example.category(field, id(hash, cell)),
            Field::List { separator, .. } => {
                let text = String::from_utf8_lossy(cell);
                let parts = text.split(separator.as_str()).map(str::trim);
                for part in parts.filter(|part| !part.is_empty()).take(FEATURES_MAX + 1) {
                    example.category(field, id(hash, part.as_bytes()));
                }
            }
            Field::Number { .. } if cell.is_empty() => example.category(field, id(hash, b"")),
            Field::Number { columns: _, scale, step } => {
                let column = encoder.column.unwrap_or_default();
                let number = self.table.number(column, &encoder.name)?;
                self.encode_number(field, hash, number, (*scale, *step), example);
            }
            Field::Hour {} => {
                let hour = example.time.map_or(0, |time| time.0.div_euclid(HOUR_MS).rem_euclid(24));
                example.category(field, hash::combine(hash, hour as u64));
            }
            Field::Weekday {} => {
                let day = example.time.map_or(0, |time| time.0.div_euclid(24 * HOUR_MS));
                example.category(field, hash::combine(hash, day.rem_euclid(7) as u64));
            }
        }
        Ok(())
    }

    fn encode_number(
        &self,
        field: usize,
        hash: u64,
        number: f64,
        (scale, step): (Scale, f64),
        example: &mut Example,
    ) {
        let bucket = |number: f64| {
            let bucket = (number / step).floor().clamp(-BUCKET_ABS_MAX, BUCKET_ABS_MAX);
            hash::combine(hash, bucket as i64 as u64)
        };
        match scale {
            Scale::Value => example.value(field, hash::mix(hash), squashed(number)),
            Scale::Linear => example.category(field, bucket(number)),
            Scale::Log if number > 0.0 => example.category(field, bucket((number + 1.0).log2())),
            // Codes such as -1 and 0 each mean something of their own. `+ 0.0` makes one of both
            // zeros.
            Scale::Log => {
                let bits = (number + 0.0).to_bits();
                example.category(field, hash::combine(hash, hash::mix(bits)));
            }
        }
    }

    fn encode_crosses(&self, example: &mut Example) {
        let own = example.features.len();
        for (index, (first, second, hash)) in self.crosses.iter().enumerate() {
            let field = self.encoders.len() + index;
            for left in range(&example.features[..own], *first) {
                for right in range(&example.features[..own], *second) {
                    if example.features.len() > FEATURES_MAX {
                        return;
                    }
                    let (left, right) = (example.features[left], example.features[right]);
                    let both = hash::combine(u64::from(left.id), u64::from(right.id));
                    example.value(field, hash::combine(*hash, both), left.value * right.value);
                }
            }
        }
    }

    fn time(&self, column: usize, time: &Time) -> Result<Timestamp, Error> {
        let cell = String::from_utf8_lossy(self.table.cell(column));
        parse_time(&time.format, &cell).ok_or_else(|| {
            let (cell, format) = (shown(&cell), &time.format);
            self.table.wrong(format!("time `{cell}` is not of the form {format}"))
        })
    }
}

/// Where a field's features are among `features`, which lie by field.
fn range(features: &[Feature], field: usize) -> Range<usize> {
    let below = |bound: usize| features.partition_point(|each| usize::from(each.field) < bound);
    below(field)..below(field + 1)
}

/// A moment between the years 1 and 9999 as `format` writes it.
fn parse_time(format: &str, text: &str) -> Option<Timestamp> {
    const FIRST_MS: i64 = -62_135_596_800_000;
    const LAST_MS: i64 = 253_402_300_799_999;
    let in_range = |ms: i64| (FIRST_MS..=LAST_MS).contains(&ms);
    let ms = match format {
        "unix" => text.parse::<i64>().ok()?.checked_mul(1_000)?,
        "unix_ms" => text.parse().ok()?,
        format => {
            let at = DateTime::strptime(format, text).ok()?;
            TimeZone::UTC.to_timestamp(at).ok()?.as_millisecond()
        }
    };
    in_range(ms).then_some(Timestamp(ms))
}
