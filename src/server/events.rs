//! `POST /events`: what users did, cleaned at the door and handed to their shards.

use crate::budget;
use crate::catalog::Catalog;
use crate::notice::event::{BODY_BYTES_MAX, Cleaner, Tenant};
use crate::privacy::{Cell, ContextBucket, Contribute, Kind};
use crate::server::bid::refuse;
use crate::server::body;
use crate::server::engine::Engine;
use crate::server::keys::Scope;
use crate::server::notices::open_click;
use crate::session::{ApplyEvents, Conversion, Event};
use crate::units::{AdvertiserId, Nanos};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes one event, a JSON array of them, or one a line; answers what was accepted and, for each
/// line that was not, why.
pub async fn events(
    engine: Data<Arc<Engine>>,
    head: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    if !engine.is_authorised(&head, Scope::Events) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "an events key is needed: Authorization: Bearer KEY",
        );
    }
    engine.simulate(&head).await;
    let deadline_ms = engine.config.server.body_deadline_ms;
    let body = match body::read(payload, BODY_BYTES_MAX, deadline_ms).await {
        Ok(body) => body,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let catalog = engine.published.catalog.load_full();
    // A batch names few advertisers; each is looked up once.
    let known = RefCell::new(BTreeMap::new());
    let tenant = |advertiser| {
        *known.borrow_mut().entry(advertiser).or_insert_with(|| tenant_of(&catalog, advertiser))
    };
    let cleaner = Cleaner { hasher: &engine.hasher, tenant: &tenant, now: engine.civil.now() };
    let cleaned = cleaner.clean(&body);
    engine.metrics.events("accepted", cleaned.accepted.len() as u64);
    engine.metrics.events("rejected", cleaned.rejected.len() as u64);
    let accepted = cleaned.accepted.len();
    apply(&engine, cleaned.accepted).await;
    HttpResponse::Ok()
        .json(serde_json::json!({ "accepted": accepted, "rejected": cleaned.rejected }))
}

/// What an advertiser's events may serve: the pool, as soon as one of its campaigns is in it.
fn tenant_of(catalog: &Catalog, advertiser: AdvertiserId) -> Tenant {
    if catalog.advertiser(advertiser).is_none() {
        return Tenant::Unknown;
    }
    let mut campaigns = catalog.all_campaigns().filter(|own| own.advertiser == advertiser);
    if campaigns.any(|campaign| campaign.pooled_interest) { Tenant::InPool } else { Tenant::Alone }
}

/// Sends each shard its events in one batch, and conversions to whom they concern.
async fn apply(engine: &Engine, events: Vec<Event>) {
    let mut by_shard: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    for event in events {
        if let Some(conversion) = &event.conversion {
            convert(engine, &event, conversion).await;
        }
        by_shard.entry(engine.shard_map.shard_of(event.user)).or_default().push(event);
    }
    for (shard, events) in by_shard {
        engine.tell_shard_number(shard, ApplyEvents(Box::new(events))).await;
    }
}

/// A purchase that carries a click of ours is a conversion of that click's campaign, once per
/// (advertiser, order).
async fn convert(engine: &Engine, event: &Event, conversion: &Conversion) {
    let token = conversion.click_token.as_deref();
    let Some(token) = token.and_then(|token| open_click(engine, token, event.at)) else {
        engine.metrics.events("conversion_without_click", 1);
        return;
    };
    if token.advertiser != event.advertiser {
        engine.metrics.events("conversion_of_another_advertiser", 1);
        return;
    }
    if !engine.orders.lock().insert(conversion.order) {
        engine.metrics.events("conversion_repeated", 1);
        return;
    }
    engine.metrics.events("conversion", 1);
    let bucket = ContextBucket::from_index(token.bucket).unwrap_or_default();
    let contribution = Contribute {
        user: token.user.filter(|_| token.measure),
        at: event.at,
        cell: Cell { campaign: token.campaign, bucket },
        kind: Kind::Conversion,
    };
    if !engine.aggregates.tell(contribution) {
        engine.metrics.refused("contribution");
    }
    let message = budget::Conversion {
        campaign: token.campaign,
        at: event.at,
        click_at: Some(token.issued),
        value: Nanos::from_micros(conversion.value_micros),
    };
    if engine.budget.address().send(message).await.is_err() {
        engine.metrics.refused("conversion");
    }
}
