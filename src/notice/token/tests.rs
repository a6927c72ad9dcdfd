use super::*;
use crate::units::LeaseId;
use proptest::prelude::*;

const EXCHANGE: u64 = 0x1234_5678_9abc_def0;
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn sealer() -> Sealer {
    Sealer::new(&[7; 32], 3)
}

/// A bid of which everything may be kept.
pub(crate) fn token() -> BidToken {
    BidToken {
        hold: HoldId { lease: LeaseId { node: 1, core: 2, boot: 3, number: 4 }, sequence: 5 },
        advertiser: AdvertiserId(6),
        campaign: CampaignId(7),
        creative: CreativeId(8),
        ad: Slot { index: 9, generation: 10 },
        day: -11,
        price: Micros(1_230_000),
        bid_price: Micros(1_000_000),
        bid_currency: CurrencyCode::parse("EUR").expect("a code"),
        rate: Rate(1_230_000_000_000),
        user: Some(UserKey(12)),
        measure: true,
        store_session: true,
        arm: 13,
        strategy_arm: 2,
        is_first_price: true,
        size: crate::market::SizeClass::NATIVE,
        bucket: 14,
        issued: NOW,
        expires: NOW.plus_millis(60_000),
    }
}

fn text_of(sealer: &Sealer, purpose: Purpose, token: &BidToken) -> String {
    let mut text = String::new();
    sealer.seal(EXCHANGE, token, [9; 12]).as_text().write(purpose, &mut text);
    text
}

#[test]
fn each_purpose_opens_its_own_text_and_no_other() {
    let sealer = sealer();
    for sealed in Purpose::ALL {
        let text = text_of(&sealer, sealed, &token());
        assert_eq!(text.len(), TEXT_LEN);
        for opened in Purpose::ALL {
            let expected = if opened == sealed { Ok(token()) } else { Err(TokenError::Forged) };
            assert_eq!(sealer.open(opened, EXCHANGE, &text, NOW), expected);
        }
        assert_eq!(sealer.open(sealed, EXCHANGE + 1, &text, NOW), Err(TokenError::Forged));
    }
}

#[test]
fn a_stamp_fits_only_its_own_core() {
    let sealer = sealer();
    let first = text_of(&sealer, Purpose::Win, &token());
    let mut second = String::new();
    let dearer = BidToken { price: Micros(9), ..token() };
    // The same nonce as the first, which no caller may do: even then the stamp knows its core.
    sealer.seal(EXCHANGE, &dearer, [9; 12]).as_text().write(Purpose::Win, &mut second);
    let mixed = format!("{}{}", &first[..CORE_TEXT], &second[CORE_TEXT..]);
    assert_eq!(sealer.open(Purpose::Win, EXCHANGE, &mixed, NOW), Err(TokenError::Forged));
}

#[test]
fn every_single_bit_is_guarded() {
    let sealer = sealer();
    let text = text_of(&sealer, Purpose::Billing, &token());
    for byte in 0..text.len() {
        for bit in 0..8 {
            let mut altered = text.clone().into_bytes();
            altered[byte] ^= 1 << bit;
            let Ok(altered) = String::from_utf8(altered) else { continue };
            let opened = sealer.open(Purpose::Billing, EXCHANGE, &altered, NOW);
            assert!(opened.is_err(), "bit {bit} of character {byte}");
        }
    }
    let (mut core, mut stamp) = ([0; CORE], [0; TAG]);
    base64::decode(&text.as_bytes()[..CORE_TEXT], &mut core).expect("a core");
    base64::decode(&text.as_bytes()[CORE_TEXT..], &mut stamp).expect("a stamp");
    for bit in 0..8 * (CORE + TAG) {
        let mut both = [0; CORE + TAG];
        both[..CORE].copy_from_slice(&core);
        both[CORE..].copy_from_slice(&stamp);
        both[bit / 8] ^= 1 << (bit % 8);
        let mut altered = [0; TEXT_LEN];
        base64::encode(&both[..CORE], &mut altered[..CORE_TEXT]);
        base64::encode(&both[CORE..], &mut altered[CORE_TEXT..]);
        let altered = std::str::from_utf8(&altered).expect("ASCII");
        let refused = sealer.open(Purpose::Billing, EXCHANGE, altered, NOW).expect_err("altered");
        let expected = match bit / 8 {
            0 => TokenError::Malformed,
            1 => TokenError::UnknownKey,
            _ => TokenError::Forged,
        };
        assert_eq!(refused, expected, "bit {bit}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let sealer = sealer();
    let good = text_of(&sealer, Purpose::Win, &token());
    let long = format!("{good}A");
    let padded = format!("{good}==");
    let foreign = format!("{}é", &good[..TEXT_LEN - 2]);
    for text in ["", "A", &good[1..], &good[..TEXT_LEN - 1], &long, &padded, &foreign, "${TOKEN}"] {
        assert_eq!(sealer.open(Purpose::Win, EXCHANGE, text, NOW), Err(TokenError::Malformed));
    }
}

#[test]
fn a_token_ends_at_its_expiry() {
    let sealer = sealer();
    let text = text_of(&sealer, Purpose::View, &token());
    let open = |at| sealer.open(Purpose::View, EXCHANGE, &text, at);
    assert!(open(token().expires.plus_millis(-1)).is_ok());
    assert_eq!(open(token().expires), Err(TokenError::Expired));
}

#[test]
fn two_keys_live_and_a_third_does_not() {
    let old = text_of(&sealer(), Purpose::Win, &token());
    let rotated = Sealer::new(&[8; 32], 4).with_previous(&[7; 32], 3);
    let new = text_of(&rotated, Purpose::Win, &token());
    assert_eq!(rotated.open(Purpose::Win, EXCHANGE, &old, NOW), Ok(token()));
    assert_eq!(rotated.open(Purpose::Win, EXCHANGE, &new, NOW), Ok(token()));
    assert_eq!(sealer().open(Purpose::Win, EXCHANGE, &new, NOW), Err(TokenError::UnknownKey));
    let again = Sealer::new(&[9; 32], 5).with_previous(&[8; 32], 4);
    assert_eq!(again.open(Purpose::Win, EXCHANGE, &old, NOW), Err(TokenError::UnknownKey));
    let renamed = Sealer::new(&[9; 32], 3);
    assert_eq!(renamed.open(Purpose::Win, EXCHANGE, &old, NOW), Err(TokenError::Forged));
}

#[test]
fn a_text_shows_neither_user_nor_price() {
    // Same fields, other nonce: nothing of the two cores but the header is alike.
    let sealer = sealer();
    let (mut first, mut second) = (String::new(), String::new());
    sealer.seal(EXCHANGE, &token(), [1; 12]).as_text().write(Purpose::Win, &mut first);
    sealer.seal(EXCHANGE, &token(), [2; 12]).as_text().write(Purpose::Win, &mut second);
    let alike = first.bytes().zip(second.bytes()).skip(20).filter(|(a, b)| a == b).count();
    assert!(alike < 20, "{alike} of 178 characters are alike");
}

#[test]
fn nonces_differ_between_calls_and_workers() {
    let mut seen = std::collections::HashSet::new();
    for worker in [0, 1, u16::MAX] {
        let mut sequence = NonceSequence::new([0xff; 10], worker);
        assert!((0..1_000).all(|_| seen.insert(sequence.next_nonce())));
    }
    let wrapped = NonceSequence::new([0xff; 10], 1).next_nonce();
    assert_eq!(wrapped, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_the_same(
        ids in any::<[u64; 5]>(), prices in any::<[u64; 3]>(), lease in any::<(u16, u16, u32, u32)>(),
        slot in any::<(u32, u32, u32)>(), small in any::<(i32, bool, bool, bool, u8, u8)>(),
        code in "[A-Z]{3}", issued in 0..1i64 << 48, exchange in any::<u64>(), nonce in any::<[u8; 12]>(),
    ) {
        let (day, known, measure, store_session, arm, bucket) = small;
        let (node, core, boot, number) = lease;
        let token = BidToken {
            hold: HoldId { lease: LeaseId { node, core, boot, number }, sequence: slot.2 },
            advertiser: AdvertiserId(ids[0]),
            campaign: CampaignId(ids[1]),
            creative: CreativeId(ids[2]),
            ad: Slot { index: slot.0, generation: slot.1 },
            day,
            price: Micros(prices[0]),
            bid_price: Micros(prices[1]),
            bid_currency: CurrencyCode::parse(&code).expect("a code"),
            rate: Rate(prices[2]),
            user: known.then_some(UserKey(ids[3])),
            measure,
            store_session,
            arm: arm & 31,
            strategy_arm: arm >> 5 & 3,
            is_first_price: arm > 127,
            size: crate::market::SizeClass::from_number(bucket),
            bucket,
            issued: Timestamp(issued),
            expires: Timestamp((1 << 48) - 1),
        };
        let mut text = "before ".to_owned();
        let sealer = sealer();
        sealer.seal(exchange, &token, nonce).as_text().write(Purpose::Loss, &mut text);
        prop_assert_eq!(sealer.open(Purpose::Loss, exchange, &text[7..], NOW), Ok(token));
    }

    #[test]
    fn random_texts_are_refused(text in "[A-Za-z0-9_-]{198}", any in ".*") {
        let sealer = sealer();
        prop_assert!(sealer.open(Purpose::Win, EXCHANGE, &text, NOW).is_err());
        prop_assert!(sealer.open(Purpose::Win, EXCHANGE, &any, NOW).is_err());
    }
}

#[test]
fn the_books_know_where_a_repurposed_token_is_genuine() {
    let sealer = sealer();
    let text = text_of(&sealer, Purpose::Click, &token());
    let others = || [EXCHANGE + 1, EXCHANGE, EXCHANGE + 2].into_iter();
    let place =
        |purpose, exchange, text: &str| sealer.where_genuine(purpose, exchange, others(), text);
    assert_eq!(place(Purpose::Billing, EXCHANGE, &text), TokenError::Repurposed);
    assert_eq!(place(Purpose::Click, EXCHANGE + 1, &text), TokenError::OtherExchange);
    let stranger = text_of(&Sealer::new(&[8; 32], 3), Purpose::Click, &token());
    assert_eq!(place(Purpose::Billing, EXCHANGE, &stranger), TokenError::Forged);
    assert_eq!(place(Purpose::Click, EXCHANGE + 1, &stranger), TokenError::Forged);
}

#[test]
fn a_click_is_a_proof_long_after_its_notices_are_refused() {
    let sealer = sealer();
    let text = text_of(&sealer, Purpose::Click, &token());
    let late = token().expires;
    assert_eq!(sealer.open(Purpose::Click, EXCHANGE, &text, late), Err(TokenError::Expired));
    assert_eq!(sealer.open_expired(Purpose::Click, EXCHANGE, &text), Ok(token()));
    assert_eq!(sealer.open_expired(Purpose::View, EXCHANGE, &text), Err(TokenError::Forged));
}
