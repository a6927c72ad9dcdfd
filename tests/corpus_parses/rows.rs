//! The table: each decision field, how it is understood, and in which spellings it may stand.

use outbid::openrtb::{
    Audio, Banner, BidRequest, CodeSet, Content, Deal, Device, DurationFloor, Geo, Imp, Inventory,
    Str, SupplyChain, SupplyNode, Video,
};
use outbid::units::Micros;
use serde_json::{Value, json};

/// How a wild value is understood: the same words as in the room's documentation, other code.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Texts,
    Int,
    Size,
    Float,
    Flag,
    MaybeFlag,
    Price,
    Codes,
    Ints,
}

pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => text.trim().parse().ok(),
        Value::Array(list) => number(list.first()?),
        _ => None,
    }
}

pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(list) => text(list.first()?),
        _ => None,
    }
}

pub fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        single => vec![single.clone()],
    }
}

/// `value` as `kind`; null when it says nothing.
pub fn understood(value: &Value, kind: Kind) -> Value {
    match kind {
        Kind::Text => json!(text(value)),
        Kind::Texts => {
            let texts: Vec<String> = elements(value).iter().filter_map(text).collect();
            if texts.is_empty() { Value::Null } else { json!(texts) }
        }
        Kind::Int => json!(number(value).map(|number| number.trunc() as i64)),
        Kind::Size => {
            json!(number(value).filter(|number| *number >= 0.0).map(|number| number.trunc() as i64))
        }
        Kind::Float => json!(number(value)),
        Kind::Flag => {
            number(value).filter(|number| *number != 0.0).map_or(Value::Null, |_| json!(true))
        }
        Kind::MaybeFlag => json!(number(value).map(|number| number != 0.0)),
        Kind::Price => number(value)
            .map(|cpm| (cpm.max(0.0) * 1e6 - 1e-6).ceil() as u64)
            .filter(|micros| *micros > 0)
            .map_or(Value::Null, |micros| json!(micros)),
        Kind::Codes => {
            let codes: Vec<i64> = elements(value)
                .iter()
                .filter_map(|code| number(code).map(|code| code as i64))
                .collect();
            let mut known: Vec<i64> =
                codes.iter().copied().filter(|code| (0..64).contains(code)).collect();
            known.sort_unstable();
            known.dedup();
            let other = codes.iter().any(|code| !(0..64).contains(code));
            if codes.is_empty() { Value::Null } else { json!([known, other]) }
        }
        Kind::Ints => {
            let ints: Vec<i64> = elements(value)
                .iter()
                .filter_map(|code| number(code).map(|code| code as i64))
                .collect();
            if ints.is_empty() { Value::Null } else { json!(ints) }
        }
    }
}

pub fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// One row: the field as we read it, how it is understood, and where it may stand.
pub type Row = (&'static str, Value, Kind, &'static [&'static str]);

pub fn compare(id: &str, place: &str, value: &Value, rows: Vec<Row>, compared: &mut usize) {
    for (name, ours, kind, paths) in rows {
        let theirs = paths
            .iter()
            .map(|path| understood(at(value, path), kind))
            .find(|found| !found.is_null() && found != &json!(false))
            .or_else(|| {
                paths.iter().map(|path| understood(at(value, path), kind)).find(|v| !v.is_null())
            })
            .unwrap_or(Value::Null);
        assert_eq!(ours, theirs, "{id}: {place}{name} as {kind:?}");
        *compared += usize::from(!theirs.is_null());
    }
}

pub fn t(ours: &Str<'_>) -> Value {
    json!(ours.given())
}
pub fn ts(ours: &[Str<'_>]) -> Value {
    if ours.is_empty() { Value::Null } else { json!(ours) }
}
pub fn f(ours: bool) -> Value {
    if ours { json!(true) } else { Value::Null }
}
pub fn p(ours: Micros) -> Value {
    if ours == Micros::ZERO { Value::Null } else { json!(ours.0) }
}
pub fn c(ours: CodeSet) -> Value {
    let known: Vec<u8> = (0..64).filter(|code| ours.contains(*code)).collect();
    if ours.is_given() { json!([known, ours.has_other]) } else { Value::Null }
}
pub fn n<T: serde::Serialize>(ours: Option<T>) -> Value {
    json!(ours)
}

pub fn request_rows(request: &BidRequest<'_>) -> Vec<Row> {
    use Kind::*;
    let regs = &request.regs;
    let sids = if regs.gpp_sid.is_empty() { Value::Null } else { json!(&regs.gpp_sid[..]) };
    vec![
        ("id", t(&request.id), Text, &["id"]),
        ("test", f(request.test), Flag, &["test"]),
        ("at", n(request.at), Int, &["at"]),
        ("tmax", n(request.tmax), Size, &["tmax"]),
        ("wseat", ts(&request.wseat), Texts, &["wseat"]),
        ("bseat", ts(&request.bseat), Texts, &["bseat"]),
        ("wlang", ts(&request.wlang), Texts, &["wlang", "wlangb"]),
        ("cur", ts(&request.cur), Texts, &["cur"]),
        ("bcat", ts(&request.bcat), Texts, &["bcat"]),
        ("acat", ts(&request.acat), Texts, &["acat"]),
        ("cattax", n(request.cattax), Int, &["cattax", "ext.cattax"]),
        ("badv", ts(&request.badv), Texts, &["badv"]),
        ("bapp", ts(&request.bapp), Texts, &["bapp"]),
        ("coppa", f(regs.coppa), Flag, &["regs.coppa"]),
        ("gdpr", n(regs.gdpr), MaybeFlag, &["regs.gdpr", "regs.ext.gdpr"]),
        ("us_privacy", t(&regs.us_privacy), Text, &["regs.us_privacy", "regs.ext.us_privacy"]),
        ("gpp", t(&regs.gpp), Text, &["regs.gpp", "regs.ext.gpp"]),
        ("gpp_sid", sids, Ints, &["regs.gpp_sid", "regs.ext.gpp_sid"]),
        ("gpc", f(regs.gpc), Flag, &["regs.gpc", "regs.ext.gpc"]),
        (
            "dsa",
            n(regs.dsa.required),
            Int,
            &[
                "regs.dsa.dsarequired",
                "regs.dsa.required",
                "regs.ext.dsa.dsarequired",
                "regs.ext.dsa.required",
            ],
        ),
        ("user.id", t(&request.user.id), Text, &["user.id"]),
        ("user.buyeruid", t(&request.user.buyeruid), Text, &["user.buyeruid"]),
        ("user.yob", n(request.user.yob), Int, &["user.yob"]),
        ("user.keywords", ts(&request.user.keywords), Texts, &["user.keywords", "user.kwarray"]),
        ("user.consent", t(&request.user.consent), Text, &["user.consent", "user.ext.consent"]),
    ]
}

pub fn chain_rows(chain: &SupplyChain<'_>) -> Vec<Row> {
    vec![("complete", f(chain.complete), Kind::Flag, &["complete"])]
}

pub fn node_rows(node: &SupplyNode<'_>) -> Vec<Row> {
    use Kind::*;
    vec![("asi", t(&node.asi), Text, &["asi"]), ("sid", t(&node.sid), Text, &["sid"])]
}

pub fn floor_rows(floor: &DurationFloor) -> Vec<Row> {
    use Kind::*;
    vec![
        ("mindur", n(floor.mindur), Size, &["mindur"]),
        ("maxdur", n(floor.maxdur), Size, &["maxdur"]),
        ("bidfloor", p(floor.bidfloor), Price, &["bidfloor"]),
    ]
}

pub fn inventory_rows(site: &Inventory<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("domain", t(&site.domain), Text, &["domain"]),
        ("bundle", t(&site.bundle), Text, &["bundle"]),
        ("page", t(&site.page), Text, &["page"]),
        ("cat", ts(&site.cat), Texts, &["cat"]),
        ("sectioncat", ts(&site.sectioncat), Texts, &["sectioncat"]),
        ("pagecat", ts(&site.pagecat), Texts, &["pagecat"]),
        ("keywords", ts(&site.keywords), Texts, &["keywords", "kwarray"]),
    ]
}

pub fn content_rows(content: &Content<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("cat", ts(&content.cat), Texts, &["cat"]),
        ("keywords", ts(&content.keywords), Texts, &["keywords", "kwarray"]),
    ]
}

pub fn device_rows(device: &Device<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("dnt", f(device.dnt), Flag, &["dnt"]),
        ("lmt", f(device.lmt), Flag, &["lmt"]),
        ("devicetype", n(device.devicetype), Int, &["devicetype"]),
        ("os", t(&device.os), Text, &["os"]),
        ("ifa", t(&device.ifa), Text, &["ifa"]),
    ]
}

pub fn geo_rows(geo: &Geo<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("country", t(&geo.country), Text, &["country"]),
        ("region", t(&geo.region), Text, &["region"]),
        ("city", t(&geo.city), Text, &["city"]),
        ("zip", t(&geo.zip), Text, &["zip"]),
        ("lat", n(geo.lat), Float, &["lat"]),
        ("lon", n(geo.lon), Float, &["lon"]),
        ("type", n(geo.r#type), Int, &["type"]),
        ("accuracy", n(geo.accuracy), Size, &["accuracy"]),
        ("utcoffset", n(geo.utcoffset), Int, &["utcoffset"]),
    ]
}

pub fn imp_rows(imp: &Imp<'_>) -> Vec<Row> {
    use Kind::*;
    let outbid = imp.outbid.clone().unwrap_or_default();
    vec![
        ("id", t(&imp.id), Text, &["id"]),
        ("tagid", t(&imp.tagid), Text, &["tagid"]),
        ("bidfloor", p(imp.bidfloor), Price, &["bidfloor"]),
        ("bidfloorcur", t(&imp.bidfloorcur), Text, &["bidfloorcur"]),
        ("secure", f(imp.secure), Flag, &["secure"]),
        ("pctr", json!(outbid.pctr), Float, &["ext.outbid.pctr"]),
        ("pcvr", json!(outbid.pcvr), Float, &["ext.outbid.pcvr"]),
        ("qty", p(imp.qty.multiplier), Price, &["qty.multiplier"]),
        ("private_auction", f(imp.pmp.private_auction), Flag, &["pmp.private_auction"]),
    ]
}

pub fn deal_rows(deal: &Deal<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("id", t(&deal.id), Text, &["id"]),
        ("bidfloor", p(deal.bidfloor), Price, &["bidfloor"]),
        ("bidfloorcur", t(&deal.bidfloorcur), Text, &["bidfloorcur"]),
        ("wseat", ts(&deal.wseat), Texts, &["wseat"]),
        ("wadomain", ts(&deal.wadomain), Texts, &["wadomain"]),
        ("at", n(deal.at), Int, &["at"]),
        ("guar", f(deal.guar), Flag, &["guar"]),
        ("mincpmpersec", p(deal.mincpmpersec), Price, &["mincpmpersec"]),
    ]
}

pub fn banner_rows(banner: &Banner<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("w", n(banner.w), Size, &["w"]),
        ("h", n(banner.h), Size, &["h"]),
        ("wmin", n(banner.wmin), Size, &["wmin"]),
        ("wmax", n(banner.wmax), Size, &["wmax"]),
        ("hmin", n(banner.hmin), Size, &["hmin"]),
        ("hmax", n(banner.hmax), Size, &["hmax"]),
        ("btype", c(banner.btype), Codes, &["btype"]),
        ("battr", c(banner.battr), Codes, &["battr"]),
        ("api", c(banner.api), Codes, &["api"]),
        ("mimes", ts(&banner.mimes), Texts, &["mimes"]),
        ("pos", n(banner.pos), Int, &["pos"]),
    ]
}

macro_rules! timed_rows {
    ($media:expr) => {{
        use Kind::*;
        let media = $media;
        let lengths =
            if media.rqddurs.is_empty() { Value::Null } else { json!(&media.rqddurs[..]) };
        vec![
            ("mimes", ts(&media.mimes), Texts, &["mimes"] as &[&str]),
            ("minduration", n(media.minduration), Size, &["minduration"]),
            ("maxduration", n(media.maxduration), Size, &["maxduration"]),
            ("rqddurs", lengths, Ints, &["rqddurs"]),
            ("poddur", n(media.poddur), Size, &["poddur"]),
            ("maxseq", n(media.maxseq), Size, &["maxseq"]),
            ("mincpmpersec", p(media.mincpmpersec), Price, &["mincpmpersec"]),
            ("protocols", c(media.protocols), Codes, &["protocols", "protocol"]),
            ("battr", c(media.battr), Codes, &["battr"]),
            ("api", c(media.api), Codes, &["api"]),
            ("delivery", c(media.delivery), Codes, &["delivery"]),
            ("minbitrate", n(media.minbitrate), Size, &["minbitrate"]),
            ("maxbitrate", n(media.maxbitrate), Size, &["maxbitrate"]),
        ]
    }};
}

pub fn video_rows(video: &Video<'_>) -> Vec<Row> {
    use Kind::*;
    let mut rows: Vec<Row> = timed_rows!(video);
    rows.extend([
        ("w", n(video.w), Size, &["w"] as &[&str]),
        ("h", n(video.h), Size, &["h"]),
        ("plcmt", n(video.plcmt), Int, &["plcmt"]),
        ("placement", n(video.placement), Int, &["placement"]),
        ("startdelay", n(video.startdelay), Int, &["startdelay"]),
        ("linearity", n(video.linearity), Int, &["linearity"]),
        ("skip", n(video.skip), MaybeFlag, &["skip"]),
        ("skipmin", n(video.skipmin), Size, &["skipmin"]),
    ]);
    rows
}

pub fn audio_rows(audio: &Audio<'_>) -> Vec<Row> {
    timed_rows!(audio)
}
