//! The canaries: users with ids that nothing else is called, in every place that has one.

use serde_json::{Value, json};

/// How often what happened: each number stands for one thing alone, below what may be told.
pub const USERS: usize = 29;
pub const BIDS: usize = 47;
pub const BILLS: usize = 46;
pub const CLICKS: usize = 43;
pub const CONVERSIONS: usize = 41;
pub const EVENTS: usize = 37;

pub struct Canary {
    number: usize,
    pub ifa: String,
    pub buyeruid: String,
    pub user_id: String,
    pub eid: String,
    pub ip: String,
    pub ipv6: String,
    pub word: String,
}

impl Canary {
    pub fn numbered(number: usize) -> Self {
        Self {
            number,
            ifa: format!("CA4A2FEE-D00D-4BEE-9A5E-5EC4E7{number:06X}"),
            buyeruid: format!("canary-buyer-qxj7w-{number:03}"),
            user_id: format!("canary-user-zvk3p-{number:03}"),
            eid: format!("canary-eid-hh8rt-{number:03}"),
            ip: format!("203.0.113.{}", 100 + number),
            ipv6: format!("2001:db8:ca4a:4e{number:02x}:5ec4:e7f1:a6e5:{number:04x}"),
            word: format!("zebrafishword{number:03}"),
        }
    }

    /// Everything that names or describes the user, as it was sent.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = vec![
            self.ifa.clone(),
            self.buyeruid.clone(),
            self.user_id.clone(),
            self.eid.clone(),
            self.ip.clone(),
            self.ipv6.clone(),
            self.word.clone(),
        ];
        texts.extend(
            (0..super::CONVERSIONS.max(super::EVENTS)).flat_map(|n| {
                [self.order(n), self.event(n), format!("{}-{n}", self.item_prefix())]
            }),
        );
        texts
    }

    fn item_prefix(&self) -> String {
        format!("canary-item-{}", self.number)
    }

    pub fn order(&self, number: usize) -> String {
        format!("canary-order-{}-{number}", self.number)
    }

    fn event(&self, number: usize) -> String {
        format!("canary-event-{}-{number}", self.number)
    }

    pub fn request(&self, id: &str) -> Value {
        let Self { ifa, buyeruid, user_id, eid, ip, ipv6, word, .. } = self;
        let page = format!("https://news.example/a?q={word}&u={user_id}");
        json!({
            "id": id, "tmax": 5_000, "cur": ["USD"],
            "imp": [{ "id": "1", "bidfloor": 0.01, "banner": { "w": 300, "h": 250 } }],
            "site": { "id": "s", "domain": "news.example", "page": page, "ref": page,
                      "search": word, "keywords": word },
            "device": { "devicetype": 2, "os": "Windows", "ip": ip, "ipv6": ipv6, "ifa": ifa,
                        "ua": format!("Mozilla/5.0 ({word})"),
                        "geo": { "country": "USA", "zip": word } },
            "user": { "id": user_id, "buyeruid": buyeruid, "keywords": word,
                      "data": [{ "id": "d", "segment": [{ "id": word, "value": word }] }],
                      "eids": [{ "source": "shared.example", "uids": [{ "id": eid }] }] },
        })
    }

    fn ids(&self) -> Value {
        json!({ "id": self.user_id, "ids": [
            { "ifa": self.ifa },
            { "buyeruid": { "exchange": "x", "id": self.buyeruid } },
            { "eid": { "source": "shared.example", "id": self.eid } },
        ] })
    }

    pub fn purchase(&self, number: usize, now: i64, click: &str) -> Value {
        json!({
            "id": self.event(number), "type": "purchase", "ts": now, "user": self.ids(),
            "consent": true, "advertiser": "acme", "category": "running-shoes", "price": "20.00",
            "order_id": self.order(number), "click": click,
        })
    }

    pub fn visit(&self, number: usize, now: i64) -> Value {
        json!({
            "id": format!("{}-v", self.event(number)), "type": "view", "ts": now,
            "user": self.ids(), "consent": true, "advertiser": "acme",
            "category": "running-shoes", "item": format!("{}-{number}", self.item_prefix()),
        })
    }
}
