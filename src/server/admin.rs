//! The admin listener: measurements, health, campaigns, the simulated clock. Loopback
//! unless configured; every route but health needs the admin key, and the Host header must name an
//! address of ours, so that a web page cannot reach it through a rebound name.

use crate::catalog::{CampaignEdit, Change, EditCampaign, EditError, Reload};
use crate::server::bid::refuse;
use crate::server::body;
use crate::server::engine::Engine;
use crate::server::event_log::Question;
use crate::server::keys::Scope;
use crate::server::ledger;
use crate::strategy::Strategies;
use crate::units::Timestamp;
use actix_web::http::StatusCode;
use actix_web::http::header::HOST;
use actix_web::web::{self, Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

type Shared = Data<Arc<Engine>>;

/// `GET /healthz`: the process answers.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// `GET /readyz`: bids can be made and paid for.
pub async fn readyz(engine: Shared) -> HttpResponse {
    match engine.unready().await {
        None => HttpResponse::Ok().body("ready\n"),
        Some(reason) => HttpResponse::ServiceUnavailable().body(format!("{reason}\n")),
    }
}

/// The answer to a caller without the admin key, or from a page of another host.
pub(super) fn gate(engine: &Engine, head: &HttpRequest) -> Result<(), HttpResponse> {
    let host = head.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_own_host(host) {
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, "this host is not served here"));
    }
    if !engine.is_authorised(head, Scope::Admin) {
        return Err(refuse(
            StatusCode::UNAUTHORIZED,
            "the admin key is needed: Authorization: Bearer KEY",
        ));
    }
    Ok(())
}

/// An address or `localhost`, with or without a port: names that nobody else can register.
fn is_own_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

/// `GET /metrics`: counters in Prometheus' text format.
pub async fn metrics(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    engine.metrics.rates_age_s.set(engine.rates_age_s());
    engine.metrics.clock_ahead_ms.set(engine.civil.ahead_ms());
    engine.metrics.stopped(engine.published.catalog.load().stopped());
    match engine.metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(kind).body(text),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `GET /latency`: percentiles by stage as JSON; with `?stage=NAME` that stage's histogram as
/// `.hgrm` text.
pub async fn latency(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.publish_latency().await;
    let merged = engine.board.merged();
    let asked = head.query_string().split('&').find_map(|pair| pair.strip_prefix("stage="));
    let Some(name) = asked else { return HttpResponse::Ok().json(merged.summary()) };
    match crate::latency::Stage::ALL.into_iter().find(|stage| stage.name() == name) {
        Some(stage) => {
            HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(merged.hgrm(stage))
        }
        None => refuse(StatusCode::NOT_FOUND, "no such stage"),
    }
}

/// `GET /api/v1/campaigns`: all campaigns.
pub async fn campaigns(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    let catalog = engine.published.catalog.load();
    let names = catalog.all_campaigns().map(|campaign| campaign.name.as_str());
    let views: Vec<_> = names.filter_map(|name| catalog.campaign_view(name)).collect();
    HttpResponse::Ok().json(views)
}

/// `GET /api/v1/campaigns/{id}`: one campaign.
pub async fn campaign(engine: Shared, head: HttpRequest, name: Path<String>) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    match engine.published.catalog.load().campaign_view(&name) {
        Some(view) => HttpResponse::Ok().json(view),
        None => refuse(StatusCode::NOT_FOUND, "no such campaign"),
    }
}

/// What a change is asked beside its body.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EditQuery {
    /// Only check, and show what would be.
    validate_only: bool,
}

/// `PUT /api/v1/campaigns/{id}` (`?validate_only=true`): changes budget, terms, targeting, status or
/// ads; what is not named stays. Durable and in effect when the answer arrives, or the answer says that
/// the ledger does not have it.
pub async fn edit_campaign(
    engine: Shared,
    head: HttpRequest,
    name: Path<String>,
    payload: Payload,
) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    let edit: CampaignEdit = match read_json(&engine, payload).await {
        Ok(edit) => edit,
        Err(refused) => return refused,
    };
    let query = match Query::<EditQuery>::from_query(head.query_string()) {
        Ok(query) => query.into_inner(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let edit = Box::new(edit);
    let change = if query.validate_only { Change::Check(edit) } else { Change::Edit(edit) };
    changed(&engine, name.into_inner(), change).await
}

/// `DELETE /api/v1/campaigns/{id}/edits`: the campaign is as its file says again.
pub async fn reset_campaign(engine: Shared, head: HttpRequest, name: Path<String>) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    changed(&engine, name.into_inner(), Change::Reset).await
}

/// Makes a change and answers with the campaign as it is, or would be.
async fn changed(engine: &Engine, name: String, change: Change) -> HttpResponse {
    let is_check = matches!(change, Change::Check(_));
    let message = EditCampaign { name: name.clone(), change };
    let outcome = engine.catalog.address().send(message).await;
    if !is_check {
        engine.metrics.edited(match &outcome {
            Ok(Ok(_)) => "done",
            Ok(Err(EditError::NotKept(_))) | Err(_) => "not_kept",
            Ok(Err(_)) => "refused",
        });
    }
    match outcome {
        Ok(Ok(catalog)) => {
            if !is_check {
                engine.is_unsettled.store(true, Ordering::Release);
                engine.settle().await;
                if let Some(unset) = ledger::unset(engine, &catalog, Some(&name)).await {
                    return unset;
                }
            }
            HttpResponse::Ok().json(catalog.campaign_view(&name))
        }
        Ok(Err(EditError::UnknownCampaign(_))) => refuse(StatusCode::NOT_FOUND, "no such campaign"),
        Ok(Err(error @ EditError::NotKept(_))) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
        Ok(Err(error)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the catalog is not available"),
    }
}

/// `POST /api/v1/reload`: reads the strategies' and the catalog's files again, which stay both as they
/// were where one of them has an error, and the file of the rates, which is for itself.
pub async fn reload(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    let turn = engine.reloading.lock().await;
    let folder = engine.config.paths.strategies.clone();
    let strategies = match web::block(move || Strategies::load(&folder)).await {
        Ok(Ok(strategies)) => Arc::new(strategies),
        Ok(Err(errors)) => {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            return HttpResponse::UnprocessableEntity().json(serde_json::json!({
                "error": "the old strategies and the old catalog stay", "errors": errors,
            }));
        }
        Err(_) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "the server stops"),
    };
    if let Err(error) = engine.user_keys.reload(engine.civil.now()) {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("all stays as it was: {error:#}"),
        );
    }
    let names = Some(strategies.known());
    let readers = engine.clone();
    let publish = move || readers.published.strategies.store(strategies);
    let reload = Reload { strategies: names, then: Some(Box::new(publish)) };
    let reloaded = engine.catalog.address().send(reload).await;
    drop(turn);
    match reloaded {
        Ok(Ok(catalog)) => {
            engine.is_unsettled.store(true, Ordering::Release);
            engine.settle().await;
            let rates = engine.reload_rates().await;
            if let Some(unset) = ledger::unset(&engine, &catalog, None).await {
                return unset;
            }
            match rates {
                Ok(rates) => HttpResponse::Ok()
                    .json(serde_json::json!({ "epoch": catalog.epoch, "rates": rates })),
                Err(error) => HttpResponse::UnprocessableEntity().json(serde_json::json!({
                    "error": "the old rates stay, the catalog is new",
                    "errors": [error.to_string()],
                })),
            }
        }
        Ok(Err(errors)) => HttpResponse::UnprocessableEntity()
            .json(serde_json::json!({ "error": "the old strategies and the old catalog stay", "errors": errors })),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the catalog is not available"),
    }
}

/// What a report is asked for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReportQuery {
    /// One campaign by its name, with its contexts, in place of everything.
    campaign: Option<String>,
}

/// `GET /api/v1/report`: requests, reasons, accounts, controllers, the model, privacy spent; with
/// `?campaign=NAME` what is released of one campaign, by context too.
pub async fn report(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    // In simulation nothing is under way while somebody looks.
    engine.simulate(head.headers()).await;
    let query = match Query::<ReportQuery>::from_query(head.query_string()) {
        Ok(query) => query.into_inner(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Some(name) = query.campaign else {
        return HttpResponse::Ok().json(engine.report().await);
    };
    match engine.campaign_report(&name) {
        Some(report) => HttpResponse::Ok().json(report),
        None => refuse(StatusCode::NOT_FOUND, "no such campaign"),
    }
}

/// `GET /api/v1/events` (`?limit=&kind=&hold=&auction=`): what happened, newest first, a line of JSON each.
pub async fn events(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    match Question::parse(head.query_string()) {
        Ok(question) => HttpResponse::Ok()
            .content_type("application/x-ndjson")
            .body(engine.events_about(&question).await),
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockTo {
    now: i64,
}

/// `POST /api/v1/simulation/clock`: moves simulated time on, running every tick on the way.
pub async fn clock(engine: Shared, head: HttpRequest, payload: Payload) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    let to: ClockTo = match read_json(&engine, payload).await {
        Ok(to) => to,
        Err(refused) => return refused,
    };
    if !engine.civil.is_simulated() {
        return refuse(StatusCode::CONFLICT, "the server does not run in simulation mode");
    }
    engine.advance(Timestamp(to.now)).await;
    HttpResponse::Ok().json(serde_json::json!({ "now": engine.civil.now() }))
}

pub(super) async fn read_json<T: for<'de> Deserialize<'de>>(
    engine: &Engine,
    payload: Payload,
) -> Result<T, HttpResponse> {
    let server = &engine.config.server;
    let body = body::read(payload, server.body_bytes_max, server.body_deadline_ms)
        .await
        .map_err(|error| refuse(error.status(), &error.to_string()))?;
    let mut source = serde_json::Deserializer::from_slice(&body);
    serde_path_to_error::deserialize(&mut source)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::is_own_host;

    #[test]
    fn only_addresses_and_localhost_are_own_hosts() {
        for host in ["127.0.0.1:8082", "localhost", "localhost:1", "[::1]:80", "10.0.0.1"] {
            assert!(is_own_host(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example:8082", "localhost.evil"] {
            assert!(!is_own_host(host), "{host}");
        }
    }
}
