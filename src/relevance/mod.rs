//! What belongs together: what users do next.

pub mod sequence;
