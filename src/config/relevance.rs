//! What recent visits speak for, and how many candidates an auction scores.

use serde::Deserialize;
use std::path::PathBuf;

/// Most distinct users that a pair of items may be asked to have: they are counted in 32 bits.
const USERS_MIN_MAX: u32 = 16;
/// Items and sessions beyond are gigabytes.
const REMEMBERED_MAX: usize = 4_000_000;

/// What belongs together: items, categories, users.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relevance {
    /// Whether what users of the pool visit may speak for ads to others. It is
    /// outside of the private releases; `false` where all over users is to be one.
    pub collaborative: bool,
    /// Distinct users who must have shown that items belong together, before anybody is told.
    pub users_min: u32,
    /// Items remembered, the least recently visited go first: up to 600 bytes each.
    pub items_max: usize,
    /// Sessions remembered, the oldest go first: some 300 bytes each.
    pub sessions_max: usize,
    /// A model of `outbid train sequence`, relative to this file: steps the state of each user at
    /// each pooled event. None where it is not given.
    pub sequence_model: Option<PathBuf>,
}

impl Default for Relevance {
    fn default() -> Self {
        Self {
            collaborative: true,
            users_min: 5,
            items_max: 50_000,
            sessions_max: 65_536,
            sequence_model: None,
        }
    }
}

impl Relevance {
    /// The first wrong key, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if !(1..=USERS_MIN_MAX).contains(&self.users_min) {
            let reason = format!("it lies between 1 and {USERS_MIN_MAX}");
            return Some(("relevance.users_min", reason));
        }
        let wrong = [
            ("relevance.items_max", self.items_max),
            ("relevance.sessions_max", self.sessions_max),
        ];
        let wrong = wrong.into_iter().find(|(_, count)| !(1..=REMEMBERED_MAX).contains(count));
        wrong.map(|(key, _)| (key, format!("it lies between 1 and {REMEMBERED_MAX}")))
    }
}
