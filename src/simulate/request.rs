//! Bid requests in the shapes of real traffic: both spellings, sites and apps, one to three imps,
//! deals, floors in two currencies, blocks, consent. The same opportunity always renders to the
//! same bytes.

use super::consent::{Choice, GPP_ALLOWED, GPP_OPTED_OUT, GPP_UNTARGETED, tcf};
use super::goods::Seen;
use super::random::{Purpose, stream};
use super::slot::SlotKind;
use super::spec::{Dialect, Law, Medium, Publisher};
use super::world::{Device, User, UserId, World};
use crate::hash::mix;
use crate::units::{Micros, Timestamp};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use smallvec::SmallVec;

/// A page view with placements to fill: what a bid request is rendered from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opportunity {
    /// Its number in the world, from which its request and its market are drawn.
    pub number: u64,
    /// When it happens.
    pub at: Timestamp,
    /// The user's number.
    pub user: u32,
    /// The category that the user looks for now; hidden from the engine.
    pub intent: u16,
    /// The items that he looked at lately; hidden too, but for what shops report.
    pub seen: Seen,
    /// The publisher's number.
    pub publisher: u16,
    /// One placement an imp, 1 to 3.
    pub slots: SmallVec<[SlotKind; 3]>,
}

/// What the exchange remembers of an imp to judge the bids on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imp {
    /// `imp.id`.
    pub id: String,
    /// The placement.
    pub slot: SlotKind,
    /// The floor in US dollars, rounded up.
    pub floor: Micros,
    /// Deals on offer and their floors in US dollars.
    pub deals: SmallVec<[(String, Micros); 1]>,
    /// Whether only bids with a deal are taken.
    pub private: bool,
}

/// A bid request and what the exchange remembers of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// `BidRequest.id`.
    pub id: String,
    /// The JSON body.
    pub body: Vec<u8>,
    /// Its imps, in order.
    pub imps: Vec<Imp>,
    /// 1: first price, 2: second price.
    pub at: u8,
}

impl World {
    /// The bid request of an opportunity.
    #[must_use]
    pub fn render(&self, opportunity: &Opportunity) -> Rendered {
        let mut rng = stream(self.seed, Purpose::Request, opportunity.number);
        let user = self.user(opportunity.user);
        let publisher = self.publisher(opportunity.publisher);
        let id = format!("{:016x}", mix(opportunity.number ^ self.seed.rotate_left(32)));
        let mut request = Map::new();
        let mut put = |name: &str, value: Value| request.insert(name.to_owned(), value);
        put("id", json!(id));
        put("at", json!(publisher.at));
        let tmax_ms = [80, 100, 120, 150, 200, 300][rng.random_range(0..6)];
        put("tmax", json!(tmax_ms));
        if rng.random::<f64>() < 0.7 {
            put("cur", json!(["USD"]));
        }
        let bcat = &publisher.bcat;
        if !bcat.is_empty() {
            put("bcat", json!(bcat));
        }
        if !publisher.badv.is_empty() {
            put("badv", json!(publisher.badv));
        }
        let place = place(publisher, opportunity, &mut rng);
        put(if publisher.medium == Medium::Site { "site" } else { "app" }, place);
        put("device", self.device(user, publisher, &mut rng));
        put("source", source(publisher, &id, &mut rng));
        if let Some(object) = user_object(user, publisher.dialect, opportunity.at) {
            put("user", object);
        }
        let law = self.spec.country[user.country].law;
        if let Some(regs) = regs(user.choice, law, publisher.dialect) {
            put("regs", regs);
        }
        let mut imps = Vec::with_capacity(opportunity.slots.len());
        let mut objects = Vec::with_capacity(opportunity.slots.len());
        for (position, slot) in opportunity.slots.iter().enumerate() {
            let (object, imp) = self.imp(publisher, *slot, position, &mut rng);
            objects.push(object);
            imps.push(imp);
        }
        request.insert("imp".to_owned(), Value::Array(objects));
        let body = Value::Object(request).to_string().into_bytes();
        Rendered { id, body, imps, at: publisher.at }
    }

    fn imp(
        &self,
        publisher: &Publisher,
        slot: SlotKind,
        position: usize,
        rng: &mut ChaCha8Rng,
    ) -> (Value, Imp) {
        let mut object = Map::new();
        let id = (position + 1).to_string();
        object.insert("id".to_owned(), json!(id));
        object.insert(
            "tagid".to_owned(),
            json!(format!("{}/{}/{position}", publisher.name, slot.tag())),
        );
        if rng.random::<f64>() < 0.85 {
            object.insert("secure".to_owned(), json!(1));
        }
        slot.describe(&mut object, publisher.dialect, rng);
        let floor = self.floor(publisher, &mut object, rng);
        let mut imp = Imp { id, slot, floor, deals: SmallVec::new(), private: false };
        if !publisher.deals.is_empty() && rng.random::<f64>() < 0.5 {
            imp.private = publisher.deals.iter().any(|deal| deal.private);
            let mut offers = Vec::with_capacity(publisher.deals.len());
            for deal in &publisher.deals {
                imp.deals.push((deal.id.clone(), usd(deal.floor)));
                offers.push(json!({
                    "id": deal.id, "bidfloor": deal.floor, "bidfloorcur": "USD", "at": publisher.at,
                }));
            }
            let private = u8::from(imp.private);
            object.insert("pmp".to_owned(), json!({ "private_auction": private, "deals": offers }));
        }
        (Value::Object(object), imp)
    }

    /// Puts a floor into the imp for six in ten; answers it in US dollars.
    fn floor(
        &self,
        publisher: &Publisher,
        object: &mut Map<String, Value>,
        rng: &mut ChaCha8Rng,
    ) -> Micros {
        if rng.random::<f64>() > 0.6 {
            return Micros::ZERO;
        }
        let cents = (publisher.floor * rng.random_range(0.5..1.5) * 100.0).round().max(1.0);
        let floor = cents / 100.0;
        object.insert("bidfloor".to_owned(), json!(floor));
        let foreign = self.spec.rates.iter().next().filter(|_| rng.random::<f64>() < 0.05);
        if let Some((currency, rate)) = foreign {
            object.insert("bidfloorcur".to_owned(), json!(currency));
            return usd(floor * rate);
        }
        if rng.random::<f64>() < 0.7 {
            object.insert("bidfloorcur".to_owned(), json!("USD"));
        }
        usd(floor)
    }

    fn device(&self, user: &User, publisher: &Publisher, rng: &mut ChaCha8Rng) -> Value {
        let country = &self.spec.country[user.country];
        let (kind, make, model, os, version, agent) = match user.device {
            Device::Android => {
                (4, "Google", "Pixel 8", "Android", "14", "Linux; Android 14; Pixel 8")
            }
            Device::Iphone => {
                (4, "Apple", "iPhone", "iOS", "17.4", "iPhone; CPU iPhone OS 17_4 like Mac OS X")
            }
            Device::Tablet => {
                (5, "Samsung", "SM-X200", "Android", "13", "Linux; Android 13; SM-X200")
            }
            Device::Computer => (2, "", "", "Windows", "10", "Windows NT 10.0; Win64; x64"),
        };
        let host = 1 + mix(u64::from(user.tastes[0].0) ^ user.activity.to_bits()) % 250;
        let mut object = json!({
            "ua": format!("Mozilla/5.0 ({agent}) ExampleBrowser/1.0"),
            "ip": format!("203.0.113.{host}"), "language": country.language, "os": os, "osv": version,
            "js": 1, "dnt": 0, "lmt": u8::from(!user.choice.personalises()),
            "connectiontype": if user.device == Device::Computer { 1 } else { 2 },
            "geo": {
                "country": country.code, "region": country.region, "city": country.city, "type": 2,
            },
        });
        if !make.is_empty() {
            object["make"] = json!(make);
            object["model"] = json!(model);
        }
        // 2.5 has "1: mobile or tablet, general"; exchanges of either version send it.
        if rng.random::<f64>() < 0.9 {
            let general =
                publisher.dialect == Dialect::V25 && kind != 2 && rng.random::<f64>() < 0.3;
            object["devicetype"] = json!(if general { 1 } else { kind });
        }
        if let UserId::Ifa(ifa) = &user.id {
            object["ifa"] = json!(ifa);
        }
        object
    }
}

/// A CPM in US dollars, rounded up to a micro.
fn usd(cpm: f64) -> Micros {
    Micros::from_cpm_f64(cpm).unwrap_or(Micros::ZERO)
}

fn place(publisher: &Publisher, opportunity: &Opportunity, rng: &mut ChaCha8Rng) -> Value {
    let number = opportunity.publisher;
    let mut object = json!({
        "id": format!("p{number}"), "cat": publisher.cat,
        "publisher": { "id": format!("pub-{number}"), "name": publisher.name },
    });
    match publisher.medium {
        Medium::Site => {
            let page = rng.random_range(1..=400);
            object["domain"] = json!(publisher.name);
            object["page"] = json!(format!("https://www.{}/story/{page}", publisher.name));
            if rng.random::<f64>() < 0.3 {
                object["ref"] = json!("https://search.example/");
            }
            if !publisher.group.is_empty() && rng.random::<f64>() < 0.5 {
                object["keywords"] = json!(publisher.group);
            }
        }
        Medium::App => {
            object["bundle"] = json!(publisher.name);
            object["name"] = json!(publisher.name.rsplit('.').next().unwrap_or_default());
            object["ver"] = json!(format!("4.{}", rng.random_range(0..10)));
            object["storeurl"] = json!(format!("https://store.example/app/{}", publisher.name));
        }
    }
    object
}

fn source(publisher: &Publisher, id: &str, rng: &mut ChaCha8Rng) -> Value {
    let mut object = json!({ "fd": 0, "tid": format!("t-{id}") });
    if rng.random::<f64>() < 0.6 {
        let node = json!({ "asi": "exchange.example", "sid": publisher.name, "hp": 1 });
        let chain = json!({ "complete": 1, "ver": "1.0", "nodes": [node] });
        match publisher.dialect {
            Dialect::V25 => object["ext"] = json!({ "schain": chain }),
            Dialect::V26 => object["schain"] = chain,
        }
    }
    object
}

/// The `user` object; `None` where there is nothing to say.
fn user_object(user: &User, dialect: Dialect, at: Timestamp) -> Option<Value> {
    let mut object = Map::new();
    match &user.id {
        UserId::User(id) => object.insert("id".to_owned(), json!(id)),
        UserId::Buyer(id) => object.insert("buyeruid".to_owned(), json!(id)),
        UserId::Ifa(_) | UserId::Anonymous => None,
    };
    // Strings are stamped with the day, so that a user's do not change with each request.
    let day = Timestamp(at.0 - at.0.rem_euclid(86_400_000));
    if let Some(consent) = tcf(user.choice, day) {
        match dialect {
            Dialect::V25 => object.insert("ext".to_owned(), json!({ "consent": consent })),
            Dialect::V26 => object.insert("consent".to_owned(), json!(consent)),
        };
    }
    (!object.is_empty()).then_some(Value::Object(object))
}

/// The `regs` object; `None` where no law says anything.
fn regs(choice: Choice, law: Law, dialect: Dialect) -> Option<Value> {
    let gpp = |(text, section): (&str, u32)| json!({ "gpp": text, "gpp_sid": [section] });
    let signals = match choice {
        Choice::Unregulated => return None,
        Choice::GdprGranted | Choice::GdprPartly | Choice::GdprRefused => json!({ "gdpr": 1 }),
        Choice::UsAllowed => json!({ "us_privacy": "1YNN" }),
        Choice::UsOptedOut => json!({ "us_privacy": "1YYN" }),
        Choice::GppAllowed => gpp(GPP_ALLOWED),
        Choice::GppUntargeted => gpp(GPP_UNTARGETED),
        Choice::GppOptedOut => gpp(GPP_OPTED_OUT),
        // A child under the European law has no string: nobody may ask.
        Choice::Child if law == Law::Gdpr => json!({ "gdpr": 1 }),
        Choice::Child => json!({}),
    };
    let mut object = match dialect {
        Dialect::V25 if signals.as_object().is_some_and(|map| !map.is_empty()) => {
            json!({ "ext": signals })
        }
        _ => signals,
    };
    if choice == Choice::Child {
        object["coppa"] = json!(1);
    }
    Some(object)
}
