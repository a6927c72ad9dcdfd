//! A table of behaviour events as `train sequence` and `evaluate sequence` are told of it.

use crate::cli::show::Progress;
use crate::evaluate::{EventColumns, Stream, Tolerance};
use std::path::PathBuf;

/// Which events.
#[derive(clap::Args)]
pub struct StreamArgs {
    /// The events: CSV (or TSV), also packed (.gz).
    #[arg(long)]
    file: PathBuf,
    /// All columns in order, with commas between them, where the file has no header.
    #[arg(long, value_delimiter = ',')]
    headless: Option<Vec<String>>,
    /// The column of the user.
    #[arg(long, default_value = "user")]
    user: String,
    /// The column of the category.
    #[arg(long, default_value = "category")]
    category: String,
    /// The column of the time, in Unix seconds or milliseconds.
    #[arg(long, default_value = "time")]
    time: String,
    /// The column of the item; empty for none.
    #[arg(long, default_value = "item")]
    item: String,
    /// The column of the kind of event (view, search, click, add_to_cart, purchase; or pv, fav, cart,
    /// buy); empty for none.
    #[arg(long, default_value = "kind")]
    kind: String,
    /// Leave out what is earlier, in Unix seconds.
    #[arg(long, default_value_t = 0)]
    from: u32,
    /// Leave out what is not earlier, in Unix seconds.
    #[arg(long, default_value_t = u32::MAX)]
    until: u32,
    /// Count and skip lines that cannot be used.
    #[arg(long)]
    lenient: bool,
}

impl StreamArgs {
    /// Reads the events, and says what was left out.
    pub fn read(&self, is_quiet: bool) -> anyhow::Result<Stream> {
        let columns = EventColumns {
            headless: self.headless.clone(),
            user: self.user.clone(),
            category: self.category.clone(),
            time: self.time.clone(),
            item: self.item.clone(),
            kind: self.kind.clone(),
        };
        let bytes = std::fs::metadata(&self.file).map_or(0, |facts| facts.len());
        let mut progress = Progress::new("reading", bytes, is_quiet);
        let mut tolerance = Tolerance::new(self.lenient);
        let time = (self.from, self.until);
        let row = |position: &_| progress.row(position);
        let stream = Stream::read(&self.file, &columns, time, &mut tolerance, row)?;
        progress.finish();
        if let Some(first) = tolerance.first() {
            eprintln!("{} lines skipped, the first: {first}", tolerance.skipped());
        }
        if stream.outside > 0 {
            eprintln!("{} events are outside of --from and --until", stream.outside);
        }
        anyhow::ensure!(!stream.events.is_empty(), "{}: no events", self.file.display());
        Ok(stream)
    }
}

/// A part of the stream, from 0 to 1.
pub fn parse_part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "is not a number from 0 to 1".to_owned())
}
