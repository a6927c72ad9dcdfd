//! What strategies/*.toml composes: value and pacing.
