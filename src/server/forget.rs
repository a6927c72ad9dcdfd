//! `POST /api/v1/privacy/forget`: a user's wish to be forgotten.
//!
//! First it is durable that he is to be forgotten, by keyed hashes of all ids that are known to be his;
//! then he goes from memory; then it is answered. What an earlier process has saved is read without
//! him, and what notices of his earlier bids would tell of him is not kept. Money stays: a bill names
//! no user. What he counted for in the day's releases stays too, and so does his bound there, or who
//! is forgotten ten times a day would count ten times.

use crate::notice::BidToken;
use crate::notice::event::named_ids;
use crate::prediction;
use crate::relevance;
use crate::server::admin::{gate, read_json};
use crate::server::bid::refuse;
use crate::server::engine::Engine;
use crate::server::forgotten::NotForgotten;
use crate::session::{ForgetUsers, Ids};
use crate::units::UserKey;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Rounds of forgetting. What a shard had sent to another before the first is there before the second.
const ROUNDS: usize = 2;

/// Who is to be forgotten: an id as events name them, with others of the same user in `ids`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    user: serde_json::Value,
}

/// What was known of him.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// Ids, those included that nobody knew.
    ids: usize,
    /// Sessions.
    sessions: usize,
    /// Shows that waited for clicks, and clicks that waited for conversions.
    waiting: usize,
}

/// Forgets a user. The same wish again finds nothing, and is as good.
pub async fn forget(
    engine: Data<Arc<Engine>>,
    head: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    let wish: Wish = match read_json(&engine, payload).await {
        Ok(wish) => wish,
        Err(refused) => return refused,
    };
    let Some(ids) = engine.all_ids(&wish.user) else {
        return refuse(StatusCode::BAD_REQUEST, "user: one id in a known namespace is needed");
    };
    let outcome = match engine.forgotten.admit() {
        Ok(()) => engine.forget(ids).await,
        Err(refused) => Err(refused),
    };
    engine.metrics.forgot(match &outcome {
        Ok(_) => "done",
        Err(NotForgotten::RateLimited) => "rate_limited",
        Err(NotForgotten::Full) => "full",
        Err(NotForgotten::NotKept(_)) => "not_kept",
        Err(NotForgotten::OnItsWay) => "on_its_way",
    });
    match outcome {
        Ok(gone) => HttpResponse::Ok().json(gone),
        Err(error @ NotForgotten::RateLimited) => {
            refuse(StatusCode::TOO_MANY_REQUESTS, &error.to_string())
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

impl Engine {
    /// Every id that is known to be this user's; `None` where none is named.
    fn all_ids(&self, user: &serde_json::Value) -> Option<Ids> {
        let raw = RawValue::from_string(user.to_string()).ok()?;
        let mut all = Ids::new();
        for hasher in self.user_keys.load().all() {
            all.extend(named_ids(hasher, &raw).ok()?);
        }
        if let Some(aliases) = &self.aliases {
            let named = all.clone();
            named.iter().for_each(|id| all.extend(aliases.ids_of(*id)));
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    async fn forget(self: &Arc<Self>, ids: Ids) -> Result<Gone, NotForgotten> {
        self.remember(&ids).await?;
        let mut gone = Gone { ids: ids.len(), ..Gone::default() };
        // Whoever has not looked at the wish yet will.
        let is_settled = self.behaviour_log.settle().await;
        for _ in 0..ROUNDS {
            self.aliases.iter().for_each(|aliases| aliases.forget(&ids));
            for worker in self.workers() {
                match worker.shard.send(ForgetUsers(ids.clone())).await {
                    Ok(sessions) => gone.sessions += sessions,
                    Err(_) => self.metrics.refused("forget"),
                }
            }
        }
        let catalog = self.published.catalog.load_full();
        for advertiser in catalog.advertisers() {
            ids.iter().for_each(|id| self.conversions.forget(*id, advertiser.id));
        }
        let users: Vec<UserKey> = ids.to_vec();
        match self.learner.address().send(prediction::Forget(users.clone())).await {
            Ok(waiting) => gone.waiting = waiting,
            Err(_) => self.metrics.refused("forget"),
        }
        if self.relevance.address().send(relevance::Forget(users)).await.is_err() {
            self.metrics.refused("forget");
        }
        // A saving that has begun meanwhile may have seen what is gone by now.
        while !self.remember(&ids).await? {}
        // By now the mark is younger than whatever the behaviour log has of before.
        if is_settled { Ok(gone) } else { Err(NotForgotten::OnItsWay) }
    }

    /// Writes on a thread that may wait for the disk.
    async fn remember(self: &Arc<Self>, ids: &Ids) -> Result<bool, NotForgotten> {
        let (engine, ids) = (self.clone(), ids.clone());
        let kept = web::block(move || engine.forgotten.remember(&ids)).await;
        kept.unwrap_or(Err(NotForgotten::Full))
    }

    /// The token as far as its user still allows: after a wish to be forgotten, nothing.
    pub fn without_forgotten(&self, mut token: BidToken) -> BidToken {
        let is_forgotten = |user| self.forgotten.is_forgotten_since(user, token.issued);
        if token.user.is_some_and(is_forgotten) {
            token.withhold();
        }
        token
    }
}
