//! Click prediction: one feature map, LR + FwFM learned online, and snapshots to score with.
//!
//! What this room promises:
//! * **One dot product an ad.** A request is reduced once ([`ModelSnapshot::prepare`]); each
//!   candidate then costs one product over one cache line, or two ([`ModelSnapshot::logits`]). The result is
//!   the full FwFM sum to the rounding of 8-bit components, and the same by every instruction set
//!   (property tests hold both).
//! * **Bounds need no row.** No ad of a campaign scores above [`ModelSnapshot::logit_bound`].
//! * **An unknown ad is neutral.** A slot that is empty, foreign or of another generation scores
//!   as the request alone; it never reads another ad's row.
//! * **Learned from outcomes only.** A shown ad waits in a bounded join table until its click window
//!   ends, clicked or not, so that at no time clicks are learned before the shows that they are a
//!   share of. What does not fit is counted, never guessed.
//! * **What is bid on is calibrated.** A line per exchange and campaign group, learned on what was
//!   served ([`ExchangeCalibration`]), keeps predicted over actual near 1 and ads in their order.
//! * **Publication is bounded.** Only chunks of the tables that changed are copied: at most the
//!   serving tables (3 MB at the default size, 5 at 16 components), and of stale ad rows a thousand are rebuilt, those of
//!   the ads that were shown first; all of them where another of the shadows serves from then on.
//!
//! [`LearnerActor`] is the only writer; everyone else reads `Arc<ArcSwap<ModelSnapshot>>`.

mod actor;
mod admission;
mod ages;
mod bound;
mod calibration;
mod config;
mod contributions;
mod conversion;
mod dp_ftrl;
mod evidence;
mod features;
mod fwfm;
mod gaussian;
mod join;
mod learner;
mod linear;
pub mod model_file;
mod online;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_bounds;
mod pairs;
mod publish;
mod quality;
mod released;
mod row;
mod sample;
mod saved;
mod score;
mod served;
mod shadows;
mod stale;
mod strength;
mod tables;
mod vectors;

#[cfg(test)]
mod fwfm_tests;
#[cfg(test)]
mod planted_tests;
#[cfg(test)]
mod publish_tests;
#[cfg(test)]
mod released_tests;
#[cfg(test)]
mod saved_tests;
#[cfg(test)]
mod tests;

pub use actor::{
    AdsChanged, Click, Converted, Forget, Impressions, LEARNED_MAX, LearnerActor, LearnerState,
    Published, Status, Tick,
};
pub use bound::{Bound, Ceiling};
pub use calibration::{ExchangeCalibration, Platt};
pub use config::{Config, Error, FwfmConfig, Rates, Rule};
pub use contributions::{Contribution, keep_strongest_pairs};
pub use conversion::{ConversionCounters, conversion_prior_logit};
pub use dp_ftrl::{Coordinates, DpFtrl};
pub use features::{
    AD_FIELD_NAMES, AD_FIELDS, AdFeatures, AdIds, AdInput, CONTENT_MAX, CONTEXT_FIELD_NAMES,
    CONTEXT_FIELDS, ContextFeatures, ContextInput, Cross, FIELDS, Interest, LastEvent, SlotFormat,
    exchange_feature,
};
pub use fwfm::Fwfm;
pub use join::Example;
pub use learner::{Counters, Learner, LearnerStatus, SavedLearner};
pub use model_file::{ModelFileError, map_digest};
#[cfg(all(test, feature = "onnx"))]
pub(crate) use onnx::sample as onnx_sample;
#[cfg(feature = "onnx")]
pub use onnx::{ONNX_BATCH_MAX, ONNX_COLUMNS, OnnxAsked, OnnxError, OnnxModel};
pub use publish::Rebuilt;
pub use quality::{Quality, QualitySummary};
pub use released::gradient_dimensions;
pub use sample::{Feature, Sample, VALUE_ABS_MAX};
pub use saved::SavedShadows;
pub use score::{Asked, ModelSnapshot, ScoreScratch, sigmoid};
pub use shadows::Shadows;
pub use strength::{Strength, Strengths};
