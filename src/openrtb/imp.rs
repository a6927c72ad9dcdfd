//! The view of one impression: what may be shown in it, in which forms, from which price.

use super::json::{Source, Stop};
use super::lenient::{Lenient, Str};
use super::limits::{Limits, ParseError};
use super::list::List;
use super::native::NativeSource;
use super::number::{CodeSet, Side};
use super::object::view;
use crate::hash::trimmed;
use crate::units::{CurrencyCode, Micros};
use std::ops::Deref;

view! {
    'a =>
    /// One placement to bid on. Each present media object is one form that a bid may take.
    pub struct Imp<'a> {
        /// Names the imp in an answer. Empty when the sender forgot it: nothing can be bid then.
        id: Str<'a> = b"id",
        /// A banner may be shown.
        banner: Option<Banner<'a>> = b"banner",
        /// A video may be played.
        video: Option<Box<Video<'a>>> = b"video",
        /// Audio may be played.
        audio: Option<Box<Audio<'a>>> = b"audio",
        /// A native ad may be shown.
        native: Option<Box<Native<'a>>> = b"native",
        /// Deals that apply.
        pmp: Pmp<'a> = b"pmp",
        /// The placement's name at the publisher.
        tagid: Str<'a> = b"tagid",
        /// The lowest CPM, in `bidfloorcur`. Negative floors read 0, absurd ones and what is no
        /// number `u64::MAX`, which nobody bids.
        bidfloor: Micros = b"bidfloor",
        /// The floor's currency as sent; see [`Imp::floor_currency`].
        bidfloorcur: Str<'a> = b"bidfloorcur",
        /// How many impressions one play counts for.
        qty: Quantity = b"qty",
        /// Markup and all it loads must be https.
        secure: bool = b"secure",
        /// Predictions handed in by a simulator, in place of the model.
        outbid: Option<Outbid> = ext b"outbid",
    }
}

view! {
    'a =>
    /// How many people one play on a street screen is sold as (2.6).
    pub struct Quantity {
        /// Impressions a play, in millionths.
        multiplier: Micros = b"multiplier",
    }
}

view! {
    'a =>
    /// What a simulator says in `imp.ext.outbid`. Only simulation mode reads it.
    pub struct Outbid {
        /// Probability of a click, 0 to 1 where sane.
        pctr: Option<f64> = b"pctr",
        /// Probability of a conversion after a click, 0 to 1 where sane.
        pcvr: Option<f64> = b"pcvr",
    }
}

impl Imp<'_> {
    /// The floor's currency: US dollars when none is named, `None` when what is named is none.
    #[must_use]
    pub fn floor_currency(&self) -> Option<CurrencyCode> {
        currency(&self.bidfloorcur)
    }
}

/// The currency that `text` names: dollars when it names none, `None` when it is no currency.
fn currency(text: &Str<'_>) -> Option<CurrencyCode> {
    match text.given() {
        Some(code) => CurrencyCode::parse(trimmed(code)),
        None => Some(CurrencyCode::USD),
    }
}

view! {
    'a =>
    /// A banner placement.
    pub struct Banner<'a> {
        /// Exact width in pixels; with `format` present, only a hint.
        w: Option<Side> = b"w",
        /// Exact height in pixels; with `format` present, only a hint.
        h: Option<Side> = b"h",
        /// Least width, of 2.2 to 2.5.
        wmin: Option<Side> = b"wmin",
        /// Greatest width, of 2.2 to 2.5.
        wmax: Option<Side> = b"wmax",
        /// Least height, of 2.2 to 2.5.
        hmin: Option<Side> = b"hmin",
        /// Greatest height, of 2.2 to 2.5.
        hmax: Option<Side> = b"hmax",
        /// Permitted sizes.
        format: Formats = b"format",
        /// Blocked kinds of banner: 1 text, 2 image, 3 JavaScript, 4 iframe.
        btype: CodeSet = b"btype",
        /// Blocked creative attributes.
        battr: CodeSet = b"battr",
        /// Supported content types.
        mimes: List<Str<'a>, 4> = b"mimes",
        /// Position on the screen.
        pos: Option<i32> = b"pos",
        /// Supported API frameworks.
        api: CodeSet = b"api",
        /// Directions in which an ad may expand.
        expdir: CodeSet = b"expdir",
        /// Whether it stands in the top frame and not in an iframe.
        topframe: bool = b"topframe",
    }
}

view! {
    'a =>
    /// One permitted size: exact, or a ratio with a least width.
    pub struct Format {
        /// Width in pixels.
        w: Option<u32> = b"w",
        /// Height in pixels.
        h: Option<u32> = b"h",
        /// Relative width.
        wratio: Option<u32> = b"wratio",
        /// Relative height.
        hratio: Option<u32> = b"hratio",
        /// Least width in pixels of an ad sized by ratio.
        wmin: Option<u32> = b"wmin",
    }
}

/// Permitted sizes. Where a list was sent in which none can be read, one stands here that nothing
/// fits: such a placement is not one of any size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Formats(pub List<Format, 2>);

impl Deref for Formats {
    type Target = [Format];
    fn deref(&self) -> &[Format] {
        &self.0
    }
}

impl<'de> Lenient<'de> for Formats {
    fn read(&mut self, source: &mut Source<'de>) -> Result<bool, Stop> {
        let is_sent = source.peek() != Some(b'n');
        if !self.0.read(source)? && is_sent && self.0.is_empty() {
            self.0.push(Format::default());
        }
        Ok(is_sent)
    }
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
    fn audit(&self, field: &'static str, limits: &Limits) -> Result<(), ParseError> {
        self.0.audit(field, limits)
    }
}

/// A size given as 0 is a size not given.
fn given(size: Option<u32>) -> Option<u32> {
    size.filter(|pixels| *pixels > 0)
}

impl Banner<'_> {
    /// Whether an ad of `w` x `h` pixels fits: one of `format`; without formats the exact `w` and
    /// `h`, or the range from the `min`s to the `max`es; without any of them, every size. What was
    /// sent and cannot be read is no size at all, see [`Banner::takes_sides`].
    #[must_use]
    pub fn fits(&self, w: u32, h: u32) -> bool {
        let mut formats = self.format.iter().filter(|format| format.is_given()).peekable();
        if formats.peek().is_some() {
            return formats.any(|format| format.fits(w, h));
        }
        self.takes_sides()
            && fits_side(w, self.w, self.wmin, self.wmax)
            && fits_side(h, self.h, self.hmin, self.hmax)
    }

    /// Whether the banner's own sides say what fits, where no format does: all that were sent can be
    /// read, and each side is named where formats were sent too, of which none can be used.
    #[must_use]
    pub fn takes_sides(&self) -> bool {
        let (wide, high) = ([self.w, self.wmin, self.wmax], [self.h, self.hmin, self.hmax]);
        let is_readable = |sides: &[Option<Side>; 3]| !sides.contains(&Some(Side::UNREADABLE));
        let is_named =
            |sides: [Option<Side>; 3]| sides.into_iter().any(|s| Side::pixels(s).is_some());
        is_readable(&wide)
            && is_readable(&high)
            && (self.format.is_empty() || (is_named(wide) && is_named(high)))
    }
}

impl Banner<'_> {
    /// The size in which an ad is drawn: the first of `ours` that fits; a fluid ad takes the first
    /// size that the placement permits where none of its own does. `None` where nothing fits.
    #[must_use]
    pub fn size_for(&self, ours: &[(u32, u32)], is_fluid: bool) -> Option<(u32, u32)> {
        let own = ours.iter().copied().find(|(w, h)| self.fits(*w, *h));
        own.or_else(|| self.fluid_size(ours.first().copied()?).filter(|_| is_fluid))
    }

    /// The ratio by which a size that fits was asked for; `None` where it was asked for in pixels.
    #[must_use]
    pub fn ratio_of(&self, (w, h): (u32, u32)) -> Option<(u32, u32)> {
        let is_exact = |format: &Format| (format.w, format.h) == (Some(w), Some(h));
        if self.format.iter().any(is_exact) {
            return None;
        }
        let format = self.format.iter().find(|format| format.fits(w, h))?;
        given(format.wratio).zip(given(format.hratio))
    }

    fn fluid_size(&self, (w, h): (u32, u32)) -> Option<(u32, u32)> {
        let mut formats = self.format.iter().filter(|format| format.is_given()).peekable();
        if formats.peek().is_some() {
            return formats.find_map(Format::fluid_size);
        }
        self.takes_sides().then_some(())?;
        let w = fluid_side(w, self.w, self.wmin, self.wmax)?;
        fluid_side(h, self.h, self.hmin, self.hmax).map(|h| (w, h))
    }
}

/// The side that fits and is closest to `own`.
fn fluid_side(
    own: u32,
    exact: Option<Side>,
    least: Option<Side>,
    most: Option<Side>,
) -> Option<u32> {
    let (least, most) = (Side::pixels(least), Side::pixels(most));
    if least.is_none() && most.is_none() {
        return Some(Side::pixels(exact).unwrap_or(own));
    }
    let (least, most) = (least.unwrap_or(1), most.unwrap_or(u32::MAX));
    (least <= most).then(|| own.clamp(least, most))
}

/// The smallest size of this shape that is at least `wmin` pixels wide; `None` beyond 32 bits.
#[must_use]
pub fn size_by_ratio(wratio: u32, hratio: u32, wmin: u32) -> Option<(u32, u32)> {
    let times = wmin.div_ceil(wratio.max(1)).max(1);
    Some((wratio.checked_mul(times)?, hratio.checked_mul(times)?))
}

fn fits_side(side: u32, exact: Option<Side>, least: Option<Side>, most: Option<Side>) -> bool {
    let (least, most) = (Side::pixels(least), Side::pixels(most));
    if least.is_none() && most.is_none() {
        return Side::pixels(exact).is_none_or(|exact| side == exact);
    }
    least.is_none_or(|least| side >= least) && most.is_none_or(|most| side <= most)
}

impl Format {
    fn fluid_size(&self) -> Option<(u32, u32)> {
        if let (Some(w), Some(h)) = (given(self.w), given(self.h)) {
            return Some((w, h));
        }
        size_by_ratio(given(self.wratio)?, given(self.hratio)?, self.wmin.unwrap_or(0))
    }

    fn is_given(&self) -> bool {
        (given(self.w).is_some() && given(self.h).is_some())
            || (given(self.wratio).is_some() && given(self.hratio).is_some())
    }

    fn fits(&self, w: u32, h: u32) -> bool {
        if let (Some(exact_w), Some(exact_h)) = (given(self.w), given(self.h)) {
            return (w, h) == (exact_w, exact_h);
        }
        let (Some(wratio), Some(hratio)) = (given(self.wratio), given(self.hratio)) else {
            return false;
        };
        given(self.wmin).is_none_or(|least| w >= least)
            && u64::from(w) * u64::from(hratio) == u64::from(h) * u64::from(wratio)
    }
}

view! {
    'a =>
    /// A video placement.
    pub struct Video<'a> {
        /// Supported content types.
        mimes: List<Str<'a>, 4> = b"mimes",
        /// Least length in seconds.
        minduration: Option<u32> = b"minduration",
        /// Greatest length in seconds.
        maxduration: Option<u32> = b"maxduration",
        /// Exact lengths in seconds, which replace the range (2.6).
        rqddurs: List<u32, 2> = b"rqddurs",
        /// Length in seconds of a dynamic pod that the ads share (2.6).
        poddur: Option<u32> = b"poddur",
        /// Most ads in a dynamic pod.
        maxseq: Option<u32> = b"maxseq",
        /// Least CPM for each second of the ad, in the imp's `bidfloorcur` (2.6).
        mincpmpersec: Micros = b"mincpmpersec",
        /// Least CPM by length of the ad, in the imp's `bidfloorcur` (2.6-202303).
        durfloors: List<DurationFloor> = b"durfloors",
        /// Supported VAST and DAAST versions; also the single `protocol` of 2.0.
        protocols: CodeSet = b"protocols" or b"protocol",
        /// Width of the player.
        w: Option<u32> = b"w",
        /// Height of the player.
        h: Option<u32> = b"h",
        /// 1 in-stream, 2 beside content, 3 between screens, 4 alone (2.6-202303).
        plcmt: Option<i32> = b"plcmt",
        /// The same by the older list 5.9: 1 in-stream, 2 in-banner, 3 in-article, 4 in-feed, 5
        /// interstitial.
        placement: Option<i32> = b"placement",
        /// Seconds until it starts: 0 before the content, above 0 or -1 within, -2 after.
        startdelay: Option<i32> = b"startdelay",
        /// 1 linear, 2 overlay.
        linearity: Option<i32> = b"linearity",
        /// Whether the ad may be skipped; false forbids a skippable ad.
        skip: Option<bool> = b"skip",
        /// Seconds an ad must be longer than to be skippable.
        skipmin: Option<u32> = b"skipmin",
        /// Seconds an ad must play before it may be skipped.
        skipafter: Option<u32> = b"skipafter",
        /// Blocked creative attributes.
        battr: CodeSet = b"battr",
        /// Supported API frameworks.
        api: CodeSet = b"api",
        /// Supported delivery: 1 streaming, 2 progressive, 3 download.
        delivery: CodeSet = b"delivery",
        /// Least bit rate, kbit/s.
        minbitrate: Option<u32> = b"minbitrate",
        /// Greatest bit rate, kbit/s.
        maxbitrate: Option<u32> = b"maxbitrate",
    }
}

view! {
    'a =>
    /// An audio placement.
    pub struct Audio<'a> {
        /// Supported content types.
        mimes: List<Str<'a>, 4> = b"mimes",
        /// Least length in seconds.
        minduration: Option<u32> = b"minduration",
        /// Greatest length in seconds.
        maxduration: Option<u32> = b"maxduration",
        /// Exact lengths in seconds, which replace the range (2.6).
        rqddurs: List<u32, 2> = b"rqddurs",
        /// Length in seconds of a dynamic pod that the ads share (2.6).
        poddur: Option<u32> = b"poddur",
        /// Most ads in a dynamic pod.
        maxseq: Option<u32> = b"maxseq",
        /// Least CPM for each second of the ad, in the imp's `bidfloorcur` (2.6).
        mincpmpersec: Micros = b"mincpmpersec",
        /// Least CPM by length of the ad, in the imp's `bidfloorcur` (2.6-202303).
        durfloors: List<DurationFloor> = b"durfloors",
        /// Supported VAST and DAAST versions.
        protocols: CodeSet = b"protocols",
        /// Blocked creative attributes.
        battr: CodeSet = b"battr",
        /// Supported API frameworks.
        api: CodeSet = b"api",
        /// Supported delivery: 1 streaming, 2 progressive, 3 download.
        delivery: CodeSet = b"delivery",
        /// Least bit rate, kbit/s.
        minbitrate: Option<u32> = b"minbitrate",
        /// Greatest bit rate, kbit/s.
        maxbitrate: Option<u32> = b"maxbitrate",
    }
}

view! {
    'a =>
    /// A floor for ads of some lengths.
    pub struct DurationFloor {
        /// Least length in seconds that it is for.
        mindur: Option<u32> = b"mindur",
        /// Greatest length in seconds that it is for.
        maxdur: Option<u32> = b"maxdur",
        /// The least CPM.
        bidfloor: Micros = b"bidfloor",
    }
}

impl DurationFloor {
    /// The lengths that it is for, in seconds: from the first to the second, both included.
    #[must_use]
    pub fn lengths(&self) -> (u32, u32) {
        (self.mindur.unwrap_or(0), given(self.maxdur).unwrap_or(u32::MAX))
    }
}

/// The highest of the floors for an ad of `seconds`: ranges may overlap, and the standard leaves open
/// which of them counts then.
fn length_floor(by_second: Micros, ranges: &[DurationFloor], seconds: u32) -> Micros {
    let covers = |range: &&DurationFloor| {
        let (least, most) = range.lengths();
        (least..=most).contains(&seconds)
    };
    let ranges = ranges.iter().filter(covers).map(|range| range.bidfloor);
    ranges.fold(Micros(by_second.0.saturating_mul(u64::from(seconds))), Micros::max)
}

macro_rules! timed {
    ($type:ident) => {
        impl $type<'_> {
            /// Whether an ad of `seconds` may play: one of `rqddurs` when those are named, else
            /// from `minduration` to `maxduration`; never longer than its pod.
            #[must_use]
            pub fn allows_duration(&self, seconds: u32) -> bool {
                let in_range = if self.rqddurs.is_empty() {
                    seconds >= self.minduration.unwrap_or(0)
                        && given(self.maxduration).is_none_or(|most| seconds <= most)
                } else {
                    self.rqddurs.contains(&seconds)
                };
                in_range && given(self.poddur).is_none_or(|most| seconds <= most)
            }

            /// The least CPM of an ad of `seconds` by its length, in the imp's `bidfloorcur`; the
            /// imp's own floor holds beside it.
            #[must_use]
            pub fn duration_floor(&self, seconds: u32) -> Micros {
                length_floor(self.mincpmpersec, &self.durfloors, seconds)
            }
        }
    };
}
timed!(Video);
timed!(Audio);

view! {
    'a =>
    /// A native placement. What it asks for is in `request`; see [`Native::assets`].
    pub struct Native<'a> {
        /// The native request: text that holds JSON, or (against the standard) the object itself.
        request: NativeSource<'a> = b"request",
        /// The version of Native that the request is of.
        ver: Str<'a> = b"ver",
        /// Supported API frameworks.
        api: CodeSet = b"api",
        /// Blocked creative attributes.
        battr: CodeSet = b"battr",
    }
}

view! {
    'a =>
    /// The deals of an imp.
    pub struct Pmp<'a> {
        /// Only bids on one of the deals are taken.
        private_auction: bool = b"private_auction",
        /// The deals.
        deals: List<Deal<'a>> = b"deals",
    }
}

view! {
    'a =>
    /// One deal.
    pub struct Deal<'a> {
        /// Names the deal in a bid.
        id: Str<'a> = b"id",
        /// The lowest CPM, in `bidfloorcur`.
        bidfloor: Micros = b"bidfloor",
        /// The floor's currency as sent; see [`Deal::floor_currency`].
        bidfloorcur: Str<'a> = b"bidfloorcur",
        /// Seats that may bid; empty means all.
        wseat: List<Str<'a>> = b"wseat",
        /// Advertiser domains that may bid; empty means all.
        wadomain: List<Str<'a>> = b"wadomain",
        /// In place of the request's `at`; 3: the floor is the price.
        at: Option<i32> = b"at",
        /// The buyer has promised to buy (2.6).
        guar: bool = b"guar",
        /// Least CPM for each second of the ad, in the deal's `bidfloorcur` (2.6).
        mincpmpersec: Micros = b"mincpmpersec",
        /// Least CPM by length of the ad, in the deal's `bidfloorcur` (2.6-202303).
        durfloors: List<DurationFloor> = b"durfloors",
    }
}

impl Deal<'_> {
    /// The floor's currency: US dollars when none is named, `None` when what is named is none.
    #[must_use]
    pub fn floor_currency(&self) -> Option<CurrencyCode> {
        currency(&self.bidfloorcur)
    }

    /// The least CPM of an ad of `seconds` by its length, in the deal's `bidfloorcur`; `None` where
    /// the deal has no such floors, so that the placement's hold.
    #[must_use]
    pub fn duration_floor(&self, seconds: u32) -> Option<Micros> {
        let has_any = self.mincpmpersec > Micros::ZERO || !self.durfloors.is_empty();
        has_any.then(|| length_floor(self.mincpmpersec, &self.durfloors, seconds))
    }

    /// Whether the floor is the agreed price, in a request of auction type `at`.
    #[must_use]
    pub fn has_fixed_price(&self, at: Option<i32>) -> bool {
        self.at.or(at) == Some(3)
    }
}
