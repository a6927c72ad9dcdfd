//! `outbid evaluate sequence`: which category a user looks at next, by each of our rankers.

use crate::cli::event_stream::{StreamArgs, parse_part};
use crate::cli::show::{Progress, table};
use crate::evaluate::next_category;
use crate::relevance::sequence::SequenceModel;
use anyhow::Context as _;
use serde_json::json;
use std::path::PathBuf;

/// Rank the next category of each user on a stream of behaviour events: test, then learn.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
    outbid evaluate sequence --file UserBehavior.csv --headless user,item,category,kind,time \\\n    \
      --from 1511539200 --until 1512316800 --lenient --model taobao.seq\n\n\
    All rankers learn from each event after they were asked for it, but the sequence model, which \
    stays as it was trained: train it with `--part` no larger than `--first` here.")]
pub struct Args {
    #[command(flatten)]
    stream: StreamArgs,
    /// A model of `outbid train sequence`; without it, rows of the others alone.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Ask from this part of the events on.
    #[arg(long, default_value = "0.7", value_parser = parse_part)]
    first: f64,
    /// Combinations learn from this part of the events on. It must not lie in what the model was
    /// trained on, where it would seem better than it is: `--part 0.7` holds out the last tenth of it.
    #[arg(long, default_value = "0.63", value_parser = parse_part)]
    warm: f64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let stream = args.stream.read(args.json)?;
    let model = args
        .model
        .as_ref()
        .map(|path| SequenceModel::read(path).with_context(|| path.display().to_string()));
    let model = model.transpose()?;
    let total = stream.events.len() as u64;
    let mut progress = Progress::new("ranking", total, args.json);
    let mut done = 0;
    let parts = (stream.part(args.warm), stream.part(args.first));
    let (asked, rows) = next_category(&stream, model.as_ref(), parts, || {
        done += 1;
        progress.add(1);
        if done % 256 == 0 {
            progress.show(done, "");
        }
    });
    progress.finish();
    if args.json {
        println!("{}", json!({ "events": total, "asked": asked, "rows": rows }));
        return Ok(());
    }
    let mut shown = table(["ranker", "HR@1", "HR@10", "NDCG@10", "MRR"]);
    for row in &rows {
        let quality = row.quality;
        let figures = [quality.hit_rate_1, quality.hit_rate_10, quality.ndcg_10, quality.mrr];
        let figures = figures.map(|figure| format!("{figure:.4}"));
        shown.add_row([&[row.ranker.to_owned()], &figures[..]].concat());
    }
    println!("{shown}\n{asked} of {total} events asked");
    Ok(())
}
