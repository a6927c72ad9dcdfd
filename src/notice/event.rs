//! Behaviour events as advertisers send them, cleaned into [`Event`]s.
//!
//! A body is one JSON object, an array of them, or one on each line. Each event stands for itself:
//! a wrong one is rejected with its line, field and reason, and the others are taken. Raw user ids
//! become keyed hashes here, and go no further. Limits: [`BODY_BYTES_MAX`], [`LINES_MAX`],
//! [`LINE_BYTES_MAX`]. An event more than [`AGE_MS_MAX`] old is rejected; one up to
//! [`AHEAD_MS_MAX`] in the future is taken as of now, since clocks differ, a later one rejected.
//!
//! `user` names one id, in a namespace of bids: `{"ifa": "..."}`, `{"id": "..."}`,
//! `{"buyeruid": {"exchange": "...", "id": "..."}}` or `{"eid": {"source": "...", "id": "..."}}`. Beside
//! it a list `ids` of up to seven more, each such an object, says that all of them are one user
//! ([`Join`]).
//!
//! A search may leave `category` out where it has a `query`: then it is in the category that the words
//! of the query name ([`Cleaner::searched`]). The words themselves are read for that alone, and go no
//! further.
//!
//! ```json
//! {"id": "e-1", "type": "purchase", "ts": 1700000000000, "user": {"ifa": "..."}, "consent": true,
//!  "advertiser": "acme", "category": "running-shoes", "item": "sku-9", "price": "89.90",
//!  "currency": "EUR", "order_id": "o-77", "click": "<token>"}
//! ```

mod fields;
#[cfg(test)]
mod tests;

use crate::catalog::item_key;
use crate::hash::{UserHasher, UserHashers};
use crate::session::{Behaviour, Conversion, Event, IDS_MAX, Ids, Join, UserId};
use crate::units::{AdvertiserId, CategoryId, CurrencyCode, Timestamp, UserKey};
use fields::{Fault, Fields};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

pub use fields::Reason;

/// Largest body: what 1,000 full lines need is 8 MB; usual ones are 300 bytes. It is told in
/// `docs/serving.md`, as is [`LINES_MAX`].
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Events taken from one body, so that a batch is cleaned in a few milliseconds.
pub const LINES_MAX: usize = 1_000;
/// Largest single event: every field at its limit, escaped, fits.
pub const LINE_BYTES_MAX: usize = 8_192;
/// Oldest event, in milliseconds: seven days, when interest in it is all but gone.
pub const AGE_MS_MAX: i64 = 7 * 86_400_000;
/// How far an event may be ahead of our clock, in milliseconds: five minutes.
pub const AHEAD_MS_MAX: i64 = 5 * 60_000;

/// Longest event id in bytes: a UUID or two.
const EVENT_ID_BYTES_MAX: usize = 64;
/// Longest name of an advertiser or category, and longest item or order id, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest search query in bytes.
const QUERY_BYTES_MAX: usize = 256;
/// Longest click token in bytes; ours stay below 200.
const TOKEN_BYTES_MAX: usize = 512;
/// Highest value of a purchase: a thousand million units. More is a mistake in the unit.
pub const VALUE_MICROS_MAX: u64 = 1_000_000_000_000_000;

/// What the catalog says of an advertiser who is named in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// There is none of this name.
    Unknown,
    /// Its interest serves its own ads only.
    Alone,
    /// It opted into the pool.
    InPool,
}

/// What cleaning needs to know.
pub struct Cleaner<'a> {
    /// Replace raw user ids.
    pub hashers: &'a UserHashers,
    /// Hashes ids of events and orders.
    pub marks: &'a UserHasher,
    /// Who may send events, and whose interest is pooled.
    pub tenant: &'a dyn Fn(AdvertiserId) -> Tenant,
    /// Whether behaviour that an advertiser reports, in a category of this name and on an item with
    /// this key, may be kept of its user.
    pub keeps: &'a dyn Fn(AdvertiserId, &str, Option<u32>) -> bool,
    /// The category of an advertiser's that a query means; `None` where it names none, or several.
    pub searched: &'a dyn Fn(AdvertiserId, &str) -> Option<String>,
    /// The present.
    pub now: Timestamp,
}

/// A cleaned body.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What can be applied, in the order of the body.
    pub accepted: Vec<Event>,
    /// What may not be kept of its users, such as health, in the order of the body: its conversions
    /// count, and nothing else of it goes further.
    pub unkept: Vec<Event>,
    /// Ids that accepted events with consent name together, by whom.
    pub joins: Vec<Join>,
    /// While keys are changed: what each id of an accepted event with consent was named before, beside
    /// its present name.
    pub renamed: Vec<[UserKey; 2]>,
    /// What cannot, in the order of the body.
    pub rejected: Vec<Rejection>,
    /// The first line that was not read, nor any after it: the body has more than [`LINES_MAX`]. Whoever
    /// sent it sends the rest again.
    pub not_read_from: Option<u32>,
}

/// Why one event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The line, or the position in the array, from 1.
    pub line: u32,
    /// The field at fault; empty when it is the whole event.
    pub field: Cow<'static, str>,
    /// What is wrong.
    pub reason: Reason,
}

impl Cleaner<'_> {
    /// Cleans a body. Never fails as a whole, but for a body that is too large or not JSON, which
    /// is one rejection.
    #[must_use]
    pub fn clean(&self, body: &[u8]) -> Cleaned {
        let mut cleaned = Cleaned::default();
        if body.len() > BODY_BYTES_MAX {
            cleaned.reject(1, Fault::whole(Reason::TooLarge));
            return cleaned;
        }
        let Ok(text) = std::str::from_utf8(body) else {
            cleaned.reject(1, Fault::whole(Reason::NotJson));
            return cleaned;
        };
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('[') {
            match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(elements) => self.clean_each(elements.iter().map(|one| one.get()), &mut cleaned),
                Err(_) => cleaned.reject(1, Fault::whole(Reason::NotJson)),
            }
        } else if serde_json::from_str::<&RawValue>(text).is_ok() {
            self.clean_each(std::iter::once(text), &mut cleaned); // one object, on however many lines
        } else {
            self.clean_each(text.lines(), &mut cleaned);
        }
        cleaned
    }

    fn clean_each<'t>(&self, events: impl Iterator<Item = &'t str>, cleaned: &mut Cleaned) {
        for (line, text) in (1_u32..).zip(events) {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            if line as usize > LINES_MAX {
                cleaned.reject(line, Fault::whole(Reason::TooManyLines));
                cleaned.not_read_from = Some(line);
                return;
            }
            match self.event(text) {
                Ok((event, named, true)) => {
                    if event.consent {
                        cleaned.renamed.extend(named.renamed);
                    }
                    if event.consent && named.ids.len() > 1 {
                        cleaned.joins.push(Join { ids: named.ids, source: event.advertiser.0 });
                    }
                    cleaned.accepted.push(event);
                }
                Ok((event, _, false)) => cleaned.unkept.push(event),
                Err(fault) => cleaned.reject(line, fault),
            }
        }
    }

    /// An event, all ids of its user, and whether it may be kept of him.
    fn event(&self, text: &str) -> Result<(Event, Named, bool), Fault> {
        if text.len() > LINE_BYTES_MAX {
            return Err(Fault::whole(Reason::TooLarge));
        }
        let mut fields = Fields::parse(text)?;
        let id = fields.required_text("id", EVENT_ID_BYTES_MAX)?;
        let kind: Behaviour = fields.required("type")?;
        let at = self.time(fields.required("ts")?)?;
        let named = self.named(fields.required("user")?)?;
        let consent: bool = fields.required("consent")?;
        let name = fields.required_text("advertiser", NAME_BYTES_MAX)?;
        let advertiser = AdvertiserId::of(&name);
        let tenant = (self.tenant)(advertiser);
        if tenant == Tenant::Unknown {
            return Err(Fault::of("advertiser", Reason::Unknown));
        }
        let category = fields.text("category", NAME_BYTES_MAX)?;
        let query = fields.text("query", QUERY_BYTES_MAX)?;
        let category = match (category, query) {
            (Some(category), _) => category,
            (None, Some(query)) if kind == Behaviour::Search => {
                let meant = (self.searched)(advertiser, &query);
                Cow::Owned(meant.ok_or(Fault::of("query", Reason::NotOneCategory))?)
            }
            (None, _) => return Err(Fault::of("category", Reason::Missing)),
        };
        let item = fields.text("item", NAME_BYTES_MAX)?;
        let conversion = self.conversion(&mut fields, kind, advertiser)?;
        fields.finish()?;
        let item = item.map(|item| item_key(advertiser, &item));
        let is_kept = (self.keeps)(advertiser, &category, item);
        let event = Event {
            id: self.marks.mark(&format!("event:{name}"), &id),
            user: named.ids[0],
            kind,
            at,
            advertiser,
            category: CategoryId::of(&category),
            item,
            // Nothing reads what somebody searched for beyond its category, so nothing keeps it.
            consent,
            pooled: consent && tenant == Tenant::InPool,
            conversion,
        };
        Ok((event, named, is_kept))
    }

    fn time(&self, ts: i64) -> Result<Timestamp, Fault> {
        let at = Timestamp(ts);
        let age_ms = self.now.millis_since(at);
        if age_ms > AGE_MS_MAX {
            Err(Fault::of("ts", Reason::TooOld))
        } else if age_ms < -AHEAD_MS_MAX {
            Err(Fault::of("ts", Reason::InTheFuture))
        } else {
            Ok(at.min(self.now))
        }
    }

    fn named(&self, raw: &RawValue) -> Result<Named, Fault> {
        let ids = user_ids(&self.hashers.newest, raw)?;
        let before = self.hashers.before.as_ref().map(|before| user_ids(before, raw));
        let before = before.transpose()?.unwrap_or_default();
        let renamed = ids.iter().zip(before).map(|(new, old)| [*new, old]).collect();
        Ok(Named { ids, renamed })
    }

    /// What a purchase with an order is worth. A price without an order could be counted twice, so
    /// a purchase must have both or no price; other kinds may name a price, which says nothing.
    fn conversion(
        &self,
        fields: &mut Fields<'_>,
        kind: Behaviour,
        advertiser: AdvertiserId,
    ) -> Result<Option<Conversion>, Fault> {
        let price = fields.price_micros("price", VALUE_MICROS_MAX)?;
        let currency = fields.text("currency", 3)?;
        let currency = match currency {
            None => None,
            Some(code) => {
                Some(CurrencyCode::parse(&code).ok_or(Fault::of("currency", Reason::Invalid))?)
            }
        };
        let order = fields.text("order_id", NAME_BYTES_MAX)?;
        let click_token = fields.text("click", TOKEN_BYTES_MAX)?;
        match (kind, order, price) {
            (Behaviour::Purchase, Some(order), price) => Ok(Some(Conversion {
                order: order_key(self.marks, advertiser, &order),
                value_micros: price.unwrap_or(0),
                currency,
                click_token: click_token.map(Cow::into_owned),
            })),
            (Behaviour::Purchase, None, Some(_)) => Err(Fault::of("order_id", Reason::Missing)),
            (Behaviour::Purchase, None, None) => Ok(None),
            (_, Some(_), _) => Err(Fault::of("order_id", Reason::NotForThisType)),
            (_, None, _) => Ok(None),
        }
    }
}

impl Cleaned {
    fn reject(&mut self, line: u32, fault: Fault) {
        self.rejected.push(Rejection { line, field: fault.field, reason: fault.reason });
    }
}

/// The ids of one user.
struct Named {
    ids: Ids,
    renamed: Vec<[UserKey; 2]>,
}

/// The ids of a user as events name them, under this key.
///
/// # Errors
/// What is wrong with them.
pub fn named_ids(hasher: &UserHasher, raw: &RawValue) -> Result<Ids, Reason> {
    user_ids(hasher, raw).map_err(|fault| fault.reason)
}

/// The user id that an event names, and then others of the same user from its list `ids`. A list with a
/// wrong id is wrong as a whole: whoever joins ids should know them.
fn user_ids(hasher: &UserHasher, raw: &RawValue) -> Result<Ids, Fault> {
    let mut fields = Fields::parse(raw.get()).map_err(|fault| fault.within("user"))?;
    let others: Option<Vec<&RawValue>> =
        fields.optional("ids").map_err(|fault| fault.within("user"))?;
    let mut ids = Ids::new();
    ids.push(user_id(hasher, &fields)?);
    let others = others.unwrap_or_default();
    if others.len() >= IDS_MAX {
        return Err(Fault::of("user.ids", Reason::TooLong));
    }
    for other in others {
        let fields = Fields::parse(other.get()).map_err(|fault| fault.within("user.ids"))?;
        ids.push(user_id(hasher, &fields)?);
    }
    Ok(ids)
}

/// One id, in a namespace that bids use too.
fn user_id(hasher: &UserHasher, fields: &Fields<'_>) -> Result<UserKey, Fault> {
    let invalid = |_| Fault::of("user", Reason::Invalid);
    let (namespace, value) = fields.only().ok_or(Fault::of("user", Reason::NotOneUserId))?;
    let parse_text = || serde_json::from_str::<String>(value.get()).map_err(invalid);
    let parse_pair = |first: &'static str| {
        let mut pair = Fields::parse(value.get()).map_err(|fault| fault.within("user"))?;
        let first = pair.required::<String>(first).map_err(|fault| fault.within("user"))?;
        let id = pair.required::<String>("id").map_err(|fault| fault.within("user"))?;
        pair.finish().map_err(|fault| fault.within("user"))?;
        Ok((first, id))
    };
    let key = match namespace {
        "ifa" => UserId::Ifa(&parse_text()?).key(hasher),
        "id" => UserId::Id(&parse_text()?).key(hasher),
        "buyeruid" => {
            let (exchange, id) = parse_pair("exchange")?;
            UserId::Buyeruid { exchange: &exchange, id: &id }.key(hasher)
        }
        "eid" => {
            let (source, id) = parse_pair("source")?;
            UserId::Eid { source: &source, id: &id }.key(hasher)
        }
        _ => return Err(Fault::of("user", Reason::NotOneUserId)),
    };
    key.ok_or(Fault::of("user", Reason::Invalid))
}

/// Which order of an advertiser: the same from a page and from a server, so that it counts once.
#[must_use]
pub fn order_key(marks: &UserHasher, advertiser: AdvertiserId, order: &str) -> u64 {
    marks.mark(&format!("order:{}", advertiser.0), order.trim())
}
