//! The table: each decision field, how it is understood, and in which spellings it may stand.

use outbid::openrtb::{
    Asset, Audio, Banner, BidRequest, CodeSet, Content, Deal, Device, DurationFloor, Eid,
    EventTracker, Format, Geo, Imp, Inventory, Native, NativeRequest, Segment, Str, SupplyChain,
    SupplyNode, Uid, Video,
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
    /// A size of which one that cannot be read is told apart from one that is missing.
    Side,
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

/// Whether something was sent that should be a number and is none.
fn is_unreadable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty() && number(value).is_none(),
        Value::Array(list) => list.first().is_some_and(is_unreadable),
        Value::Object(_) => true,
        _ => false,
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
        Kind::Side if is_unreadable(value) => json!(u32::MAX),
        Kind::Side => json!(number(value).map(|number| {
            let is_size = (0.0..4_294_967_296.0).contains(&number);
            if is_size { number.trunc() as u32 } else { u32::MAX }
        })),
        Kind::Float => json!(number(value)),
        Kind::Flag => {
            number(value).filter(|number| *number != 0.0).map_or(Value::Null, |_| json!(true))
        }
        Kind::MaybeFlag => json!(number(value).map(|number| number != 0.0)),
        Kind::Price if is_unreadable(value) => json!(u64::MAX),
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
        ("w", n(banner.w), Side, &["w"]),
        ("h", n(banner.h), Side, &["h"]),
        ("wmin", n(banner.wmin), Side, &["wmin"]),
        ("wmax", n(banner.wmax), Side, &["wmax"]),
        ("hmin", n(banner.hmin), Side, &["hmin"]),
        ("hmax", n(banner.hmax), Side, &["hmax"]),
        ("btype", c(banner.btype), Codes, &["btype"]),
        ("battr", c(banner.battr), Codes, &["battr"]),
        ("api", c(banner.api), Codes, &["api"]),
        ("mimes", ts(&banner.mimes), Texts, &["mimes"]),
        ("pos", n(banner.pos), Int, &["pos"]),
        ("expdir", c(banner.expdir), Codes, &["expdir"]),
        ("topframe", f(banner.topframe), Flag, &["topframe"]),
    ]
}

pub fn format_rows(format: &Format) -> Vec<Row> {
    use Kind::*;
    vec![
        ("w", n(format.w), Size, &["w"]),
        ("h", n(format.h), Size, &["h"]),
        ("wratio", n(format.wratio), Size, &["wratio"]),
        ("hratio", n(format.hratio), Size, &["hratio"]),
        ("wmin", n(format.wmin), Size, &["wmin"]),
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
        ("skipafter", n(video.skipafter), Size, &["skipafter"]),
    ]);
    rows
}

pub fn audio_rows(audio: &Audio<'_>) -> Vec<Row> {
    timed_rows!(audio)
}

pub fn native_rows(native: &Native<'_>) -> Vec<Row> {
    use Kind::*;
    vec![
        ("ver", t(&native.ver), Text, &["ver"]),
        ("battr", c(native.battr), Codes, &["battr"]),
        ("api", c(native.api), Codes, &["api"]),
    ]
}

pub fn asked_rows(asked: &NativeRequest<'_>) -> Vec<Row> {
    use Kind::*;
    vec![("ver", t(&asked.ver), Text, &["ver"]), ("privacy", f(asked.privacy), Flag, &["privacy"])]
}

pub fn tracker_rows(tracker: &EventTracker) -> Vec<Row> {
    use Kind::*;
    vec![
        ("event", n(tracker.event), Int, &["event"]),
        ("methods", c(tracker.methods), Codes, &["methods"]),
    ]
}

pub fn asset_rows(asset: &Asset<'_>) -> Vec<Row> {
    use Kind::*;
    let img = asset.img.clone().unwrap_or_default();
    let data = asset.data.clone().unwrap_or_default();
    let title = asset.title.clone().unwrap_or_default();
    let video = asset.video.clone().unwrap_or_default();
    vec![
        ("id", n(asset.id), Int, &["id"]),
        ("required", f(asset.required), Flag, &["required"]),
        ("title.len", n(title.len), Size, &["title.len"]),
        ("img.type", n(img.r#type), Int, &["img.type"]),
        ("img.w", n(img.w), Side, &["img.w"]),
        ("img.h", n(img.h), Side, &["img.h"]),
        ("img.wmin", n(img.wmin), Side, &["img.wmin"]),
        ("img.hmin", n(img.hmin), Side, &["img.hmin"]),
        ("img.mimes", ts(&img.mimes), Texts, &["img.mimes"]),
        ("data.type", n(data.r#type), Int, &["data.type"]),
        ("data.len", n(data.len), Size, &["data.len"]),
        ("video.mimes", ts(&video.mimes), Texts, &["video.mimes"]),
        ("video.minduration", n(video.minduration), Size, &["video.minduration"]),
        ("video.maxduration", n(video.maxduration), Size, &["video.maxduration"]),
        ("video.protocols", c(video.protocols), Codes, &["video.protocols"]),
    ]
}

pub fn segment_rows(segment: &Segment<'_>) -> Vec<Row> {
    vec![("id", t(&segment.id), Kind::Text, &["id"])]
}

pub fn eid_rows(eid: &Eid<'_>) -> Vec<Row> {
    vec![("source", t(&eid.source), Kind::Text, &["source"])]
}

pub fn uid_rows(uid: &Uid<'_>) -> Vec<Row> {
    vec![("id", t(&uid.id), Kind::Text, &["id"])]
}

/// Fields that hold objects: those are compared one by one, and each of their fields has its row.
pub const PARENTS: &[&str] = &[
    "BidRequest.imp",
    "BidRequest.site",
    "BidRequest.app",
    "BidRequest.dooh",
    "BidRequest.device",
    "BidRequest.user",
    "BidRequest.regs",
    "BidRequest.source",
    "Source.schain",
    "SupplyChain.nodes",
    "Inventory.content",
    "Device.geo",
    "User.data",
    "User.eids",
    "Data.segment",
    "Eid.uids",
    "Regs.dsa",
    "Imp.banner",
    "Imp.video",
    "Imp.audio",
    "Imp.native",
    "Imp.pmp",
    "Imp.qty",
    "Imp.outbid",
    "Banner.format",
    "Video.durfloors",
    "Audio.durfloors",
    "Native.request",
    "NativeRequest.native",
    "NativeRequest.assets",
    "NativeRequest.eventtrackers",
    "Asset.title",
    "Asset.img",
    "Asset.data",
    "Asset.video",
    "Pmp.deals",
    "Deal.durfloors",
];

/// The rows of each object, and where in them its keys stand.
pub fn tables() -> Vec<(&'static str, &'static str, Vec<Row>)> {
    let request = || request_rows(&BidRequest::default());
    let imp = || imp_rows(&Imp::default());
    let asset = || asset_rows(&Asset::default());
    vec![
        ("BidRequest", "", request()),
        ("User", "user.", request()),
        ("Regs", "regs.", request()),
        ("Dsa", "regs.dsa.", request()),
        ("SupplyChain", "", chain_rows(&SupplyChain::default())),
        ("SupplyNode", "", node_rows(&SupplyNode::default())),
        ("Inventory", "", inventory_rows(&Inventory::default())),
        ("Content", "", content_rows(&Content::default())),
        ("Device", "", device_rows(&Device::default())),
        ("Geo", "", geo_rows(&Geo::default())),
        ("Segment", "", segment_rows(&Segment::default())),
        ("Eid", "", eid_rows(&Eid::default())),
        ("Uid", "", uid_rows(&Uid::default())),
        ("Imp", "", imp()),
        ("Quantity", "qty.", imp()),
        ("Outbid", "ext.outbid.", imp()),
        ("Pmp", "pmp.", imp()),
        ("Deal", "", deal_rows(&Deal::default())),
        ("DurationFloor", "", floor_rows(&DurationFloor::default())),
        ("Banner", "", banner_rows(&Banner::default())),
        ("Format", "", format_rows(&Format::default())),
        ("Video", "", video_rows(&Video::default())),
        ("Audio", "", audio_rows(&Audio::default())),
        ("Native", "", native_rows(&Native::default())),
        ("NativeRequest", "", asked_rows(&NativeRequest::default())),
        ("EventTracker", "", tracker_rows(&EventTracker::default())),
        ("Asset", "", asset()),
        ("AssetTitle", "title.", asset()),
        ("AssetImage", "img.", asset()),
        ("AssetText", "data.", asset()),
        ("AssetVideo", "video.", asset()),
    ]
}
