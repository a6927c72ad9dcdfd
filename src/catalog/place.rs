//! Precise places: postal codes, and circles as cells of a grid.
//!
//! The index knows keys alone, so a circle becomes the keys of the cells whose centres lie in it, and a
//! request has the key of its own cell at each size. Cells are an eighth to a sixteenth of the radius
//! wide: a circle's edge is true to a tenth of its radius, and no circle has more than a thousand.

use crate::hash::{self, trimmed};
use smallvec::SmallVec;

/// Kilometres that a circle's radius may have. Below, no device knows its place as well; above, a
/// region's name serves better.
const RADIUS_KM: std::ops::RangeInclusive<f64> = 0.5..=100.0;
/// Kilometres from pole to pole, on a sphere of the mean radius.
const MERIDIAN_KM: f64 = 20_015.0;
const EARTH_KM: f64 = 6_371.0;
/// Times that the meridian is halved for the cells of the widest and of the narrowest circle.
const HALVINGS: std::ops::RangeInclusive<u32> = 11..=19;
/// Keeps the keys of cells apart from those of postal codes.
const CELL: u64 = 0x6365_6c6c;
const POSTAL: u64 = 0x706f_7374;

/// A point in degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    lat: f64,
    lon: f64,
}

impl Point {
    /// `None` where there is no such point, and for the one at zero and zero: it is sent by whoever
    /// does not know.
    pub(super) fn new(lat: f64, lon: f64) -> Option<Self> {
        let is_point = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        (is_point && (lat, lon) != (0.0, 0.0)).then_some(Self { lat, lon })
    }

    /// The keys of its cells, of each size one.
    pub(super) fn cells(self) -> impl Iterator<Item = u64> {
        HALVINGS.map(move |halvings| {
            let row = Row::at(halvings, self.lat);
            row.key(row.column(self.lon))
        })
    }

    /// Kilometres along the surface (haversine).
    fn distance_km(self, other: Self) -> f64 {
        let half_sine = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let cosines = self.lat.to_radians().cos() * other.lat.to_radians().cos();
        let part = half_sine(other.lat - self.lat) + cosines * half_sine(other.lon - self.lon);
        2.0 * EARTH_KM * part.min(1.0).sqrt().asin()
    }
}

/// The cells of one size between two parallels. They are about as wide as high, so a row has the fewer
/// the nearer it is to a pole.
struct Row {
    halvings: u32,
    number: i64,
    columns: i64,
}

impl Row {
    fn at(halvings: u32, lat: f64) -> Self {
        let rows = 1i64 << halvings;
        let number = ((lat + 90.0) / 180.0 * rows as f64) as i64;
        Self::of(halvings, number.clamp(0, rows - 1))
    }

    fn of(halvings: u32, number: i64) -> Self {
        let around =
            (2i64 << halvings) as f64 * Self::latitude(halvings, number).to_radians().cos();
        Self { halvings, number, columns: (around.round() as i64).max(1) }
    }

    fn latitude(halvings: u32, number: i64) -> f64 {
        (number as f64 + 0.5) * 180.0 / (1i64 << halvings) as f64 - 90.0
    }

    fn column(&self, lon: f64) -> i64 {
        ((lon + 180.0) / 360.0 * self.columns as f64).floor() as i64
    }

    /// Columns go on around the globe.
    fn key(&self, column: i64) -> u64 {
        let size = hash::combine(CELL, u64::from(self.halvings));
        let column = column.rem_euclid(self.columns) as u64;
        hash::combine(hash::combine(size, self.number as u64), column)
    }

    fn centre(&self, column: i64) -> Point {
        let lon = (column as f64 + 0.5) * 360.0 / self.columns as f64 - 180.0;
        Point { lat: Self::latitude(self.halvings, self.number), lon }
    }
}

/// Reads "52.52,13.405,5": latitude and longitude in degrees, radius in kilometres.
pub(super) fn circle_entry(text: &str) -> Result<SmallVec<[u64; 2]>, String> {
    let mut numbers = text.split(',').map(|number| number.trim().parse::<f64>());
    let (Some(Ok(lat)), Some(Ok(lon)), Some(Ok(radius_km)), None) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next())
    else {
        return Err(
            "is no circle; write it like \"52.52,13.405,5\": latitude, longitude, km".into()
        );
    };
    let centre = Point::new(lat, lon).ok_or("lies nowhere on earth")?;
    if !RADIUS_KM.contains(&radius_km) {
        let (least, most) = (RADIUS_KM.start(), RADIUS_KM.end());
        return Err(format!("has a radius that is not {least} to {most} km"));
    }
    Ok(cover(centre, radius_km))
}

fn cover(centre: Point, radius_km: f64) -> SmallVec<[u64; 2]> {
    let halvings = (MERIDIAN_KM * 8.0 / radius_km).log2().ceil() as u32;
    let halvings = halvings.clamp(*HALVINGS.start(), *HALVINGS.end());
    let degrees = radius_km / MERIDIAN_KM * 180.0;
    let rows = Row::at(halvings, centre.lat - degrees).number
        ..=Row::at(halvings, centre.lat + degrees).number;
    let mut keys = SmallVec::new();
    for row in rows.map(|number| Row::of(halvings, number)) {
        // No cell of the row lies further off than this many columns; around a pole all are near.
        let shrink = Row::latitude(halvings, row.number).to_radians().cos().max(1e-9);
        let reach =
            ((degrees / shrink / 360.0 * row.columns as f64) as i64 + 2).min(row.columns / 2);
        let middle = row.column(centre.lon);
        let near = (middle - reach..=middle + reach)
            .filter(|column| centre.distance_km(row.centre(*column)) <= radius_km);
        keys.extend(near.map(|column| row.key(column)));
    }
    keys
}

/// The key of a postal code in a country. Blanks in it do not count.
pub(super) fn postal_key(country: &str, code: &str) -> u64 {
    let in_country = hash::combine(POSTAL, hash::key_lower(trimmed(country)));
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    if !code.as_bytes().iter().any(is_blank) {
        return hash::combine(in_country, hash::key_lower(code));
    }
    let letters = code.bytes().filter(|byte| !is_blank(byte)).map(|byte| byte.to_ascii_lowercase());
    hash::combine(in_country, hash::key(&letters.collect::<SmallVec<[u8; 16]>>()))
}

/// Reads "USA/94107".
pub(super) fn postal_entry(text: &str) -> Result<SmallVec<[u64; 2]>, String> {
    let parts = text.split_once('/').filter(|(country, code)| {
        country.len() == 3
            && country.bytes().all(|byte| byte.is_ascii_alphabetic())
            && (1..=16).contains(&code.trim().len())
    });
    let (country, code) = parts.ok_or("is no postal code; write it like \"USA/94107\"")?;
    Ok(SmallVec::from_slice(&[postal_key(country, code)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_circle_holds_what_lies_within_it(
            lat in -85.0f64..85.0, lon in -180.0f64..180.0, radius_km in 0.5f64..100.0,
            north in -1.5f64..1.5, east in -1.5f64..1.5,
        ) {
            let centre = Point { lat, lon };
            let degrees = radius_km / MERIDIAN_KM * 180.0;
            let east = lon + east * degrees / lat.to_radians().cos();
            let point = Point { lat: lat + north * degrees, lon: (east + 540.0).rem_euclid(360.0) - 180.0 };
            let distance = centre.distance_km(point) / radius_km;
            let keys = cover(centre, radius_km);
            prop_assert!(keys.len() < 1_000, "{} cells", keys.len());
            let is_in = point.cells().any(|key| keys.contains(&key));
            if distance < 0.9 {
                prop_assert!(is_in, "{distance} of the radius");
            }
            if distance > 1.1 {
                prop_assert!(!is_in, "{distance} of the radius");
            }
        }
    }

    #[test]
    fn places_are_read_or_refused() {
        for text in
            ["", "1,2", "1,2,3,4", "91,0,5", "0,181,5", "0,0,5", "52,13,0.4", "52,13,101", "a,b,c"]
        {
            assert!(circle_entry(text).is_err(), "{text}");
        }
        assert!(circle_entry(" 52.52, 13.405, 5 ").is_ok_and(|keys| keys.len() > 100));
        for text in ["", "USA", "USA/", "US/94107", "USA/12345678901234567"] {
            assert!(postal_entry(text).is_err(), "{text}");
        }
        assert_eq!(postal_key("gbr", "SW1A 1AA"), postal_key("GBR", "sw1a1aa"));
        assert_ne!(postal_key("USA", "94107"), postal_key("DEU", "94107"));
    }
}
