use super::*;
use proptest::prelude::*;

const VALUES_OF_ONE_BID: MacroValues<'_> = MacroValues {
    auction_id: "r 1",
    imp_id: "i&1",
    seat_id: "seat",
    creative: "crid-1",
    currency: "EUR",
    click: "https://bid.example/click?e=x&t=T",
    impression: "https://bid.example/pixel?e=x&t=T&price=${AUCTION_PRICE}",
    cache_buster: 42,
    campaign: "run",
    site: "news.example",
    gdpr: Some(true),
    consent: "CP.a_b-c",
    us_privacy: "1YN-",
    gpp: "DBAB~CP",
    gpp_sid: &[2, -7, 10],
};

/// What a snippet becomes, out of its JSON string.
fn html(text: &str, values: &MacroValues<'_>) -> String {
    let (mut prepared, mut out) = (String::new(), "\"".to_owned());
    json(text, &mut prepared);
    let template = Template::prepared(&prepared, prepared.len());
    template.expect("compiles").write_json(values, &mut out);
    out.push('"');
    serde_json::from_str(&out).expect("JSON")
}

fn url(text: &str) -> String {
    let mut out = String::new();
    let plain: Put = |text, out| out.push_str(text);
    Template::url(text).expect("compiles").write_url(&VALUES_OF_ONE_BID, plain, &mut out);
    out
}

#[test]
fn each_macro_becomes_its_value_or_stays() {
    for (text, expected) in [
        ("https://a.example/x", "https://a.example/x"),
        ("a=${AUCTION_ID}&i=${AUCTION_IMP_ID}", "a=r%201&i=i%261"),
        ("${AUCTION_SEAT_ID}/${AUCTION_AD_ID}/${AUCTION_CURRENCY}", "seat/crid-1/EUR"),
        ("${AUCTION_ID:B64}", "ciAx"),
        ("${AUCTION_IMP_ID:B64}|${AUCTION_SEAT_ID:B64}", "aSYx|c2VhdA%3D%3D"),
        ("${AUCTION_PRICE}${AUCTION_PRICE:B64}", "${AUCTION_PRICE}${AUCTION_PRICE:B64}"),
        (
            "${AUCTION_BID_ID}${AUCTION_MBR}${AUCTION_LOSS}${AUCTION_MIN_TO_WIN}",
            "${AUCTION_BID_ID}${AUCTION_MBR}${AUCTION_LOSS}${AUCTION_MIN_TO_WIN}",
        ),
        ("${AUCTION_MULTIPLIER:X}${AUCTION_IMP_TS}", "${AUCTION_MULTIPLIER:X}${AUCTION_IMP_TS}"),
        ("${OUTBID_CLICK}", "https://bid.example/click?e=x&t=T"),
        ("${OUTBID_CLICK_ENC}", "https%3A%2F%2Fbid.example%2Fclick%3Fe%3Dx%26t%3DT"),
        ("${OUTBID_IMPRESSION}", "https://bid.example/pixel?e=x&t=T&price=${AUCTION_PRICE}"),
        ("${OUTBID_CACHEBUSTER}:${OUTBID_CAMPAIGN}", "42:run"),
        ("${OUTBID_CREATIVE}@${OUTBID_SITE}", "crid-1@news.example"),
        ("${GDPR}${GDPR_CONSENT_755}${US_PRIVACY}", "1CP.a_b-c1YN-"),
        ("${GPP}+${GPP_STRING_12}+${GPP_SID}", "DBAB~CP+DBAB~CP+2,-7,10"),
        ("${GPP_STRING}+${GPP_STRING:B64}", "DBAB~CP+REJBQn5DUA%3D%3D"),
        ("${GPP_SID:B64}+${OUTBID_CACHEBUSTER:B64}", "MiwtNywxMA%3D%3D+NDI%3D"),
        ("${GDPR_CONSENT_}${GDPR_CONSENT_x}", "${GDPR_CONSENT_}${GDPR_CONSENT_x}"),
        ("${theirs} ${THEIRS} ${ $ {", "${theirs} ${THEIRS} ${ $ {"),
        ("${AUCTION_ID", "${AUCTION_ID"),
        ("${${AUCTION_ID}", "${r%201"),
    ] {
        assert_eq!(url(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_filled_is_refused() {
    for text in
        ["${AUCTION_PRISE}", "${OUTBID_CLICKS}", "${AUCTION_ID:HEX}", "${GPP:b64}x${GPP:HEX}"]
    {
        assert!(Template::url(text).is_err(), "{text}");
    }
    assert_eq!(Template::url(&"x".repeat(65_537)), Err(TemplateError::TooLong));
    assert_eq!(Template::url(&"${GDPR} ".repeat(129)), Err(TemplateError::TooLong));
}

#[test]
fn our_urls_are_escaped_in_markup_and_bare_in_scripts() {
    let html = r#"<a href="${OUTBID_CLICK}"><script>go("${OUTBID_CLICK}")</SCRIPT><img src="${OUTBID_IMPRESSION}">"#;
    let template = Template::html(html).expect("compiles");
    assert!(template.has_click() && template.has_impression());
    let out = self::html(html, &VALUES_OF_ONE_BID);
    let escaped = "https://bid.example/click?e=x&amp;t=T";
    let bare = "https://bid.example/click?e=x&t=T";
    let pixel = "https://bid.example/pixel?e=x&amp;t=T&amp;price=${AUCTION_PRICE}";
    assert_eq!(
        out,
        format!("<a href=\"{escaped}\"><script>go(\"{bare}\")</SCRIPT><img src=\"{pixel}\">")
    );
}

/// An exchange cannot find the price's macro in a pixel that is in Base64, so ours is added then.
#[test]
fn a_pixel_in_base64_is_none() {
    let has_impression = |html: &str| Template::html(html).map(|html| html.has_impression());
    assert_eq!(has_impression("<img src=\"${OUTBID_IMPRESSION}\">"), Ok(true));
    assert_eq!(has_impression("<script>go(\"${OUTBID_IMPRESSION}\")</script>"), Ok(true));
    assert_eq!(has_impression("<img src=\"https://t/?${OUTBID_IMPRESSION:B64}\">"), Ok(false));
}

proptest! {
    /// A macro is in a script where the last tag of one before it opens it, and only a snippet has any.
    #[test]
    fn scripts_are_found_wherever_they_begin_and_end(
        parts in proptest::collection::vec(0..6usize, 0..30),
        snippet in 0..31usize,
    ) {
        let part = |part: &usize| {
            ["${OUTBID_CLICK}", "<script src=x>", "</SCRIPT>", "${GDPR}", "<scr", "ipt>"][*part]
        };
        let (mut text, mut expected, mut ends) = (String::new(), String::new(), 0);
        for (number, part) in parts.iter().map(part).enumerate() {
            let lower = text.to_ascii_lowercase();
            let is_script = lower.rfind("<script") > lower.rfind("</script");
            expected.push_str(match part {
                "${OUTBID_CLICK}" if is_script && number < snippet => "a&b",
                "${OUTBID_CLICK}" => "a&amp;b",
                "${GDPR}" => "",
                other => other,
            });
            text.push_str(part);
            ends = if number < snippet { text.len() } else { ends };
        }
        let values = MacroValues { click: "a&b", ..MacroValues::default() };
        let mut out = String::new();
        Template::prepared(&text, ends).expect("compiles").write_json(&values, &mut out);
        prop_assert_eq!(out, expected);
    }

    /// What stands for a text of the request is letters that mean themselves everywhere, and can be
    /// read back.
    #[test]
    fn texts_of_requests_cannot_become_markup(text in any::<String>()) {
        let values = MacroValues {
            auction_id: &text, imp_id: &text, site: &text, consent: &text, us_privacy: &text,
            gpp: &text, ..VALUES_OF_ONE_BID
        };
        let names = ["AUCTION_ID", "AUCTION_IMP_ID", "OUTBID_SITE", "GDPR_CONSENT_1", "US_PRIVACY", "GPP"];
        for name in names {
            let out = html(&format!("${{{name}}}"), &values);
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            prop_assert_eq!(decoded(&out), text.as_bytes());
        }
    }

    /// Any text compiles or is refused, and without macros comes back as it was.
    #[test]
    fn no_text_makes_the_compiler_panic(text in "[$\\{\\}A-Z_:<>é ]{0,40}") {
        if let Ok(template) = Template::html(&text) {
            prop_assert_eq!(template.as_str(), text);
        }
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit =
            || bytes.next().and_then(|digit| char::from(digit).to_digit(16)).unwrap_or(0);
        out.push(if byte == b'%' { (digit() * 16 + digit()) as u8 } else { byte });
    }
    out
}
