//! What a configuration and a plan say of the click model that learns from releases.

use super::config::{Config, Error, Plan, in_range, refuse};
use super::gradient::GradientPlan;
use serde::{Deserialize, Serialize};

/// Most shown ads of a user that teach in a day.
const EXAMPLES_MAX: u16 = 64;
/// Milliseconds in a UTC day.
const DAY_MS: f64 = 86_400_000.0;

/// What the click model learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Every outcome, as it is: the model is outside of the claim.
    #[default]
    Plain,
    /// Releases alone, by DP-FTRL.
    DpFtrl,
}

/// Refuses a model that cannot learn, and a share of the budget that nobody uses.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    in_range("model_examples", config.model_examples, 1, EXAMPLES_MAX)?;
    in_range("model_bits", config.model_bits, 10, 16)?;
    match (config.model, config.model_rho_percent) {
        (ModelKind::DpFtrl, 0) => {
            Err(refuse("model_rho_percent", "model = \"dp-ftrl\" learns nothing without a share"))
        }
        (ModelKind::Plain, 1..) => {
            Err(refuse("model_rho_percent", "it is for model = \"dp-ftrl\", and spent for nothing"))
        }
        _ => Ok(()),
    }
}

impl Plan {
    /// Shown ads of a user that teach in a day.
    #[must_use]
    pub const fn model_examples(&self) -> u16 {
        self.model_examples
    }

    /// What a day's gradients count on the next: they age like the released sums.
    #[must_use]
    pub fn day_decay(&self) -> f64 {
        (-DAY_MS / self.half_life_ms() as f64).exp2()
    }

    /// The plan for a model that learns from releases, with gradients of so many coordinates.
    ///
    /// # Errors
    /// [`Error::Config`] where the share of the budget is too small for them.
    pub fn with_gradients(mut self, dimensions: usize) -> Result<Self, Error> {
        self.model_dimensions = dimensions;
        match self.gradients() {
            Some(_) => Ok(self),
            None => Err(refuse("model_rho_percent", "it is too small for what users may teach")),
        }
    }

    /// How gradients are released; `None` where nothing is learned from releases.
    #[must_use]
    pub fn gradients(&self) -> Option<GradientPlan> {
        let (examples, steps) = (self.model_examples, usize::from(self.releases_per_day()));
        GradientPlan::new(self.model_dimensions, examples, steps, self.model_rho())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(model: ModelKind, share: u8) -> Config {
        let mut config = Config { model, model_rho_percent: share, ..Config::default() };
        config.clicks.rho_percent = 20;
        config
    }

    #[test]
    fn a_share_and_a_model_go_together() {
        let key = |config: &Config| match Plan::try_from(config) {
            Err(Error::Config { key, .. }) => Some(key),
            _ => None,
        };
        assert_eq!(key(&with(ModelKind::DpFtrl, 60)), None);
        assert_eq!(key(&with(ModelKind::DpFtrl, 0)), Some("model_rho_percent"));
        assert_eq!(key(&with(ModelKind::Plain, 60)), Some("model_rho_percent"));
        for (wrong, expected) in [
            (Config { model_examples: 0, ..Config::default() }, "model_examples"),
            (Config { model_examples: 65, ..Config::default() }, "model_examples"),
            (Config { model_bits: 17, ..Config::default() }, "model_bits"),
        ] {
            assert_eq!(key(&wrong), Some(expected));
        }
        let text = "model = \"dp-ftrl\"";
        assert_eq!(toml::from_str::<Config>(text).unwrap().model, ModelKind::DpFtrl);
        assert!(toml::from_str::<Config>("model = \"dp\"").is_err());
    }

    #[test]
    fn the_noise_costs_no_more_than_its_share() {
        let plan = Plan::try_from(&with(ModelKind::DpFtrl, 60)).unwrap();
        assert!(plan.gradients().is_none(), "before it is known how many coordinates there are");
        let plan = plan.with_gradients(1_100).unwrap();
        let gradients = plan.gradients().unwrap();
        let one = gradients.cost(plan.model_examples());
        let share = plan.model_rho().as_f64();
        assert!(one <= share && one > share * 0.999, "{one} of {share}");
        assert!(
            Plan::try_from(&with(ModelKind::DpFtrl, 60)).unwrap().with_gradients(1 << 20).is_err()
        );
    }
}
