//! What a notice tells of the market: whether a first-price bid won, and what would have.

use super::effect::{Query, told_price};
use super::token::{BidToken, Purpose};
use crate::market::{Observation, Place};

/// OpenRTB's loss reasons that are the price's doing: below the floor, and lost to a higher bid.
const BY_PRICE: [u16; 2] = [100, 102];

/// What a notice of `purpose` tells; nothing of an auction without first prices, of clicks, and of a
/// bid that was turned away for another reason than its price. The least winning bid is believed
/// where servers tell it: a pixel's URL passes through browsers.
#[must_use]
pub fn observation(
    purpose: Purpose,
    exchange: u64,
    token: &BidToken,
    query: &Query<'_>,
) -> Option<Observation> {
    let is_won = match purpose {
        Purpose::Win | Purpose::Billing | Purpose::View => true,
        Purpose::Loss => false,
        Purpose::Click => return None,
    };
    let is_by_price = query.loss_reason.is_none_or(|reason| BY_PRICE.contains(&reason));
    if !token.is_first_price || !(is_won || is_by_price) {
        return None;
    }
    let place =
        Place { exchange, currency: token.bid_currency, size: token.size, at: token.issued };
    let told = query.min_to_win.filter(|_| purpose != Purpose::View);
    Some(Observation { place, bid: token.bid_price, is_won, min_to_win: told.and_then(told_price) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::SizeClass;
    use crate::rates::Rate;
    use crate::units::{
        AdvertiserId, CampaignId, CreativeId, CurrencyCode, HoldId, Micros, Slot, Timestamp,
    };

    fn token(is_first_price: bool) -> BidToken {
        BidToken {
            hold: HoldId::default(),
            advertiser: AdvertiserId(1),
            campaign: CampaignId(2),
            creative: CreativeId(3),
            ad: Slot::default(),
            day: 4,
            price: Micros(2_200_000),
            bid_price: Micros(2_000_000),
            bid_currency: CurrencyCode::USD,
            rate: Rate::ONE,
            user: None,
            measure: true,
            store_session: true,
            arm: 0,
            strategy_arm: 0,
            is_first_price,
            size: SizeClass::AUDIO,
            bucket: 0,
            issued: Timestamp(9),
            expires: Timestamp(10),
        }
    }

    #[test]
    fn notices_tell_what_they_can_know() {
        use Purpose::{Billing, Click, Loss, View, Win};
        for (purpose, min, reason, is_first_price, expected) in [
            (Win, Some("1.5"), None, true, Some((true, Some(1_500_000)))),
            (Billing, Some("1%2E5"), None, true, Some((true, Some(1_500_000)))),
            (View, Some("1.5"), None, true, Some((true, None))),
            (Loss, Some("2.5"), Some(102), true, Some((false, Some(2_500_000)))),
            (Loss, Some("2.5"), None, true, Some((false, Some(2_500_000)))),
            (Loss, None, Some(100), true, Some((false, None))),
            (Loss, Some("${AUCTION_MIN_TO_WIN}"), None, true, Some((false, None))),
            (Loss, Some("-1"), None, true, Some((false, None))),
            // Not the price's doing: a block, a time-out, a deal.
            (Loss, Some("2.5"), Some(2), true, None),
            (Loss, Some("2.5"), Some(103), true, None),
            (Loss, Some("2.5"), Some(205), true, None),
            (Click, None, None, true, None),
            (Win, Some("1.5"), None, false, None),
            (Loss, Some("2.5"), Some(102), false, None),
        ] {
            let query = Query { min_to_win: min, loss_reason: reason, ..Query::default() };
            let found = observation(purpose, 7, &token(is_first_price), &query);
            let told = found.map(|found| (found.is_won, found.min_to_win.map(|price| price.0)));
            assert_eq!(told, expected, "{purpose:?} {min:?} {reason:?}");
            if let Some(found) = found {
                assert_eq!(found.bid, Micros(2_000_000));
                assert_eq!((found.place.exchange, found.place.size), (7, SizeClass::AUDIO));
            }
        }
    }
}
