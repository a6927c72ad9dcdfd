//! What may be done with a user, signal by signal: tables to be read like a contract. Each row is
//! what a request says, what it then permits, and what is given as the reason. Permissions are four
//! letters: S the session may be stored and read, P the ad may be personalised, G precise
//! geolocation may be used, M behaviour may be measured; a dash in place of what is forbidden.

mod common;

use common::tc::{Bits, Tc, Vendors, gpp, us};
use outbid::consent::{
    Config, GdprWhenMissing, GppString, Permissions, Policy, Restrictions, SECTIONS_MAX,
    TC_BYTES_MAX, TcString, TcfError, decide,
};
use outbid::openrtb::{Limits, parse};
use serde_json::{Value, json};

/// Our number on the vendor list, in these tables.
const US: u16 = 755;

/// The first tenth of a second of March 2026, in UTC.
const MARCH_2026: u64 = 17_723_232_000;

fn consent_config() -> Config {
    Config { vendor_id: Some(US), ..Config::default() }
}

fn policy(config: &Config) -> Policy {
    Policy::try_from(config).expect("a valid configuration")
}

fn decided(policy: &Policy, signals: &Value) -> Restrictions {
    let mut request = json!({ "id": "r", "imp": [{ "id": "1" }] });
    let fields = signals.as_object().expect("an object").clone();
    request.as_object_mut().expect("an object").extend(fields);
    let body = request.to_string();
    decide(policy, &parse(body.as_bytes(), &Limits::default()).expect("a request"))
}

fn letters(permissions: Permissions) -> String {
    let Permissions { store_session, personalise, precise_geo, measure } = permissions;
    let all = [(store_session, 'S'), (personalise, 'P'), (precise_geo, 'G'), (measure, 'M')];
    all.map(|(is_permitted, letter)| if is_permitted { letter } else { '-' }).iter().collect()
}

/// Checks one row.
fn row(what: &str, policy: &Policy, signals: &Value, permitted: &str, reasons: &str) {
    let restrictions = decided(policy, signals);
    let names: Vec<_> = restrictions.iter().map(|restriction| restriction.as_str()).collect();
    let seen = (letters(restrictions.permissions()), names.join(" "));
    assert_eq!(seen, (permitted.to_owned(), reasons.to_owned()), "{what}");
}

fn under_gdpr(tc: &Tc) -> Value {
    json!({ "regs": { "gdpr": 1 }, "user": { "consent": tc.text() } })
}

#[test]
fn what_each_signal_permits_by_itself() {
    let tc = Tc::full(US).text();
    let nothing = Tc::consenting(US, &[]).text();
    let ours = policy(&consent_config());
    #[rustfmt::skip]
    let rows = [
        ("nothing is said", json!({}), "SPGM", ""),
        ("COPPA", json!({ "regs": { "coppa": 1 } }), "----", "coppa"),
        ("COPPA does not apply", json!({ "regs": { "coppa": 0 } }), "SPGM", ""),
        ("the device limits ad tracking", json!({ "device": { "lmt": 1 } }), "----", "limit_ad_tracking"),
        ("the device asks not to be tracked", json!({ "device": { "dnt": 1 } }), "----", "do_not_track"),
        ("neither", json!({ "device": { "dnt": 0, "lmt": 0 } }), "SPGM", ""),
        ("Global Privacy Control", json!({ "regs": { "ext": { "gpc": "1" } } }), "----", "gpc"),
        ("GDPR, no string", json!({ "regs": { "gdpr": 1 } }), "----", "gdpr_no_string"),
        ("GDPR in 2.5, no string", json!({ "regs": { "ext": { "gdpr": 1 } } }), "----", "gdpr_no_string"),
        ("GDPR does not apply", json!({ "regs": { "gdpr": 0 } }), "SPGM", ""),
        ("GDPR does not apply, though there is a string", json!({ "regs": { "gdpr": 0 }, "user": { "consent": nothing } }), "SPGM", ""),
        ("GDPR, everything granted", json!({ "regs": { "gdpr": 1 }, "user": { "consent": tc } }), "SPGM", ""),
        ("the same in 2.5", json!({ "regs": { "ext": { "gdpr": 1 } }, "user": { "ext": { "consent": tc } } }), "SPGM", ""),
        ("the flag is missing, the string grants", json!({ "user": { "consent": tc } }), "SPGM", ""),
        ("the flag is missing, the string refuses", json!({ "user": { "consent": nothing } }), "----",
            "tcf_purpose_1 tcf_purpose_2 tcf_purpose_3 tcf_purpose_4 tcf_purpose_7"),
        ("GDPR, a string of TCF 1", json!({ "regs": { "gdpr": 1 }, "user": { "consent": "BObdrPUOevsguAfDqFENCNAAAAAmeAAA" } }), "----", "tcf_unreadable"),
        ("GDPR, not a string at all", json!({ "regs": { "gdpr": 1 }, "user": { "consent": "yes" } }), "----", "tcf_unreadable"),
        ("a child who consents to everything", json!({ "regs": { "gdpr": 1, "coppa": 1 }, "user": { "consent": tc } }), "----", "coppa"),
        ("US privacy, no opt-out", json!({ "regs": { "us_privacy": "1YNN" } }), "SPGM", ""),
        ("US privacy, opted out of sale", json!({ "regs": { "us_privacy": "1YYN" } }), "----", "us_privacy"),
        ("the same in 2.5 and small letters", json!({ "regs": { "ext": { "us_privacy": "1-y-" } } }), "----", "us_privacy"),
        ("US privacy does not apply", json!({ "regs": { "us_privacy": "1---" } }), "SPGM", ""),
        ("US privacy of another version", json!({ "regs": { "us_privacy": "2YNN" } }), "----", "us_privacy"),
        ("US privacy cut short", json!({ "regs": { "us_privacy": "1YN" } }), "----", "us_privacy"),
        ("US privacy with another letter", json!({ "regs": { "us_privacy": "1YXN" } }), "----", "us_privacy"),
        ("no US privacy", json!({ "regs": { "us_privacy": "" } }), "SPGM", ""),
    ];
    for (what, signals, permitted, reasons) in rows {
        row(what, &ours, &signals, permitted, reasons);
    }
    let unlisted = policy(&Config::default());
    let granted = under_gdpr(&Tc::full(US));
    row("we are on no list", &unlisted, &granted, "----", "tcf_no_vendor_id");
}

#[test]
fn where_nobody_says_whether_the_gdpr_applies() {
    use GdprWhenMissing::{Country, No, Yes};
    for (when_missing, country, permitted) in [
        (Country, "DEU", "----"),
        (Country, "DE", "----"),
        (Country, "GBR", "----"),
        (Country, "CHE", "----"),
        (Country, "NOR", "----"),
        (Country, "USA", "SPGM"),
        (Country, "", "SPGM"),
        (Yes, "USA", "----"),
        (Yes, "", "----"),
        (No, "DEU", "SPGM"),
    ] {
        let policy = policy(&Config { gdpr_when_missing: when_missing, ..consent_config() });
        let place = json!({ "geo": { "country": country } });
        let reasons = if permitted == "SPGM" { "" } else { "gdpr_no_string" };
        let what = format!("{when_missing:?}, {country:?}");
        row(&what, &policy, &json!({ "device": place }), permitted, reasons);
        let told = json!({ "device": place, "regs": { "gdpr": 0 } });
        row(&format!("{what}, told no"), &policy, &told, "SPGM", "");
        let granted = json!({ "device": place, "user": { "consent": Tc::full(US).text() } });
        row(&format!("{what}, with a string"), &policy, &granted, "SPGM", "");
    }
}

#[test]
fn what_each_purpose_carries() {
    let ours = policy(&consent_config());
    for (purposes, permitted, reasons) in [
        (&[1, 2, 3, 4, 7][..], "SPGM", ""),
        (&[2, 3, 4, 7], "--G-", "tcf_purpose_1"),
        (&[1, 3, 4, 7], "---M", "tcf_purpose_2"),
        (&[1, 2, 4, 7], "S-GM", "tcf_purpose_3"),
        (&[1, 2, 3, 7], "S-GM", "tcf_purpose_4"),
        (&[1, 2, 3, 4], "SPG-", "tcf_purpose_7"),
        (&[1, 2], "S-G-", "tcf_purpose_3 tcf_purpose_4 tcf_purpose_7"),
        (&[1, 7], "---M", "tcf_purpose_2 tcf_purpose_3 tcf_purpose_4"),
        (&[2], "--G-", "tcf_purpose_1 tcf_purpose_3 tcf_purpose_4 tcf_purpose_7"),
        (&[], "----", "tcf_purpose_1 tcf_purpose_2 tcf_purpose_3 tcf_purpose_4 tcf_purpose_7"),
    ] {
        let tc = Tc::consenting(US, purposes);
        row(&format!("{purposes:?}"), &ours, &under_gdpr(&tc), permitted, reasons);
    }
    let all = "tcf_purpose_1 tcf_purpose_2 tcf_purpose_3 tcf_purpose_4 tcf_purpose_7";
    let full = || Tc::full(US);
    let ranges = Vendors::Ranges(vec![(3, 3), (700, 800)]);
    let shown = |vendors| Tc { disclosed: Some(vendors), ..full() };
    #[rustfmt::skip]
    let rows = [
        ("not opted in to precise geolocation", Tc { features: vec![2], ..full() }, "SP-M", "tcf_special_feature_1"),
        ("another vendor alone", Tc { consents: Vendors::one(US - 1), ..full() }, "----", all),
        ("no vendor at all", Tc { consents: Vendors::none(), ..full() }, "----", all),
        ("our vendor in a range", Tc { consents: ranges, ..full() }, "SPGM", ""),
        ("our vendor beside the ranges", Tc { consents: Vendors::Ranges(vec![(1, US - 1), (US + 1, 9_000)]), ..full() }, "----", all),
        ("we were shown", shown(Vendors::one(US)), "SPGM", ""),
        ("others were shown", shown(Vendors::Ranges(vec![(1, 500)])), "----", "tcf_undisclosed"),
        ("who was shown is not said, on the last of February 2026", Tc { written: MARCH_2026 - 1, ..full() }, "SPGM", ""),
        ("who was shown is not said, since then", Tc { written: MARCH_2026, ..full() }, "----", "tcf_undisclosed"),
        ("we were shown, since then", Tc { written: MARCH_2026, ..shown(Vendors::one(US)) }, "SPGM", ""),
        ("purpose 1 was not shown, by the publisher's law", Tc { purpose_one_treatment: true, purposes: vec![2, 3, 4, 7], ..full() }, "--G-", "tcf_purpose_1"),
    ];
    for (what, tc, permitted, reasons) in rows {
        row(what, &ours, &under_gdpr(&tc), permitted, reasons);
    }
}

/// Purposes 2 and 7 are each pursued by consent or as a legitimate interest, fixed or flexible; the
/// user grants the one, the other, or both; the publisher restricts nothing or one kind.
#[test]
fn legal_bases_and_publishers_restrictions() {
    const NONE: u64 = 9;
    for (claims_interest, is_flexible, restriction, by_consent, by_interest) in [
        // claimed basis, flexible | publisher | permitted where only consent, only interest is there
        (false, false, NONE, true, false),
        (false, false, 0, false, false),
        (false, false, 1, true, false),
        (false, false, 2, false, false),
        (false, false, 3, false, false),
        (false, true, NONE, true, false),
        (false, true, 0, false, false),
        (false, true, 1, true, false),
        (false, true, 2, false, true),
        (true, false, NONE, false, true),
        (true, false, 0, false, false),
        (true, false, 1, false, false),
        (true, false, 2, false, true),
        (true, true, NONE, false, true),
        (true, true, 0, false, false),
        (true, true, 1, true, false),
        (true, true, 2, false, true),
    ] {
        for (purpose, refused, reason) in
            [(2, "---M", "tcf_purpose_2"), (7, "SPG-", "tcf_purpose_7")]
        {
            let listed = |is_listed| if is_listed { vec![purpose as u8] } else { Vec::new() };
            let policy = policy(&Config {
                legitimate_interest: listed(claims_interest),
                flexible: listed(is_flexible),
                ..consent_config()
            });
            for (is_consent, is_permitted) in [(true, by_consent), (false, by_interest)] {
                let others =
                    [1, 2, 3, 4, 7].into_iter().filter(|one| is_consent || *one != purpose);
                let mut tc = Tc::consenting(US, &others.collect::<Vec<_>>());
                if !is_consent {
                    tc.interests = vec![purpose];
                    tc.vendor_interests = Vendors::one(US);
                }
                if restriction != NONE {
                    tc = tc.restricted(u64::from(purpose), restriction, US);
                    // What a publisher restricts for others is nothing to us.
                    tc = tc.restricted(1, 0, US + 1);
                }
                let what = format!(
                    "purpose {purpose}, interest claimed: {claims_interest}, flexible: \
                     {is_flexible}, restriction {restriction}, by consent: {is_consent}"
                );
                let (permitted, reasons) =
                    if is_permitted { ("SPGM", "") } else { (refused, reason) };
                row(&what, &policy, &under_gdpr(&tc), permitted, reasons);
            }
        }
    }
    let ours = policy(&consent_config());
    let flexible = policy(&Config { flexible: vec![2, 7], ..consent_config() });
    let contradictory = Tc::full(US).restricted(2, 1, US).restricted(2, 2, US);
    row("both at once", &flexible, &under_gdpr(&contradictory), "---M", "tcf_purpose_2");
    let two = Tc::full(US).restricted(2, 0, US).restricted(7, 0, US);
    row("two of a kind", &ours, &under_gdpr(&two), "----", "tcf_purpose_2 tcf_purpose_7");
    let claiming = policy(&Config { legitimate_interest: vec![2, 7], ..consent_config() });
    let objected = Tc { vendor_interests: Vendors::one(US - 1), ..Tc::full(US) };
    let both = "tcf_purpose_2 tcf_purpose_7";
    row("interest of others alone", &claiming, &under_gdpr(&objected), "----", both);
    for (purpose, permitted, reasons) in [
        (1, "--G-", "tcf_purpose_1"),
        (3, "S-GM", "tcf_purpose_3"),
        (4, "S-GM", "tcf_purpose_4"),
        (9, "SPGM", ""),
    ] {
        let forbidden = Tc::full(US).restricted(purpose, 0, US);
        row("forbidden", &ours, &under_gdpr(&forbidden), permitted, reasons);
        let moved = Tc::full(US).restricted(purpose, 2, US);
        row("always by consent", &flexible, &under_gdpr(&moved), permitted, reasons);
    }
}

fn with_sections(sections: &[(u16, &str)], applying: &[i32]) -> Value {
    json!({ "regs": { "gpp": gpp(sections), "gpp_sid": applying } })
}

#[test]
fn which_sections_of_a_gpp_string_apply() {
    let ours = policy(&consent_config());
    let tc = Tc::full(US).text();
    let refusing = Tc::consenting(US, &[1, 2, 7]).text();
    let california = us(1, "111 22 222222222 00 0 122", Some(false));
    let both = [(2, &*tc), (8, &*california)];
    let no_string = json!({ "regs": { "gpp_sid": [8] } });
    let broken = json!({ "regs": { "gpp": "DBAA~x", "gpp_sid": [8] } });
    let other = |start: &str| {
        let text = gpp(&both).replacen("DB", start, 1);
        json!({ "regs": { "gpp": text, "gpp_sid": [8] } })
    };
    let nowhere = json!({ "regs": { "gpp": gpp(&both), "gpp_sid": [] } });
    #[rustfmt::skip]
    let rows = [
        ("the European one", with_sections(&both, &[2]), "SPGM", ""),
        ("California's", with_sections(&both, &[8]), "SPGM", ""),
        ("both", with_sections(&both, &[2, 8]), "SPGM", ""),
        ("the European one refuses in part", with_sections(&[(2, &refusing), (8, &california)], &[2, 8]), "S-GM", "tcf_purpose_3 tcf_purpose_4"),
        ("none", with_sections(&[(2, &refusing)], &[-1]), "SPGM", ""),
        ("nobody knows which", with_sections(&both, &[0]), "----", "gpp_sections_unknown"),
        ("nobody knows which, and California's", with_sections(&both, &[0, 8]), "----", "gpp_sections_unknown"),
        ("no list", nowhere, "----", "gpp_sections_unknown"),
        ("no list and no string", json!({ "regs": { "gpp_sid": [] } }), "SPGM", ""),
        ("nobody knows which, and no string", json!({ "regs": { "gpp_sid": [0] } }), "----", "gpp_sections_unknown"),
        ("an id that means nothing", with_sections(&both, &[-2]), "----", "gpp_section_unsupported"),
        ("one that is not in the string", with_sections(&both, &[2, 9]), "----", "gpp_section_missing"),
        ("no string", no_string, "----", "gpp_section_missing"),
        ("a broken string", broken, "----", "gpp_unreadable"),
        ("version 2 of the header", other("DC"), "----", "gpp_unreadable"),
        ("another type than a header", other("CB"), "----", "gpp_unreadable"),
        ("Canada's", with_sections(&[(5, "BPSG_8A")], &[5]), "----", "gpp_section_unsupported"),
        ("TCF 1", with_sections(&both, &[1]), "----", "gpp_section_unsupported"),
        ("one of the future", with_sections(&[(40, "BAAA")], &[40]), "----", "gpp_section_unsupported"),
        ("one beyond all", with_sections(&both, &[i32::MAX, -1]), "----", "gpp_section_unsupported"),
        ("US privacy", with_sections(&[(6, "1YNN")], &[6]), "SPGM", ""),
        ("US privacy, opted out", with_sections(&[(6, "1YYN")], &[6]), "----", "us_privacy"),
        ("US privacy, empty", with_sections(&[(6, "")], &[6]), "----", "us_privacy"),
    ];
    for (what, signals, permitted, reasons) in rows {
        row(what, &ours, &signals, permitted, reasons);
    }
    let mut signals = with_sections(&[(2, &refusing)], &[2]);
    signals["regs"]["gdpr"] = json!(1);
    row("GDPR with its string in GPP", &ours, &signals, "S-GM", "tcf_purpose_3 tcf_purpose_4");
    signals["user"] = json!({ "consent": Tc::consenting(US, &[1, 2, 3, 4]).text() });
    let all = "tcf_purpose_3 tcf_purpose_4 tcf_purpose_7";
    row("and another beside it: both bind", &ours, &signals, "S-G-", all);
    signals["regs"]["gpp_sid"] = json!([8]);
    signals["user"] = json!({});
    let reasons = "gdpr_no_string gpp_section_missing";
    row("GDPR with its string in GPP, not said to apply", &ours, &signals, "----", reasons);
}

/// The national section, version 2, as digits: notices, opt-outs, sensitive data (8th: precise
/// geolocation), children, personal data, MSPA (covered, opt-out mode, service provider mode).
#[test]
fn what_the_national_section_permits() {
    let ours = policy(&consent_config());
    #[rustfmt::skip]
    let rows = [
        ("no opt-out", "111111 222 2222222222222222 000 0 122", "SPGM", ""),
        ("consent to what goes beyond", "111111 222 2222222222222222 000 2 122", "SPGM", ""),
        ("opted out of sale", "111111 122 2222222222222222 000 0 122", "----", "us_opt_out"),
        ("opted out of sharing", "111111 212 2222222222222222 000 0 122", "----", "us_opt_out"),
        ("opted out of targeted advertising", "111111 221 2222222222222222 000 0 122", "S-GM", "us_targeting_opt_out"),
        ("sale is not applicable", "101111 022 2222222222222222 000 0 122", "SPGM", ""),
        ("sharing is not applicable", "110111 202 2222222222222222 000 0 122", "SPGM", ""),
        ("targeted advertising is not applicable", "111011 220 2222222222222222 000 0 122", "SPGM", ""),
        ("neither sharing nor targeted advertising is", "110011 200 2222222222222222 000 0 122", "----", "us_unanswered"),
        ("nothing is", "000000 000 0000000000000000 000 0 200", "----", "us_unanswered us_precise_geo"),
        ("service providers only", "110011 200 2222222222222222 000 0 121", "S-GM", "us_service_provider"),
        ("no notice of sharing", "211111 222 2222222222222222 000 0 122", "----", "us_no_notice"),
        ("no notice of sale", "121111 222 2222222222222222 000 0 122", "----", "us_no_notice"),
        ("no notice of targeted advertising", "111211 222 2222222222222222 000 0 122", "----", "us_no_notice"),
        ("no notice, and yet no opt-out", "101111 222 2222222222222222 000 0 122", "----", "us_no_notice"),
        ("no notice about sensitive data", "111122 222 2222222222222222 000 0 122", "SPGM", ""),
        ("no consent to precise geolocation", "111111 222 2222222122222222 000 0 122", "SP-M", "us_precise_geo"),
        ("precise geolocation is not applicable", "111111 222 2222222022222222 000 0 122", "SP-M", "us_precise_geo"),
        ("no consent to other sensitive data", "111111 222 1111111211111111 000 0 122", "SPGM", ""),
        ("a child of 13 to 16, who refuses", "111111 222 2222222222222222 100 0 122", "----", "us_child"),
        ("a child under 13, whose parent consents", "111111 222 2222222222222222 020 0 122", "----", "us_child"),
        ("a child of 16", "111111 222 2222222222222222 002 0 122", "----", "us_child"),
        ("no consent to what goes beyond", "111111 222 2222222222222222 000 1 122", "----", "us_no_consent"),
        ("a value that is not defined", "111111 222 3222222222222222 000 0 122", "----", "gpp_unreadable"),
        ("cut short", "111111 222 2222222222222222 00", "----", "gpp_unreadable"),
    ];
    for (what, fields, permitted, reasons) in rows {
        let signals = with_sections(&[(7, &us(2, fields, Some(false)))], &[7]);
        row(what, &ours, &signals, permitted, reasons);
        let signals = with_sections(&[(7, &us(2, fields, None))], &[7]);
        row(&format!("{what}, no word on GPC"), &ours, &signals, permitted, reasons);
    }
    let (one, two) = ("111111 222 222222222222 00 0 122", "111111 222 2222222222222222 000 0 122");
    #[rustfmt::skip]
    let rows = [
        ("version 1", us(1, one, None), "SPGM", ""),
        ("version 1, a child", us(1, "111111 222 222222222222 02 0 122", None), "----", "us_child"),
        ("version 2 read by the layout of 1", us(2, one, None), "----", "gpp_unreadable"),
        ("version 3", us(3, two, None), "----", "gpp_unreadable"),
        ("the fields of version 2 under the number 1", us(1, two, None), "----", "gpp_unreadable"),
        ("filled up to four letters", format!("{}AA", us(1, one, None)), "SPGM", ""),
        ("filled up beyond", format!("{}AAAA", us(1, one, None)), "----", "gpp_unreadable"),
        ("Global Privacy Control", us(2, two, Some(true)), "----", "us_gpc"),
        ("said twice", format!("{}.YA", us(2, two, Some(false))), "----", "gpp_unreadable"),
        ("another sub-section", format!("{}.gA", us(2, two, None)), "----", "gpp_unreadable"),
        ("not base 64", "B+AA".to_owned(), "----", "gpp_unreadable"),
        ("empty", String::new(), "----", "gpp_unreadable"),
    ];
    for (what, section, permitted, reasons) in rows {
        row(what, &ours, &with_sections(&[(7, &section)], &[7]), permitted, reasons);
    }
}

/// What the simulated exchange sends.
#[test]
fn what_the_demos_american_users_permit() {
    let ours = policy(&consent_config());
    for (text, section, permitted, reasons) in [
        ("DBABLA~BVVqqqqqAa.QA", 7, "SPGM", ""),
        ("DBABLA~BVVpqqqqAa.QA", 7, "S-GM", "us_targeting_opt_out"),
        ("DBABTA~1YYN", 6, "----", "us_privacy"),
    ] {
        let signals = json!({ "regs": { "gpp": text, "gpp_sid": [section] } });
        row(text, &ours, &signals, permitted, reasons);
    }
}

/// Each state's section in its own layout: notices, opt-outs, sensitive data, children, consent to
/// more where it is asked, MSPA. The last column is what it says of precise geolocation when all
/// fields of sensitive data say yes.
#[test]
fn what_the_states_sections_permit() {
    let ours = policy(&consent_config());
    #[rustfmt::skip]
    let states = [
        (8, "California", "111", "2", "222222222", 2, "00", "0", "SPGM"),
        (9, "Virginia", "111", "2", "22222222", 7, "0", "", "SPGM"),
        (10, "Colorado", "111", "2", "2222222", 99, "0", "", "SP-M"),
        (11, "Utah", "1111", "2", "22222222", 7, "0", "", "SPGM"),
        (12, "Connecticut", "111", "2", "22222222", 7, "000", "", "SPGM"),
        (13, "Florida", "111", "2", "22222222", 7, "000", "0", "SPGM"),
        (14, "Montana", "111", "2", "22222222", 7, "000", "0", "SPGM"),
        (15, "Oregon", "111", "2", "22222222222", 10, "000", "0", "SPGM"),
        (16, "Texas", "111", "2", "22222222", 7, "0", "0", "SPGM"),
        (17, "Delaware", "111", "2", "222222222", 7, "00000", "0", "SPGM"),
        (18, "Iowa", "1111", "2", "22222222", 7, "0", "", "SPGM"),
        (19, "Nebraska", "111", "2", "22222222", 7, "0", "0", "SPGM"),
        (20, "New Hampshire", "111", "2", "22222222", 7, "000", "0", "SPGM"),
        (21, "New Jersey", "111", "2", "2222222222", 7, "00000", "0", "SPGM"),
        (22, "Tennessee", "111", "2", "22222222", 7, "0", "0", "SPGM"),
        (23, "Minnesota", "111", "2", "22222222", 7, "0", "0", "SPGM"),
    ];
    for (id, state, notices, sale, sensitive, geo, children, more, permitted) in states {
        let check = |what: &str, fields: String, permitted: &str, reasons: &str| {
            let signals = with_sections(&[(id, &us(1, &fields, None))], &[i32::from(id)]);
            row(&format!("{state}: {what}"), &ours, &signals, permitted, reasons);
        };
        let geo_reason = if permitted == "SPGM" { "" } else { "us_precise_geo" };
        let join = |one: &str| [one, geo_reason].join(" ").trim().to_owned();
        let all = |opt_outs: &str, sensitive: &str, children: &str, more: &str, mspa: &str| {
            format!("{notices} {opt_outs} {sensitive} {children} {more} {mspa}")
        };
        let stays = format!("{sale}2");
        check("stays", all(&stays, sensitive, children, more, "122"), permitted, geo_reason);
        let no_sale = all("12", sensitive, children, more, "122");
        check("opted out of sale", no_sale, "----", &join("us_opt_out"));
        // California's second right is sharing, the others' targeted advertising.
        let (left, reason) = match (id, permitted) {
            (8, _) => ("----", "us_opt_out"),
            (_, "SPGM") => ("S-GM", "us_targeting_opt_out"),
            _ => ("S--M", "us_targeting_opt_out"),
        };
        check("the second right", all("21", sensitive, children, more, "122"), left, &join(reason));
        let zeros = "0".repeat(children.len() - 1);
        for child in [format!("{zeros}1"), format!("2{zeros}")] {
            let child = all(&stays, sensitive, &child, more, "122");
            check("a child", child, "----", &join("us_child"));
        }
        if geo < sensitive.len() {
            let (before, after) = (&sensitive[..geo], &sensitive[geo + 1..]);
            let fields = all(&stays, &format!("{before}1{after}"), children, more, "122");
            check("precise geolocation", fields, "SP-M", "us_precise_geo");
        }
        if !more.is_empty() {
            let fields = all(&stays, sensitive, children, "1", "122");
            check("no consent to more", fields, "----", &join("us_no_consent"));
        }
        let left = if permitted == "SPGM" { "S-GM" } else { "S--M" };
        let provider = all(&stays, sensitive, children, more, "121");
        check("service providers only", provider, left, &join("us_service_provider"));
        let short = format!("{notices} {stays} {sensitive}");
        check("cut short", short, "----", "gpp_unreadable");
        // With more fields than any version has: what refuses it is its version.
        let fields = all(&stays, sensitive, children, more, "122") + &"0".repeat(60);
        let other = us(2, &fields, None);
        let signals = with_sections(&[(id, &other)], &[i32::from(id)]);
        row(&format!("{state}: version 2"), &ours, &signals, "----", "gpp_unreadable");
    }
}

#[test]
fn each_permission_is_lost_to_its_own_signals_and_all_are_counted() {
    let tc = Tc::consenting(US, &[1, 2, 7]).text();
    let signals = json!({
        "regs": { "gdpr": 1, "gpc": 1, "us_privacy": "1YYN" }, "user": { "consent": tc },
        "device": { "lmt": 1 },
    });
    let reasons = "tcf_purpose_3 tcf_purpose_4 us_privacy gpc limit_ad_tracking";
    row("all at once", &policy(&consent_config()), &signals, "----", reasons);
}

#[test]
fn hostile_strings_are_refused_or_cheap() {
    let cut = |text: &str, end: usize| text[..end].to_owned();
    let full = Tc::full(US).restricted(2, 1, US).text();
    // Every cut of a string is short, but for those that lose nothing than filling.
    for end in 0..full.len() {
        let read = TcString::parse(&full[..end]);
        assert!(read.is_err() || end + 2 > full.len(), "{end} of {}", full.len());
    }
    assert_eq!(TcString::parse(&cut(&full, 20)).err(), Some(TcfError::Short));
    let shown = Tc { disclosed: Some(Vendors::one(US)), ..Tc::full(US) }.text();
    for end in shown.find('.').expect("two segments") + 1..shown.len() {
        assert_eq!(TcString::parse(&shown[..end]).err(), Some(TcfError::Short), "{end}");
    }
    for (ranges, expected) in [
        (vec![(0, 5)], TcfError::Range),
        (vec![(7, 6)], TcfError::Range),
        (vec![(1, 2), (0, 0)], TcfError::Range),
    ] {
        let tc = Tc { consents: Vendors::Ranges(ranges.clone()), ..Tc::full(US) };
        assert_eq!(TcString::parse(&tc.text()).err(), Some(expected), "{ranges:?}");
    }
    let good = Tc::full(US).text();
    for (tail, expected) in [
        (".", TcfError::Short),
        (".AAAA", TcfError::Segment),
        (".gAAA", TcfError::Segment),
        (".QAAA.QAAA", TcfError::Segment),
        (".IAA", TcfError::Short),
        (".+", TcfError::Letter),
    ] {
        assert_eq!(TcString::parse(&format!("{good}{tail}")).err(), Some(expected), "{tail}");
    }
    let long = "A".repeat(TC_BYTES_MAX + 1);
    assert_eq!(TcString::parse(&format!("C{long}")).err(), Some(TcfError::TooLong));

    // Ranges of all vendors, as many as fit: nothing is written out for them.
    let everyone = vec![(1, u16::MAX); 700];
    let mut tc = Tc { consents: Vendors::Ranges(everyone.clone()), ..Tc::full(US) };
    tc.restrictions = vec![(2, 0, everyone)];
    let text = tc.text();
    let read = TcString::parse(&text).expect("right, if silly");
    assert!(read.vendor_consents().contains(u16::MAX) && !read.vendor_consents().contains(0));
    let ours = policy(&consent_config());
    row("a crowd", &ours, &under_gdpr(&tc), "---M", "tcf_purpose_2");
    let sections = |count| (1..=count).map(|id| (id, "")).collect::<Vec<_>>();
    for (count, is_read) in [(SECTIONS_MAX, true), (SECTIONS_MAX + 1, false)] {
        let text = gpp(&sections(count as u16));
        assert_eq!(GppString::parse(&text).is_some(), is_read, "{count} sections");
    }
    // A header that names more sections than anyone has, and one that never ends a number.
    let mut header = Bits::default();
    header.push(3, 6).push(1, 6).push(4_095, 12);
    for text in [
        format!("{}{}~BAAA", header.text(), "-".repeat(2_000)),
        format!("DBAB{}~BAAA", "A".repeat(4_000)),
        format!("DBAB~{}", "~".repeat(4_000)),
        "~".repeat(8_000),
    ] {
        let signals = json!({ "regs": { "gpp": text, "gpp_sid": [8] } });
        row("a hostile header", &ours, &signals, "----", "gpp_unreadable");
    }
}
