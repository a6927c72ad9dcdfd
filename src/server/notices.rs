//! Win, billing, loss, pixel and click: sealed tokens come back. What moves money is durable in the
//! log before it is acknowledged; what follows from it (session, learner, releases, books) comes
//! after. GET and POST do the same, since exchanges differ; HEAD looks and changes nothing.

use crate::auction::{BidClicked, BidShown};
use crate::budget::{Command, DayNumber, Due, Held, Notice};
use crate::catalog::CLICK_ID_MACRO;
use crate::notice::entry::{Entry, Of, Subject};
use crate::notice::outcome::{History, Outcome, Said};
use crate::notice::{BidToken, ChargeOn, Effect, Purpose, Query, TokenError, decide, observation};
use crate::privacy::{Cell, ContextBucket};
use crate::server::bid::refuse;
use crate::server::conversions::image;
use crate::server::engine::{Engine, ExchangeDesk};
use crate::server::follow::{Charged, Consequence, Follow};
use crate::session::{CancelShow, Changes, ConfirmShow};
use crate::units::{Micros, Timestamp};
use actix_web::http::header::{ALLOW, CACHE_CONTROL, HeaderValue, LOCATION, REFERRER_POLICY};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Exchanges that a forged token is held against, to say whose it is: each costs 0.3 us, and
/// whoever forges pays less.
const OTHERS_MAX: usize = 16;

/// What the notices of one listener have on their own thread.
pub struct Desk {
    engine: Arc<Engine>,
    follow: Rc<Follow>,
    history: Rc<RefCell<History>>,
}

impl Desk {
    /// A desk at which nothing has come yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        let follow = Follow::new(engine.clone());
        Self { engine, follow, history: Rc::default() }
    }
}

/// `/notice/win`.
pub async fn win(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::Win).await
}

/// `/notice/billing`.
pub async fn billing(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::Billing).await
}

/// `/notice/loss`.
pub async fn loss(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::Loss).await
}

/// `/pixel`: the ad was shown.
pub async fn pixel(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    notice(&desk, &head, Purpose::View).await
}

/// `/click`: counts the click and sends the browser on to where the catalog says.
pub async fn click(desk: Data<Desk>, head: HttpRequest) -> HttpResponse {
    let engine = &*desk.engine;
    let opened = match open(engine, &head, Purpose::Click).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let token = &opened.token;
    let catalog = engine.published.catalog.load();
    let ad = catalog.ad(token.ad.index).filter(|ad| ad.slot == token.ad && ad.id == token.creative);
    let Some(ad) = ad else {
        engine.note(Purpose::Click, Outcome::AdGone, opened.entry());
        return refuse(StatusCode::NOT_FOUND, "the ad is gone");
    };
    let click_id = format!("{}.{}", opened.exchange.name, opened.query.token);
    let target = landing(&ad.landing_url, &click_id);
    if opened.is_look {
        engine.note(Purpose::Click, Outcome::Looked, opened.entry());
    } else {
        let now = engine.civil.now();
        let before = desk.history.borrow_mut().note(token.hold, Purpose::Click);
        let outcome = Outcome::of_news(Purpose::Click, opened.held().due, before, now);
        if outcome != Outcome::Duplicate {
            engine.touch(Purpose::Click, token, now);
        }
        engine.note(Purpose::Click, outcome, opened.entry());
        let user = token.user.filter(|_| token.measure);
        let (hold, cell, is_forgotten) = (token.hold, cell_of(token), token.is_withheld());
        let price = token.price;
        let clicked = BidClicked(BidShown { hold, user, is_forgotten, cell, at: now, price });
        engine.tell_core(token.hold.lease.core, clicked).await;
    }
    HttpResponse::Found()
        .insert_header((LOCATION, target))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .finish()
}

/// The landing URL of the catalog with the click's id in it, as the parameter `obclid` where the URL
/// has no place for it. An id consists of an exchange's name
/// and a token, none of whose characters needs an encoding in a URL.
fn landing(url: &str, click_id: &str) -> String {
    if url.contains(CLICK_ID_MACRO) {
        return url.replace(CLICK_ID_MACRO, click_id);
    }
    let (page, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let separator = match page.find('?') {
        None => "?",
        Some(start) if start + 1 == page.len() || page.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{page}{separator}obclid={click_id}{fragment}")
}

async fn notice(desk: &Desk, head: &HttpRequest, purpose: Purpose) -> HttpResponse {
    let engine = &*desk.engine;
    let opened = match open(engine, head, purpose).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    if opened.is_look {
        engine.note(purpose, Outcome::Looked, opened.entry());
        return taken(purpose);
    }
    let (token, held) = (opened.token, opened.held());
    let before = desk.history.borrow_mut().note(token.hold, purpose);
    opened.tell_market(engine, purpose, before);
    let exchange = opened.exchange;
    let (charge_on, cipher) = (exchange.config.charge_on, exchange.cipher.as_ref());
    let effect = decide(purpose, charge_on, cipher, &token, &opened.query);
    // Exchanges fire and forget: a handler ends with its connection, what it has begun must not.
    let work = match effect {
        Effect::Charge { price, source } => {
            let entry = Entry { price: Some(price), source: Some(source), ..opened.entry() };
            let history = desk.history.clone();
            let charge = Charge { purpose, token, held, price, before, entry, history };
            actix_web::rt::spawn(charge.make(desk.engine.clone(), desk.follow.clone()))
        }
        Effect::Release | Effect::Evidence | Effect::Click => {
            let now = engine.civil.now();
            let outcome = Outcome::of_news(purpose, held.due, before, now);
            engine.note(purpose, outcome, opened.entry());
            if purpose == Purpose::View && outcome != Outcome::Duplicate {
                engine.touch(Purpose::View, &token, now);
            }
            // Also of a loss that contradicts a charge: what the hold's core knows is exact.
            let user = token.user.filter(|_| token.store_session);
            let cancelled = user.map(|user| CancelShow { user, hold: token.hold });
            let released = (effect == Effect::Release)
                .then(|| desk.follow.take(Consequence::released(cancelled, held)));
            let Some(work) = released.flatten() else { return taken(purpose) };
            actix_web::rt::spawn(work.map(move |()| taken(purpose)))
        }
    };
    work.await.unwrap_or_else(|_| {
        engine.note(purpose, Outcome::Failed, opened.entry());
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the notice was not taken")
    })
}

/// The answer to a notice that was taken; a browser gets its image.
fn taken(purpose: Purpose) -> HttpResponse {
    match purpose {
        Purpose::View => image("taken"),
        _ => HttpResponse::Ok().insert_header((CACHE_CONTROL, NO_STORE)).finish(),
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A notice that charges.
struct Charge {
    purpose: Purpose,
    token: BidToken,
    held: Held,
    price: Micros,
    /// What was said of the hold before.
    before: Said,
    entry: Entry,
    history: Rc<RefCell<History>>,
}

impl Charge {
    /// Settles the hold, and takes care of what follows from its show.
    async fn make(self, engine: Arc<Engine>, follow: Rc<Follow>) -> HttpResponse {
        let Self { purpose, token, held, price, before, entry, history } = self;
        engine.is_unsettled.store(true, Ordering::Release);
        let command = Command::settle(&held, price, notice_of(purpose));
        let at = engine.civil.now();
        let confirmed = show_of(&token, at);
        // Beside the bill, and before anybody is told that it is taken.
        let mut changes = Changes::default();
        if !before.is_charged() && engine.behaviour_log.keeps() {
            confirmed.iter().for_each(|show| changes.add_show(show));
        }
        let show = engine.behaviour_log.append(changes);
        let Ok(position) = engine.ledger.append(&command).await else {
            engine.note(purpose, Outcome::NotDurable, entry);
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written");
        };
        engine.behaviour_log.show(show).await;
        // The disks may have taken a while, and who was shown it may have asked to be forgotten.
        let token = engine.without_forgotten(token);
        let confirmed = show_of(&token, at);
        history.borrow_mut().note_charge(held.hold);
        let charged = Charged { position, purpose, token, due: held.due, before, entry };
        if let Some(work) = follow.take(shown(charged, confirmed, at)) {
            work.await;
        }
        taken(purpose)
    }
}

/// A notice whose token is genuine.
struct Opened<'a> {
    exchange: &'a ExchangeDesk,
    token: BidToken,
    query: Query<'a>,
    /// Whether it asks without wanting an effect.
    is_look: bool,
}

impl Opened<'_> {
    /// Its entry for the event log, but for what becomes of it.
    fn entry(&self) -> Entry {
        Entry {
            exchange: Some(self.exchange.key),
            advertiser: Some(self.token.advertiser),
            of: Some(Of::token(&self.token)),
            ..Entry::of(Subject::Suppressed)
        }
    }

    /// Leaves to the market what the first news of a first-price bid tells of it.
    fn tell_market(&self, engine: &Engine, purpose: Purpose, before: Said) {
        let Some(observation) = observation(purpose, self.exchange.key, &self.token, &self.query)
        else {
            return;
        };
        // A pixel may overtake the notice that tells a price, and counts where no such notice comes.
        let counts = |purpose: Purpose| {
            purpose != Purpose::View || self.exchange.config.charge_on == ChargeOn::Impression
        };
        let telling = [Purpose::Win, Purpose::Billing, Purpose::View, Purpose::Loss];
        let is_told = telling.into_iter().any(|other| counts(other) && before.has(other));
        if is_told || !counts(purpose) {
            return;
        }
        let is_left = engine.market_inbox.leave(observation);
        engine.metrics.market(match observation.min_to_win {
            _ if !is_left => "dropped",
            Some(_) => "price",
            None => "outcome",
        });
    }

    /// The hold that the token was sealed for. Windows are the exchange's: they were the same when
    /// the bid was made, unless its configuration changed in between.
    fn held(&self) -> Held {
        let token = &self.token;
        Held {
            hold: token.hold,
            campaign: token.campaign,
            day: DayNumber(token.day),
            due: Due::of(token.issued, self.exchange.windows),
            price: token.price,
        }
    }
}

/// The token of a notice, or the answer to who sent something else.
async fn open<'a>(
    engine: &'a Engine,
    head: &'a HttpRequest,
    purpose: Purpose,
) -> Result<Opened<'a>, HttpResponse> {
    engine.simulate(head.headers()).await;
    let is_look = *head.method() == Method::HEAD;
    if !is_look && ![Method::GET, Method::POST].contains(head.method()) {
        let mut refusal = HttpResponse::MethodNotAllowed();
        return Err(refusal.insert_header((ALLOW, "GET, POST, HEAD")).finish());
    }
    let refused = |outcome, exchange, status, reason: &str| {
        let entry = Entry { exchange, ..Entry::of(Subject::Suppressed) };
        engine.note(purpose, outcome, entry);
        refuse(status, reason)
    };
    let query = Query::parse(head.query_string()).map_err(|error| {
        refused(Outcome::Malformed, None, StatusCode::BAD_REQUEST, &error.to_string())
    })?;
    let exchange = engine.exchange(query.exchange).ok_or_else(|| {
        refused(Outcome::UnknownExchange, None, StatusCode::NOT_FOUND, "no such exchange")
    })?;
    let now = engine.civil.now();
    match engine.sealer.open(purpose, exchange.key, query.token, now) {
        Ok(token) => {
            let token = engine.without_forgotten(token);
            Ok(Opened { exchange, token, query, is_look })
        }
        Err(error) => {
            let others = engine.desks().map(|desk| desk.key).take(OTHERS_MAX);
            let cause = match error {
                TokenError::Forged => {
                    engine.sealer.where_genuine(purpose, exchange.key, others, query.token)
                }
                other => other,
            };
            let status = match error {
                TokenError::Expired => StatusCode::GONE,
                TokenError::Malformed => StatusCode::BAD_REQUEST,
                _ => StatusCode::FORBIDDEN,
            };
            Err(refused(cause.into(), Some(exchange.key), status, &error.to_string()))
        }
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

/// What the session of the token's user counts, where he may be remembered.
fn show_of(token: &BidToken, at: Timestamp) -> Option<ConfirmShow> {
    let BidToken { campaign, creative, hold, .. } = *token;
    let known = token.user.filter(|_| token.store_session);
    known.map(|user| ConfirmShow { user, campaign, creative, hold, at })
}

/// The ad was shown and paid for: the session counts it, the learner and the releases hear of it.
fn shown(charged: Charged, confirmed: Option<ConfirmShow>, at: Timestamp) -> Consequence {
    let token = charged.token;
    let hold = token.hold;
    let user = token.user.filter(|_| token.measure);
    let price = charged.entry.price.unwrap_or(token.price);
    let is_forgotten = token.is_withheld();
    let shown = BidShown { hold, user, is_forgotten, cell: cell_of(&token), at, price };
    Consequence::shown(confirmed, shown, charged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_click_id_stands_where_the_landing_url_wants_it() {
        for (url, expected) in [
            ("https://a.example/", "https://a.example/?obclid=x.T"),
            ("https://a.example/?p=1", "https://a.example/?p=1&obclid=x.T"),
            ("https://a.example/?", "https://a.example/?obclid=x.T"),
            ("https://a.example/?p=1&", "https://a.example/?p=1&obclid=x.T"),
            ("https://a.example/#top", "https://a.example/?obclid=x.T#top"),
            ("https://a.example/?p=1#a?b", "https://a.example/?p=1&obclid=x.T#a?b"),
            ("https://a.example/c/${OUTBID_CLICK_ID}?p", "https://a.example/c/x.T?p"),
            (
                "https://a.example/?to=${OUTBID_CLICK_ID}&again=${OUTBID_CLICK_ID}",
                "https://a.example/?to=x.T&again=x.T",
            ),
        ] {
            assert_eq!(landing(url, "x.T"), expected, "{url}");
        }
    }
}
