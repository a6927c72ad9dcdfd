//! One view of a bid request in 2.5 or 2.6 spelling: the fields that a decision depends on, and no
//! other. What is not named here is skipped, which is cheaper than reading it.

use super::imp::Imp;
use super::lenient::Str;
use super::list::List;
use super::object::view;
use crate::hash::trimmed;
use crate::units::CurrencyCode;

view! {
    'a =>
    /// A bid request. Made by [`super::parse`].
    pub struct BidRequest<'a> {
        /// Names the request; never empty.
        id: Str<'a> = b"id",
        /// The placements; at least one.
        imp: List<Imp<'a>> = b"imp",
        /// The website, if it is one.
        site: Option<Box<Inventory<'a>>> = b"site",
        /// The app, if it is one.
        app: Option<Box<Inventory<'a>>> = b"app",
        /// The screen in the street, if it is one.
        dooh: Option<Box<Inventory<'a>>> = b"dooh",
        /// The device.
        device: Device<'a> = b"device",
        /// The user.
        user: User<'a> = b"user",
        /// Legal signals.
        regs: Regs<'a> = b"regs",
        /// Where the request comes from.
        source: Source<'a> = b"source",
        /// A test, which nobody pays for.
        test: bool = b"test",
        /// 1 first price, 2 second price plus; what deals without an `at` of their own go by.
        at: Option<i32> = b"at",
        /// Milliseconds that the exchange waits, network included.
        tmax: Option<u32> = b"tmax",
        /// Seats that may bid; empty means all.
        wseat: List<Str<'a>> = b"wseat",
        /// Seats that may not bid.
        bseat: List<Str<'a>> = b"bseat",
        /// Permitted creative languages (`wlang`, else `wlangb`); empty means all.
        wlang: List<Str<'a>> = b"wlang" or b"wlangb",
        /// Permitted currencies; empty means US dollars.
        cur: List<Str<'a>> = b"cur",
        /// Blocked advertiser categories, in `cattax`.
        bcat: List<Str<'a>, 4> = b"bcat",
        /// Permitted advertiser categories, in `cattax` (2.6); empty means all.
        acat: List<Str<'a>> = b"acat",
        /// Taxonomy of `bcat` and `acat`; missing means 1, the IAB content taxonomy 1.0.
        cattax: Option<i32> = b"cattax" ext b"cattax",
        /// Blocked advertiser domains.
        badv: List<Str<'a>, 4> = b"badv",
        /// Blocked advertised apps.
        bapp: List<Str<'a>> = b"bapp",
    }
}

impl<'a> BidRequest<'a> {
    /// Where the ad would be shown: the app, else the site, else the screen. A request that names
    /// several is accepted; the app is what a device can tell for sure.
    #[must_use]
    pub fn inventory(&self) -> Option<&Inventory<'a>> {
        [&self.app, &self.site, &self.dooh].into_iter().find_map(|inventory| inventory.as_deref())
    }

    /// Whether a bid may be made in `currency`.
    #[must_use]
    pub fn allows_currency(&self, currency: CurrencyCode) -> bool {
        if self.cur.is_empty() {
            return currency == CurrencyCode::USD;
        }
        let code = currency.as_str();
        self.cur.iter().any(|allowed| trimmed(allowed).eq_ignore_ascii_case(code))
    }

    /// Whether `seat` may bid.
    #[must_use]
    pub fn allows_seat(&self, seat: &str) -> bool {
        let names = |list: &[Str<'_>]| list.iter().any(|name| *name == seat);
        (self.wseat.is_empty() || names(&self.wseat)) && !names(&self.bseat)
    }
}

view! {
    'a =>
    /// Where a request comes from.
    pub struct Source<'a> {
        /// Who sells (2.6 `schain`, 2.5 `ext.schain`).
        schain: Option<SupplyChain<'a>> = b"schain" ext b"schain",
    }
}

view! {
    'a =>
    /// Everybody who has a part in the sale, from the publisher on.
    pub struct SupplyChain<'a> {
        /// Whether the nodes lead back to the publisher.
        complete: bool = b"complete",
        /// The sellers, in order.
        nodes: List<SupplyNode<'a>> = b"nodes",
    }
}

view! {
    'a =>
    /// One seller.
    pub struct SupplyNode<'a> {
        /// Domain of the system that the seller is known to.
        asi: Str<'a> = b"asi",
        /// The seller's id in that system.
        sid: Str<'a> = b"sid",
    }
}

view! {
    'a =>
    /// A site, an app or a street screen.
    pub struct Inventory<'a> {
        /// The domain.
        domain: Str<'a> = b"domain",
        /// The app's bundle or store id.
        bundle: Str<'a> = b"bundle",
        /// The page's address.
        page: Str<'a> = b"page",
        /// Categories.
        cat: List<Str<'a>, 2> = b"cat",
        /// Categories of this section.
        sectioncat: List<Str<'a>> = b"sectioncat",
        /// Categories of this page or view.
        pagecat: List<Str<'a>, 2> = b"pagecat",
        /// Keywords: `keywords`, else `kwarray`; see [`keywords`].
        keywords: List<Str<'a>> = b"keywords" or b"kwarray",
        /// What is read, watched or heard.
        content: Option<Content<'a>> = b"content",
    }
}

view! {
    'a =>
    /// What is read, watched or heard.
    pub struct Content<'a> {
        /// Categories.
        cat: List<Str<'a>, 2> = b"cat",
        /// Keywords: `keywords`, else `kwarray`; see [`keywords`].
        keywords: List<Str<'a>> = b"keywords" or b"kwarray",
    }
}

/// The single keywords of a list whose entries may hold several between commas.
pub fn keywords<'s>(entries: &'s [Str<'_>]) -> impl Iterator<Item = &'s str> {
    entries
        .iter()
        .flat_map(|entry| entry.as_str().split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

view! {
    'a =>
    /// A device. Address and user agent are left out: nothing is decided by them.
    pub struct Device<'a> {
        /// Where the device is.
        geo: Geo<'a> = b"geo",
        /// Do not track.
        dnt: bool = b"dnt",
        /// Limit ad tracking.
        lmt: bool = b"lmt",
        /// Kind of device.
        devicetype: Option<i32> = b"devicetype",
        /// Operating system.
        os: Str<'a> = b"os",
        /// The advertising id.
        ifa: Str<'a> = b"ifa",
    }
}

view! {
    'a =>
    /// A place.
    pub struct Geo<'a> {
        /// Country, ISO 3166-1 alpha-3 (the wild also sends alpha-2).
        country: Str<'a> = b"country",
        /// Region, ISO 3166-2.
        region: Str<'a> = b"region",
        /// City.
        city: Str<'a> = b"city",
        /// Postal code.
        zip: Str<'a> = b"zip",
        /// Degrees north.
        lat: Option<f64> = b"lat",
        /// Degrees east.
        lon: Option<f64> = b"lon",
        /// How `lat` and `lon` are known: 1 GPS, 2 the address, 3 the user said so.
        r#type: Option<i32> = b"type",
        /// Metres by which they may be wrong.
        accuracy: Option<u32> = b"accuracy",
        /// Minutes from UTC.
        utcoffset: Option<i32> = b"utcoffset",
    }
}

view! {
    'a =>
    /// A user, as the exchange tells of one.
    pub struct User<'a> {
        /// The exchange's id.
        id: Str<'a> = b"id",
        /// Our id, as the exchange keeps it for us.
        buyeruid: Str<'a> = b"buyeruid",
        /// Year of birth.
        yob: Option<i32> = b"yob",
        /// Keywords: `keywords`, else `kwarray`; see [`keywords`].
        keywords: List<Str<'a>> = b"keywords" or b"kwarray",
        /// Segments.
        data: List<Data<'a>> = b"data",
        /// The TCF consent string (2.6 `consent`, 2.5 `ext.consent`).
        consent: Str<'a> = b"consent" ext b"consent",
        /// Ids by source (2.6 `eids`, 2.5 `ext.eids`).
        eids: List<Eid<'a>, 2> = b"eids" ext b"eids",
    }
}

view! {
    'a =>
    /// Segments from one provider.
    pub struct Data<'a> {
        /// The segments.
        segment: List<Segment<'a>, 4> = b"segment",
    }
}

view! {
    'a =>
    /// One segment.
    pub struct Segment<'a> {
        /// Its id.
        id: Str<'a> = b"id",
    }
}

view! {
    'a =>
    /// The ids of one source.
    pub struct Eid<'a> {
        /// The source's domain.
        source: Str<'a> = b"source",
        /// The ids.
        uids: List<Uid<'a>> = b"uids",
    }
}

view! {
    'a =>
    /// One id.
    pub struct Uid<'a> {
        /// The id.
        id: Str<'a> = b"id",
    }
}

view! {
    'a =>
    /// Legal signals.
    pub struct Regs<'a> {
        /// The user may be a child (COPPA).
        coppa: bool = b"coppa",
        /// GDPR applies (2.6 `gdpr`, 2.5 `ext.gdpr`).
        gdpr: Option<bool> = b"gdpr" ext b"gdpr",
        /// The US privacy string (2.6 `us_privacy`, 2.5 `ext.us_privacy`).
        us_privacy: Str<'a> = b"us_privacy" ext b"us_privacy",
        /// The GPP string (2.6 `gpp`, 2.5 `ext.gpp`).
        gpp: Str<'a> = b"gpp" ext b"gpp",
        /// The GPP sections that apply (2.6 `gpp_sid`, 2.5 `ext.gpp_sid`).
        gpp_sid: List<i32, 4> = b"gpp_sid" ext b"gpp_sid",
        /// Global Privacy Control is on.
        gpc: bool = b"gpc" ext b"gpc",
        /// The EU Digital Services Act's transparency object is asked for.
        dsa: Dsa = b"dsa" ext b"dsa",
    }
}

view! {
    'a =>
    /// What the exchange asks for under the EU Digital Services Act.
    pub struct Dsa {
        /// 0 not, 1 supported, 2 required, 3 required on a very large platform. Bids without the
        /// transparency object are refused from 2 on.
        required: Option<i32> = b"dsarequired" or b"required",
    }
}
