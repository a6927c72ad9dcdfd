//! The models that `evaluate` and `train` make: the engine's own core, with one default for all data.

use crate::evaluate::Model;
use crate::prediction::{Config, Fwfm, FwfmConfig, Shadows};

/// What a model is made of.
#[derive(clap::Args)]
pub struct Setting {
    /// Components of a factor vector: 8 or 16.
    #[arg(long, default_value_t = 8)]
    pub k: u8,
    /// Log2 of the number of linear weights.
    #[arg(long, default_value_t = 22)]
    pub linear_bits: u8,
    /// Log2 of the number of factor vectors.
    #[arg(long, default_value_t = 20)]
    pub vector_bits: u8,
    /// The rate of positives assumed before anything is learned.
    #[arg(long, default_value_t = 0.5)]
    pub base_rate: f64,
    /// Seeds the vectors' first values.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Setting {
    fn config(&self, k: u8, fields: usize, min_count: u8) -> FwfmConfig {
        FwfmConfig {
            linear_bits: self.linear_bits,
            vector_bits: self.vector_bits,
            base_rate: self.base_rate,
            seed: self.seed,
            admission: min_count,
            ..FwfmConfig::new(fields, k)
        }
    }

    /// The engine's default rates side by side, the best of late predicting.
    pub fn shadows(&self, fields: usize, min_count: u8) -> anyhow::Result<Model> {
        let config = self.config(self.k, fields, min_count);
        Ok(Model::Shadows(Box::new(Shadows::new(&config, &Config::default().rates)?)))
    }

    /// Each of the default rates alone and all together, for both sizes of vectors.
    pub fn matrix(&self, fields: usize, min_count: u8) -> anyhow::Result<Vec<(String, Model)>> {
        let rates = Config::default().rates;
        let mut models = Vec::new();
        for k in [8, 16] {
            let config = self.config(k, fields, min_count);
            for (number, rates) in rates.iter().enumerate() {
                let alone = Fwfm::new(&FwfmConfig { rates: *rates, ..config })?;
                let name = format!("k = {k}, rates {}", number + 1);
                models.push((name, Model::One(Box::new(alone))));
            }
            let together = Shadows::new(&config, &rates)?;
            models.push((format!("k = {k}, best of them"), Model::Shadows(Box::new(together))));
        }
        Ok(models)
    }
}
