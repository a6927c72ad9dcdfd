use super::*;
use crate::rates::Rate;
use crate::units::{CurrencyCode, LeaseId, Micros, Slot};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;
const WINDOWS: Windows = Windows { click_ms: 30 * 24 * HOUR, view_ms: 24 * HOUR };

fn hold(number: u32) -> HoldId {
    HoldId { lease: LeaseId { number, ..LeaseId::default() }, sequence: 0 }
}

/// The touch of bid `number`, so many hours ago at hour 1,000.
fn touch(number: u32, hours_ago: i64) -> Option<Touch> {
    let at = Timestamp((1_000 - hours_ago) * HOUR);
    let (campaign, creative) = (CampaignId(u64::from(number)), CreativeId(0));
    Some(Touch { at, hold: hold(number), campaign, creative, bucket: 0, strategy_arm: 0 })
}

/// The token of bid `number`, issued so many hours before hour 1,000.
fn token(number: u32, hours_ago: i64) -> BidToken {
    BidToken {
        hold: hold(number),
        advertiser: AdvertiserId(1),
        campaign: CampaignId(u64::from(number)),
        creative: CreativeId(0),
        ad: Slot::default(),
        day: 0,
        price: Micros(1),
        bid_price: Micros(1),
        bid_currency: CurrencyCode::USD,
        rate: Rate::ONE,
        user: None,
        measure: true,
        store_session: true,
        arm: 0,
        strategy_arm: 0,
        is_first_price: false,
        size: crate::market::SizeClass::default(),
        bucket: 0,
        issued: Timestamp((1_000 - hours_ago) * HOUR),
        expires: Timestamp(0),
    }
}

#[test]
fn the_last_click_then_the_last_view_within_their_windows() {
    use Converted::{BeforeTouch, ClickThrough, OutsideWindow, Unattributed, ViewThrough};
    let (click, view) = (Purpose::Click, Purpose::View);
    // A token's purpose and hours, the click's and the view's hours; what it is owed to, and to
    // which of the three bids.
    for (came, clicked, viewed, expected) in [
        (None, None, None, Err(Unattributed)),
        (None, Some(1), None, Ok((ClickThrough, 2))),
        (None, Some(700), Some(1), Ok((ClickThrough, 2))),
        (None, Some(720), Some(1), Ok((ViewThrough, 3))),
        (None, None, Some(23), Ok((ViewThrough, 3))),
        (None, None, Some(24), Err(OutsideWindow)),
        (None, Some(720), Some(24), Err(OutsideWindow)),
        (None, Some(-1), None, Err(BeforeTouch)),
        (None, Some(-1), Some(2), Ok((ViewThrough, 3))),
        (None, Some(720), Some(-1), Err(BeforeTouch)),
        (Some((click, 5)), None, None, Ok((ClickThrough, 1))),
        (Some((click, 5)), Some(3), None, Ok((ClickThrough, 2))),
        (Some((click, 3)), Some(5), None, Ok((ClickThrough, 1))),
        (Some((click, 720)), None, None, Err(OutsideWindow)),
        (Some((click, -1)), None, None, Err(BeforeTouch)),
        (Some((view, 3)), Some(5), None, Ok((ClickThrough, 2))),
        (Some((view, 3)), None, Some(5), Ok((ViewThrough, 1))),
        (Some((view, 30)), None, None, Err(OutsideWindow)),
        (Some((click, 720)), None, Some(1), Ok((ViewThrough, 3))),
    ] {
        let token = came.map(|(purpose, hours)| (purpose, token(1, hours)));
        let proofs = Proofs {
            token: token.as_ref().map(|(purpose, token)| (*purpose, token)),
            click: clicked.and_then(|hours| touch(2, hours)),
            view: viewed.and_then(|hours| touch(3, hours)),
        };
        let owed = attribute(WINDOWS, &proofs, Timestamp(1_000 * HOUR));
        let owed = owed.map(|(through, touch)| (through, touch.hold.lease.number));
        assert_eq!(owed, expected, "{came:?}, {clicked:?}, {viewed:?}");
    }
}

#[test]
fn a_token_whose_click_is_remembered_counts_from_the_click() {
    let token = token(1, 3);
    let proofs = |hours| Proofs {
        token: Some((Purpose::Click, &token)),
        click: touch(1, hours),
        view: None,
    };
    let at = Timestamp(1_000 * HOUR);
    assert_eq!(attribute(WINDOWS, &proofs(-1), at), Err(Converted::BeforeTouch));
    let (_, owed) = attribute(WINDOWS, &proofs(2), at).expect("a click");
    assert_eq!(Some(owed), touch(1, 2));
}

#[test]
fn a_window_of_nothing_owes_nothing_to_views() {
    let windows = Windows { view_ms: 0, ..WINDOWS };
    let proofs = Proofs { view: touch(3, 0), ..Proofs::default() };
    let at = Timestamp(1_000 * HOUR);
    assert_eq!(attribute(windows, &proofs, at), Err(Converted::OutsideWindow));
    let touches = Touches::new(0);
    touches.note(UserKey(1), AdvertiserId(1), touch(1, 0).expect("one"));
    assert_eq!(touches.last(UserKey(1), AdvertiserId(1)), None, "nothing is stored for nothing");
}

#[test]
fn touches_are_told_apart_and_the_later_stands() {
    let touches = Touches::new(WINDOWS.click_ms);
    let (one, two) = (touch(1, 5).expect("one"), touch(2, 3).expect("two"));
    touches.note(UserKey(1), AdvertiserId(1), two);
    touches.note(UserKey(1), AdvertiserId(1), one);
    assert_eq!(touches.last(UserKey(1), AdvertiserId(1)), Some(two));
    assert_eq!(touches.last(UserKey(1), AdvertiserId(2)), None);
    assert_eq!(touches.last(UserKey(2), AdvertiserId(1)), None);
}

#[test]
fn a_full_table_lets_the_oldest_go_and_counts_them() {
    let bound = SHARDS * 8;
    let touches = Touches::bounded(WINDOWS.click_ms, bound);
    let note = |user: u64, hours_ago| {
        touches.note(UserKey(user), AdvertiserId(1), touch(1, hours_ago).expect("one"));
    };
    (0..10_000).for_each(|user| note(user, 0));
    let kept = (0..10_000).filter(|user| touches.last(UserKey(*user), AdvertiserId(1)).is_some());
    let kept = kept.count();
    assert!((bound..=2 * bound).contains(&kept), "{kept} kept");
    assert_eq!(touches.pushed_out() + kept as u64, 10_000);
}

proptest! {
    /// Whatever comes in between, a touch is remembered for its window where there is room.
    #[test]
    fn a_touch_is_remembered_for_its_window(others in prop::collection::vec(0..719i64, 0..40)) {
        let touches = Touches::new(WINDOWS.click_ms);
        let first = touch(1, 900).expect("one");
        touches.note(UserKey(1), AdvertiserId(1), first);
        let mut others = others;
        others.sort_unstable();
        for (user, hours) in others.into_iter().enumerate() {
            let at = Timestamp(first.at.0 + hours * HOUR);
            touches.note(UserKey(user as u64 + 2), AdvertiserId(1), Touch { at, ..first });
        }
        prop_assert_eq!(touches.last(UserKey(1), AdvertiserId(1)), Some(first));
    }
}
