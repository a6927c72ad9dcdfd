//! The click model's settings.

use serde::Deserialize;

/// `[prediction]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prediction {
    /// Seconds that an impression waits for its click before it counts as a negative.
    pub click_window_s: u32,
    /// Click probability before anything is known.
    pub base_click_rate: f32,
    /// Seed of the model's first weights.
    pub seed: u64,
    /// The part of shows without a click that is learned from.
    pub negative_rate: f64,
    /// Seconds that a click waits for its conversion before it stays a negative.
    pub conversion_window_s: u32,
    /// Whether click probabilities are calibrated by exchange and campaign group before they price.
    pub calibration: bool,
    /// Seconds between two savings of the model into the state folder; it is saved at the end too.
    pub save_every_s: u32,
    /// How often a feature must be seen before the model learns of it, up to 255; 0 and 1 are at
    /// once.
    pub admission: u8,
    /// Hours without a show after which a feature is forgotten; 0 is never.
    pub ttl_hours: u16,
    /// Components of a factor vector: 8, or 16 for streams of few dense features. A model that was
    /// saved with another number is not read.
    pub dim: u8,
}

impl Default for Prediction {
    fn default() -> Self {
        Self {
            click_window_s: 600,
            base_click_rate: 0.01,
            seed: 1,
            calibration: true,
            negative_rate: 1.0,
            conversion_window_s: 7 * 86_400,
            save_every_s: 300,
            admission: 0,
            ttl_hours: 30 * 24,
            dim: 8,
        }
    }
}

impl Prediction {
    /// The first setting that lies outside its range, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let (click, negative) = (self.base_click_rate, self.negative_rate);
        let rules = [
            (click > 0.0 && click < 0.5, "prediction.base_click_rate", "it lies between 0 and 0.5"),
            (
                negative > 0.0 && negative <= 1.0,
                "prediction.negative_rate",
                "it lies above 0 and up to 1",
            ),
            (matches!(self.dim, 8 | 16), "prediction.dim", "it is 8 or 16"),
        ];
        let broken = rules.into_iter().find(|(holds, ..)| !holds);
        broken.map(|(_, key, reason)| (key, reason))
    }
}
