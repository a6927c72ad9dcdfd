//! Win, billing, loss, pixel and click: sealed tokens come back. What moves money is durable in the
//! log before it is acknowledged; what follows from it (session, learner, releases) comes after.

use crate::auction::{BidClicked, BidShown};
use crate::budget::{Command, DayNumber, Due, Held, Notice};
use crate::notice::{BidToken, Effect, Purpose, Query, TokenError, decide};
use crate::privacy::{Cell, ContextBucket};
use crate::server::bid::refuse;
use crate::server::engine::{Engine, ExchangeDesk};
use crate::server::follow::{Consequence, Follow};
use crate::session::{CancelShow, ConfirmShow};
use crate::units::{Micros, Timestamp};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, LOCATION, REFERRER_POLICY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the notices of one listener have on their own thread.
pub struct Desk {
    engine: Arc<Engine>,
    follow: Rc<Follow>,
}

impl Desk {
    /// A desk at which nothing has come yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        let follow = Follow::new(engine.clone());
        Self { engine, follow }
    }
}

/// `GET /notice/win`.
pub async fn win(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::Win).await
}

/// `GET /notice/billing`.
pub async fn billing(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::Billing).await
}

/// `GET /notice/loss`.
pub async fn loss(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::Loss).await
}

/// `GET /pixel`: the ad was shown.
pub async fn pixel(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::View).await
}

/// `GET /click`: counts the click and sends the browser on to where the catalog says.
pub async fn click(engine: Data<Arc<Engine>>, head: HttpRequest) -> HttpResponse {
    engine.simulate(&head).await;
    let (desk, token, query) = match open(&engine, &head, Purpose::Click) {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let catalog = engine.published.catalog.load();
    let ad = catalog.ad(token.ad.index).filter(|ad| ad.slot == token.ad && ad.id == token.creative);
    let Some(ad) = ad else {
        engine.metrics.click("ad_gone");
        return refuse(StatusCode::NOT_FOUND, "the ad is gone");
    };
    let separator = if ad.landing_url.contains('?') { '&' } else { '?' };
    let target = format!("{}{separator}obclid={}.{}", ad.landing_url, desk.name, query.token);
    let clicked = BidClicked {
        hold: token.hold,
        user: token.user.filter(|_| token.measure),
        cell: cell_of(&token),
        at: engine.civil.now(),
    };
    engine.metrics.click("redirected");
    engine.tell_core(token.hold.lease.core, clicked).await;
    HttpResponse::Found()
        .insert_header((LOCATION, target))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .finish()
}

async fn notice(desk: &Desk, head: &HttpRequest, purpose: Purpose) -> HttpResponse {
    let engine = &*desk.engine;
    engine.simulate(head).await;
    let (exchange, token, query) = match open(engine, head, purpose) {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let effect =
        decide(purpose, exchange.config.charge_on, exchange.cipher.as_ref(), &token, &query);
    engine.metrics.effect(purpose, effect);
    // Exchanges fire and forget: a handler ends with its connection, what it has begun must not.
    let work = match effect {
        Effect::Charge { price, source } => {
            engine.metrics.price(source.label());
            let charge = Charge { purpose, token, held: held_of(exchange, &token), price };
            actix_web::rt::spawn(charge.make(desk.engine.clone(), desk.follow.clone()))
        }
        Effect::Release => {
            let user = token.user.filter(|_| token.store_session);
            let cancelled = user.map(|user| CancelShow { user, hold: token.hold });
            let released = Consequence::released(cancelled, held_of(exchange, &token));
            let Some(work) = desk.follow.take(released) else { return taken() };
            actix_web::rt::spawn(work.map(|()| taken()))
        }
        Effect::Evidence | Effect::Click => return taken(),
    };
    work.await.unwrap_or_else(|_| {
        engine.metrics.notice(purpose.label(), "failed");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the notice was not taken")
    })
}

fn taken() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, NO_STORE)).finish()
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A notice that charges.
struct Charge {
    purpose: Purpose,
    token: BidToken,
    held: Held,
    price: Micros,
}

impl Charge {
    /// Settles the hold, and takes care of what follows from its show.
    async fn make(self, engine: Arc<Engine>, follow: Rc<Follow>) -> HttpResponse {
        let Self { purpose, token, held, price } = self;
        engine.is_unsettled.store(true, Ordering::Release);
        let command = Command::settle(&held, price, notice_of(purpose));
        let before = engine.ledger.log().head();
        match engine.ledger.append(&command).await {
            // A copy gets the position of the first, so the ledger never sees it to count it.
            Ok(position) if position <= before => {
                engine.metrics.notice(purpose.label(), "duplicate");
            }
            Ok(_) => {}
            Err(_) => {
                engine.metrics.notice(purpose.label(), "not_durable");
                return refuse(StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written");
            }
        }
        if let Some(work) = follow.take(shown(&token, engine.civil.now())) {
            work.await;
        }
        taken()
    }
}

/// The token of a notice, or the answer to who sent something else.
fn open<'a>(
    engine: &'a Engine,
    head: &'a HttpRequest,
    purpose: Purpose,
) -> Result<(&'a ExchangeDesk, BidToken, Query<'a>), HttpResponse> {
    let refused = |label, status, reason: &str| {
        engine.metrics.notice(purpose.label(), label);
        refuse(status, reason)
    };
    let query = Query::parse(head.query_string())
        .map_err(|error| refused("malformed", StatusCode::BAD_REQUEST, &error.to_string()))?;
    let desk = engine
        .exchange(query.exchange)
        .ok_or_else(|| refused("unknown", StatusCode::NOT_FOUND, "no such exchange"))?;
    let now = engine.civil.now();
    let token = engine.sealer.open(purpose, desk.key, query.token, now).map_err(|error| {
        let status = match error {
            TokenError::Expired => StatusCode::GONE,
            TokenError::Malformed => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        refused(error.label(), status, &error.to_string())
    })?;
    Ok((desk, token, query))
}

/// The hold that the token was sealed for. Windows are the exchange's: they were the same when the
/// bid was made, unless its configuration changed in between.
fn held_of(desk: &ExchangeDesk, token: &BidToken) -> Held {
    Held {
        hold: token.hold,
        campaign: token.campaign,
        day: DayNumber(token.day),
        due: Due::of(token.issued, desk.windows),
        price: token.price,
    }
}

const fn notice_of(purpose: Purpose) -> Notice {
    match purpose {
        Purpose::Win => Notice::Win,
        Purpose::View => Notice::Impression,
        _ => Notice::Billing,
    }
}

fn cell_of(token: &BidToken) -> Cell {
    let bucket = ContextBucket::from_index(token.bucket).unwrap_or_default();
    Cell { campaign: token.campaign, bucket }
}

/// The ad was shown and paid for: the session counts it, the learner and the releases hear of it.
fn shown(token: &BidToken, at: Timestamp) -> Consequence {
    let &BidToken { campaign, creative, hold, .. } = token;
    let known = token.user.filter(|_| token.store_session);
    let confirmed = known.map(|user| ConfirmShow { user, campaign, creative, hold, at });
    let user = token.user.filter(|_| token.measure);
    Consequence::shown(confirmed, BidShown { hold, user, cell: cell_of(token), at })
}

/// The token behind `obclid`, as the landing page got it: exchange and click token.
pub fn open_click(engine: &Engine, obclid: &str, now: Timestamp) -> Option<BidToken> {
    let (exchange, token) = obclid.split_once('.')?;
    let desk = engine.exchange(exchange)?;
    engine.sealer.open(Purpose::Click, desk.key, token, now).ok()
}
