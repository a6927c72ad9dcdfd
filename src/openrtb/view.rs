//! One view of a bid request in 2.5 or 2.6 spelling: every field that a decision depends on.

use super::imp::Imp;
use super::lenient::Str;
use super::object::view;
use crate::units::CurrencyCode;

view! {
    'a =>
    /// A bid request. Made by [`super::parse`].
    pub struct BidRequest<'a> {
        /// Names the request; never empty.
        id: Str<'a> = b"id",
        /// The placements; at least one.
        imp: Vec<Imp<'a>> = b"imp",
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
        /// A test: answers are not shown and not billed.
        test: bool = b"test",
        /// 1 first price, 2 second price (the default), above 500 the exchange's own.
        at: Option<i32> = b"at",
        /// Milliseconds that the exchange waits, network included.
        tmax: Option<u32> = b"tmax",
        /// Seats that may bid; empty means all.
        wseat: Vec<Str<'a>> = b"wseat",
        /// Seats that may not bid.
        bseat: Vec<Str<'a>> = b"bseat",
        /// Permitted creative languages (`wlang`, else `wlangb`); empty means all.
        wlang: Vec<Str<'a>> = b"wlang" or b"wlangb",
        /// Permitted currencies; empty means US dollars.
        cur: Vec<Str<'a>> = b"cur",
        /// Blocked advertiser categories, in `cattax`.
        bcat: Vec<Str<'a>> = b"bcat",
        /// Permitted advertiser categories, in `cattax` (2.6); empty means all.
        acat: Vec<Str<'a>> = b"acat",
        /// Taxonomy of `bcat` and `acat`; missing means 1, the IAB content taxonomy 1.0.
        cattax: Option<i32> = b"cattax" ext b"cattax",
        /// Blocked advertiser domains.
        badv: Vec<Str<'a>> = b"badv",
        /// Blocked advertised apps.
        bapp: Vec<Str<'a>> = b"bapp",
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
        self.cur.iter().any(|allowed| allowed.trim().eq_ignore_ascii_case(code))
    }

    /// Whether `seat` may bid.
    #[must_use]
    pub fn allows_seat(&self, seat: &str) -> bool {
        let names = |list: &[Str<'_>]| list.iter().any(|name| *name == seat);
        (self.wseat.is_empty() || names(&self.wseat)) && !names(&self.bseat)
    }

    /// Whether the winner pays its own bid. Second price is the standard's default.
    #[must_use]
    pub fn is_first_price(&self) -> bool {
        self.at == Some(1)
    }
}

view! {
    'a =>
    /// A site, an app or a street screen.
    pub struct Inventory<'a> {
        /// The exchange's id.
        id: Str<'a> = b"id",
        /// The domain.
        domain: Str<'a> = b"domain",
        /// The app's bundle or store id.
        bundle: Str<'a> = b"bundle",
        /// The page's address.
        page: Str<'a> = b"page",
        /// The address that led to the page.
        r#ref: Str<'a> = b"ref",
        /// Categories.
        cat: Vec<Str<'a>> = b"cat",
        /// Categories of this section.
        sectioncat: Vec<Str<'a>> = b"sectioncat",
        /// Categories of this page or view.
        pagecat: Vec<Str<'a>> = b"pagecat",
        /// Taxonomy of the categories (2.6); missing means 1.
        cattax: Option<i32> = b"cattax" ext b"cattax",
        /// Keywords: `keywords`, else `kwarray`; see [`keywords`].
        keywords: Vec<Str<'a>> = b"keywords" or b"kwarray",
        /// Made for small screens.
        mobile: Option<bool> = b"mobile",
        /// Kinds of venue of a street screen.
        venuetype: Vec<Str<'a>> = b"venuetype",
        /// The publisher.
        publisher: Publisher<'a> = b"publisher",
        /// What is read, watched or heard.
        content: Option<Box<Content<'a>>> = b"content",
    }
}

view! {
    'a =>
    /// A publisher.
    pub struct Publisher<'a> {
        /// The exchange's id.
        id: Str<'a> = b"id",
        /// The domain.
        domain: Str<'a> = b"domain",
        /// Categories.
        cat: Vec<Str<'a>> = b"cat",
    }
}

view! {
    'a =>
    /// What is read, watched or heard.
    pub struct Content<'a> {
        /// The exchange's id.
        id: Str<'a> = b"id",
        /// The genre.
        genre: Str<'a> = b"genre",
        /// The series or channel.
        series: Str<'a> = b"series",
        /// Categories.
        cat: Vec<Str<'a>> = b"cat",
        /// Taxonomy of `cat` (2.6); missing means 1.
        cattax: Option<i32> = b"cattax" ext b"cattax",
        /// Language, ISO 639-1, else `langb`.
        language: Str<'a> = b"language" or b"langb",
        /// Keywords: `keywords`, else `kwarray`; see [`keywords`].
        keywords: Vec<Str<'a>> = b"keywords" or b"kwarray",
        /// Rating of the content.
        contentrating: Str<'a> = b"contentrating",
        /// Kind of content (video, game, ...).
        context: Option<i32> = b"context",
        /// Live and not recorded.
        livestream: Option<bool> = b"livestream",
        /// Length in seconds.
        len: Option<u32> = b"len",
        /// Segments of the content.
        data: Vec<Data<'a>> = b"data",
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
        /// Its version.
        osv: Str<'a> = b"osv",
        /// The advertising id.
        ifa: Str<'a> = b"ifa",
        /// The browser's language, ISO 639-1, else `langb`.
        language: Str<'a> = b"language" or b"langb",
        /// Width of the screen in pixels.
        w: Option<u32> = b"w",
        /// Height of the screen in pixels.
        h: Option<u32> = b"h",
        /// Kind of connection.
        connectiontype: Option<i32> = b"connectiontype",
        /// Maker.
        make: Str<'a> = b"make",
        /// Model.
        model: Str<'a> = b"model",
        /// JavaScript is supported.
        js: Option<bool> = b"js",
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
        /// Metro code.
        metro: Str<'a> = b"metro",
        /// City.
        city: Str<'a> = b"city",
        /// Postal code. Precise: only read where `Permissions::precise_geo`.
        zip: Str<'a> = b"zip",
        /// Latitude in degrees. Precise: only read where `Permissions::precise_geo`.
        lat: Option<f64> = b"lat",
        /// Longitude in degrees. Precise: only read where `Permissions::precise_geo`.
        lon: Option<f64> = b"lon",
        /// How the place is known: 1 GPS, 2 address, 3 the user said so.
        r#type: Option<i32> = b"type",
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
        /// M, F or O.
        gender: Str<'a> = b"gender",
        /// Keywords: `keywords`, else `kwarray`; see [`keywords`].
        keywords: Vec<Str<'a>> = b"keywords" or b"kwarray",
        /// Home.
        geo: Geo<'a> = b"geo",
        /// Segments.
        data: Vec<Data<'a>> = b"data",
        /// The TCF consent string (2.6 `consent`, 2.5 `ext.consent`).
        consent: Str<'a> = b"consent" ext b"consent",
        /// Ids by source (2.6 `eids`, 2.5 `ext.eids`).
        eids: Vec<Eid<'a>> = b"eids" ext b"eids",
    }
}

view! {
    'a =>
    /// Segments from one provider.
    pub struct Data<'a> {
        /// The provider's id.
        id: Str<'a> = b"id",
        /// The provider's name.
        name: Str<'a> = b"name",
        /// Taxonomy of the segments' ids.
        segtax: Option<i32> = b"segtax" ext b"segtax",
        /// The segments.
        segment: Vec<Segment<'a>> = b"segment",
    }
}

view! {
    'a =>
    /// One segment.
    pub struct Segment<'a> {
        /// Its id.
        id: Str<'a> = b"id",
        /// Its name.
        name: Str<'a> = b"name",
        /// Its value.
        value: Str<'a> = b"value",
    }
}

view! {
    'a =>
    /// The ids of one source.
    pub struct Eid<'a> {
        /// The source's domain.
        source: Str<'a> = b"source",
        /// The ids.
        uids: Vec<Uid<'a>> = b"uids",
    }
}

view! {
    'a =>
    /// One id.
    pub struct Uid<'a> {
        /// The id.
        id: Str<'a> = b"id",
        /// Kind of agent: 1 a device, 2 an app, 3 a person.
        atype: Option<i32> = b"atype",
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
        gpp_sid: Vec<i32> = b"gpp_sid" ext b"gpp_sid",
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

view! {
    'a =>
    /// Where the request comes from.
    pub struct Source<'a> {
        /// The final decision is taken further up.
        fd: Option<bool> = b"fd",
        /// The supply chain (2.6 `schain`, 2.5 `ext.schain`).
        schain: Option<SupplyChain<'a>> = b"schain" ext b"schain",
    }
}

view! {
    'a =>
    /// Who resold the request.
    pub struct SupplyChain<'a> {
        /// The chain reaches back to the owner of the inventory.
        complete: Option<bool> = b"complete",
        /// The version of the chain's format.
        ver: Str<'a> = b"ver",
        /// The sellers, owner first.
        nodes: Vec<SupplyNode<'a>> = b"nodes",
    }
}

view! {
    'a =>
    /// One seller.
    pub struct SupplyNode<'a> {
        /// Domain of the seller's system.
        asi: Str<'a> = b"asi",
        /// The seller's id there.
        sid: Str<'a> = b"sid",
        /// Takes part in the payment.
        hp: Option<bool> = b"hp",
    }
}
