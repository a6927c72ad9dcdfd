//! What the standard asks of each kind of markup: HTML, VAST and native JSON, taken apart by hand.

use crate::read::{codes, flag, lists_image, native_request, number, objects, size, text, texts};
use crate::rules::Broken;
use serde_json::Value;

/// The medium that markup is of, by its form; `None` where it is none.
pub fn form(adm: &str) -> Option<&'static str> {
    let adm = adm.trim();
    if adm.starts_with("<VAST") {
        let kind = attribute(adm, "<MediaFile", "type").unwrap_or_default();
        return Some(if kind.starts_with("audio/") { "audio" } else { "video" });
    }
    if adm.starts_with('<') && adm.contains("<img") {
        return Some("banner");
    }
    let json: Value = serde_json::from_str(adm).ok()?;
    (json["assets"].is_array() || json["native"]["assets"].is_array()).then_some("native")
}

/// The value of an attribute of the first such tag that has attributes.
fn attribute<'m>(markup: &'m str, tag: &str, name: &str) -> Option<&'m str> {
    let start = markup.find(&format!("{tag} "))?;
    let inside = markup[start..].split('>').next()?;
    let (_, value) = inside.split_once(&format!(" {name}=\""))?;
    value.split('"').next()
}

/// The text of the first element of this name, out of its CDATA section.
fn element<'m>(markup: &'m str, name: &str) -> Option<&'m str> {
    let (_, rest) = markup.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let bare = text.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>"));
    Some(bare.unwrap_or(text))
}

/// The length that VAST tells, in seconds.
pub fn seconds(adm: &str) -> Option<u64> {
    let mut parts = element(adm, "Duration")?.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(hours * 3_600 + minutes * 60 + seconds)
}

pub fn banner(slot: &Value, bid: &Value, adm: &str, broken: &mut Broken) {
    let told = size(&bid["w"]).zip(size(&bid["h"]));
    broken.unless(told.is_some(), "banner_told");
    let side = |name: &str| attribute(adm, "<img", name).and_then(|text| text.parse().ok());
    let drawn: Option<(u64, u64)> = side("width").zip(side("height"));
    broken.unless(told.is_none() || drawn == told, "banner_drawn");
    if let Some((w, h)) = told.or(drawn) {
        broken.unless(takes_size(slot, w, h), "banner_size");
    }
    let image = attribute(adm, "<img", "src").unwrap_or_default();
    broken.unless(lists_image(&texts(&slot["mimes"]), image), "banner_mime");
    // List 5.2: 1 is a text ad, 2 an image with a link, 3 JavaScript, 4 an iframe.
    let kind = if adm.contains("<script") {
        3
    } else if adm.contains("<iframe") {
        4
    } else {
        2
    };
    broken.unless(!codes(&slot["btype"]).contains(&kind), "btype");
}

/// One of `format`; without formats the exact size, or the range of 2.5's deprecated bounds. What was
/// sent and is no size permits none: only who names no size at all takes every one.
fn takes_size(slot: &Value, w: u64, h: u64) -> bool {
    let takes = |format: &Value| {
        if let Some(exact) = size(&format["w"]).zip(size(&format["h"])) {
            return Some(exact == (w, h));
        }
        let (wide, high) = size(&format["wratio"]).zip(size(&format["hratio"]))?;
        Some(w * high == h * wide && w >= size(&format["wmin"]).unwrap_or(0))
    };
    let formats: Vec<bool> = objects(&slot["format"]).into_iter().filter_map(takes).collect();
    if !formats.is_empty() {
        return formats.contains(&true);
    }
    let is_wrong = |key: &&str| {
        let side = &slot[*key];
        !side.is_null() && side != "" && number(side).is_none_or(|pixels| pixels < 0.0)
    };
    let (wide, high) = (["w", "wmin", "wmax"], ["h", "hmin", "hmax"]);
    if wide.iter().chain(&high).any(is_wrong) {
        return false;
    }
    let is_named = |keys: [&str; 3]| keys.iter().any(|key| size(&slot[*key]).is_some());
    let has_sides = is_named(wide) && is_named(high);
    if !slot["format"].is_null() && !has_sides {
        return false;
    }
    let side = |ours: u64, exact: &str, least: &str, most: &str| match (
        size(&slot[exact]),
        size(&slot[least]),
        size(&slot[most]),
    ) {
        (Some(exact), None, None) => ours == exact,
        (_, least, most) => (least.unwrap_or(0)..=most.unwrap_or(u64::MAX)).contains(&ours),
    };
    side(w, "w", "wmin", "wmax") && side(h, "h", "hmin", "hmax")
}

/// VAST, of video and of audio.
pub fn vast(slot: &Value, bid: &Value, adm: &str, medium: &str, broken: &mut Broken) {
    broken.unless(is_balanced(adm) && adm.contains("<Creatives>"), "vast");
    let version = attribute(adm, "<VAST", "version").unwrap_or_default();
    // List 5.8: inline and wrapper of each version.
    let protocol = [
        ("1.0", 1, 4),
        ("2.0", 2, 5),
        ("3.0", 3, 6),
        ("4.0", 7, 8),
        ("4.1", 11, 12),
        ("4.2", 13, 14),
    ];
    let protocol = protocol.iter().find(|(name, ..)| *name == version);
    let protocol = protocol.map(
        |(_, inline, wrapper)| {
            if adm.contains("<Wrapper>") { *wrapper } else { *inline }
        },
    );
    let listed = if slot["protocols"].is_null() { &slot["protocol"] } else { &slot["protocols"] };
    let listed = codes(listed);
    let is_listed = listed.is_empty() || protocol.is_some_and(|code| listed.contains(&code));
    broken.unless(protocol.is_some() && is_listed, "protocol");
    let media = element_with_attributes(adm, "MediaFile").unwrap_or_default();
    broken.unless(media.contains("://"), "vast_media");
    let click = element(adm, "ClickThrough").unwrap_or_default();
    broken.unless(click.starts_with("https://"), "vast_click");
    let mime = attribute(adm, "<MediaFile", "type").unwrap_or_default();
    let mimes = texts(&slot["mimes"]);
    // Required of players: one that lists none is not one that plays all.
    let takes = mimes.iter().any(|one| one.eq_ignore_ascii_case(mime));
    broken.unless(takes, if medium == "audio" { "audio_mime" } else { "video_mime" });
    let seconds = seconds(adm).unwrap_or(0);
    broken.unless(takes_seconds(slot, seconds), "duration");
    broken.unless(size(&bid["dur"]).is_none_or(|told| told == seconds), "duration_told");
    let kind = if adm.contains("<Linear") { 1 } else { 2 };
    broken.unless(size(&slot["linearity"]).is_none_or(|asked| asked == kind), "linearity");
    let delivery = match attribute(adm, "<MediaFile", "delivery") {
        Some("streaming") => 1,
        _ => 2,
    };
    let deliveries = codes(&slot["delivery"]);
    broken.unless(deliveries.is_empty() || deliveries.contains(&delivery), "delivery");
    let skips = attribute(adm, "<Linear", "skipoffset").is_some();
    let forbids = number(&slot["skip"]) == Some(0.0);
    let is_long = seconds > size(&slot["skipmin"]).unwrap_or(0);
    broken.unless(!skips || (!forbids && is_long), "skip");
    let rate = attribute(adm, "<MediaFile", "bitrate").and_then(|text| text.parse().ok());
    let least = size(&slot["minbitrate"]).unwrap_or(0);
    let rates = least..=size(&slot["maxbitrate"]).unwrap_or(u64::MAX);
    broken.unless(rate.is_none_or(|rate: u64| rates.contains(&rate)), "bitrate");
}

/// The text of an element that has attributes.
fn element_with_attributes<'m>(markup: &'m str, name: &str) -> Option<&'m str> {
    let (_, rest) = markup.split_once(&format!("<{name} "))?;
    let (_, inside) = rest.split_once('>')?;
    inside.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// Whether each tag is closed in its order.
fn is_balanced(mut xml: &str) -> bool {
    let mut open = Vec::new();
    while let Some((_, rest)) = xml.split_once('<') {
        if let Some(inside) = rest.strip_prefix("![CDATA[") {
            let Some((_, after)) = inside.split_once("]]>") else { return false };
            xml = after;
            continue;
        }
        let Some((tag, after)) = rest.split_once('>') else { return false };
        xml = after;
        let name = tag.split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(closed) if open.pop() == Some(closed) => {}
            Some(_) => return false,
            None if tag.ends_with('/') || tag.starts_with('?') => {}
            None => open.push(name),
        }
    }
    open.is_empty()
}

/// One of `rqddurs`, else from least to most; never longer than the pod.
fn takes_seconds(slot: &Value, seconds: u64) -> bool {
    let exact = codes(&slot["rqddurs"]);
    let least = size(&slot["minduration"]).unwrap_or(0);
    let most = size(&slot["maxduration"]).unwrap_or(u64::MAX);
    let fits =
        if exact.is_empty() { (least..=most).contains(&seconds) } else { exact.contains(&seconds) };
    seconds > 0 && fits && size(&slot["poddur"]).is_none_or(|pod| seconds <= pod)
}

pub fn native(slot: &Value, adm: &str, broken: &mut Broken) {
    let answer: Value = serde_json::from_str(adm).unwrap_or_default();
    let answer = if answer["native"].is_object() { &answer["native"] } else { &answer };
    let Some(request) = native_request(slot) else {
        return broken.unless(false, "native_request");
    };
    let asked = [text(&request, "ver"), text(slot, "ver")];
    let asked = asked.into_iter().find(|version| !version.is_empty()).unwrap_or("1.2");
    // 1.1 and 1.0 are answered alike; what is answered in 1.2 must be asked for in 1.2.
    let is_understood = match text(answer, "ver") {
        "1.2" => asked.starts_with("1.2") || asked == "1",
        "1.1" | "1.0" | "" => true,
        _ => false,
    };
    broken.unless(is_understood, "native_version");
    broken.unless(text(&answer["link"], "url").starts_with("https://"), "native_link");
    let asked = objects(&request["assets"]);
    let answers = objects(&answer["assets"]);
    for (position, asset) in answers.iter().enumerate() {
        let is_new = !answers[..position].iter().any(|one| one["id"] == asset["id"]);
        broken.unless(is_new, "native_twice");
        let wanted = asked.iter().find(|wanted| number(&wanted["id"]) == number(&asset["id"]));
        match wanted {
            Some(wanted) => native_asset(wanted, asset, broken),
            None => broken.unless(false, "native_asset"),
        }
    }
    for wanted in asked.iter().filter(|wanted| flag(&wanted["required"])) {
        let is_answered = answers.iter().any(|one| number(&one["id"]) == number(&wanted["id"]));
        broken.unless(is_answered, "native_required");
    }
}

fn native_asset(wanted: &Value, asset: &Value, broken: &mut Broken) {
    let kinds = ["title", "img", "data", "video"];
    let kind = kinds.into_iter().find(|kind| asset[kind].is_object()).unwrap_or("title");
    broken.unless(wanted[kind].is_object(), "native_asset");
    let is_within = |value: &str, most: &Value| {
        let most = size(most).unwrap_or(u64::MAX);
        !value.is_empty() && value.chars().count() as u64 <= most
    };
    match kind {
        "title" => {
            let fits = is_within(text(&asset["title"], "text"), &wanted["title"]["len"]);
            broken.unless(fits, "native_title");
        }
        "data" => {
            let fits = is_within(text(&asset["data"], "value"), &wanted["data"]["len"]);
            broken.unless(fits, "native_data");
        }
        "img" => {
            let (wanted, image) = (&wanted["img"], &asset["img"]);
            let side = |ours: &str, least: &str| {
                let drawn = size(&image[ours]).unwrap_or(0);
                // A least size lets the publisher scale; alone, the size is exact.
                match (size(&wanted[least]), size(&wanted[ours])) {
                    (Some(least), _) => drawn >= least,
                    (None, Some(exact)) => drawn == exact,
                    (None, None) => true,
                }
            };
            broken.unless(side("w", "wmin") && side("h", "hmin"), "native_image");
            let url = text(image, "url");
            broken.unless(url.starts_with("https://"), "native_image_url");
            broken.unless(lists_image(&texts(&wanted["mimes"]), url), "native_image_mime");
        }
        _ => {}
    }
}
