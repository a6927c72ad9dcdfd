//! Strings that others wrote: each TC string decodes to the fields that the reference decoder finds
//! in it, or is refused; each GPP and US privacy string permits what the specifications say, worked
//! out by hand. The strings lie in the folder that `OUTBID_SHARED` names; without it the tests say
//! so and pass.

use outbid::consent::{Config, Policy, TcString, TcfError, Vendors, decide};
use outbid::openrtb::{Limits, parse};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn vectors(name: &str) -> Option<Vec<Value>> {
    let default = || format!("{}/../shared", env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var("OUTBID_SHARED").unwrap_or_else(|_| default());
    let path = Path::new(&shared).join("vectors").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there (set OUTBID_SHARED)", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).expect("an array"))
}

fn text_of(vector: &Value) -> &str {
    vector["string"].as_str().expect("a string")
}

/// Every vendor in the set, by asking for each.
fn members(vendors: Option<Vendors<'_>>) -> Vec<u16> {
    vendors.map_or(Vec::new(), |set| (1..=u16::MAX).filter(|one| set.contains(*one)).collect())
}

fn ascii(letters: [u8; 2]) -> String {
    letters.map(char::from).iter().collect()
}

/// All that the vectors list, in their form.
fn fields(tc: &TcString<'_>) -> Value {
    let purposes = |is_in: &dyn Fn(u8) -> bool| (1..=24).filter(|p| is_in(*p)).collect::<Vec<_>>();
    let mut restrictions = BTreeMap::<(u8, u8), Vec<u16>>::new();
    for restriction in tc.publisher_restrictions() {
        let vendors = restriction.vendors.flat_map(|(first, last)| first..=last);
        restrictions.entry((restriction.kind, restriction.purpose)).or_default().extend(vendors);
    }
    let restrictions: Vec<_> = restrictions
        .into_iter()
        .map(|((kind, purpose), vendors)| {
            json!({ "purpose": purpose, "type": kind, "vendors": vendors })
        })
        .collect();
    json!({
        "version": 2,
        "cmp_id": tc.cmp_id(),
        "policy_version": tc.policy_version(),
        "is_service_specific": tc.is_service_specific(),
        "publisher_country": ascii(tc.publisher_country()),
        "consent_language": ascii(tc.consent_language()),
        "vendor_list_version": tc.vendor_list_version(),
        "purpose_one_treatment": tc.purpose_one_treatment(),
        "created_ms": tc.created_ms(),
        "updated_ms": tc.updated_ms(),
        "purpose_consents": purposes(&|purpose| tc.consents_to(purpose)),
        "purpose_legitimate_interests": purposes(&|purpose| tc.accepts_interest_in(purpose)),
        "special_feature_optins": purposes(&|feature| tc.opts_in(feature)),
        "vendor_consents": members(Some(tc.vendor_consents())),
        "vendor_legitimate_interests": members(Some(tc.vendor_interests())),
        "vendors_disclosed": members(tc.vendors_disclosed()),
        "publisher_restrictions": restrictions,
    })
}

/// The order of restrictions is the writer's.
fn sorted(mut expected: Value) -> Value {
    if let Some(list) = expected["publisher_restrictions"].as_array_mut() {
        list.sort_by_key(|one| (one["type"].as_u64(), one["purpose"].as_u64()));
    }
    expected
}

#[test]
fn tc_strings_decode_as_the_reference_decodes_them() {
    let Some(vectors) = vectors("tcf.json") else { return };
    let (mut decoded, mut of_version_one, mut refused) = (0, 0, 0);
    for vector in &vectors {
        let (text, expected) = (text_of(vector), &vector["expect"]);
        match (TcString::parse(text), vector["decodes"] == true, expected["version"].as_u64()) {
            (Ok(tc), true, Some(2)) => {
                assert_eq!(fields(&tc), sorted(expected.clone()), "{text}");
                decoded += 1;
            }
            (Err(TcfError::Version(1)), _, Some(1)) => of_version_one += 1,
            (Err(_), false, _) => refused += 1,
            (result, ..) => panic!("{text}: {result:?}"),
        }
    }
    println!("{decoded} decoded, {of_version_one} of version 1 and {refused} broken ones refused");
    assert_eq!(decoded + of_version_one + refused, vectors.len());
    assert!(decoded >= 37);
}

/// What restricts a request with these signals, for vendor 32.
fn reasons(regs: &Value) -> String {
    let config = Config { vendor_id: Some(32), ..Config::default() };
    let policy = Policy::try_from(&config).expect("a valid configuration");
    let body = json!({ "id": "r", "imp": [{ "id": "1" }], "regs": regs }).to_string();
    let request = parse(body.as_bytes(), &Limits::default()).expect("a request");
    let names: Vec<_> = decide(&policy, &request).iter().map(|one| one.as_str()).collect();
    names.join(" ")
}

/// The start of each string, the sections that are said to apply (all that its header names), and
/// what then restricts. Where two strings start alike, the longer start comes first.
const GPP: &[(&str, &[i32], &str)] = &[
    // The national section has the fields of version 2 behind the number of version 1.
    (
        "DBACOYs~",
        &[2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23],
        "tcf_undisclosed gpp_unreadable gpp_section_unsupported us_unanswered us_precise_geo",
    ),
    ("DBABTA~1YNN", &[6], ""),
    ("DBABTA~1YYN", &[6], "us_privacy"),
    ("DBABTA~1Y--", &[6], ""),
    ("DBABTA~1---", &[6], ""),
    ("DBABMA~", &[2], "tcf_undisclosed"),
    ("DBACNYA~CPSG_8", &[2, 6], "tcf_undisclosed"),
    ("DBACOeA~", &[2, 5, 6], "tcf_undisclosed gpp_section_unsupported"),
    ("DBACMYA~", &[2, 5], "tcf_undisclosed gpp_section_unsupported"),
    // Likewise, and one of them is a child's.
    ("DBABLA~BAAAAAAAAQRA", &[7], "gpp_unreadable"),
    ("DBABLA~", &[7], "us_unanswered us_precise_geo"),
    // California: no notice of sale, sharing not applicable, precise geolocation (3rd) refused.
    // Virginia: no notice of targeted advertising, opted out of it, service providers only.
    (
        "DBABh4A~",
        &[8, 9],
        "us_targeting_opt_out us_service_provider us_unanswered us_no_notice us_precise_geo",
    ),
    // Versions 27 and 49 of state sections, as an older library wrote them.
    ("DBABRg~", &[9], "gpp_unreadable"),
    ("DBABJg~", &[10], "gpp_unreadable"),
    ("DBABBgA~", &[8], "gpp_unreadable"),
    ("DBABYA~", &[1], "gpp_section_unsupported"),
    // As above, and Utah: no notice of targeted advertising, opted out of it, a child who refuses.
    (
        "DBABrGA~",
        &[7, 8, 9, 10, 11, 12],
        "gpp_unreadable us_targeting_opt_out us_service_provider us_unanswered us_no_notice us_child \
         us_precise_geo",
    ),
    // Utah opts out of targeted advertising; Connecticut of sale, with a known child.
    (
        "DBACTjw~",
        &[6, 11, 12],
        "us_opt_out us_targeting_opt_out us_unanswered us_no_notice us_child us_precise_geo us_privacy",
    ),
    ("DBABM~", &[2], REFUSED),
    ("DBACNY~", &[2, 6], REFUSED),
    ("DBACNYA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", &[2, 6], REFUSED),
    ("DBACNYA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~", &[2, 6], REFUSED_AND_NO_SALE),
    // A header that says it has 385 entries.
    ("DBGBM~", &[2], "gpp_unreadable"),
];

/// No purpose and no special feature.
const REFUSED: &str = "tcf_purpose_1 tcf_purpose_2 tcf_purpose_3 tcf_purpose_4 tcf_purpose_7 \
                       tcf_special_feature_1";
/// The same with `1NYN`, or with a word that is no US privacy string.
const REFUSED_AND_NO_SALE: &str = "tcf_purpose_1 tcf_purpose_2 tcf_purpose_3 tcf_purpose_4 \
                                   tcf_purpose_7 tcf_special_feature_1 us_privacy";

#[test]
fn gpp_strings_restrict_what_their_sections_say() {
    let Some(vectors) = vectors("gpp_strings.json") else { return };
    for vector in &vectors {
        let text = text_of(vector);
        let row = GPP.iter().find(|(start, ..)| text.starts_with(start));
        let (_, applying, expected) = row.unwrap_or_else(|| panic!("no row for {text}"));
        assert_eq!(reasons(&json!({ "gpp": text, "gpp_sid": applying })), *expected, "{text}");
    }
    println!("{} GPP strings", vectors.len());
}

#[test]
fn us_privacy_strings_restrict_where_they_opt_out_of_sale() {
    let Some(vectors) = vectors("us_privacy_strings.json") else { return };
    for vector in &vectors {
        let text = text_of(vector);
        let expected = if matches!(text, "1NYN" | "1-y-") { "us_privacy" } else { "" };
        assert_eq!(reasons(&json!({ "us_privacy": text })), expected, "{text}");
    }
    println!("{} US privacy strings", vectors.len());
}
