//! `POST /openrtb2/EXCHANGE/bid`: from bytes to an answer, or to a no-bid with its reason.

use crate::auction::{AuctionInput, Context, NoBid, extract};
use crate::budget::Held;
use crate::clock::Mono;
use crate::config::NoBidStyle;
use crate::consent;
use crate::exchange::Refusal;
use crate::exchange::compression::{Coding, DecodeError};
use crate::latency::{Stage, StageRecorder};
use crate::openrtb::response::{BidResponse, NoBidReason};
use crate::openrtb::{self, BidRequest};
use crate::rates::Rates;
use crate::server::answer::{self, Desk};
use crate::server::body::{self, BodyError};
use crate::server::engine::{Engine, ExchangeDesk, TOKEN_TTL_MS};
use crate::server::users::{Sought, find_user};
use crate::server::worker::Worker;
use crate::session::{CancelShow, ShowChange};
use actix_web::HttpResponse;
use actix_web::dev::{Payload, RequestHead};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use bytes::BytesMut;

/// Answers one bid request of the exchange at `desk`.
pub async fn bid(
    worker: &Worker,
    desk: &ExchangeDesk,
    head: &RequestHead,
    payload: Payload,
) -> HttpResponse {
    let received = Mono::now();
    let engine = &worker.engine;
    engine.metrics.requests.inc();
    if let Err(refused) = authenticate(engine, desk, head) {
        return refused;
    }
    let Some(_place) = worker.admit() else {
        return no_bid(worker, desk, None, NoBid::Overload);
    };
    if desk.bucket.as_ref().is_some_and(|bucket| !bucket.admits(received)) {
        // A body left unread closes the connection; whether this one is whole is all the same.
        let server = &engine.config.server;
        let limits = (server.body_bytes_max, server.body_deadline_ms);
        let _ = body::read_fed(payload, limits, &worker.again).await;
        return no_bid(worker, desk, None, NoBid::RateLimited);
    }
    if engine.civil.is_simulated() {
        // In a box: every connection has room for what is awaited here.
        Box::pin(engine.simulate(head.headers())).await;
    }
    let body = match read_body(worker, desk, head, payload).await {
        Ok(body) => body,
        Err(error) => {
            engine.metrics.no_bid(NoBid::Malformed);
            engine.metrics.exchange_refused(&desk.name, error.label());
            return refuse(error.status(), &error.to_string());
        }
    };
    let parsing = Mono::now();
    let mut request = BidRequest::default();
    if let Err(error) = openrtb::parse_into(&body, &engine.limits, &mut request) {
        engine.metrics.no_bid(NoBid::Malformed);
        return refuse(StatusCode::BAD_REQUEST, &error.to_string());
    }
    worker.record(Stage::Parse, parsing);
    let response = answer(worker, desk, head, &request, received);
    worker.record(Stage::Total, received);
    response
}

/// Lets in who proves to be the exchange.
fn authenticate(
    engine: &Engine,
    desk: &ExchangeDesk,
    head: &RequestHead,
) -> Result<(), HttpResponse> {
    let peer = head.peer_addr.map(|address| address.ip());
    let values = |name: &str| head.headers().get_all(name).map(HeaderValue::as_bytes);
    desk.gate.admit(peer, values).map_err(|refusal| {
        engine.metrics.exchange_refused(&desk.name, refusal.label());
        let status = match refusal {
            Refusal::Missing => StatusCode::UNAUTHORIZED,
            Refusal::Wrong | Refusal::ForeignAddress => StatusCode::FORBIDDEN,
        };
        refuse(status, &refusal.to_string())
    })
}

/// The body as it was before its content coding.
async fn read_body(
    worker: &Worker,
    desk: &ExchangeDesk,
    head: &RequestHead,
    payload: Payload,
) -> Result<Bytes, BodyError> {
    let server = &worker.engine.config.server;
    let mut headers = head.headers().get_all(CONTENT_ENCODING);
    let coding = Coding::of_body(headers.next().map(HeaderValue::as_bytes))?;
    if headers.next().is_some() {
        // Two codings, on top of each other.
        return Err(DecodeError::Unknown.into());
    }
    if coding.is_some() && !desk.config.compression {
        return Err(DecodeError::SwitchedOff.into());
    }
    let limits = (server.body_bytes_max, server.body_deadline_ms);
    let body = body::read_fed(payload, limits, &worker.again).await?;
    let Some(coding) = coding else { return Ok(body) };
    Ok(worker.codec.borrow_mut().decode(coding, &body, server.body_bytes_max)?)
}

fn answer(
    worker: &Worker,
    desk: &ExchangeDesk,
    head: &RequestHead,
    request: &BidRequest<'_>,
    received: Mono,
) -> HttpResponse {
    let sought = Sought::of(&worker.engine, desk, request, None).beside(worker.shows.announced());
    let Some(deadline) = deadline(desk, request, received) else {
        return no_bid(worker, desk, Some(request), NoBid::TooLittleTime);
    };
    let mut input = worker.take_input();
    input.deadline = deadline;
    // One table for the request and its answer, whatever is reloaded in between. The auction may
    // see a newer one; a bid carries the rate that it was held by.
    let rates = worker.engine.published.rates.load();
    let prepared = {
        let mut recorder = worker.recorder.borrow_mut();
        prepare(&worker.engine, &mut recorder, desk, request, &rates, sought, &mut input)
    };
    worker.engine.metrics.restricted(input.restrictions);
    if let Err(reason) = prepared {
        worker.keep_input(input);
        return no_bid(worker, desk, Some(request), reason);
    }
    if !input.to_join.is_empty() && !input.is_test {
        worker.engine.join_later(desk.key, std::mem::take(&mut input.to_join));
    }
    if !worker.decide(&mut input) {
        return no_bid(worker, desk, Some(request), NoBid::Overload);
    }
    let response = encode(worker, desk, head, request, &rates, &input);
    worker.keep_input(input);
    response
}

/// Everything before the auction: permissions, extraction, user, session. The session is read last, so
/// that its lines have come from memory by then.
///
/// # Errors
/// The reason why there can be no bid.
pub fn prepare(
    engine: &Engine,
    recorder: &mut StageRecorder,
    desk: &ExchangeDesk,
    request: &BidRequest<'_>,
    rates: &Rates,
    sought: Sought<'_>,
    input: &mut AuctionInput,
) -> Result<(), NoBid> {
    sought.first.iter().for_each(|(_, id)| engine.sessions.prefetch_place(*id));
    input.now = engine.civil.now();
    input.exchange = desk.number;
    input.windows = desk.windows;
    let start = Mono::now();
    input.restrictions = consent::decide(&engine.consent, request);
    let permissions = input.restrictions.permissions();
    recorder.record(Stage::Consent, Mono::now().nanos_since(start));
    input.permissions = permissions;
    if permissions.store_session {
        sought.first.iter().for_each(|(_, id)| engine.sessions.prefetch_session(*id));
    }
    let context = Context {
        exchange: &desk.name,
        seat: &desk.config.seat,
        rates,
        policy: &desk.policy,
        permissions,
        is_simulation: engine.civil.is_simulated(),
        is_https: engine.is_https,
    };
    let extracted = extract(request, &context, input);
    let start = Mono::now();
    if permissions.store_session {
        find_user(engine, desk, request, sought, input);
    } else if permissions.measure {
        input.user = sought.first.map(|(_, id)| id);
    }
    recorder.record(Stage::Session, Mono::now().nanos_since(start));
    extracted?;
    if desk.refused_attributes != 0 {
        input.imps.iter_mut().for_each(|imp| imp.block_attributes(desk.refused_attributes));
    }
    input.arm = engine.arms.of(input.user.map_or(input.seed, |user| user.0));
    Ok(())
}

/// When the answer must leave; `None` where the network's margin takes all of `tmax`.
fn deadline(desk: &ExchangeDesk, request: &BidRequest<'_>, received: Mono) -> Option<Mono> {
    let tmax = request.tmax.map_or(desk.config.tmax_default_ms, u64::from);
    let left = tmax.checked_sub(desk.config.margin_ms).filter(|left| *left > 0);
    left.map(|left| received.plus_millis(left))
}

fn encode(
    worker: &Worker,
    desk: &ExchangeDesk,
    head: &RequestHead,
    request: &BidRequest<'_>,
    rates: &Rates,
    input: &AuctionInput,
) -> HttpResponse {
    if input.outcome.ranked_down > 0 {
        worker.engine.metrics.ranked_down.inc_by(u64::from(input.outcome.ranked_down));
    }
    if let Some(reason) = input.outcome.no_bid {
        return no_bid(worker, desk, Some(request), reason);
    }
    let start = Mono::now();
    if start > input.deadline {
        input.outcome.picks.iter().for_each(|pick| release(worker, input, pick.held));
        return no_bid(worker, desk, Some(request), NoBid::Deadline);
    }
    let engine = &worker.engine;
    let answer_desk = Desk {
        sealer: &engine.sealer,
        public_url: &engine.public_url,
        exchange: &desk.name,
        exchange_key: desk.key,
        seat: &desk.config.seat,
        charge_on: desk.config.charge_on,
        token_ttl_ms: TOKEN_TTL_MS,
        rates,
        is_simulation: engine.civil.is_simulated(),
        bytes_max: match desk.config.answer_bytes_max {
            0 => usize::MAX,
            bytes_max => bytes_max,
        },
    };
    let mut scratch = worker.scratch.borrow_mut();
    let refused =
        answer::write(&answer_desk, &mut worker.nonces.borrow_mut(), request, input, &mut scratch);
    for refused in &refused {
        match refused.defect {
            Some(defect) => tracing::warn!(defect = defect.as_str(), "own bid refused"),
            None => _ = engine.metrics.bids_cut.inc(),
        }
        release(worker, input, refused.pick.held);
    }
    worker.record(Stage::Encode, start);
    if scratch.answer.is_empty() {
        let is_cut = refused.iter().any(|refused| refused.defect.is_none());
        let reason = if is_cut { NoBid::AnswerTooLarge } else { NoBid::OwnCheckFailed };
        return no_bid(worker, desk, Some(request), reason);
    }
    engine.metrics.answers.inc();
    let explorations = input.outcome.picks.iter().filter(|pick| pick.is_exploration).count();
    if explorations > 0 {
        engine.metrics.explorations.inc_by(explorations as u64);
    }
    engine.metrics.bids.inc_by((input.outcome.picks.len() - refused.len()) as u64);
    if !input.is_test {
        let is_sent = |hold| refused.iter().all(|refused| refused.pick.held.hold != hold);
        let sent = input.outcome.picks.iter().filter(|pick| is_sent(pick.held.hold));
        engine.arm_books.bid(sent.map(|pick| (pick.held.campaign, pick.strategy_arm)));
    }
    send(worker, desk, head, &mut scratch.answer)
}

/// Looked through when this is compiled: a value that comes as text is looked through each time.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer, compressed where the exchange asks for it and it is long enough to gain by it.
fn send(
    worker: &Worker,
    desk: &ExchangeDesk,
    head: &RequestHead,
    answer: &mut BytesMut,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, JSON));
    if desk.config.compression && answer.len() > desk.config.compress_above_bytes {
        let asked = head.headers().get(ACCEPT_ENCODING).map(HeaderValue::as_bytes);
        if let Some(coding) = asked.and_then(Coding::asked)
            && let Some(packed) = worker.codec.borrow_mut().encode(coding, answer)
        {
            return response.insert_header((CONTENT_ENCODING, coding.name())).body(packed);
        }
    }
    response.body(answer.split().freeze())
}

fn release(worker: &Worker, input: &AuctionInput, held: Held) {
    if input.is_test {
        return;
    }
    if let Some(user) = input.user.filter(|_| input.permissions.store_session) {
        worker.shows.change(ShowChange::Cancel(CancelShow { user, hold: held.hold }));
    }
    worker.release(&held);
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
            let mut out = BytesMut::new();
            BidResponse::no_bid(&request.id, NoBidReason(reason.nbr())).write(&mut out);
            HttpResponse::Ok().insert_header((CONTENT_TYPE, JSON)).body(out)
        }
        _ => HttpResponse::NoContent().finish(),
    }
}

/// One clear line for the sender.
pub fn refuse(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({ "error": reason }))
}
