//! A catalog for a collection of requests: ads of every size and shape that occurs, for several
//! advertisers, and above them in price *baits*, each of them blocked by some request and alone on an
//! exchange of its own. An engine that overlooks a block bids a bait when it is asked there.

use crate::common::Site;
use crate::read::{RATES, codes, native_request, objects, size, texts};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Seats by exchange: on the second we are the agency that some of the collected deals are for.
pub const SEATS: [(&str, &str); 2] = [("x", "outbid"), ("agency", "Agency1")];

/// What requests ask for, beyond the common sizes.
#[derive(Default)]
pub struct Wishes {
    sizes: BTreeSet<(u64, u64)>,
    images: BTreeSet<(u64, u64)>,
    domains: BTreeSet<String>,
    categories: BTreeSet<String>,
    attributes: BTreeSet<u64>,
    /// Id and first permitted domain, empty where all are.
    deals: BTreeSet<(String, String)>,
}

impl Wishes {
    /// The wishes of `requests`, beside what every catalog has.
    pub fn of<'v>(requests: impl Iterator<Item = &'v Value>) -> Self {
        let mut wishes = Self {
            sizes: BTreeSet::from(COMMON),
            images: BTreeSet::from([(1_200, 627)]),
            attributes: BTreeSet::from([1, 13]),
            ..Self::default()
        };
        requests.for_each(|request| wishes.add(request));
        wishes
    }

    /// What is blocked somewhere: the baits, in the order of their exchanges.
    pub fn baits(&self) -> Vec<Bait> {
        let domains = self.domains.iter().cloned().map(Bait::Domain);
        let categories = self.categories.iter().cloned().map(Bait::Category);
        domains
            .chain(categories)
            .chain(self.attributes.iter().copied().map(Bait::Attribute))
            .collect()
    }

    fn add(&mut self, request: &Value) {
        let domains = texts(&request["badv"]);
        let is_plain = |domain: &String| domain.contains('.') && !domain.contains(['/', ':']);
        self.domains.extend(domains.into_iter().filter(is_plain));
        let categories = texts(&request["bcat"]);
        let is_iab = |code: &String| {
            let rest = code.strip_prefix("IAB").unwrap_or_default();
            rest.starts_with(|first: char| first.is_ascii_digit())
        };
        self.categories.extend(categories.into_iter().filter(is_iab));
        for imp in objects(&request["imp"]) {
            let banner = &imp["banner"];
            let formats = objects(&banner["format"]);
            self.sizes.extend(formats.into_iter().chain([banner]).filter_map(sides));
            let attributes =
                codes(&banner["battr"]).into_iter().chain(codes(&imp["video"]["battr"]));
            self.attributes.extend(attributes.filter(|code| *code < 64));
            for deal in objects(&imp["pmp"]["deals"]) {
                let domain = texts(&deal["wadomain"]).into_iter().next();
                let domain = domain.unwrap_or_default();
                self.deals.extend(texts(&deal["id"]).into_iter().map(|id| (id, domain.clone())));
            }
            let native = native_request(&imp["native"]).unwrap_or_default();
            let images = objects(&native["assets"]);
            let images = images.into_iter().map(|asset| &asset["img"]);
            self.images.extend(images.filter(|image| image["type"] != 1).filter_map(sides));
        }
    }
}

/// What some request blocks.
pub enum Bait {
    Domain(String),
    Category(String),
    Attribute(u64),
}

impl Bait {
    /// Whether `request` names it among what it blocks.
    pub fn is_blocked_by(&self, request: &Value) -> bool {
        let blocks = |imp: &&Value, code: u64| {
            let lists = [&imp["banner"]["battr"], &imp["video"]["battr"], &imp["native"]["battr"]];
            lists.into_iter().any(|list| codes(list).contains(&code))
        };
        match self {
            Self::Domain(domain) => texts(&request["badv"]).contains(domain),
            Self::Category(category) => texts(&request["bcat"]).contains(category),
            Self::Attribute(code) => objects(&request["imp"]).iter().any(|imp| blocks(imp, *code)),
        }
    }
}

/// The exchange on which the bait with this number is offered.
pub fn bait_exchange(number: usize) -> String {
    format!("bait{number}")
}

fn sides(of: &Value) -> Option<(u64, u64)> {
    size(&of["w"]).zip(size(&of["h"]))
}

const COMMON: [(u64, u64); 8] =
    [(300, 250), (728, 90), (320, 50), (160, 600), (300, 600), (970, 250), (320, 480), (468, 60)];

/// Sides of icons.
const ICONS: [u64; 4] = [50, 80, 128, 300];

/// Ads of one campaign; the catalog takes no more than 64.
const ADS_MAX: usize = 60;
/// Advertisers who have everything; a page of six slots needs as many.
const PLAIN: usize = 6;
/// Types of images, of which each plain advertiser has one.
const IMAGES: [&str; 3] = ["jpg", "png", "gif"];
const VIDEO_TYPES: [(&str, &[u32]); 4] = [
    ("video/mp4", &[2, 5, 10, 15, 30, 45, 60, 120]),
    ("video/webm", &[15, 30]),
    ("video/ogg", &[15]),
    ("video/x-flv", &[15, 30]),
];
const AUDIO_TYPES: [(&str, &[u32]); 4] = [
    ("audio/mpeg", &[5, 15, 30, 120]),
    ("audio/mp3", &[5, 15, 30]),
    ("audio/mp4", &[5, 15, 30, 120]),
    ("audio/aac", &[15]),
];

/// What the campaigns of one advertiser share.
struct Terms<'a> {
    advertiser: &'a str,
    category: &'a str,
    iab: &'a str,
    max_cpm: &'a str,
    /// Lines of `[[campaign]]`, and of an ad.
    more: &'a str,
    more_of_ad: &'a str,
    /// Lines of `[campaign.targeting]`.
    targeting: &'a str,
}

#[derive(Default)]
struct Files {
    advertisers: String,
    campaigns: Vec<(String, String)>,
}

impl Files {
    fn advertiser(&mut self, name: &str, domain: &str, currency: &str) {
        // Lists may end a domain in a dot; an advertiser's own does not.
        let domain = domain.trim_end_matches('.');
        let _ = writeln!(
            self.advertisers,
            "[[advertiser]]\nname = \"{name}\"\ncurrency = \"{currency}\"\nsector = \"ecommerce\"\n\
             domains = [\"{domain}\"]"
        );
    }

    /// One file of campaigns named after `terms`, each with a share of `ads`.
    fn campaigns(&mut self, file: &str, terms: &Terms<'_>, ads: &[String]) {
        let Terms { advertiser, category, iab, max_cpm, more, more_of_ad, targeting } = terms;
        let mut text = format!("advertiser = \"{advertiser}\"\n");
        for (number, ads) in ads.chunks(ADS_MAX).enumerate() {
            let _ = writeln!(
                text,
                "[[campaign]]\nname = \"{file}-{number}\"\ncategory = \"{category}\"\n\
                 iab_cats = [\"{iab}\"]\nstrategy = \"fixed\"\ndaily_budget = 1_000_000\n\
                 landing_url = \"https://{advertiser}.example/\"\n{more}\n\
                 [campaign.bid]\nmax_cpm = \"{max_cpm}\"\n[campaign.targeting]\n{targeting}"
            );
            for (position, ad) in ads.iter().enumerate() {
                let name = format!("{file}-{number}-{position}");
                let _ = writeln!(text, "[[campaign.ad]]\nname = \"{name}\"\n{more_of_ad}\n{ad}");
            }
        }
        self.campaigns.push((file.to_owned(), text));
    }
}

fn banners<'s>(sizes: impl IntoIterator<Item = &'s (u64, u64)>, image: &str) -> Vec<String> {
    let line = |(w, h): &(u64, u64)| {
        format!(
            "banner = {{ w = {w}, h = {h}, image_url = \"https://cdn.example/{w}x{h}.{image}\" }}"
        )
    };
    sizes.into_iter().map(line).collect()
}

fn timed(types: &[(&str, &[u32])], line: impl Fn(&str, u32) -> String) -> Vec<String> {
    let lines = types.iter().flat_map(|(mime, lengths)| lengths.iter().map(|s| line(mime, *s)));
    lines.collect()
}

fn videos(types: &[(&str, &[u32])]) -> Vec<String> {
    timed(types, |mime, seconds| {
        format!(
            "video = {{ mime = \"{mime}\", duration_s = {seconds}, w = 640, h = 360, \
             protocols = [2, 3, 7, 11, 13], media_url = \"https://cdn.example/{seconds}\" }}"
        )
    })
}

fn audios(types: &[(&str, &[u32])]) -> Vec<String> {
    timed(types, |mime, seconds| {
        format!(
            "audio = {{ mime = \"{mime}\", duration_s = {seconds}, \
             media_url = \"https://cdn.example/{seconds}\" }}"
        )
    })
}

fn natives<'s>(sizes: impl IntoIterator<Item = &'s (u64, u64)>, image: &str) -> Vec<String> {
    let icon = |side: u64| {
        format!("{{ url = \"https://cdn.example/i{side}.{image}\", w = {side}, h = {side} }}")
    };
    let icons = format!("icon = [{}]", ICONS.map(icon).join(", "));
    let line = |(w, h): &(u64, u64)| {
        format!(
            "native = {{ title = \"Trail shoes\", description = \"Light ones\", sponsored = \"Acme\", \
             cta = \"Run\", rating = \"4.5\", likes = \"12\", downloads = \"99\", price = \"$9\", \
             saleprice = \"$8\", phone = \"1\", address = \"Here\", description2 = \"New\", \
             displayurl = \"acme.example\", {icons}, image = {{ \
             url = \"https://cdn.example/n{w}x{h}.{image}\", w = {w}, h = {h} }} }}"
        )
    };
    sizes.into_iter().map(line).collect()
}

/// The site with its catalog, both exchanges and the table of rates.
pub fn site(wishes: &Wishes) -> Site {
    let rates: Vec<_> = RATES.iter().map(|(code, rate)| format!("{code} = \"{rate}\"")).collect();
    let [_, (agency, seat)] = SEATS;
    let exchange = |name: &str, seat: &str| {
        format!("[exchange.{name}]\nseat = \"{seat}\"\ntmax_default_ms = 5000\nmargin_ms = 0\n")
    };
    let offers = (0..wishes.baits().len()).map(|number| exchange(&bait_exchange(number), "outbid"));
    let more = format!(
        "margin_ms = 0\n{}{}[currency]\nrates = {{ {} }}\n",
        exchange(agency, seat),
        offers.collect::<String>(),
        rates.join(", ")
    );
    let server = "workers = 1\npublic_url = \"https://ads.outbid.example\"";
    let site = Site::new(&[], server, &more);
    let mut files = Files::default();
    plain(&mut files, wishes);
    baits(&mut files, wishes);
    deals(&mut files, wishes);
    let catalog = site.folder().join("catalog");
    std::fs::create_dir_all(catalog.join("campaigns")).expect("a folder");
    std::fs::write(catalog.join("advertisers.toml"), files.advertisers).expect("a file");
    for (name, text) in files.campaigns {
        let path = catalog.join("campaigns").join(name + ".toml");
        std::fs::write(path, text).expect("a file");
    }
    site
}

/// Advertisers whom nobody blocks, who have everything.
fn plain(files: &mut Files, wishes: &Wishes) {
    for number in 0..PLAIN {
        let advertiser = format!("plain{number}");
        // One pays in euros, so that prices are converted in both directions.
        let currency = if number == 1 { "EUR" } else { "USD" };
        files.advertiser(&advertiser, &format!("www.{advertiser}.example"), currency);
        let max_cpm = format!("26.{number}0");
        let terms = Terms {
            advertiser: &advertiser,
            category: &format!("goods-{number}"),
            iab: "IAB22-1",
            max_cpm: &max_cpm,
            more: "",
            more_of_ad: "",
            targeting: "",
        };
        let image = IMAGES[number % IMAGES.len()];
        let named = |kind: &str| format!("{advertiser}-{kind}");
        files.campaigns(&named("banner"), &terms, &banners(&wishes.sizes, image));
        files.campaigns(&named("video"), &terms, &videos(&VIDEO_TYPES));
        files.campaigns(&named("audio"), &terms, &audios(&AUDIO_TYPES));
        files.campaigns(&named("native"), &terms, &natives(&wishes.images, image));
    }
}

/// Advertisers who pay more than the plain ones, each with something that some request blocks, each on
/// an exchange where no other outbids it.
fn baits(files: &mut Files, wishes: &Wishes) {
    let mut ads = banners(&COMMON, "jpg");
    ads.extend(videos(&[("video/mp4", &[15, 120])]));
    ads.extend(natives(&[(1_200, 627), (180, 120)], "jpg"));
    for (number, bait) in wishes.baits().iter().enumerate() {
        let (domain, category, attribute) = match bait {
            Bait::Domain(domain) => (format!("shop.{domain}"), "IAB22-2".to_owned(), 0),
            // A block of a category blocks its parts.
            Bait::Category(category) if category.contains('-') => {
                (String::new(), category.clone(), 0)
            }
            Bait::Category(category) => (String::new(), format!("{category}-1"), 0),
            Bait::Attribute(code) => (String::new(), "IAB22-2".to_owned(), *code),
        };
        let advertiser = format!("bait{number}");
        let own = format!("{advertiser}.example");
        files.advertiser(&advertiser, if domain.is_empty() { &own } else { &domain }, "USD");
        // The catalog asks that health is owned up to.
        let more = if category.starts_with("IAB7-") { "sector = \"health\"" } else { "" };
        let attr = if attribute > 0 { format!("attr = [{attribute}]") } else { String::new() };
        let terms = Terms {
            advertiser: &advertiser,
            category: &format!("bait-{number}"),
            iab: &category,
            max_cpm: "28.00",
            more,
            more_of_ad: &attr,
            targeting: &format!("exchanges = [\"{}\"]", bait_exchange(number)),
        };
        files.campaigns(&advertiser, &terms, &ads);
    }
}

/// Campaigns that bid on one deal only, dearer than all others.
fn deals(files: &mut Files, wishes: &Wishes) {
    let mut ads = banners(&wishes.sizes, "jpg");
    ads.truncate(ADS_MAX / 2);
    ads.extend(banners(&COMMON, "gif"));
    ads.extend(videos(&[("video/mp4", &[5, 15, 120])]));
    ads.extend(audios(&[("audio/mp4", &[5, 15, 120])]));
    for (number, (deal, domain)) in wishes.deals.iter().enumerate() {
        let advertiser = format!("dealer{number}");
        let own = format!("{advertiser}.example");
        files.advertiser(&advertiser, if domain.is_empty() { &own } else { domain }, "USD");
        let terms = Terms {
            advertiser: &advertiser,
            category: &format!("deal-{number}"),
            iab: "IAB22-3",
            max_cpm: "30.00",
            more: "",
            more_of_ad: "",
            targeting: &format!("deals = [\"{deal}\"]"),
        };
        files.campaigns(&advertiser, &terms, &ads);
    }
}
