//! Cleaning, as tables of one event each, then as whole bodies.

use super::*;
use crate::hash::UserHashers;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn clean(body: &[u8]) -> Cleaned {
    let hasher = UserHasher::new([3; 16]);
    let tenant = |id| match id {
        id if id == AdvertiserId::of("acme") => Tenant::Alone,
        id if id == AdvertiserId::of("bolt") => Tenant::InPool,
        _ => Tenant::Unknown,
    };
    let pill = item_key(AdvertiserId::of("bolt"), "pill-1");
    let keeps = |id, category: &str, item| {
        (id != AdvertiserId::of("bolt") || category != "pills") && item != Some(pill)
    };
    let searched = |id, query: &str| {
        let meant = if query.contains("pill") { "pills" } else { "running-shoes" };
        (id == AdvertiserId::of("bolt") || query.contains("shoe")).then(|| meant.to_owned())
    };
    Cleaner {
        hashers: &UserHashers::only(hasher.clone()),
        marks: &hasher,
        tenant: &tenant,
        keeps: &keeps,
        searched: &searched,
        now: NOW,
    }
    .clean(body)
}

/// A valid event with some fields replaced (`None` removes one).
fn event(changes: &[(&str, Option<&str>)]) -> String {
    let mut fields = vec![
        ("id", "\"e-1\""),
        ("type", "\"view\""),
        ("ts", "1700000000000"),
        ("user", r#"{"ifa":"AB-12"}"#),
        ("consent", "true"),
        ("advertiser", "\"acme\""),
        ("category", "\"Running-Shoes\""),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn accept(changes: &[(&str, Option<&str>)]) -> Event {
    let text = event(changes);
    let mut cleaned = clean(text.as_bytes());
    assert_eq!(cleaned.rejected, [], "{text}");
    assert_eq!(cleaned.accepted.len(), 1, "{text}");
    cleaned.accepted.remove(0)
}

fn check_rejected(changes: &[(&str, Option<&str>)], field: &str, reason: Reason) {
    let text = event(changes);
    let cleaned = clean(text.as_bytes());
    assert!(cleaned.accepted.is_empty(), "{text}");
    let expected = Rejection { line: 1, field: Cow::Owned(field.to_owned()), reason };
    assert_eq!(cleaned.rejected, [expected], "{text}");
}

#[test]
fn a_valid_event_keeps_its_meaning_and_loses_its_raw_ids() {
    let cleaned = accept(&[
        ("item", Some("\" sku-9 \"")),
        ("query", Some("\" Trail   SHOES \"")),
        ("category", Some("\" running-shoes \"")),
    ]);
    let hasher = UserHasher::new([3; 16]);
    assert_eq!(Some(cleaned.user), UserId::Ifa("ab-12").key(&hasher), "as a bid would name them");
    assert_eq!(cleaned.category, CategoryId::of("RUNNING-shoes"));
    assert_eq!(cleaned.advertiser, AdvertiserId::of("acme"));
    assert_eq!((cleaned.kind, cleaned.at), (Behaviour::View, NOW));
    assert_eq!(cleaned.item, accept(&[("item", Some("\"sku-9\""))]).item);
    assert_ne!(cleaned.item, accept(&[("item", Some("\"SKU-9\""))]).item);
    assert_eq!(cleaned.conversion, None, "what nobody reads is not kept");
    let printed = format!("{cleaned:?}").to_lowercase();
    assert!(!printed.contains("ab-12") && !printed.contains("e-1"), "{printed}");
}

#[test]
fn users_are_named_in_the_namespaces_of_bids() {
    let hasher = UserHasher::new([3; 16]);
    for (text, id) in [
        (r#"{"ifa":"ab-12"}"#, UserId::Ifa("ab-12")),
        (r#"{"id":"x"}"#, UserId::Id("x")),
        (
            r#"{"buyeruid":{"exchange":"ex","id":"x"}}"#,
            UserId::Buyeruid { exchange: "ex", id: "x" },
        ),
        (r#"{"eid":{"source":"s.com","id":"x"}}"#, UserId::Eid { source: "s.com", id: "x" }),
    ] {
        assert_eq!(Some(accept(&[("user", Some(text))]).user), id.key(&hasher), "{text}");
    }
}

#[test]
fn pooling_needs_the_tenant_and_the_user() {
    for (advertiser, consent, pooled) in
        [("\"acme\"", "true", false), ("\"bolt\"", "true", true), ("\"bolt\"", "false", false)]
    {
        let event = accept(&[("advertiser", Some(advertiser)), ("consent", Some(consent))]);
        assert_eq!((event.pooled, event.consent), (pooled, consent == "true"));
    }
}

#[test]
fn ids_of_two_tenants_do_not_meet() {
    let one = accept(&[]);
    let other = accept(&[("advertiser", Some("\"bolt\""))]);
    assert_ne!(one.id, other.id);
    assert_eq!(one.id, accept(&[("type", Some("\"click\""))]).id);
}

#[test]
fn a_purchase_with_an_order_is_a_conversion() {
    let buy = ("type", Some("\"purchase\""));
    let order = ("order_id", Some("\"o-1\""));
    let conversion = accept(&[
        buy,
        order,
        ("price", Some("\"89.9000001\"")),
        ("currency", Some("\"eur\"")),
        ("click", Some("\"t0ken\"")),
    ])
    .conversion
    .expect("a conversion");
    assert_eq!(conversion.value_micros, 89_900_001, "exact, rounded up");
    assert_eq!(conversion.currency, CurrencyCode::parse("EUR"));
    assert_eq!(conversion.click_token.as_deref(), Some("t0ken"));
    let without_price = accept(&[buy, order]).conversion.expect("a conversion");
    assert_eq!((without_price.value_micros, without_price.order), (0, conversion.order));
    assert_eq!(accept(&[buy]).conversion, None, "behaviour only");

    check_rejected(&[buy, ("price", Some("1"))], "order_id", Reason::Missing);
    check_rejected(&[order], "order_id", Reason::NotForThisType);
    for price in ["-1", "\"x\"", "true", "1000000001", "{}"] {
        check_rejected(&[buy, order, ("price", Some(price))], "price", Reason::Invalid);
    }
}

#[test]
fn clocks_may_differ_a_little() {
    for (ts, at) in [
        (NOW.0 - AGE_MS_MAX, Ok(NOW.0 - AGE_MS_MAX)),
        (NOW.0 - AGE_MS_MAX - 1, Err(Reason::TooOld)),
        (NOW.0 + AHEAD_MS_MAX, Ok(NOW.0)),
        (NOW.0 + AHEAD_MS_MAX + 1, Err(Reason::InTheFuture)),
        (i64::MIN, Err(Reason::TooOld)),
        (i64::MAX, Err(Reason::InTheFuture)),
    ] {
        let text = ts.to_string();
        match at {
            Ok(at) => assert_eq!(accept(&[("ts", Some(&text))]).at, Timestamp(at)),
            Err(reason) => check_rejected(&[("ts", Some(&text))], "ts", reason),
        }
    }
}

#[test]
fn what_is_wrong_is_told_by_field() {
    let long = format!("\"{}\"", "x".repeat(600));
    let rows: &[(&str, Option<&str>, &str, Reason)] = &[
        ("id", None, "id", Reason::Missing),
        ("id", Some("null"), "id", Reason::Missing),
        ("id", Some("7"), "id", Reason::Invalid),
        ("id", Some("\"  \""), "id", Reason::Invalid),
        ("id", Some(&long), "id", Reason::TooLong),
        ("type", Some("\"stare\""), "type", Reason::Invalid),
        ("ts", Some("\"yesterday\""), "ts", Reason::Invalid),
        ("ts", None, "ts", Reason::Missing),
        ("consent", None, "consent", Reason::Missing),
        ("consent", Some("1"), "consent", Reason::Invalid),
        ("advertiser", Some("\"nobody\""), "advertiser", Reason::Unknown),
        ("category", None, "category", Reason::Missing),
        ("category", Some(&long), "category", Reason::TooLong),
        ("item", Some("[]"), "item", Reason::Invalid),
        ("query", Some(&long), "query", Reason::TooLong),
        ("currency", Some("\"E1R\""), "currency", Reason::Invalid),
        ("currency", Some("\"EURO\""), "currency", Reason::TooLong),
        ("click", Some(&long), "click", Reason::TooLong),
        ("colour", Some("\"red\""), "colour", Reason::Unknown),
        ("user", None, "user", Reason::Missing),
        ("user", Some("{}"), "user", Reason::NotOneUserId),
        ("user", Some(r#"{"ifa":"a","id":"b"}"#), "user", Reason::NotOneUserId),
        ("user", Some(r#"{"name":"a"}"#), "user", Reason::NotOneUserId),
        ("user", Some(r#"{"id":""}"#), "user", Reason::Invalid),
        ("user", Some(r#"{"id":3}"#), "user", Reason::Invalid),
        ("user", Some("\"x\""), "user", Reason::NotJson),
        ("user", Some(r#"{"eid":{"id":"x"}}"#), "user.source", Reason::Missing),
        ("user", Some(r#"{"eid":{"source":"s","id":"x","y":1}}"#), "user.y", Reason::Unknown),
        ("user", Some(r#"{"buyeruid":"x"}"#), "user", Reason::NotJson),
        (
            "user",
            Some(r#"{"ifa":"00000000-0000-0000-0000-000000000000"}"#),
            "user",
            Reason::Invalid,
        ),
    ];
    for (name, value, field, reason) in rows {
        check_rejected(&[(name, *value)], field, *reason);
    }
}

#[test]
fn a_search_is_in_the_category_that_its_words_name() {
    let search = [("type", Some("\"search\"")), ("category", None)];
    let query = |words| ("query", Some(words));
    let found = accept(&[search[0], search[1], query("\"Trail   SHOES shoes\"")]);
    assert_eq!(found.category, CategoryId::of("running-shoes"));
    let named = [search[0], ("category", Some("\"tents\"")), query("\"shoes\"")];
    assert_eq!(accept(&named).category, CategoryId::of("tents"), "what is named holds");
    check_rejected(&[search[0], search[1], query("\"tents\"")], "query", Reason::NotOneCategory);
    check_rejected(&search, "category", Reason::Missing);
    check_rejected(&[search[1], query("\"shoes\"")], "category", Reason::Missing);
    let bolt = ("advertiser", Some("\"bolt\""));
    let unkept = event(&[search[0], search[1], bolt, query("\"pill\"")]);
    let cleaned = clean(unkept.as_bytes());
    assert_eq!(
        (cleaned.accepted.len(), cleaned.unkept.len()),
        (0, 1),
        "words do not get around it"
    );
}

#[test]
fn a_field_may_not_come_twice() {
    let text = event(&[]).replacen('{', "{\"ts\":1,", 1);
    let expected = Rejection { line: 1, field: "ts".into(), reason: Reason::Repeated };
    assert_eq!(clean(text.as_bytes()).rejected, [expected]);
}

#[test]
fn one_wrong_line_does_not_spoil_the_batch() {
    let good = event(&[]);
    let wrong = event(&[("ts", None)]);
    let expected =
        |line, field: &str, reason| Rejection { line, field: field.to_owned().into(), reason };
    for (body, accepted, rejected) in [
        (
            format!("\u{feff}{good}\r\n\r\n{wrong}\n{{oops\n{good}\n"),
            2,
            vec![expected(3, "ts", Reason::Missing), expected(4, "", Reason::NotJson)],
        ),
        (format!("\n\n{wrong}\n{good}"), 1, vec![expected(3, "ts", Reason::Missing)]),
        (
            format!(" [{good},\n{wrong}, 3 ,{good}] "),
            2,
            vec![expected(2, "ts", Reason::Missing), expected(3, "", Reason::NotJson)],
        ),
        (good.replace(',', ",\n"), 1, vec![]),
        (format!("[{good}"), 0, vec![expected(1, "", Reason::NotJson)]),
        (String::new(), 0, vec![]),
        ("[]".to_owned(), 0, vec![]),
        ("[".repeat(100_000), 0, vec![expected(1, "", Reason::NotJson)]),
        ("{\"a\":".repeat(1_500), 0, vec![expected(1, "", Reason::NotJson)]),
    ] {
        let cleaned = clean(body.as_bytes());
        assert_eq!(cleaned.accepted.len(), accepted, "{:.80}", body);
        assert_eq!(cleaned.rejected, rejected, "{:.80}", body);
    }
    assert_eq!(clean(&[b'{', 0xff]).rejected, [expected(1, "", Reason::NotJson)]);
}

#[test]
fn bodies_lines_and_batches_are_bounded() {
    let good = event(&[]);
    let full = format!("{good}\n").repeat(LINES_MAX);
    let cleaned = clean(format!("{full}\r\n\n").as_bytes());
    assert_eq!((cleaned.accepted.len(), cleaned.not_read_from), (LINES_MAX, None), "empty lines");
    assert_eq!(cleaned.rejected, []);
    let array = format!("[{}]", vec![good.clone(); LINES_MAX + 1].join(","));
    assert_eq!(clean(array.as_bytes()).not_read_from, Some(1 + LINES_MAX as u32));
    let cleaned = clean(format!("{full}\n{good}\n{good}").as_bytes());
    assert_eq!(cleaned.not_read_from, Some(2 + LINES_MAX as u32), "of the sender's lines");
    let cleaned = clean(format!("{full}{good}\n{good}\n").as_bytes());
    assert_eq!(cleaned.accepted.len(), LINES_MAX);
    assert_eq!(cleaned.rejected.len(), 1);
    assert_eq!(cleaned.rejected[0].line as usize, LINES_MAX + 1);
    assert_eq!(cleaned.rejected[0].reason, Reason::TooManyLines);
    assert_eq!(cleaned.not_read_from, Some(1 + LINES_MAX as u32));

    let wide = format!("{}\n{good}", event(&[("query", Some(&"9".repeat(LINE_BYTES_MAX)))]));
    let cleaned = clean(wide.as_bytes());
    assert_eq!((cleaned.accepted.len(), cleaned.rejected[0].reason), (1, Reason::TooLarge));

    let huge = vec![b' '; BODY_BYTES_MAX + 1];
    assert_eq!(clean(&huge).rejected[0].reason, Reason::TooLarge);
}

proptest::proptest! {
    /// Whatever comes, cleaning ends, and says something of each line or takes it.
    #[test]
    fn no_body_makes_cleaning_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = clean(&body);
    }

    #[test]
    fn no_damage_to_an_event_makes_cleaning_panic(place in 0_usize..150, byte in 0_u8..128) {
        let mut body = event(&[("price", Some("\"1.5e3\"")), ("item", Some("\"a\\u00e9\""))]).into_bytes();
        let place = place % body.len();
        body[place] = byte;
        let _ = clean(&body);
    }
}

#[test]
fn what_may_not_be_kept_stands_apart_with_its_conversions() {
    let bolt = ("advertiser", Some("\"bolt\""));
    let pills = ("category", Some("\" pills \""));
    let order = [("type", Some("\"purchase\"")), ("order_id", Some("\"o-1\""))];
    let bought = event(&[bolt, pills, order[0], order[1]]);
    let by_item = event(&[bolt, ("item", Some("\"pill-1\""))]);
    let text = [event(&[bolt]), bought, event(&[pills]), by_item].join("\n");
    let cleaned = clean(text.as_bytes());
    assert_eq!((cleaned.accepted.len(), cleaned.unkept.len()), (2, 2), "{cleaned:?}");
    assert!(cleaned.unkept[0].conversion.is_some());
}

#[test]
fn ids_that_are_named_together_are_a_join_where_they_may_be() {
    let hasher = UserHasher::new([3; 16]);
    let user = r#"{"id":"u","ids":[{"ifa":"AB-12"},{"eid":{"source":"s.example","id":"x"}}]}"#;
    let ids: Ids =
        [UserId::Id("u"), UserId::Ifa("ab-12"), UserId::Eid { source: "s.example", id: "x" }]
            .iter()
            .filter_map(|id| id.key(&hasher))
            .collect();
    let joins = |changes: &[(&str, Option<&str>)]| clean(event(changes).as_bytes()).joins;
    let user = ("user", Some(user));
    let expected = Join { ids: ids.clone(), source: AdvertiserId::of("acme").0 };
    assert_eq!(joins(&[user]), [expected]);
    assert_eq!(accept(&[user]).user, ids[0]);
    assert_eq!(joins(&[user, ("consent", Some("false"))]), []);
    assert_eq!(joins(&[user, ("type", Some("\"walk\""))]), []);
    assert_eq!(joins(&[("user", Some(r#"{"id":"u","ids":[]}"#))]), []);
    let unkept = [user, ("advertiser", Some("\"bolt\"")), ("category", Some("\"pills\""))];
    assert_eq!(joins(&unkept), [], "what may not be kept joins nothing");
}

#[test]
fn a_wrong_id_among_several_is_refused() {
    let many = r#"{"id":"u","ids":[IDS]}"#.replace("IDS", &[r#"{"id":"v"}"#; 8].join(","));
    for (user, field, reason) in [
        (r#"{"ids":[{"id":"u"}]}"#, "user", Reason::NotOneUserId),
        (r#"{"id":"u","ids":{"id":"v"}}"#, "user.ids", Reason::Invalid),
        (r#"{"id":"u","ids":["v"]}"#, "user.ids", Reason::NotJson),
        (r#"{"id":"u","ids":[{"id":""}]}"#, "user", Reason::Invalid),
        (r#"{"id":"u","ids":[{"id":"v","ifa":"w"}]}"#, "user", Reason::NotOneUserId),
        (r#"{"id":"u","ids":[{"id":"v","ids":[]}]}"#, "user", Reason::NotOneUserId),
        (&*many, "user.ids", Reason::TooLong),
    ] {
        check_rejected(&[("user", Some(user))], field, reason);
    }
}
