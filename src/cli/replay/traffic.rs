//! How traffic is spread over a day, from public tables.

use crate::replay::Shape;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::Path;

/// Parts of a day: seconds would be 86,400.
const PARTS_MAX: usize = 86_400;

/// Reads a CSV with a column `share` or `traffic_share` and a column `tick` or `hour`, from 0: shares
/// of the same part of a day, as those of several regions, are added up.
pub fn read(file: &Path) -> anyhow::Result<Shape> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| shown.clone())?;
    shape(&text).with_context(|| shown)
}

fn shape(text: &str) -> anyhow::Result<Shape> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    let column = |names: [&str; 2]| {
        let found = head.iter().position(|name| names.contains(name));
        found.with_context(|| format!("has neither a column `{}` nor `{}`", names[0], names[1]))
    };
    let (part, share) = (column(["tick", "hour"])?, column(["share", "traffic_share"])?);
    let mut shares = BTreeMap::<usize, f64>::new();
    for (line, number) in lines.zip(2..) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let at = fields.get(part).and_then(|text| text.parse().ok()).filter(|at| *at < PARTS_MAX);
        let weight = fields.get(share).and_then(|text| text.parse::<f64>().ok());
        let (at, weight) = at.zip(weight).with_context(|| format!("line {number}: `{line}`"))?;
        *shares.entry(at).or_default() += weight;
    }
    let parts = shares.last_key_value().map_or(0, |(last, _)| last + 1);
    let weights: Vec<f64> =
        (0..parts).map(|part| shares.get(&part).copied().unwrap_or(0.0)).collect();
    Shape::of(&weights).context("the shares are not numbers of zero or more with a positive sum")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_traffic_are_read_or_refused() {
        let day = shape("tick,share\n0,0.25\n1,0.75\n").expect("a shape");
        assert_eq!([day.before(0.5), day.before(0.75), day.before(1.0)], [0.25, 0.625, 1.0]);
        // Of two regions, and an hour without traffic.
        let day = shape("region_id,dow,hour,traffic_share\n1,1,0,0.5\n2,1,0,0.5\n1,1,2,1\n");
        let day = day.expect("a shape");
        assert_eq!([day.before(1.0 / 3.0), day.before(2.0 / 3.0)], [0.5, 0.5]);
        for wrong in [
            "",
            "tick,weight\n0,1\n",
            "tick,share\n",
            "tick,share\n0\n",
            "tick,share\n0,x\n",
            "tick,share\n0,-1\n",
            "tick,share\n-1,1\n",
            "tick,share\n99999999,1\n",
            "tick,share\n0,nan\n",
        ] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }
}
