//! A behaviour event as it reaches a session: cleaned, without any raw id.

use crate::units::{AdvertiserId, CategoryId, CurrencyCode, Timestamp, UserKey};
use serde::{Deserialize, Serialize};

/// What a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Looked at a page or an item.
    View,
    /// Searched for something.
    Search,
    /// Clicked an item or an ad.
    Click,
    /// Put an item into the cart.
    AddToCart,
    /// Bought.
    Purchase,
}

impl Behaviour {
    /// All of them, by number.
    pub const ALL: [Self; 5] =
        [Self::View, Self::Search, Self::Click, Self::AddToCart, Self::Purchase];

    /// How much one event of this kind adds to the interest in its category.
    ///
    /// An act that costs the user more effort says more, so a search or a click counts one and a half
    /// views and a cart two. A purchase counts once: it ends as many wishes as it proves, and the cart
    /// before it was counted. Larger weights let what was put into a cart hide what is looked at after
    /// it: on the stream of `docs/evaluation.md` 2 and 4 cost .002 of NDCG@10, and these nothing.
    #[must_use]
    pub const fn weight(self) -> f32 {
        match self {
            Self::View | Self::Purchase => 1.0,
            Self::Search | Self::Click => 1.5,
            Self::AddToCart => 2.0,
        }
    }
}

/// A cleaned event. `notice::event` makes them; a [`SessionShard`](super::SessionShard) applies them.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Keyed hash of (advertiser, the event's own id): tells a repetition.
    pub id: u64,
    /// Who.
    pub user: UserKey,
    /// Did what.
    pub kind: Behaviour,
    /// When, never later than its cleaning.
    pub at: Timestamp,
    /// The tenant who says so.
    pub advertiser: AdvertiserId,
    /// In which category.
    pub category: CategoryId,
    /// Key of the item ([`crate::catalog::item_key`]), where one was named.
    pub item: Option<u32>,
    /// Whether the user consented to being remembered. Without it no session is touched.
    pub consent: bool,
    /// Whether the interest may serve other tenants: the tenant is in the pool and the user
    /// consented.
    pub pooled: bool,
    /// What a purchase is worth, where it named an order. Not the session's business: it is for
    /// whoever joins and counts conversions.
    pub conversion: Option<Conversion>,
}

/// A purchase that can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// Keyed hash of (advertiser, order id): a conversion counts once for each.
    pub order: u64,
    /// Its value in micros of `currency`; 0 where none was named.
    pub value_micros: u64,
    /// The currency of `value_micros`; the advertiser's account's where none was named.
    pub currency: Option<CurrencyCode>,
    /// The sealed token of the click or view that led here, unopened.
    pub click_token: Option<String>,
}
