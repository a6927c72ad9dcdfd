//! `outbid evaluate ctr`: the engine's model on labelled examples, progressive and held out.

use super::{figures, private};
use crate::cli::ctr_model::{Kept, NamedModel, Pass, Setting};
use crate::evaluate::{Examples, FeatureMap, Format, Metrics, Model, Scored, Tolerance};
use std::path::PathBuf;

/// Judge the click model on labelled examples: each is predicted first, then learned.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid evaluate ctr --file train.tsv --map fixtures/maps/criteo.toml\n  \
    outbid evaluate ctr --file sample.csv --map fixtures/maps/talkingdata.toml --from 0.5\n  \
    outbid evaluate ctr --file train.vw.gz --test test.vw --matrix --plot reliability.svg\n\n\
    CSV and TSV need a feature map; VW text (.vw) and libsvm or libffm text (.libsvm, .ffm) make \
    their own from namespaces and indexes. A name that ends in .gz is unpacked.")]
pub struct Args {
    /// The examples, in the order in which they are learned.
    #[arg(long)]
    file: PathBuf,
    /// The feature map, in TOML: fixtures/maps has two that explain their keys.
    #[arg(long, conflicts_with = "load")]
    map: Option<PathBuf>,
    /// Go on with this model, which `outbid train ctr` or --model saved.
    #[arg(long, conflicts_with_all = ["k", "linear_bits", "vector_bits", "base_rate", "seed"])]
    load: Option<PathBuf>,
    /// Save the model as it is at the end of the file.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Further examples, predicted by the model as it is at the end.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Judge the progressive predictions from this part of the file on: 0.5 is its second half.
    #[arg(long, default_value_t = 0.0)]
    from: f64,
    /// Judge each so many rows on their own too.
    #[arg(long)]
    window: Option<usize>,
    /// Bins of calibration.
    #[arg(long, default_value_t = 10)]
    bins: usize,
    /// Compare the default rates one by one, and 8 with 16 components.
    #[arg(long, conflicts_with_all = ["load", "model"])]
    matrix: bool,
    /// Draw the reliability diagram into this file, as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    setting: Setting,
    #[command(flatten)]
    privacy: private::Privacy,
    /// The column of a table that names users. Of each, --dp-examples rows are learned by the private
    /// models; the file counts as one day, so that holds over all of it.
    #[arg(long, value_name = "COLUMN", requires = "dp_epsilon")]
    dp_users: Option<String>,
    #[cfg(feature = "onnx")]
    #[command(flatten)]
    onnx: super::onnx::Onnx,
    /// Count and skip lines that cannot be used.
    #[arg(long)]
    lenient: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What came of one model.
struct Judged {
    name: String,
    model: Model,
    progressive: Vec<Scored>,
    test: Vec<Scored>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!((0.0..1.0).contains(&args.from), "--from is at least 0 and below 1");
    anyhow::ensure!((1..=1_000).contains(&args.bins), "--bins is between 1 and 1000");
    anyhow::ensure!(args.window != Some(0), "--window is at least 1");
    let (kept, mut models, before) = models(args)?;
    let learned = with_users(args, &kept.map)?;
    models.extend(private_models(args, &learned, kept.setting.base_rate)?);
    #[cfg(feature = "onnx")]
    models.extend(args.onnx.read(kept.map.width())?);
    let judged = models.into_iter().map(|(name, model)| Judged {
        name,
        model,
        progressive: Vec::new(),
        test: Vec::new(),
    });
    let mut judged: Vec<_> = judged.collect();
    let mut tolerance = Tolerance::new(args.lenient);
    let file = Pass { map: &learned, what: "learning", is_quiet: args.json };
    #[cfg(feature = "onnx")]
    args.onnx.write_ids(&file, &args.file, &mut Tolerance::new(args.lenient))?;
    let (rows, seconds) = file.read(&args.file, &mut tolerance, &mut |example| {
        for each in &mut judged {
            let scored = each.model.learn(example);
            each.progressive.push(scored);
        }
    })?;
    if let Some(test) = &args.test {
        let file = Pass { map: &kept.map, what: "predicting", ..file };
        file.read(test, &mut tolerance, &mut |example| {
            for each in &mut judged {
                let scored = each.model.predict(example);
                each.test.push(scored);
            }
        })?;
    }
    private::check(judged.iter().map(|each| &each.model))?;
    if let Some((file, each)) = args.model.as_ref().zip(judged.first())
        && let Model::Shadows(models) = &each.model
    {
        kept.save(file, models, before + rows)?;
    }
    let summary = Summary { args, map: &kept.map, judged, tolerance, rate: rows as f64 / seconds };
    summary.show()
}

/// The models to judge, how their features are made, and how many examples they have learned.
fn models(args: &Args) -> anyhow::Result<(Kept, Vec<NamedModel>, u64)> {
    if let Some(file) = &args.load {
        let (kept, models, learned) = Kept::load(file)?;
        let name = format!("k = {}", kept.setting.k);
        return Ok((kept, vec![(name, Model::Shadows(Box::new(models)))], learned));
    }
    let declared = args.map.as_deref().map(FeatureMap::read).transpose()?;
    let map = Examples::map_of(&args.file, declared)?;
    let models = match args.matrix {
        true => args.setting.matrix(map.width(), map.min_count)?,
        false => {
            let model = args.setting.shadows(map.width(), map.min_count)?;
            vec![(format!("k = {}", args.setting.k), model)]
        }
    };
    Ok((Kept { setting: args.setting, map }, models, 0))
}

/// How the rows become examples that are learned: with their users, where those are asked for.
fn with_users(args: &Args, map: &FeatureMap) -> anyhow::Result<FeatureMap> {
    let is_table = matches!(map.format, Format::Csv | Format::Tsv);
    anyhow::ensure!(is_table || args.dp_users.is_none(), "--dp-users is a column of a table");
    Ok(FeatureMap { user: args.dp_users.clone(), ..map.clone() })
}

/// The private models to compare with. They are told how long the day is, so the file is read once
/// more.
fn private_models(args: &Args, map: &FeatureMap, base: f64) -> anyhow::Result<Vec<NamedModel>> {
    if !args.privacy.is_asked() {
        return Ok(Vec::new());
    }
    let file = Pass { map, what: "counting", is_quiet: args.json };
    let (rows, _) = file.read(&args.file, &mut Tolerance::new(args.lenient), &mut |_| {})?;
    args.privacy.models(map.width(), rows, base)
}

struct Summary<'a> {
    args: &'a Args,
    map: &'a FeatureMap,
    judged: Vec<Judged>,
    tolerance: Tolerance,
    rate: f64,
}

impl Summary<'_> {
    fn show(&self) -> anyhow::Result<()> {
        let bins = self.args.bins;
        let parts = self.judged.iter().map(|each| {
            let first = (each.progressive.len() as f64 * self.args.from) as usize;
            let progressive = Metrics::of(&each.progressive[first..], bins);
            let test = (!each.test.is_empty()).then(|| Metrics::of(&each.test, bins));
            (each, progressive, test)
        });
        let parts: Vec<_> = parts.collect();
        if let Some((file, (_, progressive, test))) = self.args.plot.as_ref().zip(parts.last()) {
            let mut lines = vec![("progressive", progressive)];
            lines.extend(test.iter().map(|test| ("held out", test)));
            figures::draw_reliability(file, &lines)?;
        }
        if self.args.json {
            let models = parts.iter().map(|(each, progressive, test)| {
                let windows = self.windows(each);
                serde_json::json!({
                    "model": each.name,
                    "progressive": progressive,
                    "test": test,
                    "windows": windows,
                    "rates": each.model.standing(),
                })
            });
            #[cfg(feature = "onnx")]
            let models = models.zip(&parts).map(|(mut told, (each, ..))| {
                told["imported"] = super::onnx::figures(&each.model);
                told
            });
            let summary = serde_json::json!({
                "fields": self.map.names(),
                "from": self.args.from,
                "skipped": self.tolerance.skipped(),
                "beyond_bound": self.beyond(),
                "rows_per_second": self.rate,
                "models": models.collect::<Vec<_>>(),
            });
            println!("{summary}");
            return Ok(());
        }
        let mut table = figures::head();
        for (each, progressive, test) in &parts {
            let part = if self.args.from > 0.0 {
                format!("from {}", self.args.from)
            } else {
                "progressive".to_owned()
            };
            figures::row(&mut table, &each.name, &part, progressive);
            for (number, window) in self.windows(each).iter().enumerate() {
                figures::row(&mut table, "", &format!("window {}", number + 1), window);
            }
            if let Some(test) = test {
                figures::row(&mut table, &each.name, "held out", test);
            }
        }
        println!("{table}");
        if let Some((each, progressive, test)) = parts.last() {
            figures::print_bins(test.as_ref().unwrap_or(progressive));
            for (number, loss) in each.model.standing().iter().enumerate() {
                println!("rates {}: log loss {loss:.4} of late", number + 1);
            }
        }
        #[cfg(feature = "onnx")]
        parts.iter().for_each(|(each, ..)| super::onnx::show(&each.model));
        if let Some(beyond) = self.beyond().filter(|beyond| *beyond > 0) {
            println!(
                "{beyond} rows beyond their users' bound, which the private models did not learn"
            );
        }
        println!("{} fields, {:.0} rows/s", self.map.width(), self.rate);
        if let Some(first) = self.tolerance.first() {
            println!("{} lines skipped; the first: {first}", self.tolerance.skipped());
        }
        Ok(())
    }

    fn beyond(&self) -> Option<u64> {
        private::beyond(self.judged.iter().map(|each| &each.model))
    }

    fn windows(&self, judged: &Judged) -> Vec<Metrics> {
        let Some(window) = self.args.window else { return Vec::new() };
        judged.progressive.chunks(window).map(|part| Metrics::of(part, self.args.bins)).collect()
    }
}
