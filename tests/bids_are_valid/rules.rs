//! What makes a bid valid, from the standard (OpenRTB 2.5 and 2.6, Native 1.2) and over plain JSON:
//! nothing here is shared with the engine, its own last check least of all.

use crate::media;
use crate::read::{
    MEDIA, codes, cpm, dsa_level, flag, floor_currency, in_dollars, number, objects, size, text,
    texts,
};
use serde_json::Value;

/// Every rule, by the name under which the checker reports it.
pub const RULES: [&str; 59] = [
    "response_id",
    "currency",
    "empty_seat",
    "wseat",
    "bseat",
    "dsa",
    "bid_id",
    "impid",
    "imp_twice",
    "pod",
    "floor",
    "deal_unknown",
    "deal_required",
    "deal_wseat",
    "deal_wadomain",
    "adomain",
    "badv",
    "cattax",
    "bcat",
    "acat",
    "battr",
    "bapp",
    "wlang",
    "crid",
    "notice_url",
    "secure",
    "medium_form",
    "medium_told",
    "medium_offered",
    "same_creative",
    "same_advertiser",
    "banner_size",
    "banner_told",
    "banner_drawn",
    "banner_mime",
    "btype",
    "vast",
    "vast_media",
    "video_mime",
    "audio_mime",
    "protocol",
    "duration",
    "duration_told",
    "linearity",
    "delivery",
    "skip",
    "bitrate",
    "vast_click",
    "native_request",
    "native_version",
    "native_link",
    "native_asset",
    "native_twice",
    "native_required",
    "native_title",
    "native_data",
    "native_image",
    "native_image_mime",
    "native_image_url",
];

/// The rules that a bid breaks.
#[derive(Default)]
pub struct Broken(pub Vec<&'static str>);

impl Broken {
    /// Notes `rule` where it does not hold, once.
    pub fn unless(&mut self, holds: bool, rule: &'static str) {
        assert!(RULES.contains(&rule), "`{rule}` is in no list");
        if !holds && !self.0.contains(&rule) {
            self.0.push(rule);
        }
    }
}

/// The rules that `response` breaks as an answer to `request`; empty where it is valid.
pub fn broken(request: &Value, response: &Value) -> Vec<&'static str> {
    let mut broken = Broken::default();
    broken.unless(response["id"] == request["id"], "response_id");
    let currency = Some(text(response, "cur")).filter(|cur| !cur.is_empty()).unwrap_or("USD");
    let mut allowed = texts(&request["cur"]);
    if allowed.is_empty() {
        allowed.push("USD".to_owned());
    }
    let is_allowed = allowed.iter().any(|code| code.eq_ignore_ascii_case(currency));
    broken.unless(is_allowed, "currency");
    let seats = objects(&response["seatbid"]);
    broken.unless(!seats.is_empty(), "empty_seat");
    for seat in &seats {
        let name = text(seat, "seat");
        let wanted = texts(&request["wseat"]);
        broken.unless(wanted.is_empty() || wanted.iter().any(|one| one == name), "wseat");
        broken.unless(!texts(&request["bseat"]).iter().any(|one| one == name), "bseat");
        broken.unless(!objects(&seat["bid"]).is_empty(), "empty_seat");
        for bid in objects(&seat["bid"]) {
            check_bid(request, name, currency, bid, &mut broken);
        }
    }
    page(request, &seats, &mut broken);
    broken.0
}

/// What holds between the bids of one answer.
fn page(request: &Value, seats: &[&Value], broken: &mut Broken) {
    let bids: Vec<_> = seats.iter().flat_map(|seat| objects(&seat["bid"])).collect();
    let pods = objects(&request["imp"]);
    let pods: Vec<_> = pods.into_iter().filter(|imp| pod(imp, &bids, broken)).collect();
    let is_pod = |bid: &Value| pods.iter().any(|imp| texts(&imp["id"]) == texts(&bid["impid"]));
    for (position, bid) in bids.iter().enumerate() {
        for earlier in &bids[..position] {
            broken.unless(earlier["id"] != bid["id"], "bid_id");
            broken.unless(earlier["impid"] != bid["impid"] || is_pod(bid), "imp_twice");
            broken.unless(earlier["crid"] != bid["crid"], "same_creative");
            let theirs = texts(&earlier["adomain"]);
            let is_same = texts(&bid["adomain"]).iter().any(|domain| theirs.contains(domain));
            broken.unless(!is_same, "same_advertiser");
        }
    }
}

/// Whether `imp` is a dynamic pod that several of `bids` share (2.6, 3.2.7 `poddur`, `maxseq`), and,
/// if so, whether they keep its terms: at most so many ads of at most so many seconds together.
fn pod(imp: &Value, bids: &[&Value], broken: &mut Broken) -> bool {
    let own: Vec<_> = bids.iter().filter(|bid| texts(&bid["impid"]) == texts(&imp["id"])).collect();
    let [Some(first), Some(_)] = [own.first(), own.get(1)] else { return false };
    let medium = media::form(text(first, "adm")).unwrap_or_default();
    let Some(seconds) = size(&imp[medium]["poddur"]) else { return false };
    let is_alike = own.iter().all(|bid| media::form(text(bid, "adm")) == Some(medium));
    let total: u64 = own.iter().filter_map(|bid| size(&bid["dur"])).sum();
    let most = size(&imp[medium]["maxseq"]).unwrap_or(u64::MAX);
    broken.unless(is_alike && total <= seconds && own.len() as u64 <= most, "pod");
    true
}

fn check_bid(request: &Value, seat: &str, currency: &str, bid: &Value, broken: &mut Broken) {
    broken.unless(!text(bid, "id").is_empty(), "bid_id");
    let crid = text(bid, "crid");
    broken.unless(!crid.is_empty() && crid.len() <= 64, "crid");
    broken.unless(dsa_level(request) < 2 || bid["ext"]["dsa"].is_object(), "dsa");
    for key in ["nurl", "burl", "lurl"] {
        broken.unless(text(bid, key).starts_with("https://"), "notice_url");
    }
    blocks(request, bid, broken);
    let imps = objects(&request["imp"]);
    let mut named = imps.into_iter().filter(|imp| texts(&imp["id"]) == texts(&bid["impid"]));
    let Some(imp) = named.next() else {
        return broken.unless(false, "impid");
    };
    // Of two with one id nobody can tell which it is for.
    broken.unless(named.next().is_none(), "impid");
    let adm = text(bid, "adm");
    broken.unless(!flag(&imp["secure"]) || !adm.to_lowercase().contains("http:"), "secure");
    let deal = deal_of(imp, seat, bid, broken);
    let medium = media::form(adm);
    price(imp, deal, medium, currency, bid, broken);
    let Some(medium) = medium else { return broken.unless(false, "medium_form") };
    // List of markup types of 2.6: 1 banner, 2 video, 3 audio, 4 native.
    let told = ["", "banner", "video", "audio", "native"];
    let told = told.get(size(&bid["mtype"]).unwrap_or(0) as usize).copied().unwrap_or("?");
    broken.unless(told.is_empty() || told == medium, "medium_told");
    debug_assert!(MEDIA.contains(&medium));
    let slot = &imp[medium];
    broken.unless(slot.is_object(), "medium_offered");
    if !slot.is_object() {
        return;
    }
    let blocked = codes(&slot["battr"]);
    broken.unless(!codes(&bid["attr"]).iter().any(|code| blocked.contains(code)), "battr");
    match medium {
        "banner" => media::banner(slot, bid, adm, broken),
        "native" => media::native(slot, adm, broken),
        _ => media::vast(slot, bid, adm, medium, broken),
    }
}

/// The deal that the bid names, checked.
fn deal_of<'v>(imp: &'v Value, seat: &str, bid: &Value, broken: &mut Broken) -> Option<&'v Value> {
    let named = texts(&bid["dealid"]).into_iter().next();
    broken.unless(named.is_some() || !flag(&imp["pmp"]["private_auction"]), "deal_required");
    let named = named?;
    let deals = objects(&imp["pmp"]["deals"]);
    let deal = deals.into_iter().find(|deal| texts(&deal["id"]).first() == Some(&named));
    broken.unless(deal.is_some(), "deal_unknown");
    let deal = deal?;
    let seats = texts(&deal["wseat"]);
    broken.unless(seats.is_empty() || seats.iter().any(|one| one == seat), "deal_wseat");
    let domains = texts(&deal["wadomain"]);
    let is_wanted = texts(&bid["adomain"]).iter().any(|ours| is_listed(ours, &domains));
    broken.unless(domains.is_empty() || is_wanted, "deal_wadomain");
    Some(deal)
}

/// The floor of the deal, else of the imp, and the floors by length, in dollars.
fn price(
    imp: &Value,
    deal: Option<&Value>,
    medium: Option<&str>,
    currency: &str,
    bid: &Value,
    broken: &mut Broken,
) {
    let seconds = media::seconds(text(bid, "adm")).unwrap_or(0);
    let slot = &imp[medium.unwrap_or("banner")];
    let by_second = cpm(&slot["mincpmpersec"]) * seconds as f64;
    let by_length = objects(&slot["durfloors"]).into_iter().filter(|floor| {
        let least = size(&floor["mindur"]).unwrap_or(0);
        (least..=size(&floor["maxdur"]).unwrap_or(u64::MAX)).contains(&seconds)
    });
    let by_length = by_length.map(|floor| cpm(&floor["bidfloor"]));
    let by_length = by_length.fold(by_second, f64::max);
    let floor = |of: &Value, amount: f64| {
        in_dollars(floor_currency(of)).map_or(f64::INFINITY, |rate| amount * rate)
    };
    let holder = deal.unwrap_or(imp);
    let least = cpm(&holder["bidfloor"]);
    let least = floor(holder, least).max(floor(imp, by_length));
    let price = number(&bid["price"]).unwrap_or(0.0) * in_dollars(currency).unwrap_or(0.0);
    // Floats are only as exact as this; money of the engine is compared in micros.
    broken.unless(price > 0.0 && price >= least * (1.0 - 1e-9), "floor");
}

fn blocks(request: &Value, bid: &Value, broken: &mut Broken) {
    let domains = texts(&bid["adomain"]);
    broken.unless(domains.iter().any(|domain| domain.contains('.')), "adomain");
    let blocked = texts(&request["badv"]);
    broken.unless(!domains.iter().any(|domain| is_listed(domain, &blocked)), "badv");
    let bundle = text(bid, "bundle");
    let is_blocked = texts(&request["bapp"]).iter().any(|app| app == bundle);
    broken.unless(bundle.is_empty() || !is_blocked, "bapp");
    let languages = texts(&request["wlang"]);
    let language = text(bid, "language");
    let is_spoken = languages.iter().any(|one| one.eq_ignore_ascii_case(language));
    broken.unless(language.is_empty() || languages.is_empty() || is_spoken, "wlang");
    // Categories are compared within one taxonomy; 1 where none is named. Across two of them a
    // block says nothing of the bid, and a permission does not hold for it.
    let categories = texts(&bid["cat"]);
    let taxonomy = |of: &Value| size(&of["cattax"]).unwrap_or(1);
    let is_iab = |code: &String| code.starts_with("IAB");
    broken.unless(taxonomy(bid) == 1 || !categories.iter().any(is_iab), "cattax");
    let is_comparable = taxonomy(bid) == taxonomy(request);
    let among = |key: &str| {
        let listed = texts(&request[key]);
        categories.iter().any(|ours| listed.iter().any(|listed| is_part_of(ours, listed)))
    };
    broken.unless(!(is_comparable && among("bcat")), "bcat");
    let is_allowed = texts(&request["acat"]).is_empty() || (is_comparable && among("acat"));
    broken.unless(is_allowed, "acat");
}

/// Whether the category is `listed` or a part of it: "IAB25-3" of "IAB25".
fn is_part_of(ours: &str, listed: &str) -> bool {
    let (ours, listed) = (ours.to_uppercase(), listed.to_uppercase());
    ours == listed || ours.starts_with(&format!("{listed}-"))
}

/// Whether the domain is on the list, or below a domain on it.
fn is_listed(domain: &str, list: &[String]) -> bool {
    let host = |text: &str| {
        let text = text.to_lowercase();
        let text = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        let host = text.split(['/', ':', '?']).next().unwrap_or_default();
        host.trim_start_matches("www.").trim_end_matches('.').to_owned()
    };
    let ours = host(domain);
    let is_covered = |listed: &String| {
        let listed = host(listed);
        ours == listed || (listed.contains('.') && ours.ends_with(&format!(".{listed}")))
    };
    list.iter().any(is_covered)
}
