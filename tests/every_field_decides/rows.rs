//! The table.

use super::native_rows::native_parts;
use serde_json::{Value, json};

/// What a value changes.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// No bid, for this reason.
    NoBid(&'static str),
    /// The request is refused.
    Refused,
    /// These campaigns bid, in this order.
    Wins(&'static [&'static str]),
    /// The first bid is this, in CPM micros.
    Price(u64),
    /// The same bids, but their score, their user or what is permitted differs.
    Differs,
}

/// The request that a value is put into.
#[derive(Clone, Copy, Debug)]
pub enum Base {
    /// One banner on a site.
    Banner,
    /// One video.
    Video,
    /// One piece of audio.
    Audio,
    /// One native placement.
    Native,
    /// A banner with two deals.
    Deal,
    /// A banner with two deals for one campaign.
    Deals,
    /// A dynamic pod of a minute in a video.
    VideoPod,
    /// The same in audio.
    AudioPod,
    /// A banner in Canada.
    Canada,
    /// A banner on a street screen.
    Street,
    /// A banner in an app.
    App,
    /// A banner with a supply chain.
    Sold,
    /// A banner with a floor in euros.
    Euros,
    /// A banner for a user whose id is shared.
    Shared,
    /// A video of two minutes.
    LongVideo,
    /// The same in audio.
    LongAudio,
    /// A banner for a device whose place is known.
    Located,
    /// A banner for nobody who could be known.
    Unknown,
    /// A banner sized by range.
    Ranges,
    /// A banner with one format.
    Sized,
    /// A banner with one format, a ratio.
    Ratio,
    /// A video of whatever protocol.
    AnyVideo,
    /// A video with floors by length.
    VideoFloors,
    /// A video on a deal.
    VideoDeal,
    /// A banner with categories of another taxonomy permitted.
    Listed,
    /// A banner whose content is known.
    Content,
    /// A banner where a campaign bids that pays for conversions.
    Converts,
    /// A native placement that requires each kind of part.
    NativeParts,
    /// The same, where the image may have any size.
    NativeSides,
}

impl Base {
    pub fn request(self) -> Value {
        let imp = json!({ "id": "1", "bidfloor": 0.01, "bidfloorcur": "USD",
            "banner": { "w": 728, "h": 90 } });
        let mut request = json!({
            "id": "r", "tmax": 5_000, "cur": ["USD"], "imp": [imp],
            "site": { "id": "s", "domain": "news.example" },
            "device": { "devicetype": 2, "os": "Windows", "geo": { "country": "USA" } },
            "user": { "id": "reader" },
        });
        let deals = json!([{ "id": "d0" }, { "id": "d1", "bidfloor": 1.0 }]);
        let media = |mime: &str| json!({ "mimes": [mime], "protocols": [2, 3], "maxduration": 60 });
        let pod =
            |mime: &str| json!({ "mimes": [mime], "protocols": [2, 3], "poddur": 60, "maxseq": 3 });
        let mut only = |key: &str, medium: Value| {
            let imp = &mut request["imp"][0];
            imp.as_object_mut().expect("an imp").remove("banner");
            imp[key] = medium;
        };
        match self {
            Self::Banner => {}
            Self::Video => only("video", media("video/mp4")),
            Self::Audio => only("audio", media("audio/mpeg")),
            Self::Native => {
                let assets = json!([{ "id": 1, "required": 1, "title": { "len": 90 } }]);
                only("native", json!({ "request": { "ver": "1.2", "assets": assets } }));
            }
            Self::Deal => request["imp"][0]["pmp"] = json!({ "deals": deals }),
            Self::Deals => {
                let deals = json!([{ "id": "d1", "bidfloor": 1 }, { "id": "d2", "bidfloor": 2 }]);
                request["imp"][0]["pmp"] = json!({ "deals": deals });
            }
            Self::VideoPod => only("video", pod("video/mp4")),
            Self::AudioPod => only("audio", pod("audio/mpeg")),
            Self::Canada => request["device"]["geo"]["country"] = json!("CAN"),
            Self::Street => {
                request["dooh"] = request["site"].take();
                request.as_object_mut().expect("a request").remove("site");
            }
            Self::App => {
                request["app"] = json!({ "id": "a", "bundle": "com.example.other" });
                request.as_object_mut().expect("a request").remove("site");
            }
            Self::Sold => {
                let node = json!({ "asi": "good.example", "sid": "1", "hp": 1 });
                let chain = json!({ "ver": "1.0", "complete": 1, "nodes": [node] });
                request["source"] = json!({ "schain": chain });
            }
            Self::Euros => {
                request["imp"][0]["bidfloor"] = json!(1.2);
                request["imp"][0]["bidfloorcur"] = json!("EUR");
            }
            Self::Shared => {
                request["user"] = json!({ "eids": [
                    { "source": "trusted.example", "uids": [{ "id": "shared" }] }] });
            }
            Self::LongVideo => only("video", json!({ "mimes": ["video/mp4"], "minduration": 100 })),
            Self::LongAudio => {
                only("audio", json!({ "mimes": ["audio/mpeg"], "minduration": 100 }))
            }
            Self::Located => {
                let geo = &mut request["device"]["geo"];
                (geo["lat"], geo["lon"], geo["type"]) = (json!(52.52), json!(13.405), json!(1));
            }
            Self::Unknown => {
                request.as_object_mut().expect("a request").remove("user");
            }
            Self::Sized => {
                request["imp"][0]["banner"] = json!({ "format": [{ "w": 728, "h": 90 }] });
            }
            Self::AnyVideo => only("video", json!({ "mimes": ["video/mp4"] })),
            Self::Ranges => {
                request["imp"][0]["banner"] =
                    json!({ "wmin": 700, "wmax": 800, "hmin": 60, "hmax": 120 });
            }
            Self::Ratio => {
                let ratio = json!({ "wratio": 364, "hratio": 45, "wmin": 300 });
                request["imp"][0]["banner"] = json!({ "format": [ratio] });
            }
            Self::VideoFloors => {
                let floors = json!([{ "mindur": 20, "maxdur": 40, "bidfloor": 3.5 }]);
                only(
                    "video",
                    json!({ "mimes": ["video/mp4"], "protocols": [2], "durfloors": floors }),
                );
            }
            Self::VideoDeal => {
                only("video", media("video/mp4"));
                let deal = json!({ "id": "d9", "bidfloor": 1.0 });
                request["imp"][0]["pmp"] = json!({ "private_auction": 1, "deals": [deal] });
            }
            Self::Listed => request["acat"] = json!(["IAB17"]),
            Self::Converts => request["site"]["domain"] = json!("paid.example"),
            Self::NativeParts => only("native", native_parts(&json!({ "wmin": 100, "hmin": 100 }))),
            Self::NativeSides => only("native", native_parts(&json!({ "type": 3 }))),
            Self::Content => request["site"]["content"] = json!({ "id": "c" }),
        }
        request
    }
}

/// One field: where it stands in each spelling, a value, and what it changes.
pub struct Row {
    /// The struct and field of the view.
    pub field: &'static str,
    pub base: Base,
    /// JSON pointers, one a spelling.
    pub places: &'static [&'static str],
    /// JSON.
    pub value: &'static str,
    pub effect: Effect,
}

pub const fn row(
    field: &'static str,
    base: Base,
    places: &'static [&'static str],
    value: &'static str,
    effect: Effect,
) -> Row {
    Row { field, base, places, value, effect }
}

/// Fields that hold others: each of those has its row.
pub const PARENTS: &[&str] = &[
    "BidRequest.device",
    "BidRequest.user",
    "BidRequest.regs",
    "BidRequest.source",
    "Imp.qty",
    "Imp.outbid",
    "Imp.pmp",
    "Device.geo",
    "Inventory.content",
    "NativeRequest.native",
];

/// Fields that decide after the auction, each with a test of its own: whether there is still time for
/// an answer, and what money is held and settled.
pub const SERVED: &[&str] = &["BidRequest.tmax", "BidRequest.test", "Quantity.multiplier"];

/// Fields that shape the markup of a bid and not which one it is; the tests of markup show each.
pub const MARKUP_DECIDES: &[&str] = &[
    "Video.skipafter",
    "Native.ver",
    "NativeRequest.ver",
    "NativeRequest.eventtrackers",
    "NativeRequest.privacy",
    "EventTracker.event",
    "EventTracker.methods",
];

use Base::*;
use Effect::*;

pub const ROWS: &[Row] = &[
    // The request.
    row("BidRequest.id", Banner, &["/id"], "\"\"", Refused),
    row("BidRequest.imp", Banner, &["/imp"], "[]", Refused),
    row("BidRequest.site", Banner, &["/site"], r#"{"domain":"shop.example"}"#, Wins(&["to-site"])),
    row("BidRequest.app", Banner, &["/app"], r#"{"bundle":"com.example.game"}"#, Wins(&["to-app"])),
    row("BidRequest.dooh", Street, &["/dooh"], r#"{"domain":"shop.example"}"#, Wins(&["to-site"])),
    row("BidRequest.at", Deal, &["/at"], "3", Price(1_000_000)),
    row("BidRequest.wseat", Banner, &["/wseat"], r#"["other"]"#, NoBid("seat_excluded")),
    row("BidRequest.bseat", Banner, &["/bseat"], r#"["outbid"]"#, NoBid("seat_excluded")),
    row("BidRequest.cur", Banner, &["/cur"], r#"["EUR"]"#, Price(1_250_000)),
    row("BidRequest.bcat", Banner, &["/bcat"], r#"["IAB17"]"#, Wins(&["tents"])),
    row("BidRequest.bcat", Banner, &["/bcat"], r#"["IAB17-3"]"#, Wins(&["tents"])),
    row("BidRequest.acat", Banner, &["/acat"], r#"["IAB20"]"#, Wins(&["tents"])),
    row("BidRequest.cattax", Listed, &["/cattax", "/ext/cattax"], "6", NoBid("blocked")),
    row("BidRequest.badv", Banner, &["/badv"], r#"["of-shoes.example"]"#, Wins(&["tents"])),
    // Who sells.
    row(
        "Source.schain",
        Banner,
        &["/source/schain", "/source/ext/schain"],
        r#"{"complete":0}"#,
        NoBid("supply_chain_incomplete"),
    ),
    row(
        "SupplyChain.complete",
        Sold,
        &["/source/schain/complete"],
        "0",
        NoBid("supply_chain_incomplete"),
    ),
    row(
        "SupplyChain.nodes",
        Sold,
        &["/source/schain/nodes"],
        "[]",
        NoBid("supply_chain_incomplete"),
    ),
    row(
        "SupplyNode.asi",
        Sold,
        &["/source/schain/nodes/0/asi"],
        "\"evil.example\"",
        NoBid("seller_blocked"),
    ),
    row(
        "SupplyNode.sid",
        Sold,
        &["/source/schain/nodes/0/sid"],
        "\"666\"",
        NoBid("seller_blocked"),
    ),
    // Where it is shown.
    row("Inventory.domain", Banner, &["/site/domain"], "\"www.shop.example\"", Wins(&["to-site"])),
    row("Inventory.page", App, &["/app/page"], "\"https://shop.example/a\"", Wins(&["to-site"])),
    row("Inventory.bundle", App, &["/app/bundle"], "\"com.example.game\"", Wins(&["to-app"])),
    row("Inventory.cat", Banner, &["/site/cat"], r#"["IAB2"]"#, Wins(&["to-cars"])),
    row("Inventory.sectioncat", Banner, &["/site/sectioncat"], r#"["IAB2-1"]"#, Wins(&["to-cars"])),
    row("Inventory.pagecat", Banner, &["/site/pagecat"], r#"["IAB2"]"#, Wins(&["to-cars"])),
    row(
        "Inventory.keywords",
        Banner,
        &["/site/keywords", "/site/kwarray"],
        "\"a,marathon\"",
        Wins(&["to-word"]),
    ),
    row("Content.cat", Content, &["/site/content/cat"], r#"["IAB2"]"#, Wins(&["to-cars"])),
    row(
        "Content.keywords",
        Content,
        &["/site/content/keywords", "/site/content/kwarray"],
        r#"["marathon"]"#,
        Wins(&["to-word"]),
    ),
    row("Device.devicetype", Banner, &["/device/devicetype"], "4", Wins(&["to-phones"])),
    row("Device.os", Banner, &["/device/os"], "\"iOS\"", Wins(&["to-ios"])),
    row("Geo.country", Banner, &["/device/geo/country"], "\"FRA\"", Wins(&["to-france"])),
    row("Geo.region", Banner, &["/device/geo/region"], "\"TX\"", Wins(&["to-texas"])),
    row("Geo.city", Banner, &["/device/geo/city"], "\"Boston\"", Wins(&["to-boston"])),
    // A place is precise: without permission nobody reads it.
    row("Regs.coppa", Located, &["/regs/coppa"], "1", Wins(&["shoes"])),
    row("Geo.zip", Banner, &["/device/geo/zip"], "\"94107\"", Wins(&["to-zip"])),
    row("Geo.lat", Located, &["/device/geo/lat"], "52.60", Wins(&["shoes"])),
    row("Geo.lon", Located, &["/device/geo/lon"], "13.50", Wins(&["shoes"])),
    row("Geo.type", Located, &["/device/geo/type"], "2", Wins(&["shoes"])),
    row("Geo.accuracy", Located, &["/device/geo/accuracy"], "5000", Wins(&["shoes"])),
    row("Geo.utcoffset", Banner, &["/device/geo/utcoffset"], "-480", Differs),
    // Who sees it.
    row(
        "Device.ifa",
        Unknown,
        &["/device/ifa"],
        "\"00000000-0000-4000-8000-0000000000aa\"",
        Differs,
    ),
    row("User.id", Unknown, &["/user/id"], "\"reader\"", Differs),
    row("User.buyeruid", Unknown, &["/user/buyeruid"], "\"b-1\"", Differs),
    row(
        "User.eids",
        Unknown,
        &["/user/eids", "/user/ext/eids"],
        r#"[{"source":"trusted.example","uids":[{"id":"shared"}]}]"#,
        Differs,
    ),
    row("Eid.source", Shared, &["/user/eids/0/source"], "\"unknown.example\"", Differs),
    row("Eid.uids", Shared, &["/user/eids/0/uids"], "[]", Differs),
    row("Uid.id", Shared, &["/user/eids/0/uids/0/id"], "\"\"", Differs),
    row("User.yob", Canada, &["/user/yob"], "2015", Wins(&["shoes"])),
    row(
        "User.keywords",
        Banner,
        &["/user/keywords", "/user/kwarray"],
        "\"climber\"",
        Wins(&["to-fans"]),
    ),
    row(
        "User.data",
        Banner,
        &["/user/data"],
        r#"[{"segment":[{"id":"s-77"}]}]"#,
        Wins(&["to-segment"]),
    ),
    row(
        "Data.segment",
        Banner,
        &["/user/data/0/segment"],
        r#"[{"id":"s-77"}]"#,
        Wins(&["to-segment"]),
    ),
    row("Segment.id", Banner, &["/user/data/0/segment/0/id"], "\"s-77\"", Wins(&["to-segment"])),
    // What the law says.
    row("Device.dnt", Banner, &["/device/dnt"], "1", Differs),
    row("Device.lmt", Banner, &["/device/lmt"], "1", Differs),
    row("Regs.coppa", Canada, &["/regs/coppa"], "1", Wins(&["shoes"])),
    row("Regs.gdpr", Banner, &["/regs/gdpr", "/regs/ext/gdpr"], "1", Differs),
    row("User.consent", Banner, &["/user/consent", "/user/ext/consent"], "\"no string\"", Differs),
    row(
        "Regs.us_privacy",
        Banner,
        &["/regs/us_privacy", "/regs/ext/us_privacy"],
        "\"1YYN\"",
        Differs,
    ),
    row("Regs.gpp", Banner, &["/regs/gpp", "/regs/ext/gpp"], "\"DBAA\"", Differs),
    row("Regs.gpp_sid", Banner, &["/regs/gpp_sid", "/regs/ext/gpp_sid"], "[7]", Differs),
    row("Regs.gpc", Banner, &["/regs/gpc", "/regs/ext/gpc"], "1", Differs),
    row(
        "Regs.dsa",
        Banner,
        &["/regs/dsa", "/regs/ext/dsa"],
        r#"{"dsarequired":2}"#,
        NoBid("transparency_required"),
    ),
    row(
        "Dsa.required",
        Banner,
        &["/regs/dsa/dsarequired", "/regs/ext/dsa/required"],
        "3",
        NoBid("transparency_required"),
    ),
    // The placement: of several formats the dearest ad wins.
    row("Imp.id", Banner, &["/imp/0/id"], "\"\"", NoBid("no_creative_fits")),
    row("Imp.banner", Video, &["/imp/0/banner"], r#"{"w":1,"h":1}"#, Differs),
    row("Imp.video", Banner, &["/imp/0/video"], r#"{"mimes":["video/mp4"]}"#, Wins(&["cinema"])),
    row("Imp.audio", Banner, &["/imp/0/audio"], r#"{"mimes":["audio/mpeg"]}"#, Wins(&["radio"])),
    row(
        "Imp.native",
        Banner,
        &["/imp/0/native"],
        r#"{"request":"{\"native\":{\"assets\":[{\"id\":1,\"title\":{\"len\":9}}]}}"}"#,
        Wins(&["letters"]),
    ),
    row("Imp.tagid", Banner, &["/imp/0/tagid"], "\"top\"", Differs),
    row("Imp.bidfloor", Banner, &["/imp/0/bidfloor"], "2.6", NoBid("below_floor")),
    row("Imp.bidfloorcur", Euros, &["/imp/0/bidfloorcur"], "\"USD\"", Differs),
    row("Imp.secure", Banner, &["/imp/0/secure"], "1", NoBid("no_creative_fits")),
    row("Outbid.pctr", Banner, &["/imp/0/ext/outbid/pctr"], "0.5", Differs),
    row("Outbid.pcvr", Converts, &["/imp/0/ext/outbid/pcvr"], "0", Wins(&["shoes"])),
    row(
        "Pmp.private_auction",
        Banner,
        &["/imp/0/pmp/private_auction"],
        "1",
        NoBid("no_creative_fits"),
    ),
    row("Pmp.deals", Banner, &["/imp/0/pmp/deals"], r#"[{"id":"d1"}]"#, Wins(&["on-deal"])),
    row("Deal.id", Deal, &["/imp/0/pmp/deals/1/id"], "\"d3\"", Wins(&["shoes"])),
    row("Deal.bidfloor", Deal, &["/imp/0/pmp/deals/1/bidfloor"], "9.01", Wins(&["shoes"])),
    row("Deal.bidfloorcur", Deal, &["/imp/0/pmp/deals/1/bidfloorcur"], "\"XXX\"", Wins(&["shoes"])),
    row("Deal.wseat", Deal, &["/imp/0/pmp/deals/1/wseat"], r#"["other"]"#, Wins(&["shoes"])),
    row(
        "Deal.wadomain",
        Deal,
        &["/imp/0/pmp/deals/1/wadomain"],
        r#"["other.example"]"#,
        Wins(&["shoes"]),
    ),
    row("Deal.at", Deal, &["/imp/0/pmp/deals/1/at"], "3", Price(1_000_000)),
    row("Deal.guar", Deals, &["/imp/0/pmp/deals/1/guar"], "1", Differs),
    row(
        "Deal.mincpmpersec",
        VideoDeal,
        &["/imp/0/pmp/deals/0/mincpmpersec"],
        "0.15",
        Wins(&["spot"]),
    ),
    row(
        "Deal.durfloors",
        VideoDeal,
        &["/imp/0/pmp/deals/0/durfloors"],
        r#"[{"mindur":16,"bidfloor":5}]"#,
        Wins(&["spot"]),
    ),
    // Banners.
    row("Banner.w", Banner, &["/imp/0/banner/w"], "727", NoBid("no_campaign")),
    row("Banner.h", Banner, &["/imp/0/banner/h"], "91", NoBid("no_campaign")),
    row("Banner.wmin", Ranges, &["/imp/0/banner/wmin"], "729", NoBid("no_creative_fits")),
    row("Banner.wmax", Ranges, &["/imp/0/banner/wmax"], "727", NoBid("no_creative_fits")),
    row("Banner.hmin", Ranges, &["/imp/0/banner/hmin"], "91", NoBid("no_creative_fits")),
    row("Banner.hmax", Ranges, &["/imp/0/banner/hmax"], "89", NoBid("no_creative_fits")),
    row(
        "Banner.format",
        Banner,
        &["/imp/0/banner/format"],
        r#"[{"w":1,"h":1}]"#,
        NoBid("no_campaign"),
    ),
    row("Banner.btype", Banner, &["/imp/0/banner/btype"], "[2]", NoBid("no_creative_fits")),
    row("Banner.battr", Banner, &["/imp/0/banner/battr"], "[16]", NoBid("no_creative_fits")),
    row(
        "Banner.mimes",
        Banner,
        &["/imp/0/banner/mimes"],
        r#"["image/gif"]"#,
        NoBid("no_creative_fits"),
    ),
    row("Banner.pos", Banner, &["/imp/0/banner/pos"], "3", Differs),
    row("Format.w", Sized, &["/imp/0/banner/format/0/w"], "727", NoBid("no_campaign")),
    row("Format.h", Sized, &["/imp/0/banner/format/0/h"], "91", NoBid("no_campaign")),
    row("Format.wratio", Ratio, &["/imp/0/banner/format/0/wratio"], "1", NoBid("no_creative_fits")),
    row("Format.hratio", Ratio, &["/imp/0/banner/format/0/hratio"], "1", NoBid("no_creative_fits")),
    row("Format.wmin", Ratio, &["/imp/0/banner/format/0/wmin"], "729", NoBid("no_creative_fits")),
    // What a creative needs, or is.
    row("BidRequest.wlang", Banner, &["/wlang", "/wlangb"], r#"["de"]"#, Wins(&["tents"])),
    row("BidRequest.bapp", Banner, &["/bapp"], r#"["com.shoes"]"#, Wins(&["tents"])),
    row("Banner.api", Banner, &["/imp/0/banner/api"], "[5]", Wins(&["rich"])),
    row("Banner.expdir", Banner, &["/imp/0/banner/expdir"], "[2]", Wins(&["wide"])),
    row("Banner.topframe", Banner, &["/imp/0/banner/topframe"], "1", Wins(&["top"])),
    row("Video.api", Video, &["/imp/0/video/api"], "[7]", Wins(&["measured-video"])),
    row("Audio.api", Audio, &["/imp/0/audio/api"], "[7]", Wins(&["measured-audio"])),
    row("Native.api", Native, &["/imp/0/native/api"], "[7]", Wins(&["measured-native"])),
    row("Video.skip", LongVideo, &["/imp/0/video/skip"], "0", NoBid("no_creative_fits")),
    row("Video.skipmin", LongVideo, &["/imp/0/video/skipmin"], "120", NoBid("no_creative_fits")),
    row(
        "Video.minbitrate",
        LongVideo,
        &["/imp/0/video/minbitrate"],
        "1001",
        NoBid("no_creative_fits"),
    ),
    row(
        "Video.maxbitrate",
        LongVideo,
        &["/imp/0/video/maxbitrate"],
        "999",
        NoBid("no_creative_fits"),
    ),
    row(
        "Audio.minbitrate",
        LongAudio,
        &["/imp/0/audio/minbitrate"],
        "129",
        NoBid("no_creative_fits"),
    ),
    row(
        "Audio.maxbitrate",
        LongAudio,
        &["/imp/0/audio/maxbitrate"],
        "127",
        NoBid("no_creative_fits"),
    ),
    // Video and audio.
    row(
        "Video.mimes",
        Video,
        &["/imp/0/video/mimes"],
        r#"["video/webm"]"#,
        NoBid("no_creative_fits"),
    ),
    row("Video.minduration", Video, &["/imp/0/video/minduration"], "31", NoBid("no_creative_fits")),
    row("Video.maxduration", Video, &["/imp/0/video/maxduration"], "20", Wins(&["spot"])),
    row("Video.rqddurs", Video, &["/imp/0/video/rqddurs"], "[15]", Wins(&["spot"])),
    row("Video.poddur", VideoPod, &["/imp/0/video/poddur"], "44", Wins(&["cinema"])),
    row("Video.maxseq", VideoPod, &["/imp/0/video/maxseq"], "1", Wins(&["cinema"])),
    row("Video.mincpmpersec", Video, &["/imp/0/video/mincpmpersec"], "0.15", Wins(&["spot"])),
    row(
        "Video.durfloors",
        Video,
        &["/imp/0/video/durfloors"],
        r#"[{"mindur":16,"bidfloor":5}]"#,
        Wins(&["spot"]),
    ),
    row("DurationFloor.mindur", VideoFloors, &["/imp/0/video/durfloors/0/mindur"], "31", Differs),
    row("DurationFloor.maxdur", VideoFloors, &["/imp/0/video/durfloors/0/maxdur"], "29", Differs),
    row(
        "DurationFloor.bidfloor",
        VideoFloors,
        &["/imp/0/video/durfloors/0/bidfloor"],
        "4.01",
        Wins(&["spot"]),
    ),
    row(
        "Video.protocols",
        AnyVideo,
        &["/imp/0/video/protocols", "/imp/0/video/protocol"],
        "[1]",
        NoBid("no_creative_fits"),
    ),
    row("Video.w", Video, &["/imp/0/video/w"], "640", Differs),
    row("Video.h", Video, &["/imp/0/video/h"], "360", Differs),
    row("Video.plcmt", Video, &["/imp/0/video/plcmt"], "1", Differs),
    row("Video.placement", Video, &["/imp/0/video/placement"], "3", Differs),
    row("Video.startdelay", Video, &["/imp/0/video/startdelay"], "-2", Differs),
    row("Video.linearity", Video, &["/imp/0/video/linearity"], "2", NoBid("no_creative_fits")),
    row("Video.battr", Video, &["/imp/0/video/battr"], "[16]", NoBid("no_creative_fits")),
    row("Video.delivery", Video, &["/imp/0/video/delivery"], "[1]", NoBid("no_creative_fits")),
    row(
        "Audio.mimes",
        Audio,
        &["/imp/0/audio/mimes"],
        r#"["audio/aac"]"#,
        NoBid("no_creative_fits"),
    ),
    row("Audio.minduration", Audio, &["/imp/0/audio/minduration"], "21", NoBid("no_creative_fits")),
    row("Audio.maxduration", Audio, &["/imp/0/audio/maxduration"], "15", Wins(&["jingle"])),
    row("Audio.rqddurs", Audio, &["/imp/0/audio/rqddurs"], "[10]", Wins(&["jingle"])),
    row("Audio.poddur", AudioPod, &["/imp/0/audio/poddur"], "29", Wins(&["radio"])),
    row("Audio.maxseq", AudioPod, &["/imp/0/audio/maxseq"], "1", Wins(&["radio"])),
    row("Audio.mincpmpersec", Audio, &["/imp/0/audio/mincpmpersec"], "0.2", Wins(&["jingle"])),
    row(
        "Audio.durfloors",
        Audio,
        &["/imp/0/audio/durfloors"],
        r#"[{"mindur":16,"bidfloor":5}]"#,
        Wins(&["jingle"]),
    ),
    row("Audio.protocols", Audio, &["/imp/0/audio/protocols"], "[1]", NoBid("no_creative_fits")),
    row("Audio.battr", Audio, &["/imp/0/audio/battr"], "[16]", NoBid("no_creative_fits")),
    row("Audio.delivery", Audio, &["/imp/0/audio/delivery"], "[1]", NoBid("no_creative_fits")),
    // Native: `openrtb/tests/native.rs` has tables of which part answers what.
    row(
        "Native.request",
        Native,
        &["/imp/0/native/request"],
        r#"{"assets":[{"id":1,"required":1,"title":{"len":1}}]}"#,
        NoBid("no_creative_fits"),
    ),
    row("Native.battr", Native, &["/imp/0/native/battr"], "[16]", NoBid("no_creative_fits")),
];
