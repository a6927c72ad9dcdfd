//! Promise: a conversion is owed to the last click, then to the last view, inside their windows, for
//! the right advertiser, with consent or a token, once for each order; whatever it is, the page
//! gets its image.

mod common;

use common::{Bid, Campaign, Engine, MINUTE, NOON, Site, path_of, request, until};
use serde_json::{Value, json};

const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

struct Shop {
    engine: Engine,
    now: i64,
    count: u32,
}

impl Shop {
    fn open() -> Self {
        let more = "[budget]\ntick_ms = 600_000\n[currency.rates]\nEUR = '2'\n\
                    [attribution]\nclick_window_s = 432_000\nview_window_s = 86_400";
        let bravo = Campaign {
            advertiser: "bravo",
            name: "tents",
            category: "tents",
            bid: "max_cpm = \"0.50\"",
            ..Campaign::default()
        };
        let site = Site::new(&[Campaign::default(), bravo], "", more);
        let mut shop = Self { engine: Engine::start(site, Some(NOON)), now: NOON, count: 0 };
        shop.wait(0);
        shop
    }

    fn wait(&mut self, ms: i64) {
        self.now += ms;
        self.engine.at(self.now);
    }

    /// A bid of acme's shoes for `user` that was billed.
    fn shown(&mut self, user: &str) -> Bid {
        // While the shoes' lease gets more money the tents bid.
        let bid = until("a bid for the shoes", || {
            self.count += 1;
            let bid = self.engine.bid(&request(&format!("r-{}", self.count), user));
            let bid = bid.filter(|bid| bid.campaign == "shoes");
            if bid.is_none() {
                self.wait(10 * MINUTE);
            }
            bid
        });
        assert_eq!(self.engine.fetch(&bid.billed_at("1")).status, 200);
        bid
    }

    /// A click on such a bid; the id that the landing page gets.
    fn clicked(&mut self, user: &str) -> String {
        let bid = self.shown(user);
        let reply = self.engine.fetch(&bid.click);
        let target = reply.header("location").expect("a target").to_owned();
        target.split("obclid=").nth(1).expect("a click id").to_owned()
    }

    fn counted(&self, outcome: &'static str) -> u64 {
        self.engine.inside().metrics.conversions.exact(outcome)
    }

    fn last_line(&self) -> Value {
        self.engine.all_lines(1, "conversion").remove(0)
    }

    /// Loads a pixel and holds its answer, counter and line to what is expected.
    fn pixel(&mut self, path: &str, expected: &'static str) -> Value {
        let before = self.counted(expected);
        let reply = self.engine.public.get(&format!("/pixel/{path}"));
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("image/gif")),
            "{path}"
        );
        assert!(reply.body.starts_with(b"GIF89a"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("x-outbid-outcome"), Some(expected), "{path}");
        assert_eq!(self.counted(expected), before + 1, "{path}");
        let line = self.last_line();
        assert_eq!((&line["kind"], &line["outcome"]), (&"conversion".into(), &expected.into()));
        line
    }

    /// Sends a purchase from a server and holds what becomes of it to what is expected.
    fn purchase(&mut self, change: &Value, expected: &str) -> Value {
        self.count += 1;
        let mut event = json!({
            "id": format!("e-{}", self.count), "type": "purchase", "ts": self.now,
            "user": { "id": "nobody" }, "consent": true, "advertiser": "acme",
            "category": "running-shoes", "price": "20", "order_id": format!("s-{}", self.count),
        });
        for (key, value) in change.as_object().expect("an object") {
            event[key] = value.clone();
        }
        let reply = self.engine.public.post("/events", event.to_string().as_bytes()).json();
        assert_eq!(reply["accepted"], 1, "{reply}");
        assert_eq!(reply["conversions"], json!({ expected: 1 }), "{event}");
        self.last_line()
    }
}

#[test]
fn a_pixel_counts_each_order_of_a_click_once() {
    let mut shop = Shop::open();
    let click = shop.clicked("reader");
    let line =
        shop.pixel(&format!("acme?obclid={click}&order=o-1&value=10.5&cur=EUR"), "click_through");
    assert_eq!(line["value_micros"], 21_000_000, "in the account's currency");
    let of = (&line["advertiser"], &line["campaign"], &line["creative"]);
    assert_eq!(of, (&"acme".into(), &"shoes".into(), &"shoes-300x250".into()));
    assert!(!line.to_string().contains("reader") && line.get("user").is_none());

    shop.pixel(&format!("acme?obclid={click}&order=%6F-1&value=99"), "repeated");
    shop.purchase(&json!({ "click": click, "order_id": "o-1" }), "repeated");
    shop.pixel(&format!("acme?obclid={click}"), "click_through");
    shop.pixel(&format!("acme?obclid={click}"), "repeated");
    shop.purchase(&json!({ "click": click }), "click_through");
    for order in 0..14 {
        shop.pixel(&format!("acme?obclid={click}&order=more-{order}"), "click_through");
    }
    shop.pixel(&format!("acme?obclid={click}&order=one-more"), "too_many");
    shop.purchase(&json!({ "click": click }), "click_through");

    shop.pixel(&format!("bravo?obclid={click}&order=o-2"), "other_advertiser");
    shop.pixel(&format!("nobody?obclid={click}&order=o-2"), "unknown_advertiser");
    shop.pixel(&format!("acme?obclid={click}&order=o-2&value=-1"), "malformed");
    shop.pixel("acme?order=o-2", "unattributed");
    shop.pixel("acme?obclid=x.AAAA&order=o-2", "bad_token");
    shop.pixel(&format!("acme?obclid=y.{}&order=o-2", &click[2..]), "bad_token");
    shop.pixel("acme", "unattributed");
    for (method, status) in [("OPTIONS", 204), ("PUT", 405), ("POST", 200)] {
        let reply = shop.engine.public.call(method, "/pixel/acme", &[], b"");
        assert_eq!(reply.status, status, "{method}");
    }
}

/// A test's tokens have expired from the start, and a purchase asks at any age.
#[test]
fn a_test_proves_nothing() {
    let mut shop = Shop::open();
    let mut asked = request("t", "reader");
    asked["test"] = json!(1);
    let bid = shop.engine.bid(&asked).expect("a test is answered");
    assert_eq!((bid.campaign.as_str(), shop.engine.fetch(&bid.click).status), ("shoes", 410));
    let token = bid.click.split("t=").nth(1).expect("a token");
    shop.pixel(&format!("acme?obclid=x.{token}&order=o-1"), "bad_token");
    shop.purchase(&json!({ "click": format!("x.{token}") }), "bad_token");
    let report = shop.engine.report();
    let held = |core: &Value| core["leases"]["held"].as_str().map(str::to_owned);
    let cores: Vec<_> = report["cores"].as_array().expect("cores").iter().map(held).collect();
    assert!(cores.iter().all(|held| held.as_deref() == Some("0")), "nothing is held: {cores:?}");
    assert_eq!(shop.engine.admin.get("/api/v1/auctions/t").status, 404, "nothing is remembered");
}

/// Whoever sends a notice again must not move what it proves to a later time.
#[test]
fn a_copy_of_a_notice_begins_no_window_anew() {
    let mut shop = Shop::open();
    let seen = shop.shown("seen");
    let clicked = shop.shown("clicked");
    assert_eq!(shop.engine.fetch(&clicked.click).status, 302);
    let pixel = shop.shown("pixel");
    let view = pixel.view.clone();
    assert_eq!(shop.engine.fetch(&view).status, 200);
    shop.wait(DAY - HOUR);
    for again in [&seen.billed_at("1"), &seen.billed_at("2"), &view] {
        assert_eq!(shop.engine.fetch(again).status, 200);
    }
    assert_eq!(shop.engine.fetch(&clicked.click).status, 302);
    shop.wait(2 * HOUR);
    shop.purchase(&json!({ "user": { "id": "seen" } }), "outside_window");
    shop.purchase(&json!({ "user": { "id": "pixel" } }), "outside_window");
    shop.wait(4 * DAY);
    shop.purchase(&json!({ "user": { "id": "clicked" } }), "outside_window");
}

#[test]
fn a_click_outlives_its_notices_and_ends_with_its_window() {
    let mut shop = Shop::open();
    let click = shop.clicked("reader");
    let bid = shop.shown("reader");
    shop.wait(3 * DAY);
    assert_eq!(shop.engine.public.get(path_of(&bid.click)).status, 410, "no click any more");
    shop.pixel(&format!("acme?obclid={click}&order=o-1"), "click_through");
    shop.wait(2 * DAY);
    shop.pixel(&format!("acme?obclid={click}&order=o-2"), "outside_window");
    shop.purchase(&json!({ "user": { "id": "reader" } }), "outside_window");
}

#[test]
fn a_user_is_remembered_with_consent_by_click_then_view() {
    let mut shop = Shop::open();
    let user = |id: &str| json!({ "user": { "id": id } });
    shop.purchase(&user("viewer"), "unattributed");
    shop.shown("viewer");
    let line = shop.purchase(&user("viewer"), "view_through");
    assert_eq!((&line["campaign"], &line["value_micros"]), (&"shoes".into(), &20_000_000.into()));
    shop.clicked("clicker");
    shop.wait(HOUR);
    shop.shown("clicker");
    shop.purchase(&user("clicker"), "click_through");
    shop.purchase(&json!({ "user": { "id": "clicker" }, "consent": false }), "unattributed");
    shop.purchase(&json!({ "user": { "id": "clicker" }, "advertiser": "bravo" }), "unattributed");
    let before = json!({ "user": { "id": "clicker" }, "ts": shop.now - 2 * HOUR });
    shop.purchase(&before, "before_touch");
    let click = shop.clicked("without consent");
    let token = json!({ "user": { "id": "x" }, "consent": false, "click": click });
    shop.purchase(&token, "click_through");
    let early = json!({ "click": click, "ts": shop.now - HOUR });
    shop.purchase(&early, "before_touch");
    shop.purchase(&json!({ "click": click, "advertiser": "bravo" }), "other_advertiser");
    shop.wait(DAY);
    shop.purchase(&user("viewer"), "outside_window");
    shop.purchase(&user("clicker"), "click_through");

    let future = json!({
        "id": "f", "type": "purchase", "ts": shop.now + HOUR, "user": { "id": "clicker" },
        "consent": true, "advertiser": "acme", "category": "c", "order_id": "f",
    });
    let reply = shop.engine.public.post("/events", future.to_string().as_bytes()).json();
    assert_eq!(reply["rejected"][0]["reason"], "in_the_future", "{reply}");
    let line = shop.engine.admin.get("/api/v1/events?kind=behaviour&limit=1").text();
    assert!(line.contains("\"rejected\""), "{line}");
}
