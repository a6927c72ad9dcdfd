//! What hindsight would have bought: the bar that value shares are measured against.

use crate::replay::Logged;

/// The most value that `budget_nanos` buys at the market's prices: auctions by value for money, the
/// last one in part. No bidder that learns as it goes reaches it.
pub fn value(log: &[Logged], budget_nanos: i128) -> f64 {
    let cost = |auction: &Logged| auction.market.per_impression().0 as f64;
    let worth = |auction: &Logged| auction.p_click / cost(auction).max(f64::MIN_POSITIVE);
    let mut by_worth: Vec<&Logged> = log.iter().collect();
    by_worth.sort_unstable_by(|one, other| worth(other).total_cmp(&worth(one)));
    let (mut left, mut value) = (budget_nanos as f64, 0.0);
    for auction in by_worth {
        let part = if cost(auction) <= left { 1.0 } else { left / cost(auction) };
        value += part * auction.p_click;
        left -= part * cost(auction);
        if part < 1.0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Micros, Timestamp};

    #[test]
    fn a_case_by_hand() {
        let auction = |price, p_click| Logged {
            at: Timestamp(0),
            market: Micros(price),
            p_click,
            is_click: false,
        };
        let log = [auction(4, 0.2), auction(1, 0.1), auction(0, 0.01), auction(2, 0.15)];
        // The free one, 0.1 for 1, 0.15 for 2, and a quarter of 0.2 for 4.
        assert!((value(&log, 4) - (0.01 + 0.1 + 0.15 + 0.05)).abs() < 1e-12);
        assert!((value(&log, 0) - 0.01).abs() < 1e-12);
        assert!((value(&log, 100) - 0.46).abs() < 1e-12);
    }
}
