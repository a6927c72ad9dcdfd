//! From a catalog and visits to what speaks for an ad: whom a visit may serve, and what is published.

use super::*;
use crate::catalog::{Catalog, KnownStrategies, TermsNeeded, item_key};
use crate::units::{AdvertiserId, Slot, Timestamp, UserKey};
use std::path::Path;
use std::sync::Arc;

const ADVERTISERS: &str = r#"
[[advertiser]]
name = "shoes"
currency = "USD"
sector = "ecommerce"
domains = ["shoes.example"]
[[advertiser]]
name = "socks"
currency = "USD"
sector = "ecommerce"
domains = ["socks.example"]
[[advertiser]]
name = "alone"
currency = "USD"
sector = "ecommerce"
domains = ["alone.example"]
[[advertiser]]
name = "pills"
currency = "USD"
sector = "health"
domains = ["pills.example"]
[[advertiser]]
name = "bank"
currency = "USD"
sector = "finance"
domains = ["bank.example"]
[[advertiser]]
name = "lender"
currency = "USD"
sector = "finance"
domains = ["lender.example"]
"#;

const ITEMS: &str = r#"
[[item]]
advertiser = "shoes"
id = "red"
category = "running"
brand = "fleet"
price = "80"
text = "red trail shoe"
[[item]]
advertiser = "alone"
id = "red"
category = "running"
brand = "fleet"
price = "80"
text = "red trail shoe"
[[item]]
advertiser = "socks"
id = "warm"
category = "winter"
text = "warm wool sock"
[[item]]
advertiser = "pills"
id = "red"
category = "running"
text = "red pill"
[[item]]
advertiser = "bank"
id = "loan"
category = "loans"
text = "quick loan"
[[item]]
advertiser = "bank"
id = "tithe"
category = "Religion"
text = "quick loan"
"#;

/// A campaign with two ads: one that shows `shown`, and one with a text.
fn campaign(advertiser: &str, category: &str, rest: &str, shown: &str, text: &str) -> String {
    format!(
        r#"advertiser = "{advertiser}"
[[campaign]]
name = "{advertiser}"
category = "{category}"
iab_cats = ["{}"]
strategy = "cpc"
daily_budget = 20
landing_url = "https://{advertiser}.example/"
bid = {{ max_cpm = 5, cpc = "0.5" }}
{rest}
[[campaign.ad]]
name = "{advertiser}-shows"
items = ["{shown}"]
banner = {{ w = 300, h = 250, image_url = "https://cdn.example/a.png" }}
[[campaign.ad]]
name = "{advertiser}-says"
text = "{text}"
brand = "fleet"
price = 90
banner = {{ w = 300, h = 250, image_url = "https://cdn.example/b.png" }}
"#,
        match advertiser {
            "pills" => "IAB7",
            "bank" | "lender" => "IAB13",
            _ => "IAB17",
        }
    )
}

/// A bank's, in the pool.
fn loan(advertiser: &str) -> String {
    let rest = "pooled_interest = true\ntargeting = { geo = { include = [\"USA\"] } }";
    campaign(advertiser, "loans", rest, "loan", "quick loan for red trail shoe")
}

const FINANCE: &str = r#"
sector = "finance"
features = ["request", "content"]
protected = ["religion"]
"#;

fn write(folder: &Path, socks: &str) {
    for inside in ["campaigns", "domains"] {
        std::fs::create_dir_all(folder.join(inside)).expect("a folder");
    }
    for (file, text) in [
        ("advertisers.toml", ADVERTISERS.to_owned()),
        ("items.toml", ITEMS.to_owned()),
        ("domains/finance.toml", FINANCE.to_owned()),
        (
            "campaigns/1.toml",
            campaign("shoes", "running", "pooled_interest = true", "red", "trail shoe"),
        ),
        ("campaigns/2.toml", campaign("socks", "winter", socks, "warm", "red trail sock")),
        ("campaigns/3.toml", campaign("alone", "running", "", "red", "red trail shoe")),
        ("campaigns/4.toml", campaign("pills", "running", "", "red", "red trail shoe")),
        ("campaigns/5.toml", loan("bank")),
        ("campaigns/6.toml", loan("lender")),
    ] {
        std::fs::write(folder.join(file), text).expect("a file");
    }
}

fn catalog(socks: &str, previous: Option<&Catalog>) -> Catalog {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), socks);
    load(folder.path(), previous)
}

fn load(folder: &Path, previous: Option<&Catalog>) -> Catalog {
    let needed = TermsNeeded { cpc: true, ..TermsNeeded::default() };
    let strategies = KnownStrategies::from([("cpc".to_owned(), needed)]);
    Catalog::load(folder, &strategies, previous).expect("a good catalog")
}

const POOLED: &str = "pooled_interest = true";

fn key(advertiser: &str, id: &str) -> u32 {
    item_key(AdvertiserId::of(advertiser), id)
}

fn ad(catalog: &Catalog, name: &str) -> Slot {
    let ads = catalog.all_campaigns().flat_map(|campaign| catalog.ads_of(campaign));
    ads.into_iter().find(|ad| ad.name == name).expect("an ad").slot
}

fn liked(catalog: &Catalog, likes: &[Like]) -> Vec<String> {
    likes.iter().map(|like| catalog.ad(like.ad.index).expect("an ad").name.clone()).collect()
}

#[test]
fn an_item_is_like_the_ads_that_its_visits_may_serve() {
    let catalog = catalog(POOLED, None);
    let content = Content::of(&catalog);
    let shoes = content.likes(key("shoes", "red"));
    assert_eq!(liked(&catalog, shoes), ["shoes-shows", "shoes-says", "socks-says"]);
    assert_eq!(shoes[0].score, 1.0, "it shows the item");
    assert!(shoes[1].score > shoes[2].score && shoes[2].score > 0.2, "{shoes:?}");
    let alone = content.likes(key("alone", "red"));
    assert_eq!(liked(&catalog, alone), ["alone-shows", "alone-says"], "not in the pool");
    assert!(content.likes(key("pills", "red")).is_empty(), "health keeps no profile");
    assert_eq!(liked(&catalog, content.likes(key("socks", "warm")))[0], "socks-shows");
    assert!(content.likes(key("shoes", "blue")).is_empty());
}

/// What users look at elsewhere may stand for who they are, and must not decide about credit.
#[test]
fn a_bank_hears_of_banks_alone_and_of_nothing_protected() {
    let catalog = catalog(POOLED, None);
    let content = Content::of(&catalog);
    let shoes = liked(&catalog, content.likes(key("shoes", "red")));
    assert!(shoes.iter().all(|ad| !ad.starts_with("bank")), "{shoes:?} share words and the pool");
    let loan = liked(&catalog, content.likes(key("bank", "loan")));
    assert_eq!(loan[0], "bank-shows");
    assert!(loan.contains(&"bank-says".to_owned()) && loan.contains(&"lender-says".to_owned()));
    let tithe = liked(&catalog, content.likes(key("bank", "tithe")));
    assert!(tithe.iter().all(|ad| !ad.contains("bank") && !ad.contains("lender")), "{tithe:?}");
}

#[test]
fn what_a_user_does_outside_of_the_pool_fades_nothing_of_others() {
    let catalog = catalog(POOLED, None);
    let mut learned = learned(5, Content::of(&catalog));
    walk(&mut learned, 12);
    let snapshot = publish(&mut learned, at(20));
    let (shoe, sock) = (key("shoes", "red"), key("socks", "warm"));
    let (alone, nobodys) = (key("alone", "red"), key("alone", "of no feed"));
    let told = |items: &[u32], name: &str| {
        let mut list = ShortList::default();
        list.fill(&snapshot, None, items, at(20));
        list.get(ad(&catalog, name))
    };
    for (ad, own, others) in [
        ("shoes-shows", shoe, [alone, nobodys]),
        ("socks-shows", shoe, [alone, nobodys]),
        ("alone-shows", alone, [shoe, sock]),
    ] {
        let [other, another] = others;
        assert_ne!(told(&[own], ad), Relevance::default());
        assert_eq!(told(&[other, another, own], ad), told(&[own], ad), "{ad}");
    }
    assert_eq!(told(&[sock, shoe], "shoes-shows").content, 0.8, "in the pool it does");
}

/// Keys are 32 bits: one that another shop's item has too speaks for nothing of the second.
#[test]
fn an_ad_of_another_shop_whose_item_has_the_same_key_is_not_shown() {
    let ids = |shop: &'static str| {
        (0..200_000).map(move |number| (key(shop, &number.to_string()), number))
    };
    let of_alone: std::collections::BTreeMap<_, _> = ids("alone").collect();
    let (shared, theirs) = ids("shoes").find(|(key, _)| of_alone.contains_key(key)).expect("one");
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), POOLED);
    let own = of_alone[&shared];
    let item =
        format!("[[item]]\nadvertiser = \"alone\"\nid = \"{own}\"\ncategory = \"running\"\n");
    std::fs::write(folder.path().join("items.toml"), item).expect("a file");
    let shows = campaign("shoes", "running", POOLED, &theirs.to_string(), "trail shoe");
    std::fs::write(folder.path().join("campaigns/1.toml"), shows).expect("a file");
    let catalog = load(folder.path(), None);
    let content = Content::of(&catalog);
    let likes = liked(&catalog, content.likes(shared));
    assert!(!likes.is_empty() && likes.iter().all(|ad| ad.starts_with("alone")), "{likes:?}");
    assert!(content.pooled_ads(shared).is_empty());
}

#[test]
fn visits_to_ever_new_items_fill_no_memory() {
    let catalog = catalog(POOLED, None);
    let (items_max, sessions_max) = (100, 50);
    let covisits = CoVisitConfig { items_max, users_min: 1, ..CoVisitConfig::default() };
    let knn = KnnConfig { sessions_max, items_max, users_min: 1, ..KnnConfig::default() };
    let mut learned = Learned::new(covisits, knn);
    learned.adopt(Arc::new(Content::of(&catalog)));
    let sock = key("socks", "warm");
    let mut waiting = 0;
    for number in 0..40_000 {
        // At first each list is made before its item is forgotten.
        if number < 2_000 && number % 40 == 0 {
            publish(&mut learned, at(2));
            let status = learned.status();
            assert!(status.co_visited_lists <= items_max, "{status:?}");
            assert!(status.suggested_lists <= sessions_max, "{status:?}");
        }
        let user = UserKey(crate::hash::mix(number));
        for (item, second) in [(number as u32 + 1_000, 0), (sock, 1)] {
            learned.visit(&Visit { user, item, at: at(second) });
        }
        waiting = waiting.max(learned.status().waiting);
        if number % 8_000 == 0 {
            publish(&mut learned, at(2));
        }
    }
    let status = learned.status();
    assert!(waiting <= 2 * 16_384 && status.refused > 0, "{waiting} waited");
    while learned.status().waiting > 0 {
        publish(&mut learned, at(2));
        let status = learned.status();
        assert!(status.co_visited_lists <= items_max && status.suggested_lists <= sessions_max);
    }
    let user = UserKey(7);
    learned.visit(&Visit { user, item: 500, at: at(3) });
    learned.visit(&Visit { user, item: sock, at: at(4) });
    let snapshot = publish(&mut learned, at(5));
    let sock_ad = ad(&catalog, "socks-shows");
    assert!(!spoken(&snapshot, user, &[500], at(5), sock_ad).is_empty(), "what is new is made");
}

fn at(second: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + second * 1_000)
}

fn learned(users_min: u32, content: Content) -> Learned {
    let covisits = CoVisitConfig { users_min, ..CoVisitConfig::default() };
    let knn = KnnConfig { users_min, ..KnnConfig::default() };
    let mut learned = Learned::new(covisits, knn);
    learned.adopt(Arc::new(content));
    learned
}

/// So many users each go from the shoe to the sock.
fn walk(learned: &mut Learned, users: u64) {
    for user in 1..=users {
        let user = UserKey(crate::hash::mix(user));
        for (second, item) in [(0, key("shoes", "red")), (10, key("socks", "warm"))] {
            learned.visit(&Visit { user, item, at: at(second) });
        }
    }
}

fn publish(learned: &mut Learned, now: Timestamp) -> Arc<RelevanceSnapshot> {
    while learned.step(now) {}
    learned.publish(now).expect("it has changed")
}

/// What speaks for the ad by visits of others, and where it comes from.
fn spoken(
    snapshot: &RelevanceSnapshot,
    user: UserKey,
    items: &[u32],
    now: Timestamp,
    ad: Slot,
) -> Vec<Source> {
    let mut sources = Vec::new();
    snapshot.speak(Some(user), items, now, |family, source, spoken, score| {
        assert!((0.0..=1.0).contains(&score));
        if family == Family::Collaborative && spoken == ad {
            sources.push(source);
        }
    });
    sources
}

#[test]
fn enough_users_of_the_pool_make_others_ads_relevant() {
    let (user, shoe) = (UserKey(7), key("shoes", "red"));
    for (users, is_told) in [(4, false), (12, true)] {
        let catalog = catalog(POOLED, None);
        let sock = ad(&catalog, "socks-shows");
        let mut learned = learned(5, Content::of(&catalog));
        walk(&mut learned, users);
        learned.visit(&Visit { user, item: shoe, at: at(20) });
        let snapshot = publish(&mut learned, at(20));
        let expected: &[Source] =
            if is_told { &[Source::Item(shoe), Source::Sessions] } else { &[] };
        assert_eq!(spoken(&snapshot, user, &[shoe], at(20), sock), expected, "{users} users");
        let later = at(20 + 1_800);
        let by_item: &[Source] = if is_told { &[Source::Item(shoe)] } else { &[] };
        assert_eq!(spoken(&snapshot, user, &[shoe], later, sock), by_item, "a session ends");
        assert!(
            spoken(&snapshot, user, &[], at(20), sock).is_empty(),
            "a user who may not be known"
        );
        let mut list = ShortList::default();
        list.fill(&snapshot, Some(user), &[shoe], at(20));
        assert_eq!(list.get(sock).collaborative > 0.0, is_told);
        assert_eq!(list.get(ad(&catalog, "shoes-shows")).content, 1.0);
        assert_eq!(list.get(ad(&catalog, "alone-shows")), Relevance::default());
    }
}

#[test]
fn a_tenant_that_leaves_the_pool_takes_what_was_learned_along() {
    let (user, shoe) = (UserKey(7), key("shoes", "red"));
    let before = catalog(POOLED, None);
    let mut learned = learned(5, Content::of(&before));
    walk(&mut learned, 12);
    learned.visit(&Visit { user, item: shoe, at: at(20) });
    publish(&mut learned, at(20));
    learned.adopt(Arc::new(Content::of(&catalog(POOLED, Some(&before)))));
    let sock = ad(&before, "socks-shows");
    let snapshot = publish(&mut learned, at(21));
    assert_eq!(spoken(&snapshot, user, &[shoe], at(21), sock).len(), 2, "nobody has left");
    let after = catalog("", Some(&before));
    learned.adopt(Arc::new(Content::of(&after)));
    let snapshot = publish(&mut learned, at(22));
    assert!(spoken(&snapshot, user, &[shoe], at(22), ad(&after, "socks-shows")).is_empty());
    let status = learned.status();
    assert_eq!((status.pairs.items, status.sessions.sessions), (0, 0));
}

/// The catalog with a second campaign of the socks' shop, which shows the sock too.
fn with_more_socks(rest: &str, previous: Option<&Catalog>) -> Catalog {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), POOLED);
    let more = campaign("socks", "winter", rest, "warm", "red trail sock");
    let more = more.replace("name = \"socks", "name = \"more");
    std::fs::write(folder.path().join("campaigns/7.toml"), more).expect("a file");
    load(folder.path(), previous)
}

/// What visits speak for is each campaign's own choice, and lists follow the catalog.
#[test]
fn a_campaign_outside_of_the_pool_or_paused_is_left_out() {
    let (user, shoe, sock) = (UserKey(7), key("shoes", "red"), key("socks", "warm"));
    let before = catalog(POOLED, None);
    let mut learned = learned(5, Content::of(&before));
    walk(&mut learned, 12);
    publish(&mut learned, at(20));
    for (rest, is_running, is_in_pool) in
        [("", true, false), ("status = \"paused\"", false, false), (POOLED, true, true)]
    {
        let catalog = with_more_socks(rest, Some(&before));
        let content = Content::of(&catalog);
        let more = ad(&catalog, "more-shows");
        let has = |likes: &[Like]| likes.iter().any(|like| like.ad == more);
        assert_eq!(has(content.likes(sock)), is_running, "{rest}: its own item");
        let words = liked(&catalog, content.likes(shoe));
        assert_eq!(words.iter().any(|name| name == "more-says"), is_in_pool, "{rest}: {words:?}");
        learned.adopt(Arc::new(content));
        let snapshot = publish(&mut learned, at(21));
        let said = spoken(&snapshot, user, &[shoe], at(21), more);
        assert_eq!(!said.is_empty(), is_in_pool, "{rest}: by others' visits");
    }
}

#[test]
fn lists_are_short_however_many_ads_show_an_item() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), POOLED);
    let shows = |number| {
        format!(
            "[[campaign.ad]]\nname = \"more-{number}\"\nitems = [\"warm\"]\n\
             banner = {{ w = 300, h = 250, image_url = \"https://cdn.example/a.png\" }}\n"
        )
    };
    let socks = campaign("socks", "winter", POOLED, "warm", "red trail sock");
    let socks = socks + &(0..40).map(shows).collect::<String>();
    std::fs::write(folder.path().join("campaigns/2.toml"), socks).expect("a file");
    let (user, shoe, sock) = (UserKey(7), key("shoes", "red"), key("socks", "warm"));
    let mut learned = learned(5, Content::of(&load(folder.path(), None)));
    walk(&mut learned, 12);
    learned.visit(&Visit { user, item: shoe, at: at(20) });
    let snapshot = publish(&mut learned, at(20));
    assert_eq!(snapshot.content.likes(sock).len(), 32);
    let mut told = [0; 2];
    snapshot.speak(Some(user), &[shoe], at(20), |family, source, _, _| {
        let is_by_item = usize::from(source == Source::Item(shoe));
        told[is_by_item] += usize::from(family == Family::Collaborative);
    });
    assert_eq!(told, [16, 32], "by sessions, by item");
}

/// (the ad's vector, whether it resembles an item of the vector 1, 0 that shares its category alone)
#[test]
fn supplied_vectors_count_as_much_as_words_and_little_is_nothing() {
    let score = |vector: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), POOLED);
        let item = "[[item]]\nadvertiser = \"alone\"\nid = \"v\"\ncategory = \"running\"\n";
        let item = format!("{item}text = \"one two three four five six\"\nvector = [1, 0]\n");
        std::fs::write(folder.path().join("items.toml"), item).expect("a file");
        let words: Vec<_> = (0..20).map(|number| format!("word{number}")).collect();
        let ads = campaign("alone", "running", "", "other", &words.join(" "));
        let ads = ads.replace("price = 90", &format!("price = 90\n{vector}"));
        std::fs::write(folder.path().join("campaigns/3.toml"), ads).expect("a file");
        let catalog = load(folder.path(), None);
        let (content, says) = (Content::of(&catalog), ad(&catalog, "alone-says"));
        let likes = content.likes(key("alone", "v"));
        likes.iter().find(|like| like.ad == says).map(|like| like.score)
    };
    assert_eq!(score(""), None, "one word of many");
    let alike = score("vector = [2, 0]").expect("alike");
    assert!((0.5..0.55).contains(&alike), "{alike}");
    assert_eq!(
        score("vector = [-1, 0]"),
        None,
        "the opposite takes nothing away, and gives nothing"
    );
}

#[actix_web::test]
async fn an_actor_that_dies_leaves_what_it_learned() {
    use actix::prelude::*;
    let catalog = catalog(POOLED, None);
    let users_of_five = CoVisitConfig::default();
    let state = RelevanceState::new(users_of_five, KnnConfig::default());
    let first = RelevanceActor::new(state.clone()).start();
    let content = Arc::new(Content::of(&catalog));
    assert!(first.send(Adopt(content)).await.is_ok());
    assert_eq!(state.published().load().epoch(), 1, "at once");
    let (shoe, sock) = (key("shoes", "red"), key("socks", "warm"));
    let visits = (0..12).flat_map(|user| {
        let user = UserKey(crate::hash::mix(user));
        [(shoe, 0), (sock, 5)].map(|(item, second)| Visit { user, item, at: at(second) })
    });
    assert!(first.send(Visits(visits.collect())).await.is_ok());
    drop(first);
    let second = RelevanceActor::new(state.clone()).start();
    assert!(second.send(Tick { now: at(6) }).await.is_ok());
    let (published, status) = (state.published().load_full(), state.status());
    assert_eq!((published.epoch(), status.visits, status.waiting), (2, 24, 0));
    let ad = ad(&catalog, "socks-shows");
    assert_eq!(spoken(&published, UserKey(99), &[shoe], at(6), ad), [Source::Item(shoe)]);
}
