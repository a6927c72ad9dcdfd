//! From the parsed request to what the auction needs: the last place that sees OpenRTB types.

use crate::auction::input::{
    AuctionInput, BannerSlot, DealInput, ImpInput, KeySet, LengthFloors, MediaSlot, NativeSlot,
    PodRoom, SizeRule,
};
use crate::auction::policy::Policy;
use crate::auction::reason::NoBid;
use crate::auction::select::KEPT_MAX;
use crate::catalog::{Needs, RequestFacts, category_key, deal_key, domain_key, language_key};
use crate::consent::Permissions;
use crate::hash::{key_lower, stable_lower, trimmed};
use crate::openrtb::{
    Audio, Banner, BidRequest, CodeSet, DurationFloor, Format, Geo, Imp, Native, Side, Str, Video,
    keywords,
};
use crate::prediction::{ContextInput, SlotFormat};
use crate::rates::{Rate, Rates};
use crate::units::{CurrencyCode, Micros, Timestamp};
use smallvec::SmallVec;

/// What the extraction needs to know beside the request.
pub struct Context<'a> {
    /// The exchange's name.
    pub exchange: &'a str,
    /// Our seat with it.
    pub seat: &'a str,
    /// Currency rates.
    pub rates: &'a Rates,
    /// What the exchange's configuration says of requests as a whole.
    pub policy: &'a Policy,
    /// What we may do with the request.
    pub permissions: Permissions,
    /// Whether `imp.ext.outbid` is obeyed.
    pub is_simulation: bool,
    /// Whether our own URLs are https, as secure imps demand.
    pub is_https: bool,
}

/// Fills `input` from `request`. Leaves out imps that we could not bid on (no id or another's, no
/// medium, secure while our URLs are not, floors in a currency without a rate, more floors by length than are looked
/// at).
///
/// # Errors
/// The reason why this request can get no bid at all.
pub fn extract(
    request: &BidRequest<'_>,
    context: &Context<'_>,
    input: &mut AuctionInput,
) -> Result<(), NoBid> {
    if !request.allows_seat(context.seat) {
        return Err(NoBid::SeatExcluded);
    }
    context.policy.admit(request)?;
    if request.regs.dsa.required.is_some_and(|level| level >= 2) {
        return Err(NoBid::TransparencyRequired);
    }
    // What cannot be shown to be permitted is not.
    if !request.acat.is_empty() && request.cattax.unwrap_or(1) != 1 {
        return Err(NoBid::Blocked);
    }
    input.currency = answer_currency(request, context.rates).ok_or(NoBid::CurrencyUnknown)?;
    input.permissions = context.permissions;
    input.is_test = request.test;
    input.is_first_price = request.at == Some(1);
    input.seed = stable_lower(&request.id);
    input.exchange_hash = stable_lower(context.exchange);
    blocks(request, input);
    for (position, imp) in request.imp.iter().enumerate().take(u8::MAX as usize) {
        // An exchange finds an imp by its id: a bid on one of two with one id may be shown in the other.
        if request.imp.iter().filter(|other| other.id == imp.id).count() > 1 {
            continue;
        }
        if let Some(slot) = imp_input(imp, position as u8, request, context, input.currency) {
            input.imps.push(slot);
        }
    }
    facts(request, context, input);
    if input.imps.is_empty() { Err(NoBid::NoCreativeFits) } else { Ok(()) }
}

/// The first currency asked for that the table holds; dollars where none is asked for.
fn answer_currency(request: &BidRequest<'_>, rates: &Rates) -> Option<CurrencyCode> {
    if request.cur.is_empty() {
        return Some(CurrencyCode::USD);
    }
    let mut asked = request.cur.iter().filter_map(|code| CurrencyCode::parse(trimmed(code)));
    asked.find(|code| rates.rate(*code, rates.base()).is_some())
}

fn blocks(request: &BidRequest<'_>, input: &mut AuctionInput) {
    let blocks = &mut input.blocks;
    blocks.badv.fill(request.badv.iter().map(|domain| domain_key(domain)));
    blocks.has_foreign_bcat = request.bcat.iter().any(|category| is_foreign(request, category));
    blocks.bcat.fill(request.bcat.iter().map(|category| category_key(category)));
    blocks.acat.fill(request.acat.iter().map(|category| category_key(category)));
    blocks.bapp.fill(request.bapp.iter().map(|bundle| key_lower(trimmed(bundle))));
}

/// Whether a category is of a taxonomy in which our ads have none, all but the IAB's first. Its names
/// ("IAB7-39") are like no other's, and many senders name a newer taxonomy and list the old names.
fn is_foreign(request: &BidRequest<'_>, category: &str) -> bool {
    let has_old_name =
        trimmed(category).get(..3).is_some_and(|start| start.eq_ignore_ascii_case("IAB"));
    request.cattax.unwrap_or(1) != 1 && !has_old_name
}

/// Languages of one request that are looked at; ads in what comes after get no bid.
const LANGUAGES_MAX: usize = 16;

fn languages(request: &BidRequest<'_>) -> SmallVec<[u64; 2]> {
    request.wlang.iter().take(LANGUAGES_MAX).map(|tag| language_key(tag)).collect()
}

fn imp_input(
    imp: &Imp<'_>,
    position: u8,
    request: &BidRequest<'_>,
    context: &Context<'_>,
    currency: CurrencyCode,
) -> Option<ImpInput> {
    let rate = context.rates.rate(imp.floor_currency()?, currency)?;
    let floor = rate.convert_up(imp.bidfloor)?;
    let banner = imp.banner.as_ref().map(banner_slot);
    let video = imp.video.as_deref().and_then(|video| video_slot(video, rate));
    let audio = imp.audio.as_deref().and_then(|audio| audio_slot(audio, rate));
    let native = imp.native.as_deref().and_then(native_slot);
    let format = match (&video, &banner, &native, &audio) {
        (Some(_), ..) => SlotFormat::Video,
        (_, Some(_), ..) => SlotFormat::Banner,
        (_, _, Some(_), _) => SlotFormat::Native,
        (.., Some(_)) => SlotFormat::Audio,
        _ => return None,
    };
    if imp.id.is_empty() || (imp.secure && !context.is_https) {
        return None;
    }
    let by_length =
        |slot: &Option<MediaSlot>| slot.as_ref().is_some_and(|slot| !slot.length_floors.is_empty());
    let has_length_floors = by_length(&video) || by_length(&audio);
    let given = imp.outbid.as_ref().filter(|_| context.is_simulation);
    Some(ImpInput {
        position,
        size: primary_size(imp),
        screen_position: screen_position(imp),
        placement: imp.tagid.given().map_or(0, stable_lower),
        has_length_floors,
        quantity: quantity(imp)?,
        pod: pod_room(imp),
        banner,
        video,
        audio,
        native,
        languages: languages(request),
        floor,
        is_private: imp.pmp.private_auction,
        deals: deals(imp, request.at, context, currency),
        given_p_click: given.and_then(|given| given.pctr).map(|p| p.clamp(0.0, 1.0) as f32),
        given_p_conversion: given.and_then(|given| given.pcvr).map(|p| p.clamp(0.0, 1.0) as f32),
        format,
    })
}

fn clamp_u8(value: i32) -> u8 {
    value.clamp(0, i32::from(u8::MAX)) as u8
}

fn side(pixels: Option<u32>) -> u16 {
    u16::try_from(pixels.unwrap_or(0)).unwrap_or(u16::MAX)
}

/// The size that stands for the slot in features: the first that is named.
fn primary_size(imp: &Imp<'_>) -> (u16, u16) {
    let video = imp.video.as_ref().map(|video| (side(video.w), side(video.h)));
    let banner = imp.banner.as_ref().map(|banner| match banner.format.first() {
        Some(format) if side(format.w) > 0 => (side(format.w), side(format.h)),
        _ => (side(Side::pixels(banner.w)), side(Side::pixels(banner.h))),
    });
    video.or(banner).unwrap_or((0, 0))
}

/// Formats of one imp that are looked at; real ones name a handful. What comes after gets no bid.
const FORMATS_MAX: usize = 64;

/// The sizes as rules that admit what `openrtb::Banner::fits` admits.
fn banner_slot(banner: &Banner<'_>) -> BannerSlot {
    let rules = banner.format.iter().filter_map(size_rule).take(FORMATS_MAX);
    let mut sizes: SmallVec<[SizeRule; 4]> = rules.collect();
    if sizes.is_empty() && banner.takes_sides() {
        sizes.push(SizeRule::Range {
            w: side_rule(banner.w, banner.wmin, banner.wmax),
            h: side_rule(banner.h, banner.hmin, banner.hmax),
        });
    }
    BannerSlot {
        sizes,
        battr: banner.battr.bits,
        btype: banner.btype.bits,
        mimes: image_types(&banner.mimes),
        offers: Needs::new(banner.api.bits, banner.expdir.bits, banner.topframe),
    }
}

/// A number given as 0 is a number not given.
fn given(number: Option<u32>) -> Option<u32> {
    number.filter(|number| *number > 0)
}

/// From least to most where either is given, else exactly so much, else anything.
fn side_rule(exact: Option<Side>, least: Option<Side>, most: Option<Side>) -> (u32, u32) {
    match (Side::pixels(exact), Side::pixels(least), Side::pixels(most)) {
        (Some(exact), None, None) => (exact, exact),
        (_, least, most) => (least.unwrap_or(0), most.unwrap_or(u32::MAX)),
    }
}

fn size_rule(format: &Format) -> Option<SizeRule> {
    if let (Some(w), Some(h)) = (given(format.w), given(format.h)) {
        return Some(SizeRule::Range { w: (w, w), h: (h, h) });
    }
    let (wratio, hratio) = (given(format.wratio)?, given(format.hratio)?);
    Some(SizeRule::Ratio { wratio, hratio, wmin: format.wmin.unwrap_or(0) })
}

fn hashes(list: &[Str<'_>]) -> KeySet {
    list.iter().map(|text| key_lower(trimmed(text))).collect()
}

/// Types of images, of which many spell the commonest `image/jpg`.
fn image_types(list: &[Str<'_>]) -> KeySet {
    let proper = |name: &str| {
        key_lower(if name.eq_ignore_ascii_case("image/jpg") { "image/jpeg" } else { name })
    };
    list.iter().map(|text| proper(trimmed(text))).collect()
}

/// `None` for floors without a rate, or too many, and for a player that names no type of file: a
/// standard player must, so nobody can tell what it plays.
fn video_slot(video: &Video<'_>, rate: Rate) -> Option<MediaSlot> {
    (!video.mimes.is_empty()).then_some(())?;
    Some(MediaSlot {
        mimes: hashes(&video.mimes),
        protocols: any_or(video.protocols),
        seconds_min: video.minduration.unwrap_or(0),
        seconds_max: given(video.maxduration).unwrap_or(u32::MAX),
        pod_seconds: given(video.poddur).unwrap_or(u32::MAX),
        seconds_exact: video.rqddurs.iter().copied().take(LENGTHS_MAX).collect(),
        length_floors: length_floors(video.mincpmpersec, &video.durfloors, rate)?,
        battr: video.battr.bits,
        accepts_linear: video.linearity.is_none_or(|linearity| linearity == 1),
        delivery: any_or(video.delivery),
        bitrates: bitrates(video.minbitrate, video.maxbitrate),
        skip_longer_than_s: (video.skip != Some(false)).then(|| video.skipmin.unwrap_or(0)),
        offers: Needs::new(video.api.bits, 0, false),
    })
}

/// `None` as of [`video_slot`].
fn audio_slot(audio: &Audio<'_>, rate: Rate) -> Option<MediaSlot> {
    (!audio.mimes.is_empty()).then_some(())?;
    Some(MediaSlot {
        mimes: hashes(&audio.mimes),
        protocols: any_or(audio.protocols),
        seconds_min: audio.minduration.unwrap_or(0),
        seconds_max: given(audio.maxduration).unwrap_or(u32::MAX),
        pod_seconds: given(audio.poddur).unwrap_or(u32::MAX),
        seconds_exact: audio.rqddurs.iter().copied().take(LENGTHS_MAX).collect(),
        length_floors: length_floors(audio.mincpmpersec, &audio.durfloors, rate)?,
        battr: audio.battr.bits,
        accepts_linear: true,
        delivery: any_or(audio.delivery),
        bitrates: bitrates(audio.minbitrate, audio.maxbitrate),
        skip_longer_than_s: Some(0),
        offers: Needs::new(audio.api.bits, 0, false),
    })
}

/// `None` for what has no rate, or names more ranges than are looked at.
fn length_floors(by_second: Micros, ranges: &[DurationFloor], rate: Rate) -> Option<LengthFloors> {
    let range = |range: &DurationFloor| {
        let (least, most) = range.lengths();
        Some((least, most, rate.convert_up(range.bidfloor)?))
    };
    (ranges.len() <= LENGTHS_MAX).then_some(())?;
    Some(LengthFloors {
        by_second: rate.convert_up(by_second)?,
        ranges: ranges.iter().map(range).collect::<Option<_>>()?,
    })
}

/// Impressions that one play may count for: more than a full square before the largest screen. One
/// bid takes so many impressions' money at once, which no pacing can spread.
const QUANTITY_MAX: u64 = 10_000;

/// A multiplier of nothing would make plays free: it counts as one that is not given. `None` above
/// [`QUANTITY_MAX`].
fn quantity(imp: &Imp<'_>) -> Option<Rate> {
    match imp.qty.multiplier {
        Micros::ZERO => Some(Rate::ONE),
        Micros(millionths) if millionths > QUANTITY_MAX * 1_000_000 => None,
        Micros(millionths) => Some(Rate(millionths * (Rate::ONE.0 / 1_000_000))),
    }
}

/// The dynamic pod of the video player, else of the audio player. Without `maxseq` it takes as many
/// ads as an auction keeps.
fn pod_room(imp: &Imp<'_>) -> Option<PodRoom> {
    let video = imp.video.as_deref().and_then(|v| Some((false, given(v.poddur)?, v.maxseq)));
    let audio = || imp.audio.as_deref().and_then(|a| Some((true, given(a.poddur)?, a.maxseq)));
    let (is_audio, seconds, maxseq) = video.or_else(audio)?;
    Some(PodRoom { is_audio, seconds, ads: given(maxseq).unwrap_or(KEPT_MAX as u32) })
}

/// Where the ad stands, for the model: a banner's `pos` (0 to 7), or, past them, where a video stands
/// (`plcmt` 1 to 4, else the older `placement` 1 to 5 as 5 to 9) and when it starts.
fn screen_position(imp: &Imp<'_>) -> u8 {
    const VIDEOS_FROM: u8 = 32;
    if let Some(position) = imp.banner.as_ref().and_then(|banner| banner.pos) {
        return clamp_u8(position);
    }
    let Some(video) = &imp.video else { return 0 };
    let place = match (video.plcmt, video.placement) {
        (Some(newer @ 1..=4), _) => newer as u8,
        (_, Some(older @ 1..=5)) => older as u8 + 4,
        _ => 0,
    };
    let start = match video.startdelay {
        None => 0,
        Some(0) => 1,
        Some(-2) => 3,
        Some(_) => 2,
    };
    if place == 0 && start == 0 { 0 } else { VIDEOS_FROM + 4 * place + start }
}

/// Exact lengths of one imp that are looked at; what comes after gets no bid.
const LENGTHS_MAX: usize = 64;

/// A list that names only codes unknown to us permits nothing of ours; one that is empty, all.
fn any_or(named: CodeSet) -> u64 {
    if named.is_given() { named.bits } else { u64::MAX }
}

fn bitrates(least: Option<u32>, most: Option<u32>) -> (u32, u32) {
    (least.unwrap_or(0), given(most).unwrap_or(u32::MAX))
}

/// Assets of one imp that are looked at; the standard's layouts have fewer than ten.
const ASSETS_MAX: usize = 32;

/// `None` for what cannot be understood, or asks for more than we look at: no native bid then.
fn native_slot(native: &Native<'_>) -> Option<NativeSlot> {
    let request = native.asks()?;
    (request.inner().assets.len() <= ASSETS_MAX).then(|| NativeSlot {
        battr: native.battr.bits,
        asks: request.asks().collect(),
        offers: Needs::new(native.api.bits, 0, false),
    })
}

fn deals(
    imp: &Imp<'_>,
    at: Option<i32>,
    context: &Context<'_>,
    currency: CurrencyCode,
) -> SmallVec<[DealInput; 2]> {
    let seat_may = |seats: &[Str<'_>]| seats.is_empty() || seats.iter().any(|s| *s == context.seat);
    let deals = imp.pmp.deals.iter().enumerate().take(u8::MAX as usize);
    // Of two deals with one id the first counts.
    let is_first = |position: usize, id: &Str<'_>| {
        !imp.pmp.deals[..position].iter().any(|earlier| earlier.id == *id)
    };
    let usable = deals.filter(|(position, deal)| {
        !deal.id.is_empty() && seat_may(&deal.wseat) && is_first(*position, &deal.id)
    });
    usable
        .filter_map(|(position, deal)| {
            let rate = context.rates.rate(deal.floor_currency()?, currency)?;
            let advertisers = deal.wadomain.iter().map(|domain| domain_key(domain)).collect();
            Some(DealInput {
                key: deal_key(&deal.id),
                position: position as u8,
                floor: rate.convert_up(deal.bidfloor)?,
                length_floors: length_floors(deal.mincpmpersec, &deal.durfloors, rate)?,
                is_fixed: deal.has_fixed_price(at),
                is_guaranteed: deal.guar,
                advertisers,
            })
        })
        .collect()
}

/// What targeting looks at.
fn facts(request: &BidRequest<'_>, context: &Context<'_>, input: &mut AuctionInput) {
    let facts = &mut input.facts;
    facts.now = input.now;
    facts.personalised = context.permissions.personalise;
    facts.minor = input.restrictions.is_child();
    facts.set_exchange(context.exchange);
    let geo = &request.device.geo;
    if let Some(country) = geo.country.given() {
        facts.set_geo(country, geo.region.given(), geo.city.given());
    }
    if context.permissions.precise_geo {
        place_facts(geo, facts);
    }
    if let Some(device_type) = request.device.devicetype {
        facts.set_device_type(clamp_u8(device_type));
    }
    if let Some(os) = request.device.os.given() {
        facts.set_os(os);
    }
    inventory_facts(request, input);
    user_facts(request, input);
    imp_facts(request, input);
    input.user_context = user_context(request, input);
}

/// Metres by which a position may be wrong and still be one: the radius of the smallest circles twice.
const ACCURACY_M_MAX: u32 = 1_000;

/// Positions that were guessed from an address (type 2) or are known to be vague are none.
fn place_facts(geo: &Geo<'_>, facts: &mut RequestFacts) {
    if let (Some(country), Some(code)) = (geo.country.given(), geo.zip.given()) {
        facts.set_postal_code(country, code);
    }
    let is_vague = geo.accuracy.is_some_and(|metres| metres > ACCURACY_M_MAX);
    if let (Some(lat), Some(lon), false) = (geo.lat, geo.lon, geo.r#type == Some(2) || is_vague) {
        facts.set_position(lat, lon);
    }
}

fn inventory_facts(request: &BidRequest<'_>, input: &mut AuctionInput) {
    let facts = &mut input.facts;
    let Some(inventory) = request.inventory() else { return };
    if let Some(domain) = inventory.domain.given() {
        facts.push_domain(domain);
    } else if let Some(page) = inventory.page.given() {
        facts.push_domain(page);
    }
    if let Some(bundle) = inventory.bundle.given() {
        facts.set_bundle(bundle);
    }
    let content = inventory.content.as_ref();
    let categories = [&inventory.pagecat[..], &inventory.sectioncat, &inventory.cat];
    let content_cat = content.map(|content| &content.cat[..]);
    let categories = categories.into_iter().chain(content_cat).flatten();
    categories.for_each(|category| facts.push_page_category(category));
    let words = content.map_or(&[][..], |content| &content.keywords);
    inventory.keywords.iter().chain(words).for_each(|words| facts.push_keywords(words));
}

fn user_facts(request: &BidRequest<'_>, input: &mut AuctionInput) {
    let facts = &mut input.facts;
    // A restriction is no use of the year: it holds the more where nothing may be known of the user.
    facts.minor |= may_be_minor(request.user.yob, input.now);
    facts.personalised &= !facts.minor;
    if !input.permissions.personalise {
        return;
    }
    keywords(&request.user.keywords).for_each(|word| facts.push_user_keywords(word));
    let segments = request.user.data.iter().flat_map(|data| &data.segment);
    segments.for_each(|segment| facts.push_segment(&segment.id));
}

/// Whether who was born in this year may be younger than 18: who turns 18 this year may be 17 still.
fn may_be_minor(year: Option<i32>, now: Timestamp) -> bool {
    // 31,556,952 s is the mean Gregorian year; a year of birth is no finer than that.
    let this_year = 1970 + now.0.div_euclid(31_556_952_000);
    year.map(i64::from).is_some_and(|year| year > 1900 && this_year - year <= 18)
}

fn imp_facts(request: &BidRequest<'_>, input: &mut AuctionInput) {
    let facts = &mut input.facts;
    for imp in &input.imps {
        if let Some(banner) = &imp.banner {
            for rule in &banner.sizes {
                match rule {
                    SizeRule::Range { w, h } if w.0 == w.1 && h.0 == h.1 => {
                        facts.push_banner_size(w.0, h.0);
                    }
                    _ => facts.push_banner_of_any_size(),
                }
            }
        }
        if imp.video.is_some() {
            facts.push_video();
        }
        if imp.audio.is_some() {
            facts.push_audio();
        }
        if imp.native.is_some() {
            facts.push_native();
        }
    }
    let deals = request.imp.iter().flat_map(|imp| &imp.pmp.deals);
    deals.for_each(|deal| facts.push_deal(&deal.id));
}

/// The part of the model's context that all imps share.
fn user_context(request: &BidRequest<'_>, input: &AuctionInput) -> ContextInput {
    let inventory = request.inventory();
    let publisher = inventory.and_then(|place| place.bundle.given().or(place.domain.given()));
    let category = inventory.and_then(|place| {
        [&place.pagecat[..], &place.sectioncat, &place.cat]
            .into_iter()
            .find_map(|list| list.first())
    });
    let offset_ms = i64::from(request.device.geo.utcoffset.unwrap_or(0)) * 60_000;
    let local = input.now.plus_millis(offset_ms);
    let hash = |text: &Str<'_>| text.given().map_or(0, stable_lower);
    ContextInput {
        exchange: input.exchange_hash,
        publisher: publisher.map_or(0, stable_lower),
        device_type: request.device.devicetype.map_or(0, clamp_u8),
        os: hash(&request.device.os),
        country: hash(&request.device.geo.country),
        region: hash(&request.device.geo.region),
        hour: (local.0.div_euclid(3_600_000).rem_euclid(24)) as u8,
        // 1 January 1970 was a Thursday, day 3 of a week that starts on Monday.
        weekday: ((local.utc_day() + 3).rem_euclid(7)) as u8,
        page_category: category.map_or(0, |category| stable_lower(category)),
        ..ContextInput::default()
    }
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
