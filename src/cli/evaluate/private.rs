//! What `evaluate ctr` and `evaluate planted` share about privacy: the private models to compare with.

use crate::cli::ctr_model::NamedModel;
use crate::evaluate::{Model, PrivateModel, PrivateSetting};

/// Which private models are compared.
#[derive(Clone, Debug, clap::Args)]
pub struct Privacy {
    /// Compare with a linear model that learns by DP-FTRL, at each of these epsilons of a user-day
    /// (1,3,8), and with the same one without noise. The file counts as one day, and a row
    /// whose user is not named as a user-day of its own.
    #[arg(long, value_delimiter = ',', value_name = "EPSILONS")]
    dp_epsilon: Vec<f64>,
    /// Delta of a user-day.
    #[arg(long, default_value_t = 1e-6)]
    dp_delta: f64,
    /// Examples of each user-day that are learned, the first ones, and that noise is made for. Where each
    /// row is a user-day, more than 1 shows the cost of users who see several ads.
    #[arg(long, default_value_t = 1)]
    dp_examples: u16,
    /// Releases of the day.
    #[arg(long, default_value_t = 288)]
    dp_ticks: u16,
    /// Log2 of the number of hashed features.
    #[arg(long, default_value_t = 12)]
    dp_bits: u8,
}

impl Privacy {
    /// Whether any are.
    pub const fn is_asked(&self) -> bool {
        !self.dp_epsilon.is_empty()
    }

    /// The models, for a stream of so many rows with so many features each.
    pub fn models(&self, features: usize, rows: u64, base: f64) -> anyhow::Result<Vec<NamedModel>> {
        let is_epsilon = |epsilon: &f64| *epsilon > 0.0 && *epsilon <= 32.0;
        anyhow::ensure!(
            self.dp_epsilon.iter().all(is_epsilon),
            "--dp-epsilon is above 0, up to 32"
        );
        let is_delta = self.dp_delta > 0.0 && self.dp_delta <= 1e-3;
        anyhow::ensure!(is_delta, "--dp-delta is above 0 and at most 0.001");
        anyhow::ensure!(self.dp_examples > 0, "--dp-examples is at least 1");
        anyhow::ensure!((1..=1_440).contains(&self.dp_ticks), "--dp-ticks is 1 to 1440");
        anyhow::ensure!((8..=16).contains(&self.dp_bits), "--dp-bits is 8 to 16");
        let exact = self.is_asked().then_some(None);
        let epsilons = exact.into_iter().chain(self.dp_epsilon.iter().copied().map(Some));
        let models = epsilons.map(|epsilon| {
            let name = match epsilon {
                None => "linear, no noise".to_owned(),
                Some(epsilon) => format!("dp-ftrl, epsilon {epsilon}"),
            };
            let model = PrivateModel::new(PrivateSetting {
                features,
                bits: self.dp_bits,
                epsilon,
                delta: self.dp_delta,
                examples: self.dp_examples,
                rows,
                ticks: self.dp_ticks,
                base_rate: base,
            })?;
            Ok((name, Model::Private(Box::new(model))))
        });
        models.collect()
    }
}

/// Rows that were beyond their users' bound, alike in all private models; `None` where there are none.
pub fn beyond<'a>(models: impl IntoIterator<Item = &'a Model>) -> Option<u64> {
    models.into_iter().find_map(|model| match model {
        Model::Private(model) => Some(model.beyond()),
        _ => None,
    })
}

/// Refuses figures of a model whose releases ended.
pub fn check<'a>(models: impl IntoIterator<Item = &'a Model>) -> anyhow::Result<()> {
    for model in models {
        if let Model::Private(model) = model
            && let Some(fault) = model.fault()
        {
            anyhow::bail!("{fault}");
        }
    }
    Ok(())
}
