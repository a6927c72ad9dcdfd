//! `POST /explain` and `GET /api/v1/auctions/{id}`: a decision taken apart before it is made, and the
//! audit of one that was.

use crate::auction::{AuctionInput, Audit, Explanation, FindAudits, World, explain};
use crate::budget;
use crate::catalog::Catalog;
use crate::latency::LatencyBoard;
use crate::openrtb;
use crate::server::admin::gate;
use crate::server::bid::{prepare, refuse};
use crate::server::body;
use crate::server::engine::{Engine, ExchangeDesk};
use crate::server::users::Sought;
use crate::session::{Namespace, UserId};
use crate::units::{HoldId, Micros, UserKey};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

type Shared = Data<Arc<Engine>>;

/// What `/explain` is asked beside the request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The exchange that the request comes from; the first of the configuration when left out.
    pub exchange: Option<String>,
    /// A user in place of the request's own: `ifa:ID`, `buyeruid:ID`, `eid:SOURCE:ID`, `id:ID`, or
    /// an id without a namespace, which is read as `id:ID`.
    pub user: Option<String>,
    /// Whether each score is taken apart into all pairs of fields, and not only the strongest 20.
    #[serde(default)]
    pub pairs: Pairs,
}

/// How many pairs of fields an explanation names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pairs {
    /// The strongest 20, and the sum of the others.
    #[default]
    Strongest,
    /// All of them.
    All,
}

/// Pairs of fields that are named unless all are asked for.
const PAIRS: usize = 20;

/// `POST /explain` (`?exchange=NAME&user=ID&pairs=all`): takes the decision on the request in the body apart.
pub async fn explain_request(engine: Shared, head: HttpRequest, payload: Payload) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    let server = &engine.config.server;
    let body = body::read(payload, server.body_bytes_max, server.body_deadline_ms).await;
    let body = match body {
        Ok(body) => body,
        Err(error) => return refuse(error.status(), &error.to_string()),
    };
    let asked = match Query::<Asked>::from_query(head.query_string()) {
        Ok(asked) => asked.into_inner(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match engine.explain(&asked, &body).await {
        Ok(explanation) => HttpResponse::Ok().json(explanation),
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

/// `GET /api/v1/auctions/{id}`: what was bid in a recent auction, and from which figures. The id is
/// the request's.
pub async fn auction(engine: Shared, head: HttpRequest, id: Path<String>) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    let mut audits = Vec::new();
    for worker in engine.workers() {
        audits.extend(worker.auction.send(FindAudits::of(&id)).await.unwrap_or_default());
    }
    if audits.is_empty() {
        return refuse(StatusCode::NOT_FOUND, "no bid of this auction is remembered");
    }
    audits.sort_by_key(|audit| (audit.at, audit.exchange, audit.imp));
    let catalog = engine.published.catalog.load();
    let bids = audits.iter().map(|audit| BidView::of(&engine, &catalog, audit)).collect();
    HttpResponse::Ok().json(AuctionView { auction: &id, bids })
}

/// The audit of one auction.
#[derive(Serialize)]
struct AuctionView<'a> {
    auction: &'a str,
    bids: Vec<BidView<'a>>,
}

/// The audit of one bid with names in place of ids; a name is absent when the configuration or the
/// catalog no longer has it.
#[derive(Serialize)]
struct BidView<'a> {
    exchange: Option<&'a str>,
    campaign: Option<&'a str>,
    ad: Option<&'a str>,
    hold: String,
    held_micros: Micros,
    #[serde(flatten)]
    audit: &'a Audit,
}

impl<'a> BidView<'a> {
    fn of(engine: &'a Engine, catalog: &'a Catalog, audit: &'a Audit) -> Self {
        let ad = catalog.ad(audit.ad.index).filter(|ad| ad.id == audit.creative);
        let campaign = ad.and_then(|ad| catalog.campaign(ad.campaign));
        let exchange = engine.desks().find(|desk| desk.number == audit.exchange);
        Self {
            exchange: exchange.map(|desk| desk.name.as_str()),
            campaign: campaign.map(|campaign| campaign.name.as_str()),
            ad: ad.map(|ad| ad.name.as_str()),
            hold: hold_text(audit.held.hold),
            held_micros: audit.held.price,
            audit,
        }
    }
}

/// A hold as people read it: node, boot, core, lease and sequence.
#[must_use]
pub fn hold_text(HoldId { lease, sequence }: HoldId) -> String {
    format!("{}-{}-{}-{}-{sequence}", lease.node, lease.boot, lease.core, lease.number)
}

impl Engine {
    /// Takes the decision on a request in `body` apart.
    ///
    /// # Errors
    /// What is wrong with the request or with what is asked.
    pub async fn explain(&self, asked: &Asked, body: &[u8]) -> Result<Explanation, String> {
        let desk = match &asked.exchange {
            Some(name) => self.exchange(name),
            None => self.first_exchange(),
        };
        let desk = desk.ok_or("no such exchange is configured")?;
        let user = match &asked.user {
            Some(text) => Some(self.named_user(desk, text).ok_or("the user id names nobody")?),
            None => None,
        };
        let request = openrtb::parse(body, &self.limits).map_err(|error| error.to_string())?;
        let mut input = AuctionInput::new();
        // Timings of an explanation are nobody's latency.
        let mut recorder = LatencyBoard::default().recorder();
        let rates = self.published.rates.load_full();
        let sought = Sought::of(self, desk, &request, user);
        if let Err(reason) =
            prepare(self, &mut recorder, desk, &request, &rates, sought, &mut input)
        {
            return Ok(Explanation::of_no_bid(&input, reason));
        }
        let mut explanation = explain(&World::now(&self.published), &mut input);
        if asked.pairs == Pairs::Strongest {
            explanation.keep_strongest_pairs(PAIRS);
        }
        self.add_money(&mut explanation).await;
        Ok(explanation)
    }

    /// The user whom a text names: with a namespace before a colon, or as `user.id`.
    fn named_user(&self, desk: &ExchangeDesk, text: &str) -> Option<(Namespace, UserKey)> {
        let id = match text.split_once(':') {
            Some(("ifa", id)) => UserId::Ifa(id),
            Some(("buyeruid", id)) => UserId::Buyeruid { exchange: &desk.name, id },
            Some(("id", id)) => UserId::Id(id),
            Some(("eid", rest)) => {
                let (source, id) = rest.split_once(':')?;
                UserId::Eid { source, id }
            }
            _ => UserId::Id(text),
        };
        Some((id.namespace(), self.present_key(&id)?))
    }

    /// Says beside each campaign what the ledger knows of its money: decisions are explained as if
    /// there was enough.
    async fn add_money(&self, explanation: &mut Explanation) {
        let Ok(status) = self.budget.address().send(budget::Status).await else { return };
        let campaigns = status.campaigns.iter();
        let mut accounts: BTreeMap<_, _> =
            campaigns.map(|status| (status.campaign, status.account.clone())).collect();
        for campaign in &mut explanation.campaigns {
            campaign.account = accounts.remove(&campaign.id).flatten();
        }
    }
}
