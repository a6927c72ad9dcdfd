//! `outbid train sequence`: a sequence model from behaviour events.

use crate::cli::event_stream::{StreamArgs, parse_part};
use crate::cli::show::{Progress, table};
use crate::evaluate::{Split, Stream, hold_out};
use crate::relevance::sequence::{TrainConfig, Trainer};
use serde_json::json;
use std::path::PathBuf;

/// Train a sequence model (embeddings, GRU, softmax) on behaviour events.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid train sequence --file events.csv --out model.seq\n  \
    outbid train sequence --file UserBehavior.csv --headless user,item,category,kind,time \\\n    \
      --from 1511539200 --until 1512316800 --lenient --part 0.7 --out taobao.seq\n\n\
    The last part of the events (--hold-out) is not trained on: after each epoch it tells how good \
    the model is, and the best is kept. `[relevance] sequence_model` names the file to the server.")]
pub struct Args {
    #[command(flatten)]
    stream: StreamArgs,
    /// Where the model goes.
    #[arg(long)]
    out: PathBuf,
    /// Use this first part of the events, in the order of time.
    #[arg(long, default_value = "1", value_parser = parse_part)]
    part: f64,
    /// The last part of those, which is held out.
    #[arg(long, default_value = "0.1", value_parser = parse_part)]
    hold_out: f64,
    /// Units of the state: 32 or 64.
    #[arg(long, default_value_t = TrainConfig::default().hidden)]
    hidden: usize,
    /// Rows of the table of hashed items, a power of two; 0 reads no items.
    #[arg(long, default_value_t = TrainConfig::default().items)]
    items: usize,
    /// Passes over the events.
    #[arg(long, default_value_t = TrainConfig::default().epochs)]
    epochs: usize,
    /// Adam's step.
    #[arg(long, default_value_t = TrainConfig::default().rate)]
    rate: f32,
    /// Events after which gradients are cut.
    #[arg(long, default_value_t = TrainConfig::default().window)]
    window: usize,
    /// Categories drawn beside the right ones; 0 takes all.
    #[arg(long, default_value_t = TrainConfig::default().samples)]
    samples: usize,
    /// Part of an event's input that is left out in training.
    #[arg(long, default_value_t = TrainConfig::default().dropout)]
    dropout: f32,
    /// Categories of fewer events count as unknown.
    #[arg(long, default_value_t = 1)]
    min_count: u64,
    /// Seeds first weights, order and samples.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn config(&self) -> TrainConfig {
        TrainConfig {
            hidden: self.hidden,
            items: self.items,
            epochs: self.epochs,
            rate: self.rate,
            window: self.window,
            samples: self.samples,
            dropout: self.dropout,
            seed: self.seed,
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.hold_out < 0.9, "--hold-out leaves nothing to train on");
    let stream = args.stream.read(args.json)?;
    let split = Split::new(&stream, args.part, args.hold_out, args.min_count);
    let mut trainer = Trainer::new(split.vocabulary.clone(), &split.counts, args.config())?;
    let mut rows = table(["epoch", "loss", "held-out HR@10", "held-out NDCG@10", "events/s"]);
    let mut epochs = Vec::new();
    let mut best: Option<(f64, Vec<u8>)> = None;
    let mut kept = 0;
    for epoch in 1..=args.epochs {
        let mut progress = Progress::new("training", split.trained as u64, args.json);
        let mut done = 0;
        let mut so_far = (0.0, 0);
        let loss = trainer.epoch(&split.sequences, |loss| {
            done += loss.events;
            so_far = (so_far.0 + loss.sum, so_far.1 + loss.events);
            progress.add(loss.events);
            progress.show(
                done,
                &format!(", epoch {epoch}, loss {:.3}", so_far.0 / so_far.1.max(1) as f64),
            );
        });
        let (events, seconds) = progress.finish();
        let quality = hold_out(&stream, &split, trainer.model());
        if best.as_ref().is_none_or(|(ndcg, _)| quality.ndcg_10 >= *ndcg) {
            best = Some((quality.ndcg_10, trainer.model().to_bytes()));
            kept = epoch;
        }
        let rate = events as f64 / seconds.max(1e-3);
        rows.add_row([
            epoch.to_string(),
            format!("{:.4}", loss.mean()),
            format!("{:.4}", quality.hit_rate_10),
            format!("{:.4}", quality.ndcg_10),
            format!("{rate:.0}"),
        ]);
        epochs.push(json!({ "epoch": epoch, "loss": loss.mean(), "held_out": quality }));
    }
    let Some((_, bytes)) = best else { anyhow::bail!("--epochs is at least 1") };
    crate::relevance::sequence::SequenceModel::from_bytes(&bytes)?.write(&args.out)?;
    let facts = facts(&stream, &split, kept, bytes.len());
    if args.json {
        println!("{}", json!({ "epochs": epochs, "model": facts }));
    } else {
        println!("{rows}");
        println!("kept epoch {kept}: {} ({} bytes)", args.out.display(), bytes.len());
    }
    Ok(())
}

fn facts(stream: &Stream, split: &Split, kept: usize, bytes: usize) -> serde_json::Value {
    json!({
        "events": stream.events.len(),
        "trained": split.trained,
        "held_out": split.end - split.trained,
        "categories": split.vocabulary.ids().len(),
        "kept_epoch": kept,
        "bytes": bytes,
    })
}
