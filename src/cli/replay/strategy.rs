//! Which strategy bids: one of the published table's, one of the folder, or a file.

use super::protocol::{Share, Training, UNIT_MICROS};
use crate::strategy::{Strategies, Strategy};
use anyhow::Context as _;
use std::path::Path;

/// The strategies folder of this project, from where it is usually run.
const FOLDER: &str = "strategies";
/// Base bids of linear bidding as the authors tuned them, in units, by `c0` = 1/this.
const BASE_BIDS: [(u64, u64); 5] = [(32, 10), (16, 15), (8, 20), (4, 85), (2, 130)];

/// The text of a strategy's file: `lin` and `mcpc` are the published table's, anything else is a file
/// or the name of one in the folder `strategies`. A linear strategy without an average gets the
/// training part's, since no release of the replayed campaign could tell it.
pub fn text_of(name: &str, share: Share, training: &Training) -> anyhow::Result<String> {
    let average = training.average_p_click();
    match name {
        "lin" => {
            let known = BASE_BIDS.iter().find(|(of, _)| share == Share { part: 1, of: *of });
            let (_, base) = known.with_context(|| {
                format!("the authors tuned `lin` for 1/2, 1/4, 1/8, 1/16 and 1/32, not for {share}")
            })?;
            Ok(format!(
                "version = 1\nobjective = \"linear\"\nbase_bid_micros = {}\n\
                 average_p_click = {average}\npacing = \"none\"\n",
                base * UNIT_MICROS
            ))
        }
        "mcpc" => Ok("version = 1\nobjective = \"cpc\"\npacing = \"none\"\n".to_owned()),
        _ => {
            let inside = Path::new(FOLDER).join(format!("{name}.toml"));
            let file = if inside.is_file() { inside.as_path() } else { Path::new(name) };
            let text = std::fs::read_to_string(file).with_context(|| {
                format!("{}: no such strategy in {FOLDER}/, and no such file", file.display())
            })?;
            with_average(text, average).with_context(|| file.display().to_string())
        }
    }
}

/// Reads a strategy from the text of its file, as a server would.
pub fn read(text: &str) -> anyhow::Result<Strategy> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("replay.toml"), text)?;
    let strategies = Strategies::load(folder.path()).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    let strategy = strategies.get("replay").and_then(|id| strategies.strategy(id));
    strategy.copied().context("the strategy is not there")
}

fn with_average(text: String, average: f64) -> anyhow::Result<String> {
    let table: toml::Table = text.parse()?;
    let is_linear = table.get("objective").and_then(toml::Value::as_str) == Some("linear");
    if is_linear && !table.contains_key("average_p_click") {
        return Ok(format!("{}\naverage_p_click = {average}\n", text.trim_end()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_strategy_gets_the_logs_average_unless_it_has_one() {
        let linear = "objective = \"linear\"\nbase_bid_micros = 8 # eight".to_owned();
        let given = format!("{linear}\naverage_p_click = 0.5\n");
        let cpc = "objective = \"cpc\"\n".to_owned();
        let added = with_average(linear.clone(), 0.004).expect("TOML");
        assert_eq!(added, format!("{linear}\naverage_p_click = 0.004\n"));
        for text in [given, cpc] {
            assert_eq!(with_average(text.clone(), 0.004).expect("TOML"), text);
        }
        assert!(with_average("objective".to_owned(), 0.004).is_err());
    }
}
