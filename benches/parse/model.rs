//! All of an OpenRTB 2.6 request as plain structs, every field read and owned: what a bidder has that
//! deserialises the whole request. `ext` and the native request stay generic values.

use serde::Deserialize;
use serde_json::Value;

macro_rules! objects {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "they are read to be measured")]
        pub struct $name {
            $(#[serde(default)] $field: Option<$type>,)*
            #[serde(default)]
            ext: Option<Value>,
        }
    )*};
}

type Texts = Vec<String>;
type Codes = Vec<i64>;

objects! {
    Request {
        id: String, imp: Vec<Imp>, site: Site, app: App, dooh: Dooh, device: Device, user: User,
        test: i64, at: i64, tmax: i64, wseat: Texts, bseat: Texts, allimps: i64, cur: Texts,
        wlang: Texts, wlangb: Texts, acat: Texts, bcat: Texts, cattax: i64, badv: Texts,
        bapp: Texts, source: Source, regs: Regs,
    }
    Source { fd: i64, tid: String, pchain: String, schain: SupplyChain }
    SupplyChain { complete: i64, nodes: Vec<SupplyNode>, ver: String }
    SupplyNode { asi: String, sid: String, rid: String, name: String, domain: String, hp: i64 }
    Regs {
        coppa: i64, gdpr: i64, us_privacy: String, gpp: String, gpp_sid: Codes,
    }
    Imp {
        id: String, metric: Vec<Metric>, banner: Banner, video: Video, audio: Audio,
        native: Native, pmp: Pmp, displaymanager: String, displaymanagerver: String, instl: i64,
        tagid: String, bidfloor: f64, bidfloorcur: String, clickbrowser: i64, secure: i64,
        iframebuster: Texts, rwdd: i64, ssai: i64, exp: i64, qty: Quantity, dt: f64,
        refresh: Value,
    }
    Metric { r#type: String, value: f64, vendor: String }
    Quantity { multiplier: f64, sourcetype: i64, vendor: String }
    Banner {
        format: Vec<Format>, w: i64, h: i64, wmax: i64, hmax: i64, wmin: i64, hmin: i64,
        btype: Codes, battr: Codes, pos: i64, mimes: Texts, topframe: i64, expdir: Codes,
        api: Codes, id: String, vcm: i64,
    }
    Format { w: i64, h: i64, wratio: i64, hratio: i64, wmin: i64 }
    Video {
        mimes: Texts, minduration: i64, maxduration: i64, startdelay: i64, maxseq: i64,
        poddur: i64, protocols: Codes, protocol: i64, w: i64, h: i64, podid: String, podseq: i64,
        rqddurs: Codes, placement: i64, plcmt: i64, linearity: i64, skip: i64, skipmin: i64,
        skipafter: i64, sequence: i64, slotinpod: i64, mincpmpersec: f64, battr: Codes,
        maxextended: i64, minbitrate: i64, maxbitrate: i64, boxingallowed: i64,
        playbackmethod: Codes, playbackend: i64, delivery: Codes, pos: i64,
        companionad: Vec<Banner>, api: Codes, companiontype: Codes, poddedupe: Codes,
        durfloors: Vec<DurationFloor>,
    }
    Audio {
        mimes: Texts, minduration: i64, maxduration: i64, poddur: i64, protocols: Codes,
        startdelay: i64, rqddurs: Codes, podid: String, podseq: i64, sequence: i64,
        slotinpod: i64, mincpmpersec: f64, battr: Codes, maxextended: i64, minbitrate: i64,
        maxbitrate: i64, delivery: Codes, companionad: Vec<Banner>, api: Codes,
        companiontype: Codes, maxseq: i64, feed: i64, stitched: i64, nvol: i64,
        durfloors: Vec<DurationFloor>,
    }
    DurationFloor { mindur: i64, maxdur: i64, bidfloor: f64 }
    Native { request: Value, ver: String, api: Codes, battr: Codes }
    Pmp { private_auction: i64, deals: Vec<Deal> }
    Deal {
        id: String, bidfloor: f64, bidfloorcur: String, at: i64, wseat: Texts, wadomain: Texts,
        guar: i64, mincpmpersec: f64, durfloors: Vec<DurationFloor>,
    }
    Site {
        id: String, name: String, domain: String, cattax: i64, cat: Texts, sectioncat: Texts,
        pagecat: Texts, page: String, r#ref: String, search: String, mobile: i64,
        privacypolicy: i64, publisher: Publisher, content: Content, keywords: String,
        kwarray: Texts, inventorypartnerdomain: String,
    }
    App {
        id: String, name: String, bundle: String, domain: String, storeurl: String, cattax: i64,
        cat: Texts, sectioncat: Texts, pagecat: Texts, ver: String, privacypolicy: i64,
        paid: i64, publisher: Publisher, content: Content, keywords: String, kwarray: Texts,
        inventorypartnerdomain: String,
    }
    Dooh {
        id: String, name: String, venuetype: Texts, venuetypetax: i64, publisher: Publisher,
        domain: String, keywords: String, kwarray: Texts, content: Content,
    }
    Publisher { id: String, name: String, cattax: i64, cat: Texts, domain: String }
    Content {
        id: String, episode: i64, title: String, series: String, season: String, artist: String,
        genre: String, gtax: i64, genres: Codes, album: String, isrc: String, producer: Publisher,
        url: String, cattax: i64, cat: Texts, prodq: i64, context: i64, contentrating: String,
        userrating: String, qagmediarating: i64, keywords: String, kwarray: Texts,
        livestream: i64, sourcerelationship: i64, len: i64, language: String, langb: String,
        embeddable: i64, data: Vec<Data>, network: Value, channel: Value,
    }
    Device {
        geo: Geo, dnt: i64, lmt: i64, ua: String, sua: UserAgent, ip: String, ipv6: String,
        devicetype: i64, make: String, model: String, os: String, osv: String, hwv: String,
        h: i64, w: i64, ppi: i64, pxratio: f64, js: i64, geofetch: i64, flashver: String,
        language: String, langb: String, carrier: String, mccmnc: String, connectiontype: i64,
        ifa: String, didsha1: String, didmd5: String, dpidsha1: String, dpidmd5: String,
        macsha1: String, macmd5: String,
    }
    UserAgent {
        browsers: Vec<Brand>, platform: Brand, mobile: i64, architecture: String,
        bitness: String, model: String, source: i64,
    }
    Brand { brand: String, version: Texts }
    Geo {
        lat: f64, lon: f64, r#type: i64, accuracy: i64, lastfix: i64, ipservice: i64,
        country: String, region: String, regionfips104: String, metro: String, city: String,
        zip: String, utcoffset: i64,
    }
    User {
        id: String, buyeruid: String, yob: i64, gender: String, keywords: String, kwarray: Texts,
        customdata: String, geo: Geo, data: Vec<Data>, consent: String, eids: Vec<Eid>,
    }
    Data { id: String, name: String, segment: Vec<Segment> }
    Segment { id: String, name: String, value: String }
    Eid { source: String, uids: Vec<Uid>, inserter: String, matcher: String, mm: i64 }
    Uid { id: String, atype: i64 }
}
