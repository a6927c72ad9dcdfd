//! `POST /events`: what users did, cleaned at the door, kept, and handed to their shards.

use crate::catalog::Catalog;
use crate::notice::entry::{Entry, Subject};
use crate::notice::event::{BODY_BYTES_MAX, Cleaned, Cleaner, Tenant};
use crate::server::behaviour_log::{EVENTS_WAIT_MS_MAX, Room};
use crate::server::bid::refuse;
use crate::server::body;
use crate::server::conversions::Claim;
use crate::server::engine::Engine;
use crate::server::keys::Scope;
use crate::session::{ApplyEvents, Change, Changes, Conversion, Event, Join, JoinIds};
use crate::store::AppendError;
use crate::units::{AdvertiserId, Micros, Timestamp, UserKey};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Takes one event, a JSON array of them, or one a line; answers how many were accepted, how many of
/// those were known already, for each line that was not accepted why, and from which line on none was
/// read.
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
    engine.simulate(head.headers()).await;
    let deadline_ms = engine.config.server.body_deadline_ms;
    let body = match body::read(payload, BODY_BYTES_MAX, deadline_ms).await {
        Ok(body) => body,
        Err(error) => return refuse(error.status(), &error.to_string()),
    };
    let catalog = engine.published.catalog.load_full();
    // A batch names few advertisers; each is looked up once.
    let known = RefCell::new(BTreeMap::new());
    let tenant = |advertiser| {
        *known.borrow_mut().entry(advertiser).or_insert_with(|| tenant_of(&catalog, advertiser))
    };
    let keeps = |advertiser, category: &str, item: Option<u32>| {
        catalog.keeps_behaviour(advertiser, category)
            && item.is_none_or(|item| catalog.keeps_behaviour_on(item))
    };
    let searched = |advertiser, query: &str| {
        engine.searched.of(&catalog, advertiser).meant(query).map(str::to_owned)
    };
    let Some(room) = engine.behaviour_log.admit(body.len()) else {
        engine.behaviour_log.count("events", "full");
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much waits for the behaviour log, and nothing was applied: send it again later",
        );
    };
    let wishes = engine.forgotten.wishes();
    let (hashers, now) = (&**engine.user_keys.load(), engine.civil.now());
    let (marks, tenant, keeps, searched) = (&engine.marks, &tenant, &keeps, &searched);
    let cleaned = Cleaner { hashers, marks, tenant, keeps, searched, now }.clean(&body);
    let (rejected, not_read_from) = (cleaned.rejected.clone(), cleaned.not_read_from);
    let accepted = cleaned.accepted.len() + cleaned.unkept.len();
    engine.metrics.events.add("rejected", rejected.len() as u64);
    note(&engine, Subject::BehaviourRefused, &[], rejected.len());
    // A handler ends with its connection, what it has begun must not.
    let work = take(engine.get_ref().clone(), cleaned, (now, wishes), room);
    let work = actix_web::rt::spawn(work);
    match tokio::time::timeout(Duration::from_millis(EVENTS_WAIT_MS_MAX), work).await {
        Ok(Ok(Ok((duplicates, conversions)))) => HttpResponse::Ok().json(serde_json::json!({
            "accepted": accepted, "duplicates": duplicates, "rejected": rejected,
            "not_read_from": not_read_from, "conversions": conversions,
        })),
        Ok(Ok(Err(_))) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the behaviour log cannot be written, and nothing was applied: send it again",
        ),
        Err(_) => {
            engine.behaviour_log.count("events", "late");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "the behaviour log is slow: send it again, what was applied is known by its ids",
            )
        }
        Ok(Err(_)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the events were not taken"),
    }
}

/// Keeps events that were cleaned at `now`, when there had been so many wishes to be forgotten, and then
/// applies them. Returns how many were known already, and what became of conversions.
async fn take(
    engine: Arc<Engine>,
    mut cleaned: Cleaned,
    (now, wishes): (Timestamp, u64),
    room: Room,
) -> Result<(u64, BTreeMap<&'static str, u64>), AppendError> {
    let moves = engine.moves(&cleaned.renamed);
    if !engine.config.session.alias_from.events() {
        cleaned.joins.clear();
    }
    let mut changes = Changes::default();
    moves.iter().for_each(|join| changes.add_join(join));
    cleaned.accepted.iter().for_each(|event| changes.add_event(event));
    cleaned.joins.iter().for_each(|join| changes.add_join(join));
    let pass = engine.behaviour_log.pass().await;
    engine.behaviour_log.events(engine.behaviour_log.append(changes)).await?;
    engine.metrics.events.add("accepted", cleaned.accepted.len() as u64);
    engine.metrics.events.add("unkept", cleaned.unkept.len() as u64);
    note(&engine, Subject::Behaviour, &cleaned.accepted, cleaned.accepted.len());
    note(&engine, Subject::Behaviour, &cleaned.unkept, cleaned.unkept.len());
    // Before what they do is looked at: it is done by who they were.
    join(&engine, moves).await;
    let mut conversions = BTreeMap::new();
    for event in cleaned.accepted.iter().chain(&cleaned.unkept) {
        if let Some(conversion) = &event.conversion {
            let converted = engine.convert(&claim_of(&engine, event, conversion)).await;
            *conversions.entry(converted.label()).or_insert(0) += 1;
        }
    }
    engine.join_segments(&cleaned.accepted);
    if engine.forgotten.wishes() != wishes {
        // Who asked to be forgotten meanwhile is, as far as it goes.
        let is_forgotten = |user: &UserKey| engine.forgotten.is_forgotten_since(*user, now);
        cleaned.accepted.retain(|event| !is_forgotten(&event.user));
        cleaned.joins.retain(|join| !join.ids.iter().any(is_forgotten));
    }
    let duplicates = apply(&engine, cleaned.accepted).await;
    join(&engine, cleaned.joins).await;
    drop((pass, room));
    Ok((duplicates, conversions))
}

/// Writes how many events of a body were taken, or refused, into the event log.
fn note(engine: &Engine, subject: Subject, events: &[Event], count: usize) {
    if count > 0 {
        let first = events.first().map(|event| event.advertiser);
        let advertiser = first.filter(|id| events.iter().all(|event| event.advertiser == *id));
        engine.event_log.write(&Entry { count: count as u64, advertiser, ..Entry::of(subject) });
    }
}

/// What an advertiser's events may serve: the pool, as soon as one of its campaigns is in it.
fn tenant_of(catalog: &Catalog, advertiser: AdvertiserId) -> Tenant {
    if catalog.advertiser(advertiser).is_none() {
        return Tenant::Unknown;
    }
    let mut campaigns = catalog.all_campaigns().filter(|own| own.advertiser == advertiser);
    if campaigns.any(|campaign| campaign.pooled_interest) { Tenant::InPool } else { Tenant::Alone }
}

/// Sends each shard its events in one batch. While a server ends, shards go before whoever is answered
/// here last, and what was acknowledged is to be among what is saved. Returns how many were known
/// already; nobody counts that any more while a server ends.
async fn apply(engine: &Engine, events: Vec<Event>) -> u64 {
    let mut by_shard: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    for event in events {
        by_shard.entry(engine.shard_map.shard_of(event.user)).or_default().push(event);
    }
    let mut duplicates = 0;
    for (shard, events) in by_shard {
        let message = ApplyEvents(Box::new(events.clone()));
        match engine.tell_shard_number(shard, message).await {
            Some(known) => duplicates += known,
            None => in_place(engine, events.into_iter().map(Change::Event)),
        }
    }
    duplicates
}

/// Sends joins to shards, each to that of the event's own id.
async fn join(engine: &Engine, joins: Vec<Join>) {
    let mut by_shard: BTreeMap<usize, SmallVec<[Join; 1]>> = BTreeMap::new();
    for join in joins {
        by_shard.entry(engine.shard_map.shard_of(join.ids[0])).or_default().push(join);
    }
    for (shard, joins) in by_shard {
        if engine.tell_shard_number(shard, JoinIds(joins.clone())).await.is_none() {
            in_place(engine, joins.into_iter().map(Change::Join));
        }
    }
}

fn in_place(engine: &Engine, changes: impl Iterator<Item = Change>) {
    let now = engine.civil.now();
    changes.for_each(|change| engine.in_place().apply(&change, now));
}

/// A purchase claims the click or view of its token; with consent also what is remembered of its
/// user.
fn claim_of(engine: &Engine, event: &Event, conversion: &Conversion) -> Claim {
    let token = conversion.click_token.as_deref().map(|token| engine.open_proof(token));
    Claim {
        advertiser: event.advertiser,
        order: Some(conversion.order),
        token,
        user: event.consent.then_some(event.user),
        value: (Micros(conversion.value_micros), conversion.currency),
        at: event.at,
        is_from_browser: false,
    }
}
