//! Reading a request or an answer as plain JSON, as lenient as senders are sloppy: numbers and flags
//! may be texts, and what is not there reads as nothing.

use serde_json::Value;

/// The media of an imp, by their keys in it.
pub const MEDIA: [&str; 4] = ["banner", "video", "native", "audio"];

/// The texts of a list; numbers count as texts, anything else not.
pub fn texts(list: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match list {
        Value::Array(values) => values.iter().filter_map(text).collect(),
        single => text(single).into_iter().filter(|text| !text.is_empty()).collect(),
    }
}

/// The objects of a list.
pub fn objects(list: &Value) -> Vec<&Value> {
    list.as_array().into_iter().flatten().filter(|value| value.is_object()).collect()
}

/// A number, or a text that is one.
pub fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A floor: nothing where none was sent, and more than anybody pays where what was sent is no number.
pub fn cpm(value: &Value) -> f64 {
    let is_sent = !value.is_null() && value != "";
    number(value).map_or(if is_sent { f64::INFINITY } else { 0.0 }, |cpm| cpm.max(0.0))
}

/// A whole number above 0: the standard's sizes and lengths, where 0 says nothing.
pub fn size(value: &Value) -> Option<u64> {
    number(value).filter(|number| *number >= 1.0).map(|number| number as u64)
}

/// The codes of a list of numbers.
pub fn codes(list: &Value) -> Vec<u64> {
    let codes = |values: &[Value]| values.iter().filter_map(size).collect();
    match list {
        Value::Array(values) => codes(values),
        single => codes(std::slice::from_ref(single)),
    }
}

/// Whether a flag is set.
pub fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| number(value) == Some(1.0))
}

/// A text, empty where there is none.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The native request of a native placement, out of its text and its wrapper.
pub fn native_request(native: &Value) -> Option<Value> {
    let request = match &native["request"] {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    let request = if request["native"].is_object() { request["native"].clone() } else { request };
    request.is_object().then_some(request)
}

/// The level of transparency that the EU Digital Services Act object asks for, in either place.
pub fn dsa_level(request: &Value) -> u64 {
    let regs = &request["regs"];
    let dsa = if regs["dsa"].is_object() { &regs["dsa"] } else { &regs["ext"]["dsa"] };
    size(&dsa["dsarequired"]).or_else(|| size(&dsa["required"])).unwrap_or(0)
}

/// What one unit of a currency is worth in dollars: the table that the engine is given too.
pub const RATES: [(&str, &str); 7] = [
    ("USD", "1"),
    ("EUR", "1.08"),
    ("GBP", "1.27"),
    ("CHF", "1.12"),
    ("JPY", "0.0067"),
    ("RUB", "0.011"),
    ("MXN", "0.058"),
];

/// What one unit of `currency` is worth in dollars.
pub fn in_dollars(currency: &str) -> Option<f64> {
    let row = RATES.iter().find(|(code, _)| code.eq_ignore_ascii_case(currency));
    row.and_then(|(_, rate)| rate.parse().ok())
}

/// The currency of a floor: dollars where none is named.
pub fn floor_currency(floor: &Value) -> &str {
    Some(text(floor, "bidfloorcur").trim()).filter(|code| !code.is_empty()).unwrap_or("USD")
}

/// The last part of a URL's path after its dot.
fn ending(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Whether one of `mimes` names the type of the image at `url`; `image/jpg` is how many spell JPEG.
pub fn lists_image(mimes: &[String], url: &str) -> bool {
    let names: &[&str] = match ending(url) {
        "jpg" | "jpeg" => &["image/jpeg", "image/jpg"],
        "png" => &["image/png"],
        "gif" => &["image/gif"],
        _ => &[],
    };
    mimes.is_empty() || mimes.iter().any(|mime| names.contains(&mime.to_lowercase().as_str()))
}
