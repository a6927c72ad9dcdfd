//! The stages of a bid, and a stopwatch that goes through them.

use super::histogram::StageRecorder;
use crate::clock::Mono;

/// A part of the bid path with a histogram of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stage {
    /// Bytes to a bid request.
    Parse = 0,
    /// What we may do with it.
    Consent = 1,
    /// Reading the user's session.
    Session = 2,
    /// Which campaigns may bid.
    Eligibility = 3,
    /// What a click is worth a chance.
    Score = 4,
    /// Value, pacing, floors.
    Price = 5,
    /// Claiming the money, and sealing the claim.
    Hold = 6,
    /// Writing the answer.
    Encode = 7,
    /// From the last byte received to the answer handed to the socket.
    Total = 8,
    /// Asking an imported model about the best, and pricing them anew.
    #[cfg(feature = "onnx")]
    Rerank = 9,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 9 + cfg!(feature = "onnx") as usize;

    /// All stages, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Parse,
        Self::Consent,
        Self::Session,
        Self::Eligibility,
        Self::Score,
        Self::Price,
        Self::Hold,
        Self::Encode,
        Self::Total,
        #[cfg(feature = "onnx")]
        Self::Rerank,
    ];

    /// The name in JSON, metrics and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Consent => "consent",
            Self::Session => "session",
            Self::Eligibility => "eligibility",
            Self::Score => "score",
            Self::Price => "price",
            Self::Hold => "hold",
            Self::Encode => "encode",
            Self::Total => "total",
            #[cfg(feature = "onnx")]
            Self::Rerank => "rerank",
        }
    }
}

/// A stopwatch: each mark is the end of one stage and the start of the next, so that a bid reads
/// the clock once a stage.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    start: Mono,
    last: Mono,
}

impl Lap {
    /// Starts at `now`.
    #[must_use]
    pub const fn start(now: Mono) -> Self {
        Self { start: now, last: now }
    }

    /// Records the time since the last mark as `stage`.
    pub fn mark(&mut self, recorder: &mut StageRecorder, stage: Stage, now: Mono) {
        recorder.record(stage, now.nanos_since(self.last));
        self.last = now;
    }

    /// Leaves out the time since the last mark: it belongs to no stage.
    pub const fn skip(&mut self, now: Mono) {
        self.last = now;
    }

    /// Records the time since the start as [`Stage::Total`].
    pub fn finish(self, recorder: &mut StageRecorder, now: Mono) {
        recorder.record(Stage::Total, now.nanos_since(self.start));
    }
}
