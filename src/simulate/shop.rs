//! What users do at advertisers' shops, and how the shops' servers report it (`POST /events`).

use super::world::{UserId, World};
use crate::hash::combine;
use crate::units::Timestamp;
use serde::Serialize;
use serde_json::json;

/// What a user does at a shop; `POST /events` calls it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Looks at an item.
    View,
    /// Searches.
    Search,
    /// Puts an item into the cart.
    AddToCart,
    /// Buys.
    Purchase,
}

/// One event at a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopEvent {
    /// Unique in the world.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// Whose.
    pub user: u32,
    /// What.
    pub behaviour: Behaviour,
    /// In which category.
    pub category: u16,
    /// Which item, 0 to 39 within its category, where shops have nothing particular.
    pub item: u8,
    /// Which item of the world's stock.
    pub good: Option<u16>,
    /// The token of the click that led here, as the landing page got it.
    pub click: Option<String>,
    /// The shop, where it is known which; otherwise one that sells the category.
    pub advertiser: Option<String>,
}

impl World {
    /// One line of `POST /events`, without its end; `exchange` is where buyer ids come from.
    #[must_use]
    pub fn event_line(&self, event: &ShopEvent, exchange: &str) -> String {
        let user = self.user(event.user);
        let id = match &user.id {
            UserId::Ifa(ifa) => json!({ "ifa": ifa }),
            UserId::User(id) => json!({ "id": id }),
            UserId::Buyer(id) => json!({ "buyeruid": { "exchange": exchange, "id": id } }),
            // Who buys without an advertising id has an account at the shop.
            UserId::Anonymous => json!({ "id": format!("account-{}", event.user) }),
        };
        let category = self.category(event.category);
        let good = event.good.and_then(|good| self.good(good));
        let shop = event.advertiser.as_deref().or(good.map(|good| good.shop.as_str()));
        let item = match good {
            Some(good) => good.id.clone(),
            None => format!("{}-{}", category.name, event.item),
        };
        let mut line = json!({
            "id": event.id, "type": event.behaviour, "ts": event.at.0, "user": id,
            "advertiser": shop.or(self.shop(event)).unwrap_or("shop"),
            "category": category.name, "item": item,
            "consent": user.choice.personalises() && user.id != UserId::Anonymous,
        });
        match event.behaviour {
            Behaviour::Search => line["query"] = json!(category.name.replace('-', " ")),
            Behaviour::Purchase => {
                let usual = category.order_usd * (0.6 + 0.02 * f64::from(event.item));
                let named = good.map(|good| good.price_usd).filter(|price| *price > 0.0);
                line["price"] = json!(format!("{:.2}", named.unwrap_or(usual)));
                line["currency"] = json!("USD");
                line["order_id"] = json!(format!("o-{}", event.id));
            }
            Behaviour::View | Behaviour::AddToCart => {}
        }
        if let Some(click) = &event.click {
            line["click"] = json!(click);
        }
        line.to_string()
    }

    /// The shop at which a user looks for a category: always the same one for one user.
    fn shop(&self, event: &ShopEvent) -> Option<&str> {
        let shops = self.shops.get(usize::from(event.category))?;
        let pick = combine(u64::from(event.user), u64::from(event.category)) as usize;
        shops.get(pick.checked_rem(shops.len())?).map(String::as_str)
    }
}
