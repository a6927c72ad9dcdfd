use super::*;
use crate::config::PriceKeys;
use crate::notice::token::Sealer;
use crate::rates::Rate;
use crate::units::{AdvertiserId, CampaignId, CreativeId, HoldId, Slot, Timestamp};
use proptest::prelude::*;

/// A bid of 2.00 EUR held at 2.20 USD.
fn token() -> BidToken {
    BidToken {
        hold: HoldId::default(),
        advertiser: AdvertiserId(1),
        campaign: CampaignId(2),
        creative: CreativeId(3),
        ad: Slot::default(),
        day: 4,
        price: Micros(2_200_000),
        bid_price: Micros(2_000_000),
        bid_currency: CurrencyCode::parse("EUR").expect("a code"),
        rate: Rate::parse_decimal("1.1").expect("a rate"),
        user: None,
        measure: true,
        store_session: true,
        arm: 0,
        strategy_arm: 0,
        is_first_price: true,
        size: crate::market::SizeClass::NATIVE,
        bucket: 0,
        issued: Timestamp(0),
        expires: Timestamp(1),
    }
}

#[test]
fn one_notice_charges_and_the_others_testify() {
    use ChargeOn::{Billing, Impression, Win};
    let query = Query { price: Some("1"), ..Query::default() };
    for (purpose, on, expected) in [
        (Purpose::Win, Win, "charge"),
        (Purpose::Win, Billing, "evidence"),
        (Purpose::Win, Impression, "evidence"),
        (Purpose::Billing, Win, "evidence"),
        (Purpose::Billing, Billing, "charge"),
        (Purpose::Billing, Impression, "evidence"),
        (Purpose::View, Win, "evidence"),
        (Purpose::View, Billing, "evidence"),
        (Purpose::View, Impression, "charge"),
        (Purpose::Loss, Win, "release"),
        (Purpose::Loss, Billing, "release"),
        (Purpose::Loss, Impression, "release"),
        (Purpose::Click, Win, "click"),
        (Purpose::Click, Billing, "click"),
        (Purpose::Click, Impression, "click"),
    ] {
        let effect = decide(purpose, on, None, &token(), &query);
        assert_eq!(effect.label(), expected, "{purpose:?} with {on:?}");
    }
}

#[test]
fn a_charge_is_what_was_told_within_what_was_held() {
    let bounded = |excess| Price::Bounded { excess: Micros(excess) };
    for (query, price, source) in [
        ("price=1.5", 1_650_000, Price::Told),
        ("price=2", 2_200_000, Price::Told),
        ("price=2.0000000", 2_200_000, Price::Told),
        ("price=0", 0, Price::Told),
        ("price=0.0000001", 2, Price::Told),
        ("price=1.5e0", 1_650_000, Price::Told),
        ("price=1.5&cur=eur", 1_650_000, Price::Told),
        ("price=1.5&cur=${AUCTION_CURRENCY}", 1_650_000, Price::Told),
        ("price=2.000001", 2_200_000, bounded(2)),
        ("price=3", 2_200_000, bounded(1_100_000)),
        ("price=18446744073709", 2_200_000, bounded(u64::MAX - 2_200_000)),
        ("", 2_200_000, Price::Missing),
        ("price=", 2_200_000, Price::Missing),
        ("price=${AUCTION_PRICE}", 2_200_000, Price::Unexpanded),
        ("price=%24%7BAUCTION_PRICE%7D", 2_200_000, Price::Unexpanded),
        ("price={AUCTION_PRICE:B64}", 2_200_000, Price::Unexpanded),
        ("price=-1", 2_200_000, Price::Unreadable),
        ("price=NaN", 2_200_000, Price::Unreadable),
        ("price=1,5", 2_200_000, Price::Unreadable),
        ("price=YWJjZGVmZ2hpamtsbW5vcA", 2_200_000, Price::Unreadable),
        ("price=99999999999999999999", 2_200_000, Price::Unreadable),
        ("price=1.5&cur=USD", 2_200_000, Price::OtherCurrency),
    ] {
        let url = format!("e=x&t=y&{query}");
        let query = Query::parse(&url).expect("a query");
        let effect = decide(Purpose::Billing, ChargeOn::Billing, None, &token(), &query);
        assert_eq!(effect, Effect::Charge { price: Micros(price), source }, "{url}");
    }
}

/// Keys and cipher texts are Google's own published example: 1.2 and, signed by nobody, the same
/// with a bit changed.
#[test]
fn an_encrypted_price_is_charged_when_it_is_signed() {
    let keys = PriceKeys::parse(
        "b08c70cfbcb0eb6cab7e82c6b75da52072ae62b2bf4b990bb80a48d8141eec07",
        "bf77ec55c30130c1d8cd1862ed2a4cd2c76ac33bc0c4ce8a3d3bbd3ad5687792",
    );
    let cipher = PriceCipher::new(&keys.expect("keys"));
    for (told, price, source) in [
        ("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ", 1_320_000, Price::Told),
        ("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ==", 1_320_000, Price::Told),
        ("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMA", 2_200_000, Price::BadSignature),
        ("1.2", 2_200_000, Price::Unreadable),
        ("0", 2_200_000, Price::Unreadable),
        ("${AUCTION_PRICE}", 2_200_000, Price::Unexpanded),
        ("", 2_200_000, Price::Missing),
    ] {
        let query = Query { price: Some(told), ..Query::default() };
        let purpose = Purpose::Billing;
        let effect = decide(purpose, ChargeOn::Billing, Some(&cipher), &token(), &query);
        assert_eq!(effect, Effect::Charge { price: Micros(price), source }, "{told}");
    }
}

#[test]
fn queries_are_unambiguous_or_refused() {
    for (query, expected) in [
        ("", Err(QueryError::Incomplete)),
        ("t=y", Err(QueryError::Incomplete)),
        ("e=x", Err(QueryError::Incomplete)),
        ("e=x&t=y&t=z", Err(QueryError::Repeated)),
        ("e=x&t=y&price=1&price=1", Err(QueryError::Repeated)),
        ("e=x&t=y&price&price=2", Err(QueryError::Repeated)),
        ("e=x&t=y&reason=102", Ok(Some(102))),
        ("e=x&t=y&reason=${AUCTION_LOSS}", Ok(None)),
        ("utm=1&e=x&&t=y&utm=2", Ok(None)),
    ] {
        assert_eq!(Query::parse(query).map(|query| query.loss_reason), expected, "{query}");
    }
    let long = format!("e=x&t=y&{}", "z".repeat(QUERY_BYTES_MAX));
    assert_eq!(Query::parse(&long), Err(QueryError::TooLong));
}

#[test]
fn urls_read_back_and_ask_for_a_price_only_where_it_counts() {
    let sealer = Sealer::new(&[1; 32], 1);
    let sealed = sealer.seal(7, &token(), [2; 12]);
    for purpose in Purpose::ALL {
        for on in [ChargeOn::Win, ChargeOn::Billing, ChargeOn::Impression] {
            let mut url = String::new();
            write_url(&mut url, "https://b.example", "demo", purpose, on, sealed.as_text());
            let (path, query) = url.split_once('?').expect("a query");
            assert_eq!(path, format!("https://b.example{}", purpose.path()));
            let query = Query::parse(query).expect("our own query");
            assert_eq!(query.exchange, "demo");
            assert_eq!(sealer.open(purpose, 7, query.token, Timestamp(0)), Ok(token()));
            let exchange_side = matches!(purpose, Purpose::Win | Purpose::Billing);
            let charges = purpose == charging(on);
            assert_eq!(query.price.is_some(), exchange_side || charges, "{url}");
        }
    }
}

proptest! {
    /// Whatever is told, in whatever order and however often: a hold that is settled by the first
    /// charge pays the same, and never more than was held.
    #[test]
    fn no_order_of_notices_charges_another_price(
        order in prop::collection::vec(0..5usize, 1..40), told in "[0-9]{0,6}(\\.[0-9]{0,8})?",
        on in prop::sample::select(vec![ChargeOn::Win, ChargeOn::Billing, ChargeOn::Impression]),
    ) {
        let query = Query { price: Some(&told), ..Query::default() };
        let charges: Vec<_> = order
            .iter()
            .map(|index| (Purpose::ALL[*index], decide(Purpose::ALL[*index], on, None, &token(), &query)))
            .filter_map(|(purpose, effect)| match effect {
                Effect::Charge { price, .. } => Some((purpose, price)),
                _ => None,
            })
            .collect();
        prop_assert!(charges.iter().all(|charge| charge.0 == charging(on)));
        prop_assert!(charges.iter().all(|charge| charge.1 <= token().price));
        prop_assert!(charges.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn no_query_panics(query in ".{0,300}") {
        if let Ok(query) = Query::parse(&query) {
            let _ = decide(Purpose::Win, ChargeOn::Win, None, &token(), &query);
        }
    }
}
