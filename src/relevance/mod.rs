//! What belongs together: items that users visit together, sessions that are alike, what items and ads
//! are about, and what users do next ([`sequence`]).
//!
//! What this room promises:
//! * A bid asks of what others visited nothing but short lists of ads, looked up once a request by the user's last
//!   items; a candidate costs a look into 4 kB of the core's own cache.
//! * Everything is bounded, by least recent use: some 30 MB of pairs, 15 MB of sessions and 20 MB of
//!   lists at most by default.
//! * What many users did is told only of pairs and items that `users_min` distinct users have shown.
//! * Visits of a tenant that is not in the pool speak for its own ads alone, by content; those of users
//!   who did not consent are never here.
//! * Ads of finance hear of visits to items of finance alone, and of nothing that their domain protects.
//! * A user is a key: two ids of one person that nobody joined count as two.
//! * Deterministic: the same visits in the same order give the same lists.
//!
//! [`RelevanceActor`] is the only writer; everyone else reads `Arc<ArcSwap<RelevanceSnapshot>>`.

mod actor;
mod content;
mod covisit;
mod knn;
mod learned;
mod lists;
mod lru;
pub mod sequence;
mod shortlist;
mod snapshot;
#[cfg(test)]
mod tests;

pub use actor::{Adopt, Forget, RelevanceActor, RelevanceState, Tick, Visits};
pub use content::{Content, Like};
pub use covisit::{CoVisitConfig, CoVisitStatus, CoVisits, USERS_MIN_MAX};
pub use knn::{KnnConfig, KnnStatus, SessionKnn, TRAIL_MAX};
pub use learned::{Learned, RelevanceStatus, Visit};
pub use shortlist::{Family, Relevance, SHORT_MAX, ShortList};
pub use snapshot::{RelevanceSnapshot, Source};
