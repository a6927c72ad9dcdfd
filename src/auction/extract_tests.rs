//! What the auction is told of a request.

use super::*;
use crate::openrtb::Formats;
use crate::units::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn side() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), Just(Some(0)), (1u32..5).prop_map(Some), Just(Some(70_000))]
}

fn banner_side() -> impl Strategy<Value = Option<Side>> {
    prop_oneof![9 => side().prop_map(|side| side.map(Side)), 1 => Just(Some(Side::UNREADABLE))]
}

/// What becomes of a request at `now`, whose exchange is a simulator or not.
fn extracted(
    body: &str,
    now: Timestamp,
    (personalise, is_simulation): (bool, bool),
) -> (AuctionInput, Result<(), NoBid>) {
    let request = crate::openrtb::parse(body.as_bytes(), &crate::openrtb::Limits::default());
    let rates = Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates");
    let context = Context {
        exchange: "x",
        seat: "seat",
        rates: &rates,
        policy: &Policy::default(),
        permissions: Permissions { personalise, ..Permissions::CONTEXTUAL },
        is_simulation,
        is_https: true,
    };
    let mut input = AuctionInput { now, ..AuctionInput::new() };
    let end = extract(&request.expect("parses"), &context, &mut input);
    (input, end)
}

/// The ids of the imps of which some ad could be shown.
fn open_imps(imps: &str) -> usize {
    let body = format!(r#"{{"id":"r","imp":[{imps}]}}"#);
    let (input, end) = extracted(&body, Timestamp(0), (true, false));
    assert_eq!(end.is_err(), input.imps.is_empty(), "{imps}");
    input.imps.len()
}

#[test]
fn imps_that_cannot_be_answered_for_sure_are_left_out() {
    for (imps, expected) in [
        (r#"{"id":"1","banner":{}}"#, 1),
        (r#"{"id":"1","banner":{}},{"id":"2","banner":{}}"#, 2),
        (r#"{"id":"1"}"#, 0),
        (r#"{"banner":{}}"#, 0),
        // A bid on either might be shown in the other.
        (r#"{"id":"1","banner":{"w":1,"h":1}},{"id":"1","banner":{"w":2,"h":2}}"#, 0),
        (r#"{"id":"1","banner":{}},{"id":"2","banner":{}},{"id":"1","banner":{}}"#, 1),
        // Nobody knows what such a player plays.
        (r#"{"id":"1","video":{}}"#, 0),
        (r#"{"id":"1","video":{"mimes":[]}}"#, 0),
        (r#"{"id":"1","audio":{"mimes":[""]}}"#, 0),
        (r#"{"id":"1","video":{},"banner":{}}"#, 1),
        (r#"{"id":"1","video":{"mimes":["video/mp4"]}}"#, 1),
        (r#"{"id":"1","audio":{"mimes":["audio/mp4"]}}"#, 1),
        (r#"{"id":"1","native":{}}"#, 0),
    ] {
        assert_eq!(open_imps(imps), expected, "{imps}");
    }
}

/// 1 July 2026, when half of those who were born in 2008 are not 18 yet.
#[test]
fn whoever_may_still_be_seventeen_is_a_minor() {
    let now = Timestamp(1_782_864_000_000);
    for (yob, expected) in [
        ("2015", true),
        ("2009", true),
        ("2008", true),
        ("2007", false),
        ("1980", false),
        ("0", false),
    ] {
        let body =
            format!(r#"{{"id":"r","imp":[{{"id":"1","banner":{{}}}}],"user":{{"yob":{yob}}}}}"#);
        let (input, end) = extracted(&body, now, (true, false));
        assert_eq!((end, input.facts.minor), (Ok(()), expected), "{yob}");
        assert_eq!(input.facts.personalised, !expected, "{yob}");
        // Where nothing may be known of him he is no older.
        let (input, _) = extracted(&body, now, (false, false));
        assert_eq!((input.facts.minor, input.facts.personalised), (expected, false), "{yob}");
    }
}

#[test]
fn only_simulators_give_probabilities() {
    let body =
        r#"{"id":"r","imp":[{"id":"1","banner":{},"ext":{"outbid":{"pctr":0.5,"pcvr":7}}}]}"#;
    for (is_simulation, expected) in [(true, (Some(0.5), Some(1.0))), (false, (None, None))] {
        let (input, _) = extracted(body, Timestamp(0), (true, is_simulation));
        let given = (input.imps[0].given_p_click, input.imps[0].given_p_conversion);
        assert_eq!(given, expected);
    }
}

prop_compose! {
    fn format()(w in side(), h in side(), wratio in side(), hratio in side(), wmin in side())
        -> Format {
        Format { w, h, wratio, hratio, wmin }
    }
}

#[test]
fn a_play_counts_for_so_many_impressions_and_not_for_a_day_of_them() {
    for (multiplier, expected) in [
        ("0", Some(1_000_000)),
        ("1", Some(1_000_000)),
        ("0.5", Some(500_000)),
        ("14.2", Some(14_200_000)),
        ("10000", Some(10_000_000_000)),
        ("10000.000001", None),
        ("18446744073709", None),
    ] {
        let body =
            format!(r#"{{"id":"r","imp":[{{"id":"1","qty":{{"multiplier":{multiplier}}}}}]}}"#);
        let request = crate::openrtb::parse(body.as_bytes(), &crate::openrtb::Limits::default());
        let found = quantity(&request.expect("parses").imp[0]);
        let expected = expected.map(|millionths: u64| Rate(millionths * 1_000_000));
        assert_eq!(found, expected, "{multiplier}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn size_rules_admit_what_the_last_check_admits(
        exact in (banner_side(), banner_side()),
        least in (banner_side(), banner_side()),
        most in (banner_side(), banner_side()),
        format in prop::collection::vec(format(), 0..3),
        ours in (1u32..6, 1u32..6),
    ) {
        let banner = Banner {
            w: exact.0, h: exact.1, wmin: least.0, hmin: least.1, wmax: most.0, hmax: most.1,
            format: Formats(format.into()), ..Banner::default()
        };
        let slot = banner_slot(&banner);
        let admits = slot.sizes.iter().any(|rule| rule.admits(ours.0, ours.1));
        prop_assert_eq!(admits, banner.fits(ours.0, ours.1));
    }
}
