//! Promise: a flood of events holds up what is learned from them, and not money.

mod common;

use common::{Campaign, Engine, Site, counter, request, until};
use outbid::relevance::{Visit, Visits};
use outbid::units::{Timestamp, UserKey};

/// As many visits as the mailbox takes: each user sees sixteen items.
fn flood(engine: &Engine) -> u64 {
    let now = engine.inside().civil.now();
    let visit = |number: u64| Visit {
        user: UserKey(1 + number / 16),
        item: 1 + (number.wrapping_mul(0x9e37_79b9) % 5_000) as u32,
        at: Timestamp(now.0),
    };
    let mut sent = 0;
    while engine.inside().relevance.tell(Visits((sent..sent + 64).map(visit).collect())) {
        sent += 64;
    }
    sent
}

#[test]
fn money_comes_before_all_visits_are_learned() {
    let mut engine = Engine::start(Site::new(&[Campaign::default()], "", ""), None);
    let sent = flood(&engine);
    until("a bid", || engine.bid(&request("first", "reader")));
    let learned = counter(&engine.admin.get("/metrics").text(), "outbid_relevance_visits_total");
    assert!(sent >= 65_536 && learned < sent, "{learned} of {sent}");
}
