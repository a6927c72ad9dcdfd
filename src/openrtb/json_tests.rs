//! What is read, skipped and refused, held to serde_json.

use super::*;
use crate::openrtb::DEPTH_MAX;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// What stands for a key in the values compared; nothing for one that is not told apart.
fn name(key: Key) -> Option<String> {
    (key != Key::UNKNOWN).then(|| format!("{:x} {:x}", key.start, key.rest))
}

/// The same value with such names.
fn named(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(named).collect(),
        Value::Object(object) => {
            let named = |(key, value): (String, Value)| {
                Some((name(Key::of(key.as_bytes()))?, named(value)))
            };
            Value::Object(object.into_iter().filter_map(named).collect())
        }
        other => other,
    }
}

/// Reads a value as the view's parts do.
fn value(source: &mut Source<'_>) -> Result<Value, Stop> {
    match source.peek() {
        Some(b'"') => source.text().map(|text| Value::from(text.into_owned())),
        Some(b'-' | b'0'..=b'9') => {
            if let Some(number) = source.plain_number() {
                return Ok(Value::from(number));
            }
            source.number().map(|number| match number {
                Number::Int(number) => Value::from(number),
                Number::Uint(number) => Value::from(number),
                other => Value::from(other.float()),
            })
        }
        Some(b'[') => {
            let mut list = Vec::new();
            let mut has_more = source.first_element()?;
            while has_more {
                list.push(value(source)?);
                has_more = source.next_element()?;
            }
            Ok(Value::from(list))
        }
        Some(b'{') => {
            let mut object = Map::new();
            let mut next = source.first_key()?;
            while let Some(key) = next {
                let value = value(source)?;
                object.extend(name(key).map(|name| (name, value)));
                next = source.next_key()?;
            }
            Ok(Value::from(object))
        }
        first => {
            source.skip()?;
            Ok(match first {
                Some(b't') => Value::from(true),
                Some(b'f') => Value::from(false),
                _ => Value::Null,
            })
        }
    }
}

fn check(text: &str) {
    let read = |text| {
        let mut source = Source::new(text, DEPTH_MAX);
        value(&mut source).and_then(|value| source.end().map(|()| value))
    };
    let expected = serde_json::from_str::<Value>(text).ok();
    assert_eq!(read(text).ok(), expected.map(named), "{text}");
    let mut source = Source::new(text, DEPTH_MAX);
    let skipped = source.skip().and_then(|()| source.end());
    assert_eq!(skipped.is_ok(), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
}

#[test]
fn it_reads_and_refuses_what_serde_json_does() {
    for text in [
        "0",
        "-0",
        "00",
        "-",
        "1",
        "-1",
        "01",
        "1.",
        ".1",
        "1.5",
        "-1.50",
        "1e5",
        "1E+5",
        "1e",
        "1e400",
        "123456789012345678",
        "1234567890123456789",
        "18446744073709551616",
        "-9223372036854775808",
        "0.1234567890123456789",
        "1-2",
        "0x1",
        "true",
        "tru",
        "nulll",
        "null",
        "false",
        "",
        " ",
        "[",
        "]",
        "[]",
        "[,]",
        "[1,]",
        "[1:2]",
        "{\"a\":1:\"b\":2}",
        "\"0123456789\u{1f}0123456789abcdef\"",
        "[1 2]",
        "[1,2] ",
        "[[],{},[{}]]",
        "{",
        "{}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
        "{1:2}",
        "[}",
        "{]",
        "[1}",
        "\"\"",
        "\"",
        "\"a",
        "\"a\\\"b\"",
        "\"\\u00e9\"",
        "\"\\u00g9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\x\"",
        "\"\\\"",
        "\"\\u12\"",
        "\"é\\n€\"",
        "\"1234567\"",
        "\"12345678\"",
        "\"a\tb\"",
        "\"1234567\u{1f}\"",
        "\u{a0}1",
        "\t[ 1 ,\r\n2 ]",
        "{\"\\u0061\":1,\"a\":2}",
        "\"\u{7f}\"",
        "[01]",
        "[00,1]",
        "{\"a\":01}",
        "{\"private_auction\":1,\"private_auctions\":2}",
        "{\"id\\u0000\":1,\"id\":2}",
        "[-0.0,0.0,1.50,-12.25,123456789.123456,1234567890.123456]",
    ] {
        check(text);
    }
}

/// Numbers of every length, whole, with fractions and exponents.
const NUMBER: &str = "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,19})?([eE][-+]?[0-9]{1,2})?";
/// Texts around the sixteen bytes that are looked at together, with escapes and without.
const TEXT: &str = "\"([a-z]{0,18}|[a-z]{0,20}[é\u{1f600}\u{7f}][a-z]{0,20}|[a-z]{0,20}(\\\\[\"\\\\nt]|\\\\u00(e9|00))[a-z]{0,20})\"";
const BLANK: &str = "[ \n\t\r]{0,2}|";

/// JSON with blanks here and there, as deep as four.
fn json() -> impl Strategy<Value = String> {
    let literal = prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned);
    let leaf = prop_oneof![NUMBER, TEXT, literal];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let element = (BLANK, inner.clone(), BLANK).prop_map(|(a, b, c)| a + &b + &c);
        let list = prop::collection::vec(element.clone(), 0..6);
        let member = (BLANK, TEXT, BLANK, element).prop_map(|(a, b, c, d)| a + &b + &c + ":" + &d);
        let object = prop::collection::vec(member, 0..6);
        prop_oneof![
            list.prop_map(|parts| format!("[{}]", parts.join(","))),
            object.prop_map(|parts| format!("{{{}}}", parts.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_reads_any_json_and_refuses_it_when_broken(
        text in json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{},:\"\\\\0-9eE.+ x-]"), 0..3),
    ) {
        check(&text);
        let mut broken = text;
        for (place, letter) in edits {
            let at = (0..=place.index(broken.len())).rev().find(|at| broken.is_char_boundary(*at));
            let at = at.unwrap_or(0);
            let end = broken[at..].chars().next().map_or(at, |letter| at + letter.len_utf8());
            broken.replace_range(at..end, &letter);
            check(&broken);
        }
    }

    #[test]
    fn it_agrees_with_serde_json(text in r#"([\[\]{},: \n]|"a"|"[a-z\\"é]{0,12}"|"b":|-?[0-9]{1,4}|[0-9]\.?[0-9]*(e[-+]?[0-9])?|true|null){0,12}"#) {
        check(&text);
    }

    #[test]
    fn it_reads_back_any_value(words in prop::collection::vec("\\PC{0,20}", 0..8), numbers in prop::collection::vec(any::<f64>(), 0..4), cut in any::<prop::sample::Index>()) {
        let nested = serde_json::json!({"a": words, "b": [{"c": numbers, "d": [words, null]}, true]});
        for text in [nested.to_string(), serde_json::to_string_pretty(&nested).expect("it is JSON")] {
            check(&text);
            let cut = (0..=cut.index(text.len())).rev().find(|at| text.is_char_boundary(*at));
            check(&text[..cut.unwrap_or(0)]);
        }
    }
}
