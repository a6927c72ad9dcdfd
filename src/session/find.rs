//! Who a bid request speaks of: the first of its ids that leads to somebody whom we know.

use super::alias::{Aliases, NAMES_MAX};
use super::announced::Announced;
use super::identity::Namespace;
use super::profile::{Profile, ReadOutcome};
use super::table::SessionTable;
use crate::units::{Timestamp, UserKey};
use serde::Serialize;

/// Under which id a user was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The user: the key that the session is, or would be, under.
    #[serde(skip)]
    pub user: UserKey,
    /// Whether there is a session.
    #[serde(skip)]
    pub outcome: ReadOutcome,
    /// What kind of id names him.
    pub by: Namespace,
    /// Whether that id leads to him by an alias.
    pub through_alias: bool,
}

/// Reads what is known of the first of the `ids` that leads to somebody into `profile`; where none
/// does, what is known of the shows of a stranger under the first. Never waits, never allocates. `None`
/// without ids.
///
/// All that an id leads over is read, and shows add up: while one session is handed to another, shows
/// lie in either. What is under way of those that this thread has `announced` is added too.
pub fn find(
    (table, aliases): (&SessionTable, Option<&Aliases>),
    announced: Option<&Announced>,
    ids: impl Iterator<Item = (Namespace, UserKey)>,
    now: Timestamp,
    profile: &mut Profile,
) -> Option<Found> {
    let ids_max = if aliases.is_some() { NAMES_MAX } else { 1 };
    let mut first = None;
    // What is under way is looked for before the read, and added after it.
    let under_way = |id: UserKey| announced.filter(|announced| announced.has(id));
    for (by, id) in ids.take(ids_max) {
        let own = under_way(id);
        let (mut user, mut outcome) = (id, table.read(id, now, profile));
        own.into_iter().for_each(|own| own.add_to(id, profile, now));
        for _ in 1..NAMES_MAX {
            let next = aliases.map_or(user, |aliases| aliases.try_next(user, now));
            if next == user || outcome == ReadOutcome::Contended {
                break;
            }
            user = next;
            let own = under_way(user);
            outcome = table.read_on(user, now, profile, outcome);
            own.into_iter().for_each(|own| own.add_to(user, profile, now));
        }
        let found = Found { user, outcome, by, through_alias: user != id };
        // Forgotten shows are of somebody whom we knew.
        if outcome != ReadOutcome::Unknown || profile.has_shows() {
            return Some(found);
        }
        first = first.or(Some(found));
    }
    first
}
