//! What the room promises, through the shard's logic and the shared table.

mod aliases;
mod announced;
mod caps;
mod extra;
mod hand_over;
mod journal;
mod memory;
mod saved;
mod table;

use super::*;
use crate::units::{
    AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, LeaseId, Timestamp, UserKey,
};
use std::sync::Arc;

const START_MS: i64 = 1_700_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp(START_MS + seconds * 1_000)
}

fn shard(config: SessionConfig) -> (Arc<SessionTable>, ShardState) {
    let table = Arc::new(SessionTable::new(config));
    let state = ShardState::new(Arc::clone(&table), 0, ShardMap::even(1));
    (table, state)
}

/// Users who share the first stripe.
fn neighbour(number: u64) -> UserKey {
    UserKey(number * (PARTITIONS * STRIPES_PER_PARTITION) as u64)
}

fn hold(number: u32) -> HoldId {
    let lease = LeaseId { node: 1, core: 0, boot: 1, number: number / 10 };
    HoldId { lease, sequence: number % 10 }
}

fn view(id: u64, user: UserKey, category: u32, at: Timestamp) -> Event {
    Event {
        id,
        user,
        kind: Behaviour::View,
        at,
        advertiser: AdvertiserId(10),
        category: CategoryId(category),
        item: Some(id as u32),
        consent: true,
        pooled: false,
        conversion: None,
    }
}

fn pend_of(user: UserKey, number: u32, expires: Timestamp) -> PendShow {
    let (campaign, creative) = (CampaignId(1), CreativeId(1));
    PendShow { user, campaign, creative, hold: hold(number), expires, caps: Caps::default() }
}

fn confirm_of(user: UserKey, number: u32, at: Timestamp) -> ConfirmShow {
    let (campaign, creative) = (CampaignId(1), CreativeId(1));
    ConfirmShow { user, campaign, creative, hold: hold(number), at }
}

/// Strength of user's interest for the events' own advertiser; `None` when there is no session.
fn interest(table: &SessionTable, user: UserKey, category: u32, now: Timestamp) -> Option<f32> {
    let mut profile = Profile::new();
    match table.read(user, now, &mut profile) {
        ReadOutcome::Known => {
            Some(profile.strength(CategoryId(category), AdvertiserId(10), false, now))
        }
        ReadOutcome::Unknown => None,
        ReadOutcome::Contended => panic!("nobody writes"),
    }
}

fn is_allowed(
    table: &SessionTable,
    user: UserKey,
    count: u16,
    window_s: u32,
    now: Timestamp,
) -> bool {
    let mut profile = Profile::new();
    table.read(user, now, &mut profile);
    profile.allows(CapWindow { count, window_s }, CapKey::campaign(CampaignId(1)), now)
}
