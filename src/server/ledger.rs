//! The ledger for operators: `GET /api/v1/ledger`, and adjustments by hand.

use crate::budget::{self, AdjustReason, Command, DayNumber, Outcome, Refusal, Settlement, Unset};
use crate::catalog::{Catalog, LocalDate};
use crate::server::admin::{gate, read_json};
use crate::server::bid::refuse;
use crate::server::engine::Engine;
use crate::units::{CampaignId, Nanos};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

type Shared = Data<Arc<Engine>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    /// A campaign's name.
    campaign: Option<String>,
}

/// `GET /api/v1/ledger` (`?campaign=`): position, digest, the house's numbers and all accounts, in
/// nanos as text.
pub async fn statement(engine: Shared, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    let only = match Query::<Only>::from_query(head.query_string()) {
        Ok(only) => only.into_inner().campaign,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let only = only.map(|name| CampaignId::of(&name));
    match engine.budget.address().send(budget::ReadStatement(only)).await {
        Ok(statement) => HttpResponse::Ok().json(statement),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the ledger does not answer"),
    }
}

/// The answer to a change of which the ledger does not have every budget; `None` where it has all.
/// 503: not yet; 409: refused, and the campaign stopped. `only` is one campaign's name.
pub(super) async fn unset(
    engine: &Engine,
    catalog: &Catalog,
    only: Option<&str>,
) -> Option<HttpResponse> {
    let Ok(unset) = engine.budget.address().send(budget::ReadUnset).await else {
        let reason = "the ledger does not answer";
        return Some(refuse(StatusCode::SERVICE_UNAVAILABLE, reason));
    };
    if unset.is_empty() {
        return None;
    }
    let unset: BTreeMap<CampaignId, Unset> = unset.into_iter().collect();
    let campaigns = catalog.all_campaigns();
    let asked = campaigns.filter(|campaign| only.is_none_or(|only| only == campaign.name));
    let found = asked.filter_map(|campaign| Some((&campaign.name, *unset.get(&campaign.id)?)));
    let found: Vec<_> = found.collect();
    let status = match found.first()? {
        _ if found.iter().any(|(_, why)| *why == Unset::Waiting) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    let errors: Vec<_> = found.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let error = "the catalog is new, its budgets are not all in force";
    Some(HttpResponse::build(status).json(json!({ "error": error, "errors": errors })))
}

/// The body of an adjustment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    /// Above zero a charge, below a refund.
    amount_micros: i64,
    /// Why.
    reason: AdjustReason,
    /// Names it: the same again changes nothing.
    key: String,
    /// The day of the campaign that it concerns; today where it is absent.
    day: Option<LocalDate>,
}

/// `POST /api/v1/campaigns/{id}/adjustments`: changes by hand what a day was charged. Answered when
/// the ledger has it.
pub async fn adjust(
    engine: Shared,
    head: HttpRequest,
    name: Path<String>,
    payload: Payload,
) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    let adjustment: Adjustment = match read_json(&engine, payload).await {
        Ok(adjustment) => adjustment,
        Err(refused) => return refused,
    };
    let catalog = engine.published.catalog.load_full();
    let Some(campaign) = catalog.campaign_by_name(&name) else {
        return refuse(StatusCode::NOT_FOUND, "no such campaign");
    };
    let today = DayNumber::at(engine.civil.now(), &campaign.time_zone);
    let day = adjustment.day.map_or(today, |LocalDate(date)| DayNumber::of(date));
    let is_named = (1..=budget::ADJUST_KEY_BYTES_MAX).contains(&adjustment.key.len());
    for (holds, reason) in [
        (day <= today, "day: has not begun yet".to_owned()),
        (adjustment.amount_micros != 0, "amount_micros: is 0".to_owned()),
        (is_named, format!("key: has 1 to {} bytes", budget::ADJUST_KEY_BYTES_MAX)),
    ] {
        if !holds {
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, &reason);
        }
    }
    let command = Command::Adjust {
        campaign: campaign.id,
        day,
        amount: Nanos(i128::from(adjustment.amount_micros) * 1_000),
        reason: adjustment.reason,
        key: adjustment.key,
    };
    let Ok(position) = engine.ledger.append(&command).await else {
        let reason = "the ledger's log does not take it; send the same again";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, reason);
    };
    let settled = engine.ledger.settlements(vec![position]).await;
    engine.is_unsettled.store(true, Ordering::Release);
    engine.settle().await;
    answer(&engine, settled.first().copied().flatten())
}

/// What became of it; `None` when too much was settled since to know.
fn answer(engine: &Engine, settled: Option<Settlement>) -> HttpResponse {
    let Some(Settlement { outcome, .. }) = settled else {
        let reason = "the ledger has it, its answer is lost; send the same again";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, reason);
    };
    let (word, reply) = match outcome {
        Outcome::Adjusted { billed, absorbed } => {
            let (billed, absorbed) = (billed.0.to_string(), absorbed.0.to_string());
            let body = json!({ "billed_nanos": billed, "absorbed_nanos": absorbed });
            ("made", HttpResponse::Ok().json(body))
        }
        Outcome::Duplicate => ("repeated", HttpResponse::Ok().json(json!({ "repeated": true }))),
        Outcome::Contradiction => {
            let reason = "the key stands for another amount or day";
            ("contradiction", refuse(StatusCode::CONFLICT, reason))
        }
        Outcome::Refused(Refusal::Unbilled) => {
            let reason = "amount_micros: more would be refunded than the day was charged";
            ("refused", refuse(StatusCode::UNPROCESSABLE_ENTITY, reason))
        }
        Outcome::Refused(refusal) => {
            ("refused", refuse(StatusCode::UNPROCESSABLE_ENTITY, &refusal.to_string()))
        }
        _ => {
            ("refused", refuse(StatusCode::INTERNAL_SERVER_ERROR, "the ledger made no sense of it"))
        }
    };
    engine.metrics.adjusted(word);
    reply
}
