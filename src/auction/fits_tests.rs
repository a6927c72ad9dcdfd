//! What the auction picks can be written down: its shapes against the last check and the writers.

use super::*;
use crate::auction::{AuctionInput, Context, Policy, extract};
use crate::catalog::{Needs, language_key};
use crate::openrtb::markup::BannerMarkup;
use crate::openrtb::vast::{Linear, MediaFile, PlayerRules, VAST_INLINE};
use crate::openrtb::{self, BidRequest, CheckedBid, Limits, Media, Template};
use crate::rates::Rates;
use crate::units::CurrencyCode;
use crate::{catalog, consent};
use proptest::prelude::*;
use serde_json::{Value, json};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The only imp of a request, as the auction sees it.
fn slot(request: &BidRequest<'_>) -> ImpInput {
    let rates = Rates::parse(CurrencyCode::USD, &BTreeMap::new()).expect("no rates");
    let context = Context {
        exchange: "x",
        seat: "seat",
        rates: &rates,
        policy: &Policy::default(),
        permissions: consent::decide(&consent::Policy::default(), request).permissions(),
        is_simulation: false,
        is_https: true,
    };
    let mut input = AuctionInput::new();
    assert!(extract(request, &context, &mut input).is_ok());
    input.imps.remove(0)
}

fn body(imp: Value) -> String {
    let mut imp = imp;
    imp["id"] = json!("1");
    json!({ "id": "r", "imp": [imp], "wlang": ["en-US", "pt"] }).to_string()
}

fn parsed(body: &str) -> BidRequest<'_> {
    openrtb::parse(body.as_bytes(), &Limits::default()).expect("parses")
}

fn shape(form: Form) -> Shape {
    Shape { form, attr: 1 << 5, needs: Needs::default(), language: 0 }
}

fn banner(sizes: &[(u32, u32)], is_fluid: bool) -> AdKind {
    AdKind::Banner(catalog::Banner {
        sizes: sizes.into(),
        is_fluid,
        markup: BannerMarkup::default(),
        mime: "text/html",
        btypes: 1 << 3,
        expdir: 0,
        needs_topframe: false,
    })
}

fn file(mime: &str, bitrate: u32, delivery: u8) -> MediaFile {
    MediaFile { url: Template::default(), mime: mime.to_owned(), w: 1, h: 1, bitrate, delivery }
}

fn linear(files: SmallVec<[MediaFile; 1]>) -> Linear {
    Linear { duration_s: 15, files, tag: None, protocols: VAST_INLINE, skip_after_s: None }
}

/// What the last check says of an ad on the only imp of a request that is strict in nothing else.
fn passes(
    request: &BidRequest<'_>,
    (attr, api): (u64, u64),
    media: Media<'_>,
) -> Result<(), openrtb::Defect> {
    let bid = CheckedBid {
        impid: "1",
        price: Micros(1),
        currency: CurrencyCode::USD,
        floor: Micros(1),
        seat: "seat",
        dealid: "",
        adomain: &["a.example"],
        bundle: "",
        cat: &["IAB18"],
        cattax: 1,
        attr,
        language: "",
        api,
        markup: "markup",
        media,
    };
    openrtb::check(request, 0, &bid)
}

#[test]
fn what_a_placement_lacks_or_blocks_keeps_an_ad_out() {
    let imp = json!({ "banner": {
        "mimes": ["text/html"], "btype": [4], "battr": [6], "api": [5], "expdir": [3], "topframe": 1,
    } });
    let body = body(imp);
    let slot = slot(&parsed(&body));
    let ad = shape(Form::of(&banner(&[(300, 250)], false)));
    let needs = |api, expdir, top| Shape { needs: Needs::new(api, expdir, top), ..ad.clone() };
    let Form::Banner { sizes, is_fluid, .. } = ad.form.clone() else { panic!("a banner") };
    let form = |mime: &str, btypes| {
        let mime = catalog::mime_key(mime);
        shape(Form::Banner { sizes: sizes.clone(), is_fluid, mime, btypes })
    };
    for (ad, expected) in [
        (ad.clone(), Ok(())),
        (form("text/HTML", 1 << 3), Ok(())),
        (form("image/png", 1 << 3), Err(Misfit::Mime)),
        (form("text/html", 1 << 3 | 1 << 4), Err(Misfit::Format)),
        (Shape { attr: 1 << 6, ..ad.clone() }, Err(Misfit::Attribute)),
        (needs(1 << 5, 1 << 3, true), Ok(())),
        (needs(1 << 6, 0, false), Err(Misfit::Api)),
        (needs(0, 1 << 4, false), Err(Misfit::Api)),
        (Shape { language: language_key("EN"), ..ad.clone() }, Ok(())),
        (Shape { language: language_key("pt-BR"), ..ad.clone() }, Ok(())),
        (Shape { language: language_key("de"), ..ad.clone() }, Err(Misfit::Language)),
    ] {
        assert_eq!(shape_fits(&ad, &slot), expected, "{ad:?}");
    }
    let bare = json!({ "id": "r", "imp": [{ "id": "1", "banner": {} }] }).to_string();
    let slot = self::slot(&parsed(&bare));
    assert_eq!(shape_fits(&needs(0, 0, true), &slot), Err(Misfit::Api));
    let german = Shape { language: language_key("de"), ..ad };
    assert_eq!(shape_fits(&german, &slot), Ok(()));
}

#[test]
fn a_skippable_ad_plays_where_it_may_be_skipped() {
    let ad = |is_skippable| {
        let mime = catalog::mime_key("video/mp4");
        let files = [catalog::FileShape { mime, bitrate: 0, delivery: 2 }];
        let files = files.into_iter().collect();
        shape(Form::Video { seconds: 15, protocols: VAST_INLINE, is_skippable, files })
    };
    for (video, expected) in [
        (json!({ "skip": null }), Ok(())),
        (json!({ "skip": 1 }), Ok(())),
        (json!({ "skip": 0 }), Err(Misfit::Skippable)),
        (json!({ "skip": 1, "skipmin": 14 }), Ok(())),
        (json!({ "skip": 1, "skipmin": 15 }), Err(Misfit::Skippable)),
    ] {
        let mut player = video.clone();
        player["mimes"] = json!(["video/mp4"]);
        let body = body(json!({ "video": player }));
        let slot = slot(&parsed(&body));
        assert_eq!(shape_fits(&ad(true), &slot), expected, "{video}");
        assert_eq!(shape_fits(&ad(false), &slot), Ok(()), "{video}");
    }
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(0)),
        Just(json!(-1)),
        (1..4u32).prop_map(|n| json!(n)),
        Just(json!(70_000))
    ]
}

fn codes(last: i64) -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        prop::collection::vec(0..last, 0..4).prop_map(|list| json!(list))
    ]
}

prop_compose! {
    fn format()(w in number(), h in number(), wratio in number(), hratio in number(), wmin in number())
        -> Value {
        json!({ "w": w, "h": h, "wratio": wratio, "hratio": hratio, "wmin": wmin })
    }
}

prop_compose! {
    fn banner_slot()(
        w in number(), h in number(), wmin in number(), hmin in number(), wmax in number(),
        hmax in number(), format in prop::collection::vec(format(), 0..3),
    ) -> Value {
        json!({ "w": w, "h": h, "wmin": wmin, "hmin": hmin, "wmax": wmax, "hmax": hmax, "format": format })
    }
}

fn mimes() -> impl Strategy<Value = Value> {
    let mime = prop::sample::select(vec!["video/mp4", "VIDEO/webm ", "video/ogg"]);
    prop::collection::vec(mime, 1..3).prop_map(|list| json!(list))
}

prop_compose! {
    fn player()(mimes in mimes(), delivery in codes(4), protocols in codes(15),
                least in number(), most in number()) -> Value {
        json!({ "mimes": mimes, "delivery": delivery, "protocols": protocols,
                "minbitrate": least, "maxbitrate": most })
    }
}

prop_compose! {
    /// A player of our file and version that has wishes about all else.
    fn demanding_player()(
        [least, most, pod, skipmin] in [number(), number(), number(), number()],
        rqddurs in codes(5), skip in prop::sample::select(vec![json!(null), json!(0), json!(1)]),
        linearity in prop::sample::select(vec![json!(null), json!(1), json!(2)]),
        rates in [number(), number()], [battr, api] in [codes(4), codes(4)],
    ) -> Value {
        json!({
            "mimes": ["video/mp4"], "minduration": least, "maxduration": most, "rqddurs": rqddurs, "skip": skip,
            "skipmin": skipmin, "linearity": linearity, "battr": battr, "api": api,
            "minbitrate": rates[0], "maxbitrate": rates[1], "poddur": pod,
        })
    }
}

fn side() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(0)),
        Just(json!(50)),
        Just(json!(80)),
        Just(json!(100))
    ]
}

prop_compose! {
    fn asset()(
        id in prop_oneof![4 => Just(json!(1)), 1 => Just(json!(null))], required in any::<bool>(),
        kind in 0..5u8, of in 0..14, len in number(), sides in [side(), side(), side(), side()],
        mimes in prop::sample::select(vec![json!([]), json!(["image/jpg"]), json!(["IMAGE/png", "video/mp4"])]),
        protocols in codes(15),
    ) -> Value {
        let [w, h, wmin, hmin] = sides;
        let mut asset = json!({ "id": id, "required": u8::from(required) });
        match kind {
            0 => asset["title"] = json!({ "len": len }),
            1 => asset["data"] = json!({ "type": of, "len": len }),
            2 => asset["video"] = json!({ "mimes": mimes, "maxduration": len, "protocols": protocols }),
            3 => asset["img"] = json!({ "type": of, "w": w, "h": h, "wmin": wmin, "hmin": hmin, "mimes": mimes }),
            _ => {}
        }
        asset
    }
}

/// One of each part, and images of several sizes and types.
fn library() -> openrtb::Library {
    let image =
        |kind, mime, side| openrtb::Image::new(kind, Template::default(), mime, (side, side));
    let kinds = [openrtb::ImageKind::Icon, openrtb::ImageKind::Main];
    let images = kinds.into_iter().flat_map(|kind| {
        [image(kind, "image/jpeg", 100), image(kind, "image/png", 80), image(kind, "image/gif", 50)]
    });
    let data =
        (1..=12u8).map(|kind| openrtb::Text::new(kind, "x".repeat(usize::from(kind) % 4 + 1)));
    let video = Linear { duration_s: 2, ..linear([file("video/mp4", 0, 2)].into_iter().collect()) };
    let titles = ["abc", "a"].map(|title| openrtb::Text::new(0, title.to_owned()));
    openrtb::Library::new(titles.into(), data.collect(), images.collect(), Some(video))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    /// A banner fits where a size can be told for it, and that size is one that the imp takes.
    #[test]
    fn banners_fit_where_a_size_can_be_told(
        imp in banner_slot(),
        sizes in prop::collection::vec((1..4u32, 1..4u32), 1..3),
        is_fluid in any::<bool>(),
    ) {
        let body = body(json!({ "banner": imp }));
        let request = parsed(&body);
        let slot = slot(&request);
        let told = request.imp[0].banner.as_ref().and_then(|one| one.size_for(&sizes, is_fluid));
        let fits = shape_fits(&shape(Form::of(&banner(&sizes, is_fluid))), &slot);
        prop_assert_eq!(fits.is_ok(), told.is_some());
        if let Some((w, h)) = told {
            prop_assert!(request.imp[0].banner.as_ref().is_some_and(|one| one.fits(w, h)), "{w} x {h}");
            prop_assert!(is_fluid || sizes.contains(&(w, h)));
        }
    }

    /// A video fits where the writer finds a version and a file for it.
    #[test]
    fn videos_fit_where_they_can_be_written(
        imp in player(),
        rates in prop::collection::vec((0..4u32, 1..3u8), 1..3),
        protocols in 0..1u32 << 15,
    ) {
        let types = ["video/mp4", "video/webm"];
        let files = rates.iter().zip(types).map(|((rate, way), mime)| file(mime, *rate, *way));
        let linear = Linear { protocols: protocols & VAST_INLINE, ..linear(files.collect()) };
        let body = body(json!({ "video": imp }));
        let request = parsed(&body);
        let video = request.imp[0].video.as_deref().expect("a video");
        let files = linear.files_for(&PlayerRules::from(video));
        let is_written = !files.is_empty() && linear.version(video.protocols).is_some();
        let fits = shape_fits(&shape(Form::of(&AdKind::Video(linear.clone()))), &slot(&request));
        prop_assert_eq!(fits.is_ok(), is_written);
    }

    /// The auction and the last check say the same of a video and of audio, whatever the player asks.
    #[test]
    fn linear_ads_fit_where_the_last_check_lets_them_pass(
        imp in demanding_player(),
        is_audio in any::<bool>(),
        seconds in 1..5u32,
        is_skippable in any::<bool>(),
        (attr, api) in (0..8u64, 0..8u64),
    ) {
        let mut linear = linear([file("video/mp4", 2, 2)].into_iter().collect());
        linear.duration_s = seconds;
        linear.skip_after_s = is_skippable.then_some(0);
        let body = body(if is_audio { json!({ "audio": imp }) } else { json!({ "video": imp }) });
        let request = parsed(&body);
        let kind = if is_audio { AdKind::Audio(linear.clone()) } else { AdKind::Video(linear.clone()) };
        let shape = Shape { form: Form::of(&kind), attr, needs: Needs::new(api, 0, false), language: 0 };
        let fits = shape_fits(&shape, &slot(&request)).is_ok();
        let files: Vec<_> = linear.files.iter().collect();
        let media = if is_audio {
            Media::Audio { files: &files, protocol: 3, duration_s: seconds }
        } else {
            Media::Video { files: &files, protocol: 3, duration_s: seconds, linearity: 1, is_skippable }
        };
        let passes = passes(&request, (attr, api), media);
        prop_assert_eq!(fits, passes.is_ok(), "{:?}", passes);
    }

    /// The same of a banner, beyond its size.
    #[test]
    fn banners_fit_where_the_last_check_lets_them_pass(
        lists in [codes(5), codes(5), codes(5), codes(5)],
        topframe in any::<bool>(),
        mimes in prop::sample::select(vec![json!([]), json!(["text/HTML "]), json!(["image/png"])]),
        (btypes, expdir, needs_topframe) in (0..16u8, 0..32u8, any::<bool>()),
        (attr, api) in (0..32u64, 0..32u64),
    ) {
        let [btype, battr, offered, directions] = lists;
        let body = body(json!({ "banner": {
            "w": 3, "h": 2, "mimes": mimes, "btype": btype, "battr": battr, "api": offered,
            "expdir": directions, "topframe": u8::from(topframe),
        } }));
        let request = parsed(&body);
        let needs = Needs::new(api, expdir.into(), needs_topframe);
        let mime = catalog::mime_key("text/html");
        let sizes = [(3, 2)].into_iter().collect();
        let form = Form::Banner { sizes, is_fluid: false, mime, btypes };
        let fits = shape_fits(&Shape { form, attr, needs, language: 0 }, &slot(&request)).is_ok();
        let media = Media::Banner {
            w: 3, h: 2, mime: "text/html", btypes: btypes.into(), expdir: expdir.into(), needs_topframe,
        };
        let passes = passes(&request, (attr, api), media);
        prop_assert_eq!(fits, passes.is_ok(), "{:?}", passes);
    }

    /// A native ad fits where its answer can be written, whatever is asked for and in which form.
    #[test]
    fn native_ads_fit_where_their_answer_can_be_written(
        assets in prop::collection::vec(asset(), 0..5),
        form in 0..3u8,
    ) {
        let mut asked = json!({ "ver": "1.2", "assets": assets });
        if form > 0 {
            asked = json!({ "native": asked });
        }
        if form > 1 {
            asked = json!(asked.to_string());
        }
        let body = body(json!({ "native": { "request": asked } }));
        let request = parsed(&body);
        let slot = slot(&request);
        let library = library();
        let fits = library.can_answer(&slot.native.as_ref().expect("a slot").asks);
        let asked = request.imp[0].native.as_ref().and_then(|native| native.asks()).expect("asks");
        let ad = openrtb::NativeMarkup { request: &asked, ver: "", id: "ad", library: &library };
        let mut out = String::new();
        let written = openrtb::write_native(&ad, &Default::default(), &mut out);
        prop_assert_eq!(fits, written.is_some());
        if fits {
            let answer: Value = serde_json::from_str(&out).expect("JSON");
            prop_assert!(!answer.pointer("/assets").or(answer.pointer("/native/assets"))
                .and_then(Value::as_array).is_none_or(Vec::is_empty));
        }
    }
}
