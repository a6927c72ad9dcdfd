//! Domains: what the model may know for the ads of a trade, and what its campaigns must keep to.
//!
//! Each [`Sector`] has rules of its own, built in ([`Domain::of`]). A file of `domains/` beside the
//! campaigns declares a sector's domain and may be stricter than that; one that would be laxer is
//! refused, so that no configuration takes a rule away. What decides at each bid is a few bits of
//! the campaign's row.

use super::campaign::{Campaign, CapScope, FrequencyCap, Sector, Sensitivity};
use super::check::{self, Faults};
use super::targeting::{Lists, Targeting};
use serde::Deserialize;

/// Names of one list of a domain: people write and read them.
const NAMES_MAX: usize = 100;

/// Groups of features that the model may use for an ad, one bit each. What the request says of its
/// place, time and device is always used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureGroups(u8);

impl FeatureGroups {
    /// The user's strongest categories and last act, as fields of the request.
    pub const PROFILE: Self = Self(1);
    /// How strongly the user is drawn to what the campaign sells.
    pub const INTEREST: Self = Self(1 << 1);
    /// What users who did alike were drawn to.
    pub const COLLABORATIVE: Self = Self(1 << 2);
    /// How an ad's attributes match what the user looked at.
    pub const CONTENT: Self = Self(1 << 3);
    /// What the order of the user's acts says of the next.
    pub const SEQUENCE: Self = Self(1 << 4);
    /// Released click rates of the campaign.
    pub const PRIORS: Self = Self(1 << 5);
    /// All of them.
    pub const ALL: Self = Self((1 << 6) - 1);

    const NAMES: [(&'static str, Self); 7] = [
        ("request", Self(0)),
        ("profile", Self::PROFILE),
        ("interest", Self::INTEREST),
        ("collaborative", Self::COLLABORATIVE),
        ("content", Self::CONTENT),
        ("sequence", Self::SEQUENCE),
        ("priors", Self::PRIORS),
    ];

    /// Whether all of `other` may be used.
    #[inline]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is left where nothing of the user may be known.
    #[inline]
    #[must_use]
    pub const fn contextual(self) -> Self {
        Self(self.0 & Self::PRIORS.0)
    }

    /// What is left for a campaign that has no part in the pool, which others' visits belong to.
    #[must_use]
    pub(super) const fn unpooled(self) -> Self {
        Self(self.0 & !Self::COLLABORATIVE.0)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the groups, as files have them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter_map(move |(name, group)| self.has(group).then_some(name))
    }

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find_map(|(known, group)| (known == name).then_some(group))
    }
}

/// What a campaign may not do in a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// Include or exclude user segments, and so retarget.
    Segments,
    /// Seek keywords of the user.
    UserKeywords,
    /// Name cities.
    Cities,
    /// Name postal codes.
    PostalCodes,
    /// Name circles on the map.
    Circles,
    /// Share interest with other tenants.
    PooledInterest,
}

impl Forbidden {
    const ALL: [Self; 6] = [
        Self::Segments,
        Self::UserKeywords,
        Self::Cities,
        Self::PostalCodes,
        Self::Circles,
        Self::PooledInterest,
    ];

    /// The key under which a campaign does it, and what it is called.
    const fn key_and_name(self) -> (&'static str, &'static str) {
        match self {
            Self::Segments => ("targeting.segments", "user segments, not even excluded"),
            Self::UserKeywords => ("targeting.user_keywords", "keywords of the user"),
            Self::Cities => ("targeting.geo", "cities"),
            Self::PostalCodes => ("targeting.postal_codes", "postal codes"),
            Self::Circles => ("targeting.circles", "circles"),
            Self::PooledInterest => ("pooled_interest", "interest profile that is shared"),
        }
    }

    fn is_done_by(self, campaign: &Campaign) -> bool {
        let Targeting { segments, user_keywords, geo, postal_codes, circles, .. } =
            &*campaign.targeting;
        match self {
            Self::Segments => *segments != Lists::default(),
            Self::UserKeywords => !user_keywords.is_empty(),
            Self::Cities => {
                let mut places = geo.include.iter().chain(&geo.exclude);
                places.any(|place| place.matches('/').count() > 1)
            }
            Self::PostalCodes => *postal_codes != Lists::default(),
            Self::Circles => *circles != Lists::default(),
            Self::PooledInterest => campaign.pooled_interest,
        }
    }
}

/// What becomes of the behaviour that a domain's advertisers report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// It becomes interest.
    Interest,
    /// Orders count as conversions; nothing of it is kept of the user.
    Conversions,
}

/// Who may be shown a domain's ads of those of whom the request says that they are under 18, or whose
/// page is for children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Minors {
    /// They see its ads, and nothing of them is known: no interest, no segments, no keywords.
    Contextual,
    /// They see none.
    Excluded,
}

/// The rules of one trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Which.
    pub sector: Sector,
    /// What the model may use for its ads.
    pub features: FeatureGroups,
    /// What becomes of behaviour.
    pub behaviour: Kept,
    /// Who may be shown its ads.
    pub minors: Minors,
    /// Whether its campaigns list the countries that they are licensed in.
    pub needs_countries: bool,
    /// What its campaigns may not do.
    pub forbids: Vec<Forbidden>,
    /// IAB categories, with all below them, and product categories that belong to it: a campaign or an
    /// ad in one of its IAB categories is of this sector, and behaviour in any of them is treated as its
    /// own, whoever reports it. In lower case.
    pub categories: Vec<String>,
    /// What its campaigns may neither sell nor seek in users: names of categories, segments and
    /// keywords. In lower case.
    pub protected: Vec<String>,
    /// At most so often to one user, for each of its campaigns.
    pub frequency_cap: Option<FrequencyCap>,
    /// Per cent of a user's last shows above which one of its categories is ranked down; 100 is never.
    pub category_share_max_percent: u8,
}

/// A file of `domains/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDomain {
    sector: Sector,
    features: Vec<String>,
    behaviour: Option<Kept>,
    minors: Option<Minors>,
    #[serde(default)]
    needs_countries: bool,
    #[serde(default)]
    forbids: Vec<Forbidden>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    protected: Vec<String>,
    frequency_cap: Option<FrequencyCap>,
    category_share_max_percent: Option<u8>,
}

impl Domain {
    /// The rules that a sector has in any case.
    #[must_use]
    pub fn of(sector: Sector) -> Self {
        let free = Self {
            sector,
            features: FeatureGroups::ALL,
            behaviour: Kept::Interest,
            minors: Minors::Contextual,
            needs_countries: false,
            forbids: Vec::new(),
            categories: Vec::new(),
            protected: Vec::new(),
            frequency_cap: None,
            category_share_max_percent: 100,
        };
        match sector.sensitivity() {
            None => free,
            Some(Sensitivity::Health) => Self {
                features: FeatureGroups::PRIORS,
                behaviour: Kept::Conversions,
                forbids: Forbidden::ALL.to_vec(),
                categories: vec!["iab7".to_owned()],
                ..free
            },
            Some(Sensitivity::Finance) => Self {
                // Who users are drawn to beyond money may stand for what they are.
                features: FeatureGroups::INTEREST
                    .or(FeatureGroups::CONTENT)
                    .or(FeatureGroups::PRIORS),
                minors: Minors::Excluded,
                needs_countries: true,
                forbids: vec![Forbidden::PostalCodes, Forbidden::Circles],
                categories: vec!["iab13".to_owned()],
                ..free
            },
        }
    }

    /// The domain that a file declares: the sector's own rules and those of the file together.
    pub(super) fn declared(raw: RawDomain) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Faults::default();
        let own = Self::of(raw.sector);
        let mut features = FeatureGroups::default();
        for name in &raw.features {
            let group = FeatureGroups::named(name);
            faults.unless(group.is_some(), "features", || {
                let known: Vec<_> = FeatureGroups::ALL.names().collect();
                format!("`{name}` is not known; there are: {}", known.join(", "))
            });
            let group = group.unwrap_or_default();
            faults.unless(own.features.has(group), "features", || {
                format!("`{name}` is never used for {:?}", raw.sector)
            });
            features = features.or(group.and(own.features));
        }
        faults.unless(raw.features.iter().any(|name| name == "request"), "features", || {
            "`request` is always used; write it down".to_owned()
        });
        let behaviour = raw.behaviour.unwrap_or(own.behaviour);
        faults.unless(behaviour >= own.behaviour, "behaviour", || {
            format!("is never kept as interest in {:?}", raw.sector)
        });
        let minors = raw.minors.unwrap_or(own.minors);
        faults.unless(minors >= own.minors, "minors", || format!("{:?} excludes them", raw.sector));
        for (key, names) in [("categories", &raw.categories), ("protected", &raw.protected)] {
            faults.unless(names.len() <= NAMES_MAX, key, || format!("more than {NAMES_MAX}"));
            names.iter().for_each(|name| faults.text(key, name));
        }
        if let Some(cap) = raw.frequency_cap {
            check::caps(&mut faults, "frequency_cap", &[cap]);
        }
        let percent = raw.category_share_max_percent.unwrap_or(own.category_share_max_percent);
        faults.unless((1..=100).contains(&percent), "category_share_max_percent", || {
            "lies between 1 and 100".to_owned()
        });
        let mut forbids = own.forbids;
        forbids.extend(raw.forbids);
        let mut categories = own.categories;
        categories.extend(raw.categories.iter().map(|name| name.trim().to_lowercase()));
        faults.finish(Self {
            sector: raw.sector,
            features,
            behaviour,
            minors,
            needs_countries: own.needs_countries || raw.needs_countries,
            forbids,
            categories,
            protected: raw.protected.iter().map(|name| name.trim().to_lowercase()).collect(),
            frequency_cap: raw.frequency_cap,
            category_share_max_percent: percent,
        })
    }

    /// Whether a category of this name belongs to the domain, or lies below one that does.
    #[must_use]
    pub fn owns(&self, category: &str) -> bool {
        let name = category.trim().to_lowercase();
        let is_own = |own: &String| {
            let rest = name.strip_prefix(own.as_str());
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('-') && own.starts_with("iab")
            })
        };
        self.categories.iter().any(is_own)
    }

    /// Whether visits to an item of such an advertiser, in a category of this name (in lower case), may
    /// speak for its ads: never what is protected, and in a trade with rules of its own only what is of
    /// that trade, since what users look at elsewhere may stand for who they are.
    #[must_use]
    pub fn hears(&self, sector: Sector, category: &str) -> bool {
        (sector == self.sector || self.sector.sensitivity().is_none())
            && !self.protected.iter().any(|name| name == category)
    }

    /// Holds a campaign to the domain: what it targets, and how often it is shown.
    pub(super) fn check(&self, faults: &mut Faults, campaign: &mut Campaign) {
        let sector = format!("{:?}", self.sector).to_lowercase();
        for forbidden in &self.forbids {
            let (key, name) = forbidden.key_and_name();
            faults.unless(!forbidden.is_done_by(campaign), key, || match self.sector {
                Sector::Health => format!("a health campaign is contextual only: no {name}"),
                _ => format!("a campaign of {sector} has no {name}"),
            });
        }
        let has_countries = !campaign.targeting.geo.include.is_empty();
        faults.unless(has_countries || !self.needs_countries, "targeting", || {
            format!("a {sector} campaign lists its licensed countries in geo.include")
        });
        let segments = campaign.targeting.segments.include.iter();
        let sought = [
            ("category", std::slice::from_ref(&campaign.category_name)),
            ("targeting.user_keywords", &campaign.targeting.user_keywords),
        ];
        let sought =
            sought.into_iter().flat_map(|(key, names)| names.iter().map(move |one| (key, one)));
        for (key, name) in sought.chain(segments.map(|one| ("targeting.segments", one))) {
            let is_free = !self.protected.contains(&name.trim().to_lowercase());
            faults.unless(is_free, key, || format!("`{name}` is protected in {sector}"));
        }
        if let Some(cap) = self.frequency_cap {
            let is_kept = |own: &FrequencyCap| {
                own.scope == CapScope::Campaign
                    && own.count <= cap.count
                    && own.window_s >= cap.window_s
            };
            if !campaign.frequency_caps.iter().any(is_kept) {
                campaign.frequency_caps.push(cap);
            }
        }
    }
}

/// The domains of a catalog, by sector.
#[derive(Clone, Debug)]
pub struct Domains([Domain; Sector::ALL.len()]);

impl Default for Domains {
    fn default() -> Self {
        Self(Sector::ALL.map(Domain::of))
    }
}

impl Domains {
    /// Puts a declared domain in place of its sector's own rules.
    pub(super) fn declare(&mut self, domain: Domain) {
        let sector = domain.sector;
        self.0[sector as usize] = domain;
    }

    /// The rules of a sector.
    #[must_use]
    pub fn get(&self, sector: Sector) -> &Domain {
        &self.0[sector as usize]
    }

    /// The domain that a category of this name belongs to, if one claims it.
    #[must_use]
    pub fn owner(&self, category: &str) -> Option<&Domain> {
        self.0.iter().find(|domain| domain.owns(category))
    }
}
