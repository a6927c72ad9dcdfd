//! `outbid evaluate policy`: what another policy would have earned in a log of random decisions.

use crate::cli::ctr_model::Setting;
use crate::cli::show::{Progress, table};
use crate::evaluate::{
    Actions, BanditLog, Columns, Decision, Dialect, Error, Estimate, Estimator, RewardModel,
    TargetFile, Terms, Tolerance, Value,
};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

/// Estimate what a policy would have earned, from a log of another policy's random decisions.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid evaluate policy --file log.csv --target uniform\n  \
    outbid evaluate policy --file log.csv.gz --target greedy --clip 100 --json\n  \
    outbid evaluate policy --file log.csv --target-file probabilities.csv\n\n\
    The log is CSV (or TSV) with a header: columns `action`, `propensity` and `reward`, and, where a \
    reward model is given, a column `predicted.ACTION` for each action; without, the engine's own model \
    learns rewards from the first half, and the other is judged. The table of a target has a \
    column for each action and a row for each row of the log.")]
pub struct Args {
    /// The log.
    #[arg(long)]
    file: PathBuf,
    /// The policy: `uniform`, `greedy` (the best predicted action), or `epsilon:0.1`, which is greedy
    /// but for this share of uniform decisions.
    #[arg(long, required_unless_present = "target_file")]
    target: Option<Target>,
    /// A table of the policy's probabilities.
    #[arg(long, conflicts_with = "target")]
    target_file: Option<PathBuf>,
    /// Use no weight above this.
    #[arg(long)]
    clip: Option<f64>,
    /// The column of the action.
    #[arg(long, default_value = "action")]
    action: String,
    /// The column of its propensity.
    #[arg(long, default_value = "propensity")]
    propensity: String,
    /// The column of the reward.
    #[arg(long, default_value = "reward")]
    reward: String,
    /// Replicates of the bootstrap that gives the intervals.
    #[arg(long, default_value = "500")]
    replicates: NonZeroUsize,
    /// Where the log predicts no rewards, a model learns them from this part of it, which is then not
    /// judged; 0 goes without.
    #[arg(long, default_value_t = 0.5)]
    fit: f64,
    /// The columns of the context that it learns by, each a category; all others where none is named.
    #[arg(long, value_delimiter = ',')]
    context: Vec<String>,
    #[command(flatten)]
    setting: Setting,
    /// Count and skip lines that cannot be used.
    #[arg(long)]
    lenient: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A policy that is known by name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Uniform,
    /// The best predicted action, but for this share of uniform decisions.
    Greedy(f64),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "greedy" => Ok(Self::Greedy(0.0)),
            Some(("epsilon", share)) => match share.parse() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self::Greedy(share)),
                _ => Err(format!("epsilon `{share}` is not in [0, 1]")),
            },
            _ => Err("is none of uniform, greedy, epsilon:SHARE".to_owned()),
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.clip.is_none_or(|clip| clip > 0.0), "--clip is above 0");
    anyhow::ensure!((0.0..1.0).contains(&args.fit), "--fit is at least 0 and below 1");
    let columns = Columns {
        action: args.action.clone(),
        propensity: args.propensity.clone(),
        reward: args.reward.clone(),
        context: args.context.clone(),
        ..Columns::default()
    };
    let dialect = Dialect::of(&args.file);
    let mut tolerance = Tolerance::new(args.lenient);
    let first = BanditLog::open(&args.file, dialect, &columns)?;
    let survey = first.survey(|read| tolerance.take(read))?;
    let mut log = BanditLog::open(&args.file, dialect, &columns)?;
    let mut rewards = match !survey.is_predicted && args.fit > 0.0 {
        true => {
            let width = log.context_width();
            let model = args.setting.shadows(width + 1, None)?;
            Some(RewardModel::new(model, width, survey.actions.len(), survey.rewards))
        }
        false => None,
    };
    let is_greedy = matches!(args.target, Some(Target::Greedy(_)));
    let knows = survey.is_predicted || rewards.is_some();
    anyhow::ensure!(!is_greedy || knows, "a greedy policy needs predicted rewards, or --fit");
    let fitted = if rewards.is_some() { (survey.rows as f64 * args.fit) as u64 } else { 0 };
    let mut target = Followed::of(args, &survey.actions)?;
    let mut tolerance = Tolerance::new(args.lenient);
    let mut estimator = Estimator::new(args.setting.seed, args.replicates);
    let mut progress = Progress::new("weighing", log.position().total(), args.json);
    let (mut context, mut row) = (Vec::new(), 0);
    while let Some(read) = log.advance(&survey.actions) {
        progress.row(log.position());
        let decision = tolerance.take(read)?;
        log.context(&mut context);
        let predictions = match &mut rewards {
            Some(model) if row >= fitted => model.predict(&context),
            _ => log.predictions(),
        };
        // A target's rows go with the log's, those that are skipped or learned among them.
        let shares = target.next(predictions)?;
        let Some(decision) = decision else { continue };
        if row >= fitted {
            estimator.add(&terms(&decision, shares, predictions, args.clip));
        } else if let Some(model) = &mut rewards {
            model.learn(&context, decision.action, decision.reward);
        }
        row += 1;
    }
    progress.finish();
    let value = estimator.value();
    anyhow::ensure!(value.rows > 0, "{}: no row can be used", args.file.display());
    if args.json {
        let actions: Vec<_> = survey.actions.names().collect();
        let summary = serde_json::json!({
            "value": value,
            "actions": actions,
            "fitted_rows": fitted,
            "skipped": tolerance.skipped(),
        });
        println!("{summary}");
    } else {
        print(&value, fitted, &tolerance);
    }
    Ok(())
}

fn terms(decision: &Decision, shares: &[f64], predicted: &[f64], clip: Option<f64>) -> Terms {
    let weight = shares[decision.action] / decision.propensity;
    let expected = || shares.iter().zip(predicted).map(|(share, reward)| share * reward).sum();
    Terms {
        weight: clip.map_or(weight, |clip| weight.min(clip)),
        reward: decision.reward,
        expected: (!predicted.is_empty()).then(expected),
        predicted: predicted.get(decision.action).copied(),
    }
}

/// The policy that is followed, row by row.
enum Followed {
    Named(Target, Vec<f64>),
    Table(Box<TargetFile>),
}

impl Followed {
    fn of(args: &Args, actions: &Actions) -> Result<Self, Error> {
        if let Some(file) = &args.target_file {
            let table = TargetFile::open(file, Dialect::of(file), actions)?;
            return Ok(Self::Table(Box::new(table)));
        }
        let even = 1.0 / actions.len() as f64;
        Ok(Self::Named(args.target.unwrap_or(Target::Uniform), vec![even; actions.len()]))
    }

    /// The probability of each action, where a model predicts them to earn so much.
    fn next(&mut self, predicted: &[f64]) -> Result<&[f64], Error> {
        match self {
            Self::Table(file) => file.advance(),
            Self::Named(Target::Uniform, shares) => Ok(shares),
            Self::Named(Target::Greedy(epsilon), shares) => {
                // Without predictions, while rewards are still learned, the first action is as good.
                let mut best = 0;
                for (action, value) in predicted.iter().enumerate() {
                    // The first of equals: the same each time.
                    if *value > predicted[best] {
                        best = action;
                    }
                }
                let even = *epsilon / shares.len() as f64;
                shares.fill(even);
                shares[best] += 1.0 - *epsilon;
                Ok(shares)
            }
        }
    }
}

fn print(value: &Value, fitted: u64, tolerance: &Tolerance) {
    let mut shown = table(["estimate", "value", "95 % interval"]);
    let mut row = |name: &str, estimate: Option<Estimate>| {
        if let Some(Estimate { value, low, high }) = estimate {
            shown.add_row([
                name.to_owned(),
                format!("{value:.5}"),
                format!("{low:.5} to {high:.5}"),
            ]);
        }
    };
    row("logged policy", Some(value.logged));
    row("IPS", Some(value.ips));
    row("SNIPS", Some(value.snips));
    row("reward model", value.dm);
    row("doubly robust", value.dr);
    println!("{shown}");
    println!(
        "{} rows, {:.0} effective; weights: mean {:.3}, largest {:.1}",
        value.rows, value.effective_rows, value.mean_weight, value.max_weight
    );
    if fitted > 0 {
        println!("the first {fitted} rows were learned, not judged");
    }
    if let Some(first) = tolerance.first() {
        println!("{} lines skipped; the first: {first}", tolerance.skipped());
    }
}
