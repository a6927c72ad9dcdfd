//! `POST /openrtb2/EXCHANGE/bid`: from bytes to an answer, or to a no-bid with its reason.

use crate::auction::{AuctionInput, Context, NoBid, ReleaseBid, RunAuction, extract};
use crate::budget::Held;
use crate::clock::Mono;
use crate::config::NoBidStyle;
use crate::consent;
use crate::latency::{Stage, StageRecorder};
use crate::openrtb::response::{BidResponse, NoBidReason};
use crate::openrtb::{self, BidRequest, Eid};
use crate::server::answer::{self, Desk};
use crate::server::body::{self, BodyError};
use crate::server::engine::{Engine, ExchangeDesk};
use crate::server::worker::Worker;
use crate::session::{CancelShow, ReadOutcome, ShowChange, UserId};
use crate::units::UserKey;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::rc::Rc;

/// Answers a bid request of an exchange that is not configured.
pub async fn unknown_exchange() -> HttpResponse {
    refuse(StatusCode::NOT_FOUND, "no such exchange is configured")
}

/// Answers one bid request of the exchange at `desk`.
pub async fn bid(
    desk: Rc<ExchangeDesk>,
    worker: Data<Worker>,
    head: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let received = Mono::now();
    let (engine, desk) = (&worker.engine, &*desk);
    engine.metrics.requests.inc();
    let Some(_place) = worker.admit() else {
        return no_bid(&worker, desk, None, NoBid::Overload);
    };
    engine.simulate(&head).await;
    let server = &engine.config.server;
    let body = body::read(payload, server.body_bytes_max, server.body_deadline_ms).await;
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            engine.metrics.no_bid(NoBid::Malformed);
            return refuse(body_status(error), &error.to_string());
        }
    };
    let parsing = Mono::now();
    let request = match openrtb::parse(&body, &engine.limits) {
        Ok(request) => request,
        Err(error) => {
            engine.metrics.no_bid(NoBid::Malformed);
            return refuse(StatusCode::BAD_REQUEST, &error.to_string());
        }
    };
    worker.record(Stage::Parse, parsing);
    let response = answer(&worker, desk, &request, received).await;
    worker.record(Stage::Total, received);
    response
}

async fn answer(
    worker: &Worker,
    desk: &ExchangeDesk,
    request: &BidRequest<'_>,
    received: Mono,
) -> HttpResponse {
    let mut input = worker.take_input();
    input.deadline = deadline(desk, request, received);
    let prepared = {
        let mut recorder = worker.recorder.borrow_mut();
        prepare(&worker.engine, &mut recorder, desk, request, None, &mut input)
    };
    if let Err(reason) = prepared {
        worker.keep_input(input);
        return no_bid(worker, desk, Some(request), reason);
    }
    let input = match worker.auction().send(RunAuction(input)).await {
        Ok(decided) => decided.take(),
        // The actor died on this request; its successor goes on with the same leases.
        Err(_) => return no_bid(worker, desk, Some(request), NoBid::Overload),
    };
    let response = encode(worker, desk, request, &input);
    worker.keep_input(input);
    response
}

/// Everything before the auction: permissions, user, session, extraction. `user` stands in for the
/// request's own, under the same permissions.
///
/// # Errors
/// The reason why there can be no bid.
pub fn prepare(
    engine: &Engine,
    recorder: &mut StageRecorder,
    desk: &ExchangeDesk,
    request: &BidRequest<'_>,
    user: Option<UserKey>,
    input: &mut AuctionInput,
) -> Result<(), NoBid> {
    input.now = engine.civil.now();
    input.exchange = desk.number;
    input.windows = desk.windows;
    let start = Mono::now();
    let permissions = consent::decide(request);
    let consented = Mono::now();
    recorder.record(Stage::Consent, consented.nanos_since(start));
    input.permissions = permissions;
    if permissions.store_session {
        input.user = user.or_else(|| user_of(engine, desk, request));
    }
    if let Some(user) = input.user {
        let outcome = engine.sessions.read(user, input.now, &mut input.profile);
        if outcome == ReadOutcome::Contended {
            engine.metrics.sessions_contended.inc();
        }
    }
    recorder.record(Stage::Session, Mono::now().nanos_since(consented));
    let context = Context {
        exchange: &desk.name,
        seat: &desk.config.seat,
        rates: &engine.published.rates,
        policy: &desk.policy,
        permissions,
        is_simulation: engine.civil.is_simulated(),
        is_https: engine.is_https,
    };
    extract(request, &context, input)?;
    input.arm = engine.arms.of(input.user.map_or(input.seed, |user| user.0));
    Ok(())
}

/// The first id that names a user, in the order of how long ids live: device, exchange match, the
/// exchange's own, shared ids.
pub fn user_of(engine: &Engine, desk: &ExchangeDesk, request: &BidRequest<'_>) -> Option<UserKey> {
    let user = &request.user;
    let ids = [
        UserId::Ifa(&request.device.ifa),
        UserId::Buyeruid { exchange: &desk.name, id: &user.buyeruid },
        UserId::Id(&user.id),
    ];
    let own = ids.into_iter().find_map(|id| id.key(&engine.hasher));
    own.or_else(|| shared_id(engine, &desk.config.eid_sources, &user.eids))
}

/// The first shared id that names a user: of the sources that are trusted, in the order of trust; of
/// any, as sent, where none is named.
fn shared_id(engine: &Engine, trusted: &[String], eids: &[Eid<'_>]) -> Option<UserKey> {
    let key = |eid: &Eid<'_>| {
        let ids = eid.uids.iter().map(|uid| UserId::Eid { source: &eid.source, id: &uid.id });
        ids.into_iter().find_map(|id| id.key(&engine.hasher))
    };
    if trusted.is_empty() {
        return eids.iter().find_map(key);
    }
    trusted.iter().find_map(|source| {
        let of_source = |eid: &&Eid<'_>| eid.source.trim().eq_ignore_ascii_case(source);
        eids.iter().filter(of_source).find_map(key)
    })
}

fn deadline(desk: &ExchangeDesk, request: &BidRequest<'_>, received: Mono) -> Mono {
    let tmax = request.tmax.map_or(desk.config.tmax_default_ms, u64::from);
    received.plus_millis(tmax.saturating_sub(desk.config.margin_ms))
}

fn encode(
    worker: &Worker,
    desk: &ExchangeDesk,
    request: &BidRequest<'_>,
    input: &AuctionInput,
) -> HttpResponse {
    if let Some(reason) = input.outcome.no_bid {
        return no_bid(worker, desk, Some(request), reason);
    }
    if Mono::now() > input.deadline {
        input.outcome.picks.iter().for_each(|pick| release(worker, input, pick.held));
        return no_bid(worker, desk, Some(request), NoBid::Deadline);
    }
    let start = Mono::now();
    let engine = &worker.engine;
    let answer_desk = Desk {
        sealer: &engine.sealer,
        public_url: &engine.public_url,
        exchange: &desk.name,
        exchange_key: desk.key,
        seat: &desk.config.seat,
        token_ttl_ms: engine.token_ttl_ms(desk),
        rates: &engine.published.rates,
        is_simulation: engine.civil.is_simulated(),
    };
    let mut scratch = worker.scratch.borrow_mut();
    let refused =
        answer::write(&answer_desk, &mut worker.nonces.borrow_mut(), request, input, &mut scratch);
    for refused in &refused {
        tracing::warn!(defect = refused.defect.as_str(), "own bid refused");
        release(worker, input, refused.pick.held);
    }
    worker.record(Stage::Encode, start);
    if scratch.answer.is_empty() {
        return no_bid(worker, desk, Some(request), NoBid::OwnCheckFailed);
    }
    // The connection needs an answer of its own: one allocation, of the right size.
    let answer = Bytes::copy_from_slice(&scratch.answer);
    engine.metrics.answers.inc();
    engine.metrics.bids.inc_by((input.outcome.picks.len() - refused.len()) as u64);
    HttpResponse::Ok().content_type("application/json").body(answer)
}

fn release(worker: &Worker, input: &AuctionInput, held: Held) {
    if input.is_test {
        return;
    }
    if let Some(user) = input.user {
        worker.shows.change(ShowChange::Cancel(CancelShow { user, hold: held.hold }));
    }
    if worker.auction().try_send(ReleaseBid(held)).is_err() {
        worker.engine.metrics.refused("release_bid");
    }
}

fn no_bid(
    worker: &Worker,
    desk: &ExchangeDesk,
    request: Option<&BidRequest<'_>>,
    reason: NoBid,
) -> HttpResponse {
    worker.engine.metrics.no_bid(reason);
    match (desk.config.no_bid, request) {
        (NoBidStyle::Nbr, Some(request)) => {
            let mut out = Vec::new();
            BidResponse::no_bid(&request.id, NoBidReason(reason.nbr())).write(&mut out);
            HttpResponse::Ok().content_type("application/json").body(out)
        }
        _ => HttpResponse::NoContent().finish(),
    }
}

fn body_status(error: BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken => StatusCode::BAD_REQUEST,
    }
}

/// One clear line for the sender.
pub fn refuse(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({ "error": reason }))
}
