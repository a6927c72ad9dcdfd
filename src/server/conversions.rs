//! Conversions: `GET /pixel/{advertiser}` from browsers, and purchases among `POST /events`. Each is
//! owed to the last click, else to the last view (`notice::attribution`), and counts once for each
//! order of an advertiser.

use crate::budget;
use crate::config;
use crate::notice::attribution::{Converted, Proofs, Touch, Touches, Windows, attribute};
use crate::notice::effect::unescape;
use crate::notice::entry::{Entry, Of, Order, Subject};
use crate::notice::event::{VALUE_MICROS_MAX, order_key};
use crate::notice::{BidToken, Purpose};
use crate::prediction;
use crate::privacy::{Cell, ContextBucket, Contribute, Kind};
use crate::server::engine::Engine;
use crate::server::recent::Recent;
use crate::session::Ids;
use crate::units::{AdvertiserId, CurrencyCode, HoldId, Micros, Nanos, Timestamp, UserKey};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;

/// Orders that one click or view may bring through browsers: who has clicked once can make up as
/// many as he likes.
const BROWSER_ORDERS_MAX: u32 = 16;
/// Longest order id in bytes, as for events.
const ORDER_BYTES_MAX: usize = 128;
/// Longest query of a pixel in bytes: a token, an order and what a page adds.
const QUERY_BYTES_MAX: usize = 2_048;

/// What conversions need to be known of users and orders.
pub struct Conversions {
    windows: Windows,
    clicks: Touches,
    views: Touches,
    // Held for two look-ups of some 50 ns.
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    orders: Recent,
    /// How many orders a bid brought through browsers.
    by_hold: Recent,
}

impl Conversions {
    /// Nobody has clicked yet.
    pub fn new(config: &config::Attribution) -> Self {
        let windows = Windows {
            click_ms: i64::from(config.click_window_s) * 1_000,
            view_ms: i64::from(config.view_window_s) * 1_000,
        };
        Self {
            windows,
            clicks: Touches::new(windows.click_ms),
            views: Touches::new(windows.view_ms),
            counted: Mutex::default(),
        }
    }

    /// Counts an order again that an earlier process has counted.
    pub fn recall(&self, order: Order, hold: Option<HoldId>) {
        let mut counted = self.counted.lock();
        counted.orders.note(order.key);
        if let Some(hold) = hold.filter(|_| order.is_from_browser) {
            counted.by_hold.note(hold.key());
        }
    }

    /// Forgets the last clicks and views of a user with this advertiser.
    pub fn forget(&self, user: UserKey, advertiser: AdvertiserId) {
        self.clicks.forget(user, advertiser);
        self.views.forget(user, advertiser);
    }

    /// Clicks and views that were forgotten before their windows ended.
    pub fn touches_pushed_out(&self) -> u64 {
        self.clicks.pushed_out() + self.views.pushed_out()
    }
}

/// What a sender says that somebody bought.
pub struct Claim {
    /// From whom.
    pub advertiser: AdvertiserId,
    /// Keyed hash of the order; without one, a click or view brings one conversion.
    pub order: Option<u64>,
    /// A click or view token, if one came along: `Some(None)` is none of ours.
    pub token: Option<Option<(Purpose, BidToken)>>,
    /// The user, where he may be looked up.
    pub user: Option<UserKey>,
    /// Its worth in micros, and in which currency; the account's where none is named.
    pub value: (Micros, Option<CurrencyCode>),
    /// When.
    pub at: Timestamp,
    /// Whether it comes from a browser and not from an advertiser's server.
    pub is_from_browser: bool,
}

impl Engine {
    /// Remembers a click or a view, where it may be measured whose it is; under the key that the
    /// user's ids lead to, where that may be looked up.
    pub fn touch(&self, purpose: Purpose, token: &BidToken, at: Timestamp) {
        let Some(user) = measured_user(token) else { return };
        let user = if token.store_session { self.root_of(user) } else { user };
        let Conversions { clicks, views, .. } = &self.conversions;
        let table = if purpose == Purpose::Click { clicks } else { views };
        table.note(user, token.advertiser, Touch::of(token, at));
    }

    /// Takes a conversion: decides what it is owed to, counts it, and tells whom it concerns.
    pub async fn convert(&self, claim: &Claim) -> Converted {
        let (converted, touch) = match self.owed_to(claim) {
            Ok((converted, touch)) => (converted, Some(touch)),
            Err(converted) => (converted, None),
        };
        let value = self.worth(claim);
        self.metrics.conversions.add(converted.label(), 1);
        self.event_log.write(&Entry {
            advertiser: Some(claim.advertiser),
            of: touch.map(|Touch { hold, campaign, creative, .. }| Of { hold, campaign, creative }),
            price: (value != Micros(0)).then_some(value),
            order: touch.map(|touch| Order {
                key: order_of(claim, &touch),
                is_from_browser: claim.is_from_browser,
            }),
            ..Entry::of(Subject::Conversion(converted))
        });
        let Some(touch) = touch else { return converted };
        let bucket = ContextBucket::from_index(touch.bucket).unwrap_or_default();
        let token = claim.token.flatten().map(|(_, token)| token);
        let measured = token.as_ref().and_then(measured_user);
        // Who let nobody measure what became of this bid is not counted, whoever tells of him now.
        let is_forbidden = token.is_some_and(|token| token.hold == touch.hold && !token.measure);
        let contribution = Contribute {
            user: claim.user.or(measured).filter(|_| !is_forbidden),
            at: claim.at,
            cell: Cell { campaign: touch.campaign, bucket },
            kind: Kind::Conversion,
            price: Micros(0),
        };
        if !self.aggregates.tell(contribution) {
            self.metrics.refused("contribution");
        }
        // The head predicts what clicks become, and knows nothing of views.
        let clicked = prediction::Converted { hold: touch.hold, at: claim.at };
        if converted == Converted::ClickThrough && !self.learner.tell(clicked) {
            self.metrics.refused("conversion_learned");
        }
        if self.config.privacy.mode.is_strict() {
            // The pacer counts released ones.
            return converted;
        }
        let message = budget::Conversion {
            campaign: touch.campaign,
            strategy_arm: touch.strategy_arm,
            at: claim.at,
            touched_at: touch.at,
            value: Nanos::from_micros(value.0),
        };
        if self.budget.address().send(message).await.is_err() {
            self.metrics.refused("conversion");
        }
        converted
    }

    fn owed_to(&self, claim: &Claim) -> Result<(Converted, Touch), Converted> {
        let Conversions { windows, clicks, views, counted } = &self.conversions;
        let token = claim.token.flatten();
        if token.is_some_and(|(_, token)| token.advertiser != claim.advertiser) {
            return Err(Converted::OtherAdvertiser);
        }
        let last = |table: &Touches| {
            let user = claim.user?;
            let ids = self.aliases.as_ref().map(|aliases| aliases.ids_of(user));
            let ids = ids.unwrap_or_else(|| Ids::from_slice(&[user]));
            let touches = ids.iter().filter_map(|id| table.last(*id, claim.advertiser));
            touches.max_by_key(|touch| touch.at)
        };
        let proofs = Proofs {
            token: token.as_ref().map(|(purpose, token)| (*purpose, token)),
            click: last(clicks),
            view: last(views),
        };
        let is_bad = matches!(claim.token, Some(None));
        let (through, touch) = attribute(*windows, &proofs, claim.at).map_err(|missed| {
            if is_bad && missed == Converted::Unattributed { Converted::BadToken } else { missed }
        })?;
        let hold = touch.hold.key();
        let order = order_of(claim, &touch);
        let mut counted = counted.lock();
        if counted.orders.count(order) > 0 {
            return Err(Converted::Repeated);
        }
        if claim.is_from_browser {
            if counted.by_hold.count(hold) >= BROWSER_ORDERS_MAX {
                return Err(Converted::TooMany);
            }
            counted.by_hold.note(hold);
        }
        if counted.orders.note(order) {
            self.metrics.events.add("order_forgotten", 1);
        }
        Ok((through, touch))
    }

    /// The value in the account's currency; 0 where the rates table lacks a currency.
    fn worth(&self, claim: &Claim) -> Micros {
        let (value, currency) = claim.value;
        let catalog = self.published.catalog.load();
        let account = catalog.advertiser(claim.advertiser).map(|advertiser| advertiser.currency);
        let (Some(from), Some(to)) = (currency.or(account), account) else { return Micros(0) };
        self.published.rates.load().convert(value, from, to).unwrap_or_else(|| {
            self.metrics.events.add("value_unconverted", 1);
            Micros(0)
        })
    }

    /// The token behind `obclid`, as a landing page got it: the exchange's name, a dot, and a click
    /// token or a view token. At any age: the windows decide. Never that of a test, which nobody saw.
    pub fn open_proof(&self, obclid: &str) -> Option<(Purpose, BidToken)> {
        let (exchange, text) = obclid.split_once('.')?;
        let desk = self.exchange(exchange)?;
        let mut proofs = [Purpose::Click, Purpose::View].into_iter().filter_map(|purpose| {
            let token = self.sealer.open_expired(purpose, desk.key, text).ok()?;
            Some((purpose, self.without_forgotten(token)))
        });
        proofs.next().filter(|(_, token)| !token.is_test())
    }
}

/// The user of a bid, where it may be measured what he does.
fn measured_user(token: &BidToken) -> Option<UserKey> {
    token.user.filter(|_| token.measure)
}

/// Without an order's id, the bid brings one conversion.
fn order_of(claim: &Claim, touch: &Touch) -> u64 {
    claim.order.unwrap_or_else(|| touch.hold.key())
}

/// A transparent image of one pixel.
pub const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x21\xf9\x04\
    \x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// The header that tells an integrator what became of a pixel, since its status never does.
const OUTCOME_HEADER: &str = "X-Outbid-Outcome";
const METHODS: &str = "GET, POST, HEAD, OPTIONS";

/// `GET /pixel/{advertiser}?obclid=&order=&value=&cur=`: somebody bought, says the page that thanks
/// him. Always answered with an image, so that no page breaks.
pub async fn pixel(
    engine: Data<Arc<Engine>>,
    head: HttpRequest,
    advertiser: Path<String>,
) -> HttpResponse {
    engine.simulate(head.headers()).await;
    match *head.method() {
        Method::GET | Method::POST => {}
        Method::HEAD => return image("looked"),
        Method::OPTIONS => return open_to_all(HttpResponse::NoContent()).finish(),
        _ => {
            let mut refusal = HttpResponse::MethodNotAllowed();
            return refusal.insert_header((ALLOW, METHODS)).finish();
        }
    }
    let id = AdvertiserId::of(&advertiser);
    let refused = |converted: Converted| {
        engine.metrics.conversions.add(converted.label(), 1);
        engine.event_log.write(&Entry::of(Subject::Conversion(converted)));
        image(converted.label())
    };
    if engine.published.catalog.load().advertiser(id).is_none() {
        return refused(Converted::UnknownAdvertiser);
    }
    match claim_of(&engine, id, head.query_string()) {
        Some(claim) => image(engine.convert(&claim).await.label()),
        None => refused(Converted::Malformed),
    }
}

/// What a pixel's query claims; `None` where it cannot be read.
fn claim_of(engine: &Engine, advertiser: AdvertiserId, query: &str) -> Option<Claim> {
    let Asked { obclid, order, value, currency } = Asked::parse(query)?;
    let token = obclid.map(|text| engine.open_proof(&text));
    Some(Claim {
        advertiser,
        order: order.map(|order| order_key(&engine.marks, advertiser, &order)),
        token,
        user: token.and_then(|token| measured_user(&token?.1)),
        value: (value.unwrap_or_default(), currency),
        at: engine.civil.now(),
        is_from_browser: true,
    })
}

/// The parameters of a pixel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'a> {
    obclid: Option<Cow<'a, str>>,
    order: Option<Cow<'a, str>>,
    value: Option<Micros>,
    currency: Option<CurrencyCode>,
}

impl<'a> Asked<'a> {
    /// Reads a query; unknown parameters are ignored, empty ones are absent. `None` for one that is
    /// too long, given twice or out of range.
    fn parse(query: &'a str) -> Option<Self> {
        if query.len() > QUERY_BYTES_MAX {
            return None;
        }
        let [mut obclid, mut order, mut value, mut currency] = [const { None::<Cow<'a, str>> }; 4];
        for pair in query.split('&') {
            let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match key {
                "obclid" => &mut obclid,
                "order" => &mut order,
                "value" => &mut value,
                "cur" => &mut currency,
                _ => continue,
            };
            let text = unescape(text);
            if !text.trim().is_empty() && place.replace(text).is_some() {
                return None;
            }
        }
        let value = match value {
            Some(text) => {
                let micros = Micros::parse_decimal(text.trim())?;
                Some((micros.0 <= VALUE_MICROS_MAX).then_some(micros)?)
            }
            None => None,
        };
        let currency = match currency {
            Some(text) => Some(CurrencyCode::parse(text.trim())?),
            None => None,
        };
        let is_long = order.as_ref().is_some_and(|order| order.len() > ORDER_BYTES_MAX);
        (!is_long).then_some(Self { obclid, order, value, currency })
    }
}

/// The image, for any page, and kept by nobody on the way.
pub fn image(outcome: &'static str) -> HttpResponse {
    open_to_all(HttpResponse::Ok())
        .insert_header((OUTCOME_HEADER, outcome))
        .content_type("image/gif")
        .body(GIF)
}

fn open_to_all(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_read_or_refused() {
        let asked =
            Asked::parse("obclid=x.t&order=%C3%A4%201&value=%31.5&cur=eur&fbclid=1&fbclid=2");
        let expected = Asked {
            obclid: Some("x.t".into()),
            order: Some("ä 1".into()),
            value: Some(Micros(1_500_000)),
            currency: CurrencyCode::parse("EUR"),
        };
        assert_eq!(asked, Some(expected));
        assert_eq!(Asked::parse("order=&value=&cur="), Some(Asked::default()));
        let long = format!("order={}", "x".repeat(ORDER_BYTES_MAX + 1));
        for bad in ["order=1&order=2", "value=-1", "value={v}", "value=1e30", "cur=EURO", &long] {
            assert_eq!(Asked::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_image_is_one_pixel() {
        assert_eq!(
            (&GIF[..6], &GIF[6..10], GIF[GIF.len() - 1]),
            (&b"GIF89a"[..], &[1, 0, 1, 0][..], b';')
        );
    }
}
