//! Stage histograms: recorded without locks by one owner each, merged on read.
//!
//! Each worker and actor owns a [`StageRecorder`]: 2 significant digits (a reported value is at most
//! 1 % above the true one), 100 ns to 10 s, 32-bit counts: about 11 kB a stage, so the stages in use
//! stay in cache; recording takes about 3 ns. About once a second the owner adds its interval to its
//! place on the [`LatencyBoard`] and starts a new one; it never waits for a reader, it tries again
//! at the next second. A reader merges all places into 64-bit totals. Beside them stand the times of
//! ticks ([`TickTimes`]).

mod histogram;
mod stage;
mod text;
mod ticks;

pub use histogram::{LatencyBoard, Merged, StageRecorder, StageSummary};
pub use stage::{Lap, Stage};
pub use ticks::{TickTimes, TickWatch};
