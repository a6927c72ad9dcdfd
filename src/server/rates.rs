//! The rates table while the server runs: read again when somebody says so, checked, and swapped
//! whole. A wrong file changes nothing.

use crate::config::ConfigError;
use crate::server::admin::gate;
use crate::server::bid::refuse;
use crate::server::engine::Engine;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `POST /api/v1/reload/rates`: reads the file of rates again; on errors the old table stays.
pub async fn reload_rates(engine: Data<Arc<Engine>>, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    if engine.config.currency.file.is_none() {
        let reason = "rates are read again from currency.file, and none is configured";
        return refuse(StatusCode::CONFLICT, reason);
    }
    match engine.reload_rates().await {
        Ok(count) => HttpResponse::Ok().json(json!({ "rates": count })),
        Err(error) => HttpResponse::UnprocessableEntity()
            .json(json!({ "error": "the old rates stay", "errors": [error.to_string()] })),
    }
}

impl Engine {
    /// Reads the rates again, where they have a file; how many the table holds.
    ///
    /// # Errors
    /// What is wrong with the file; the old table stays.
    pub async fn reload_rates(&self) -> Result<usize, ConfigError> {
        if self.config.currency.file.is_none() {
            return Ok(self.published.rates.load().count());
        }
        let currency = self.config.currency.clone();
        let read = web::block(move || currency.read()).await.unwrap_or_else(|_| {
            let reason = "the server is stopping".to_owned();
            Err(ConfigError { file: "currency.file".to_owned(), line: 0, reason })
        });
        match read {
            Ok(rates) => {
                let count = rates.count();
                self.published.rates.store(Arc::new(rates));
                self.rates_read_at.store(self.civil.now().0, Ordering::Relaxed);
                self.metrics.rates_reloaded("taken");
                Ok(count)
            }
            Err(error) => {
                tracing::warn!(%error, "new rates refused, the old stay");
                self.metrics.rates_reloaded("refused");
                Err(error)
            }
        }
    }

    /// Seconds since the rates were read.
    pub fn rates_age_s(&self) -> i64 {
        (self.civil.now().0 - self.rates_read_at.load(Ordering::Relaxed)).max(0) / 1_000
    }
}
