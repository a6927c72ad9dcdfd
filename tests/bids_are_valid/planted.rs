//! One wrong bid for each rule: a valid pair of request and answer, and a change that breaks this
//! rule and no other.

use serde_json::{Value, json};

/// Rule, name of the base, and the change of request and answer.
pub type Plant = (&'static str, &'static str, fn(&mut Value, &mut Value));

/// Requests that the engine answers, by name.
pub fn bases() -> Vec<(&'static str, Value)> {
    let request = |imps: Value| {
        json!({
            "id": "base", "imp": imps, "at": 1, "tmax": 5_000, "cur": ["EUR"], "badv": ["ford.com"],
            "bcat": ["IAB25"], "bapp": ["com.foo"], "wlang": ["en"],
            "site": { "domain": "news.example" }, "device": { "devicetype": 2 }, "user": {},
        })
    };
    let imp = |id: &str, medium: &str, slot: Value| {
        let mut imp = json!({ "id": id, "secure": 1, "bidfloor": 1.5, "bidfloorcur": "GBP" });
        imp[medium] = slot;
        imp
    };
    let banner = json!({
        "format": [{ "w": 300, "h": 250 }, { "w": 728, "h": 90 }], "battr": [13], "btype": [3],
        "mimes": ["image/jpeg", "image/png", "image/gif"],
    });
    let mut deal = imp("1", "banner", banner.clone());
    deal["pmp"] = json!({ "private_auction": 1, "deals": [{
        "id": "d-1", "bidfloor": 2, "wseat": ["outbid"], "wadomain": ["plain0.example", "plain5.example"],
    }] });
    let video = json!({
        "mimes": ["video/mp4"], "protocols": [3, 7], "minduration": 5, "maxduration": 30, "w": 640,
        "h": 360, "linearity": 1, "delivery": [2], "skip": 0, "minbitrate": 300, "maxbitrate": 1_500,
    });
    let audio = json!({ "mimes": ["audio/mp4"], "protocols": [2], "rqddurs": [15, 30] });
    let assets = json!([
        { "id": 1, "required": 1, "title": { "len": 25 } },
        { "id": 2, "required": 1, "img": { "type": 3, "wmin": 600, "hmin": 300 } },
        { "id": 3, "required": 1, "data": { "type": 1, "len": 20 } },
    ]);
    let native = json!({ "ver": "1.2", "assets": assets }).to_string();
    let native = json!({ "ver": "1.2", "request": native });
    let pod = json!({
        "mimes": ["video/mp4"], "protocols": [3, 7], "poddur": 45, "maxseq": 3, "w": 640, "h": 360,
    });
    let page = ["1", "2"].map(|id| imp(id, "banner", banner.clone()));
    vec![
        ("banner", request(json!([imp("1", "banner", banner)]))),
        ("deal", request(json!([deal]))),
        ("video", request(json!([imp("1", "video", video)]))),
        ("audio", request(json!([imp("1", "audio", audio)]))),
        ("native", request(json!([imp("1", "native", native)]))),
        ("page", request(json!(page))),
        ("pod", request(json!([imp("1", "video", pod)]))),
    ]
}

fn bid(response: &mut Value) -> &mut Value {
    &mut response["seatbid"][0]["bid"][0]
}

/// Puts `to` in the place of `from` in the markup, where it must stand.
fn redraw(response: &mut Value, from: &str, to: &str) {
    let adm = &mut bid(response)["adm"];
    let text = adm.as_str().unwrap_or_default().to_owned();
    assert!(text.contains(from), "`{from}` is not in {text}");
    *adm = json!(text.replacen(from, to, 1));
}

/// Changes the native markup.
fn native(response: &mut Value, change: impl FnOnce(&mut Value)) {
    let adm = &mut bid(response)["adm"];
    let mut answer: Value = serde_json::from_str(adm.as_str().unwrap_or_default()).expect("JSON");
    change(&mut answer);
    *adm = json!(answer.to_string());
}

/// Changes the native request.
fn ask(request: &mut Value, change: impl FnOnce(&mut Value)) {
    let text = &mut request["imp"][0]["native"]["request"];
    let mut asked: Value = serde_json::from_str(text.as_str().unwrap_or_default()).expect("JSON");
    change(&mut asked);
    *text = json!(asked.to_string());
}

/// By rule; several where a rule has several sides.
pub const PLANTS: &[Plant] = &[
    ("response_id", "banner", |_, r| r["id"] = json!("other")),
    ("currency", "banner", |q, _| q["cur"] = json!(["JPY", "USD"])),
    ("currency", "banner", |q, _| q["cur"] = json!(null)),
    ("empty_seat", "banner", |_, r| r["seatbid"][0]["bid"] = json!([])),
    ("empty_seat", "banner", |_, r| r["seatbid"] = json!([])),
    ("wseat", "banner", |q, _| q["wseat"] = json!(["other"])),
    ("bseat", "banner", |q, _| q["bseat"] = json!(["other", "outbid"])),
    ("dsa", "banner", |q, _| q["regs"] = json!({ "ext": { "dsa": { "dsarequired": 2 } } })),
    ("dsa", "banner", |q, _| q["regs"] = json!({ "dsa": { "dsarequired": 3 } })),
    ("bid_id", "banner", |_, r| bid(r)["id"] = json!("")),
    ("bid_id", "page", |_, r| r["seatbid"][0]["bid"][1]["id"] = bid(r)["id"].clone()),
    ("impid", "banner", |_, r| bid(r)["impid"] = json!("9")),
    ("impid", "banner", |q, _| {
        let twin = q["imp"][0].clone();
        q["imp"].as_array_mut().expect("imps").push(twin);
    }),
    ("pod", "pod", |q, _| q["imp"][0]["video"]["maxseq"] = json!(1)),
    ("pod", "pod", |q, _| q["imp"][0]["video"]["poddur"] = json!(5)),
    ("imp_twice", "page", |_, r| r["seatbid"][0]["bid"][1]["impid"] = bid(r)["impid"].clone()),
    ("floor", "banner", |_, r| bid(r)["price"] = json!(1.763)),
    ("floor", "banner", |q, _| q["imp"][0]["bidfloor"] = json!("30")),
    ("floor", "banner", |q, _| q["imp"][0]["bidfloor"] = json!("abc")),
    ("floor", "banner", |q, _| q["imp"][0]["bidfloor"] = json!({})),
    ("floor", "video", |q, _| q["imp"][0]["video"]["mincpmpersec"] = json!("abc")),
    ("floor", "deal", |_, r| bid(r)["price"] = json!(1.851)),
    ("floor", "video", |q, _| q["imp"][0]["video"]["mincpmpersec"] = json!(9)),
    ("floor", "audio", |q, _| {
        q["imp"][0]["audio"]["durfloors"] = json!([{ "mindur": 10, "maxdur": 60, "bidfloor": 40 }]);
    }),
    ("deal_unknown", "deal", |_, r| bid(r)["dealid"] = json!("d-2")),
    ("deal_required", "deal", |_, r| bid(r)["dealid"] = json!(null)),
    ("deal_wseat", "deal", |q, _| q["imp"][0]["pmp"]["deals"][0]["wseat"] = json!(["other"])),
    ("deal_wadomain", "deal", |q, _| {
        q["imp"][0]["pmp"]["deals"][0]["wadomain"] = json!(["0.example", "sub.plain5.example"]);
    }),
    ("adomain", "banner", |_, r| bid(r)["adomain"] = json!([])),
    ("badv", "banner", |_, r| bid(r)["adomain"] = json!(["cars.ford.com"])),
    ("badv", "banner", |q, r| {
        q["badv"] = json!(["https://www.Brand.example/shop"]);
        bid(r)["adomain"] = json!(["brand.example"]);
    }),
    ("cattax", "banner", |_, r| bid(r)["cattax"] = json!(6)),
    ("bcat", "banner", |_, r| bid(r)["cat"] = json!(["IAB25-3"])),
    ("acat", "banner", |q, _| q["acat"] = json!(["IAB1", "IAB2"])),
    ("acat", "banner", |q, _| {
        q["acat"] = json!(["IAB22"]);
        q["cattax"] = json!(6);
    }),
    ("battr", "banner", |_, r| bid(r)["attr"] = json!([2, 13])),
    ("bapp", "banner", |_, r| bid(r)["bundle"] = json!("com.foo")),
    ("wlang", "banner", |_, r| bid(r)["language"] = json!("fr")),
    ("crid", "banner", |_, r| bid(r)["crid"] = json!("x".repeat(65))),
    ("crid", "banner", |_, r| bid(r)["crid"] = json!(null)),
    ("notice_url", "banner", |_, r| bid(r)["nurl"] = json!("http://ads.example/")),
    ("notice_url", "banner", |_, r| bid(r)["burl"] = json!("/notice/billing")),
    ("notice_url", "banner", |_, r| bid(r)["lurl"] = json!(null)),
    ("secure", "banner", |_, r| redraw(r, "https://cdn", "HTTP://cdn")),
    ("secure", "video", |_, r| redraw(r, "https://cdn", "http://cdn")),
    ("medium_form", "banner", |_, r| bid(r)["adm"] = json!("buy!")),
    ("medium_told", "banner", |_, r| bid(r)["mtype"] = json!(2)),
    ("medium_offered", "banner", |q, _| {
        q["imp"][0]["video"] = q["imp"][0]["banner"].take();
    }),
    ("same_creative", "page", |_, r| r["seatbid"][0]["bid"][1]["crid"] = bid(r)["crid"].clone()),
    ("same_advertiser", "page", |_, r| {
        r["seatbid"][0]["bid"][1]["adomain"] = bid(r)["adomain"].clone();
    }),
    ("banner_size", "banner", |q, _| {
        q["imp"][0]["banner"]["format"] = json!([{ "w": 250, "h": 300 }, { "w": 320, "h": 50 }]);
    }),
    ("banner_size", "banner", |q, _| {
        q["imp"][0]["banner"]["format"] = json!([{ "wratio": 16, "hratio": 9, "wmin": 300 }]);
    }),
    ("banner_size", "banner", |q, _| {
        let slot = &mut q["imp"][0]["banner"];
        slot["format"] = json!(null);
        slot["wmin"] = json!(800);
    }),
    ("banner_size", "banner", |q, _| {
        q["imp"][0]["banner"]["format"] = json!([{ "w": 50, "h": -1 }]);
    }),
    ("banner_size", "banner", |q, _| {
        q["imp"][0]["banner"]["format"] = json!([{ "w": 30, "h": 0 }]);
    }),
    ("banner_size", "banner", |q, _| {
        q["imp"][0]["banner"]["format"] = json!([{ "wratio": 30 }]);
    }),
    ("banner_size", "banner", |q, _| q["imp"][0]["banner"]["format"] = json!([])),
    ("banner_size", "banner", |q, _| {
        let slot = &mut q["imp"][0]["banner"];
        slot["format"] = json!(null);
        (slot["w"], slot["h"]) = (json!(-1), json!("high"));
    }),
    ("banner_told", "banner", |_, r| bid(r)["w"] = json!(null)),
    ("banner_drawn", "banner", |_, r| redraw(r, " width=\"", " width=\"1")),
    ("banner_mime", "banner", |q, _| q["imp"][0]["banner"]["mimes"] = json!(["text/html"])),
    ("btype", "banner", |q, _| q["imp"][0]["banner"]["btype"] = json!([2])),
    ("btype", "banner", |_, r| redraw(r, "</a>", "</a><script>1</script>")),
    ("vast", "video", |_, r| redraw(r, "</InLine>", "")),
    ("vast_media", "video", |_, r| redraw(r, "https://cdn.example/", "")),
    ("vast_click", "video", |_, r| {
        redraw(r, "<ClickThrough><![CDATA[https", "<ClickThrough><![CDATA[")
    }),
    ("video_mime", "video", |_, r| redraw(r, "video/mp4", "video/x-flv")),
    ("video_mime", "video", |q, _| q["imp"][0]["video"]["mimes"] = json!([])),
    ("audio_mime", "audio", |q, _| q["imp"][0]["audio"]["mimes"] = json!(null)),
    ("audio_mime", "audio", |_, r| redraw(r, "audio/mp4", "audio/mpeg")),
    ("protocol", "video", |_, r| redraw(r, "VAST version=\"4.0\"", "VAST version=\"2.0\"")),
    ("protocol", "audio", |q, _| q["imp"][0]["audio"]["protocols"] = json!([5, 9])),
    ("duration", "audio", |q, _| q["imp"][0]["audio"]["rqddurs"] = json!([10, 20])),
    ("duration", "video", |q, _| q["imp"][0]["video"]["poddur"] = json!(4)),
    ("duration", "video", |q, _| q["imp"][0]["video"]["minduration"] = json!(31)),
    ("duration", "video", |q, _| q["imp"][0]["video"]["maxduration"] = json!(4)),
    ("duration_told", "video", |_, r| bid(r)["dur"] = json!(1)),
    ("linearity", "video", |q, _| q["imp"][0]["video"]["linearity"] = json!(2)),
    ("delivery", "video", |q, _| q["imp"][0]["video"]["delivery"] = json!([1])),
    ("skip", "video", |_, r| redraw(r, "<Linear", "<Linear skipoffset=\"00:00:05\"")),
    ("bitrate", "video", |_, r| redraw(r, "<MediaFile d", "<MediaFile bitrate=\"1501\" d")),
    ("native_request", "native", |q, _| q["imp"][0]["native"]["request"] = json!("{")),
    ("native_version", "native", |q, _| {
        ask(q, |asked| asked["ver"] = json!("1.1"));
    }),
    ("native_link", "native", |_, r| native(r, |n| n["link"] = json!({}))),
    ("native_asset", "native", |_, r| {
        native(r, |n| {
            n["assets"]
                .as_array_mut()
                .expect("assets")
                .push(json!({ "id": 7, "title": { "text": "x" } }));
        })
    }),
    ("native_asset", "native", |q, _| {
        ask(q, |asked| asked["assets"][2] = json!({ "id": 3, "video": {} }))
    }),
    ("native_twice", "native", |_, r| {
        native(r, |n| {
            let first = n["assets"][0].clone();
            n["assets"].as_array_mut().expect("assets").push(first);
        })
    }),
    ("native_required", "native", |_, r| {
        native(r, |n| {
            n["assets"].as_array_mut().expect("assets").pop();
        })
    }),
    ("native_title", "native", |q, _| {
        ask(q, |asked| asked["assets"][0]["title"]["len"] = json!(3))
    }),
    ("native_data", "native", |q, _| ask(q, |asked| asked["assets"][2]["data"]["len"] = json!(3))),
    ("native_image", "native", |q, _| {
        ask(q, |asked| asked["assets"][1]["img"]["wmin"] = json!(1_300))
    }),
    ("native_image", "native", |q, _| {
        ask(q, |asked| asked["assets"][1]["img"] = json!({ "type": 3, "w": 600, "h": 300 }));
    }),
    ("native_image_mime", "native", |q, _| {
        ask(q, |asked| asked["assets"][1]["img"]["mimes"] = json!(["image/webp"]));
    }),
    ("native_image_url", "native", |_, r| {
        native(r, |n| n["assets"][1]["img"]["url"] = json!("/x.jpg"))
    }),
];
