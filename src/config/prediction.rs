//! The click model's settings.

use serde::Deserialize;
use std::path::PathBuf;

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
    /// A model of somebody else's that re-ranks the best candidates; absent by default.
    pub onnx: Option<OnnxReranker>,
}

/// `[prediction.onnx]`: a click model in ONNX, for builds with the feature of that name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxReranker {
    /// The file, relative to the configuration.
    pub file: PathBuf,
    /// Ids are taken modulo this, 2 to 2^31: the rows of its embedding table.
    pub vocabulary: u32,
    /// Candidates of a request that it is asked about, 1 to 64.
    #[serde(default = "OnnxReranker::top")]
    pub top: usize,
    /// The name of its input.
    #[serde(default = "OnnxReranker::input")]
    pub input: String,
    /// The name of its output.
    #[serde(default = "OnnxReranker::output")]
    pub output: String,
    /// Microseconds that it may take for them, 1 to 1,000,000. One that takes longer is refused at the
    /// start, and a request with less time left is not re-ranked.
    #[serde(default = "OnnxReranker::budget_us")]
    pub budget_us: u64,
}

impl OnnxReranker {
    const fn top() -> usize {
        10
    }

    fn input() -> String {
        "ids".to_owned()
    }

    fn output() -> String {
        "logit".to_owned()
    }

    const fn budget_us() -> u64 {
        1_000
    }

    fn problem(&self) -> Option<(&'static str, &'static str)> {
        let rules = [
            (
                cfg!(feature = "onnx"),
                "prediction.onnx",
                "this build knows no ONNX: `cargo build --release --features onnx` does",
            ),
            (
                (2..=1 << 31).contains(&self.vocabulary),
                "prediction.onnx.vocabulary",
                "it lies between 2 and 2147483648",
            ),
            ((1..=64).contains(&self.top), "prediction.onnx.top", "it lies between 1 and 64"),
            (
                (1..=1_000_000).contains(&self.budget_us),
                "prediction.onnx.budget_us",
                "it lies between 1 and 1000000",
            ),
        ];
        broken(&rules)
    }
}

/// The first rule that does not hold: its key, and why.
fn broken(rules: &[(bool, &'static str, &'static str)]) -> Option<(&'static str, &'static str)> {
    let broken = rules.iter().find(|(holds, ..)| !holds);
    broken.map(|(_, key, reason)| (*key, *reason))
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
            onnx: None,
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
        broken(&rules).or_else(|| self.onnx.as_ref()?.problem())
    }
}
