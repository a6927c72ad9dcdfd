//! Imps of every medium, with the constraints that the standard knows.

use super::draw::Draw;
use super::request::{CURRENCIES, SEATS};
use serde_json::{Value, json};

const SIZES: [(u64, u64); 9] = [
    (300, 250),
    (728, 90),
    (320, 50),
    (160, 600),
    (300, 600),
    (970, 250),
    (320, 480),
    (468, 60),
    (123, 45),
];
/// Deals, each with the one buyer that it may name.
const DEALS: [(&str, &str); 4] = [
    ("d-1", "one.example"),
    ("premium-9", "nine.example"),
    ("deal'quoted", "quoted.example"),
    ("unknown", "nobody.example"),
];

pub fn imp(draw: &mut Draw, number: usize) -> Value {
    let mut imp = json!({ "id": draw.text(&format!("{}", number + 1)) });
    let media = [("banner", 60), ("video", 30), ("audio", 15), ("native", 25)];
    for (medium, percent) in media {
        if draw.often(percent) {
            imp[medium] = match medium {
                "banner" => banner(draw),
                "video" => video(draw),
                "audio" => timed(draw, &["audio/mp4", "audio/mpeg", "audio/aac"]),
                _ => native(draw),
            };
        }
    }
    let cents = draw.number(0, 400);
    let floor =
        if draw.often(5) { json!(format!("{cents}.5")) } else { json!(cents as f64 / 10.0) };
    draw.put(&mut imp, 70, "bidfloor", floor);
    draw.put(&mut imp, 2, "bidfloor", json!("abc"));
    let currency = draw.one(&CURRENCIES);
    draw.put(&mut imp, 30, "bidfloorcur", json!(currency));
    let secure = draw.flag(80);
    draw.put(&mut imp, 60, "secure", secure);
    let is_full = draw.flag(20);
    draw.put(&mut imp, 20, "instl", is_full);
    let place = draw.text("top-of-page");
    draw.put(&mut imp, 40, "tagid", json!(place));
    if draw.often(20) {
        imp["pmp"] = pmp(draw);
    }
    imp
}

fn pmp(draw: &mut Draw) -> Value {
    let mut deals = Vec::new();
    for _ in 0..draw.number(0, 3) {
        let (id, buyer) = draw.one(&DEALS);
        let mut deal = json!({ "id": id });
        let floor = draw.number(0, 30) as f64;
        draw.put(&mut deal, 60, "bidfloor", json!(floor));
        let currency = draw.one(&CURRENCIES);
        draw.put(&mut deal, 30, "bidfloorcur", json!(currency));
        let at = draw.number(1, 3);
        draw.put(&mut deal, 50, "at", json!(at));
        let seats = draw.some(&SEATS, 2);
        draw.put(&mut deal, 30, "wseat", json!(seats));
        draw.put(&mut deal, 20, "wadomain", json!([buyer]));
        deals.push(deal);
    }
    json!({ "private_auction": draw.flag(30), "deals": deals })
}

fn banner(draw: &mut Draw) -> Value {
    let mut banner = json!({});
    let (w, h) = draw.one(&SIZES);
    if draw.often(60) {
        let sizes = draw.some(&SIZES, 4);
        let mut formats: Vec<_> = sizes.iter().map(|(w, h)| json!({ "w": w, "h": h })).collect();
        if draw.often(5) {
            formats.push(json!({ "wratio": 6, "hratio": 5, "wmin": draw.number(0, 300) }));
        }
        // Some senders' lists hold nothing that can be read.
        let unreadable = [json!([{ "w": 50, "h": -1 }]), json!([{ "wratio": 30 }]), json!(["1x1"])];
        let is_readable = !draw.often(5);
        let wrong = &unreadable[draw.number(0, 2) as usize];
        banner["format"] = if is_readable { json!(formats) } else { wrong.clone() };
    }
    if draw.often(60) {
        (banner["w"], banner["h"]) = (draw.loose(w), draw.loose(h));
    }
    if draw.often(8) {
        (banner["wmin"], banner["hmin"]) = (json!(w / 2), json!(h / 2));
        (banner["wmax"], banner["hmax"]) = (json!(w + 100), json!(h + 100));
    }
    let battr = draw.some(&[1, 2, 3, 6, 8, 13, 17, 200, 4_000_000_000_u64], 4);
    draw.put(&mut banner, 40, "battr", json!(battr));
    let btype = draw.some(&[1, 2, 3, 4], 1);
    draw.put(&mut banner, 30, "btype", json!(btype));
    let mimes = draw.some(&["image/jpeg", "image/gif", "IMAGE/PNG", "text/html", "image/jpg"], 4);
    draw.put(&mut banner, 30, "mimes", json!(mimes));
    let pos = draw.number(0, 7);
    draw.put(&mut banner, 30, "pos", json!(pos));
    let api = draw.some(&[1, 2, 3, 5, 6, 7], 3);
    draw.put(&mut banner, 30, "api", json!(api));
    banner
}

/// What video and audio share.
fn timed(draw: &mut Draw, mimes: &[&str]) -> Value {
    let mut slot = json!({ "mimes": draw.some(mimes, 3) });
    let (least, most) = (draw.number(0, 20), draw.number(5, 130));
    draw.put(&mut slot, 60, "minduration", json!(least));
    let most = draw.loose(most);
    draw.put(&mut slot, 70, "maxduration", most);
    let protocols = draw.some(&[1, 2, 3, 5, 6, 7, 8, 11, 13, 99], 5);
    draw.put(&mut slot, 70, "protocols", json!(protocols));
    let exact = draw.some(&[5, 10, 15, 30, 60], 3);
    draw.put(&mut slot, 10, "rqddurs", json!(exact));
    if draw.often(10) {
        slot["poddur"] = json!(draw.number(10, 120));
        slot["maxseq"] = json!(draw.number(0, 4));
        draw.put(&mut slot, 50, "podid", json!("pod-1"));
    }
    let per_second = draw.number(0, 2) as f64;
    draw.put(&mut slot, 5, "mincpmpersec", json!(per_second));
    let battr = draw.some(&[1, 2, 6, 13, 16], 2);
    draw.put(&mut slot, 25, "battr", json!(battr));
    let delivery = draw.some(&[1, 2, 3], 2);
    draw.put(&mut slot, 20, "delivery", json!(delivery));
    let api = draw.some(&[1, 2, 7], 2);
    draw.put(&mut slot, 20, "api", json!(api));
    let (low, high) = (draw.number(0, 900), draw.number(300, 4_000));
    draw.put(&mut slot, 20, "minbitrate", json!(low));
    draw.put(&mut slot, 20, "maxbitrate", json!(high));
    let plcmt = draw.number(1, 4);
    draw.put(&mut slot, 30, "plcmt", json!(plcmt));
    let delay = draw.one(&[-2, -1, 0, 15]);
    draw.put(&mut slot, 30, "startdelay", json!(delay));
    slot
}

fn video(draw: &mut Draw) -> Value {
    let mut slot = timed(draw, &["video/mp4", "video/webm", "video/ogg", "VIDEO/MP4"]);
    let linearity = draw.number(1, 2);
    draw.put(&mut slot, 25, "linearity", json!(linearity));
    let skip = draw.flag(50);
    draw.put(&mut slot, 40, "skip", skip);
    draw.put(&mut slot, 60, "w", json!(640));
    draw.put(&mut slot, 60, "h", json!(360));
    slot
}

fn native(draw: &mut Draw) -> Value {
    let mut assets = Vec::new();
    for _ in 0..draw.number(0, 6) {
        assets.push(asset(draw, assets.len() as u64 + 1));
    }
    let mut request = json!({ "assets": assets });
    let version = draw.one(&["1.0", "1.1", "1.2"]);
    draw.put(&mut request, 80, "ver", json!(version));
    let trackers = json!([{ "event": draw.number(1, 3), "methods": draw.some(&[1, 2], 2) }]);
    draw.put(&mut request, 40, "eventtrackers", trackers);
    let context = draw.number(1, 3);
    draw.put(&mut request, 40, "context", json!(context));
    let asks_privacy = draw.flag(30);
    draw.put(&mut request, 10, "privacy", asks_privacy);
    if draw.often(30) {
        request = json!({ "native": request });
    }
    let request = if draw.often(80) { json!(request.to_string()) } else { request };
    let battr = draw.some(&[1, 13], 1);
    json!({ "request": request, "ver": version, "battr": battr })
}

fn asset(draw: &mut Draw, id: u64) -> Value {
    let mut asset = json!({ "id": id, "required": draw.flag(40) });
    match draw.number(0, 4) {
        0 => asset["title"] = json!({ "len": draw.one(&[0, 10, 25, 90, 140]) }),
        1 | 2 => {
            let mut image = json!({});
            let kind = draw.number(1, 3);
            draw.put(&mut image, 90, "type", json!(kind));
            let (w, h) = draw.one(&[(50, 50), (128, 128), (600, 300), (1_200, 627)]);
            if draw.often(70) {
                (image["wmin"], image["hmin"]) = (json!(w), json!(h));
            } else if draw.often(50) {
                (image["w"], image["h"]) = (json!(w), json!(h));
            }
            let mimes = draw.some(&["image/jpeg", "image/png", "image/gif"], 2);
            draw.put(&mut image, 30, "mimes", json!(mimes));
            asset["img"] = image;
        }
        3 => {
            let mut data = json!({ "type": draw.number(1, 12) });
            let len = draw.one(&[0, 5, 15, 25, 90, 140]);
            draw.put(&mut data, 50, "len", json!(len));
            asset["data"] = data;
        }
        _ => asset["video"] = json!({ "mimes": ["video/mp4"], "protocols": [2, 3] }),
    }
    asset
}
