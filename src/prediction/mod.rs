//! Click prediction: features, LR + FwFM, online learning, snapshots.
