//! `GET /api/v1/privacy`: what was charged, whether releases are made, and what they say, so that
//! `outbid privacy verify` can hold the ledger against it.

use crate::privacy::Kind;
use crate::server::admin::gate;
use crate::server::engine::Engine;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `GET /api/v1/privacy`.
pub async fn status(engine: Data<Arc<Engine>>, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    HttpResponse::Ok().json(engine.privacy_status())
}

impl Engine {
    fn privacy_status(&self) -> Value {
        let status = self.privacy.status();
        let releases = self.published.releases.load();
        let catalog = self.published.catalog.load();
        let campaigns = catalog.all_campaigns().filter_map(|campaign| {
            let total = |kind| releases.total(campaign.id, kind);
            let sums: Option<Map<_, _>> = Kind::ALL
                .into_iter()
                .map(|kind| {
                    let total = total(kind)?;
                    Some((kind.label().to_owned(), json!([total.value, total.variance])))
                })
                .collect();
            Some(json!({ "campaign": format!("{:016x}", campaign.id.0), "sums": sums? }))
        });
        let campaigns: Vec<_> = campaigns.collect();
        json!({ "mode": self.config.privacy.mode, "status": status, "campaigns": campaigns })
    }
}
