//! What `evaluate` and `train` share about click models: their setting, their files, and the way of
//! examples into them.

use super::show::Progress;
use crate::evaluate::{Example, Examples, FeatureMap, Model, Tolerance};
use crate::prediction::model_file::{self, map_digest};
use crate::prediction::{Config, Fwfm, FwfmConfig, SavedShadows, Shadows};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a model is made of.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    fn config(&self, k: u8, fields: usize, min_count: Option<u8>) -> FwfmConfig {
        let Config { admission, .. } = Config::default();
        FwfmConfig {
            linear_bits: self.linear_bits,
            vector_bits: self.vector_bits,
            base_rate: self.base_rate,
            seed: self.seed,
            admission: min_count.unwrap_or(admission),
            ..FwfmConfig::new(fields, k)
        }
    }

    /// The engine's default rates side by side, the best of late predicting. Where no `min_count` is
    /// asked for, features are admitted as the engine admits them.
    pub fn shadows(&self, fields: usize, min_count: Option<u8>) -> anyhow::Result<Model> {
        let config = self.config(self.k, fields, min_count);
        Ok(Model::Shadows(Box::new(Shadows::new(&config, &Config::default().rates)?)))
    }

    /// Each of the default rates alone and all together, for both sizes of vectors.
    pub fn matrix(&self, fields: usize, min_count: Option<u8>) -> anyhow::Result<Vec<NamedModel>> {
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

/// A model and what it is called where several are compared.
pub type NamedModel = (String, Model);

/// What stands beside a model's file, as TOML: how its features are made. The model's file has a digest
/// of it, so that neither is used with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What the model is made of.
    pub setting: Setting,
    /// What its fields are.
    pub map: FeatureMap,
}

impl Kept {
    fn digest(&self) -> u64 {
        let config = self.setting.config(self.setting.k, self.map.width(), self.map.min_count);
        let map = self.map.to_toml();
        map_digest([map.as_str()], &config, &Config::default().rates)
    }

    /// Writes a model and what it is made of, each in one step.
    pub fn save(&self, file: &Path, models: &Shadows, examples: u64) -> anyhow::Result<()> {
        let shown = || file.display().to_string();
        let text = toml::to_string(self).with_context(shown)?;
        model_file::write(&beside(file), text.as_bytes()).with_context(shown)?;
        let bytes = model_file::encode(self.digest(), examples, &models.to_saved());
        model_file::write(file, &bytes).with_context(shown)
    }

    /// A model that was saved, what it is made of, and how many examples it has learned.
    pub fn load(file: &Path) -> anyhow::Result<(Self, Shadows, u64)> {
        let shown = || file.display().to_string();
        let map_file = beside(file);
        let text =
            std::fs::read_to_string(&map_file).with_context(|| map_file.display().to_string())?;
        let kept: Self = toml::from_str(&text).with_context(|| map_file.display().to_string())?;
        kept.map.check().map_err(anyhow::Error::msg).with_context(shown)?;
        let found = model_file::read::<SavedShadows>(file, kept.digest()).with_context(shown)?;
        let (examples, saved) = found.with_context(|| format!("{}: is not there", shown()))?;
        let config = kept.setting.config(kept.setting.k, kept.map.width(), kept.map.min_count);
        let models = Shadows::restore(&config, &Config::default().rates, saved);
        Ok((kept, models.with_context(shown)?, examples))
    }
}

/// Where the feature map of a model's file is.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".map.toml");
    PathBuf::from(name)
}

/// One pass over a file of examples.
pub struct Pass<'a> {
    /// How its rows become examples.
    pub map: &'a FeatureMap,
    /// What is done meanwhile, for the bar.
    pub what: &'static str,
    /// Whether no bar is shown.
    pub is_quiet: bool,
}

impl Pass<'_> {
    /// Calls `each` with every example of the file; returns rows and seconds.
    pub fn read(
        &self,
        file: &Path,
        tolerance: &mut Tolerance,
        each: &mut dyn FnMut(&Example),
    ) -> anyhow::Result<(u64, f64)> {
        let mut examples = Examples::open(file, self.map, tolerance)?;
        let position = examples.position().clone();
        let mut progress = Progress::new(self.what, position.total(), self.is_quiet);
        let (mut example, mut rows) = (Example::default(), 0);
        while let Some(read) = examples.advance(&mut example) {
            if tolerance.take(read)?.is_some() {
                each(&example);
                rows += 1;
            }
            progress.row(&position);
        }
        let (_, seconds) = progress.finish();
        anyhow::ensure!(rows > 0, "{}: no row can be used", file.display());
        Ok((rows, seconds.max(1e-9)))
    }
}
