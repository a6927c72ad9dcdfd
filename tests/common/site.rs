//! A configuration with its catalog and strategies in a folder that goes when the test ends.

use outbid::config::Config;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// One campaign with one banner of 300x250.
#[derive(Clone, Copy)]
pub struct Campaign<'a> {
    pub advertiser: &'a str,
    pub name: &'a str,
    pub category: &'a str,
    pub strategy: &'a str,
    pub daily_budget: &'a str,
    /// Lines of `[campaign.bid]`.
    pub bid: &'a str,
    /// Further lines of `[[campaign]]`.
    pub more: &'a str,
}

impl Default for Campaign<'_> {
    fn default() -> Self {
        Self {
            advertiser: "acme",
            name: "shoes",
            category: "running-shoes",
            strategy: "fixed",
            daily_budget: "100",
            bid: "max_cpm = \"2.50\"",
            more: "",
        }
    }
}

impl Campaign<'_> {
    fn file(&self) -> String {
        let Self { advertiser, name, category, strategy, daily_budget, bid, more } = self;
        let iab = if more.contains("iab_cats") { "" } else { "iab_cats = [\"IAB22\"]" };
        format!(
            "advertiser = \"{advertiser}\"\n[[campaign]]\nname = \"{name}\"\n\
             category = \"{category}\"\n{iab}\nstrategy = \"{strategy}\"\n\
             daily_budget = \"{daily_budget}\"\n\
             landing_url = \"https://{advertiser}.example/{name}\"\n{more}\n[campaign.bid]\n{bid}\n\
             [[campaign.ad]]\nname = \"{name}-300x250\"\n\
             banner = {{ w = 300, h = 250, image_url = \"https://cdn.example/{name}.jpg\" }}\n"
        )
    }
}

/// Strategies without pacing, so that a price says what its parts say, and a paced one.
const STRATEGIES: [(&str, &str); 5] = [
    ("fixed", "objective = \"fixed_cpm\"\npacing = \"none\"\n"),
    ("dealer", "objective = \"fixed_cpm\"\npacing = \"none\"\nprefer_deals = true\n"),
    ("clicks", "objective = \"cpc\"\npacing = \"none\"\n"),
    ("linear", "objective = \"linear\"\nbase_bid_micros = 1_000_000\npacing = \"none\"\n"),
    (
        "conversions",
        "objective = \"target_cpa\"\npacing = \"dual\"\nmultiplier_min = 0.01\nmultiplier_max = 5.0\n",
    ),
];

pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// Writes the files; `more` is configuration beyond paths, listeners and the exchange `x`.
    pub fn new(campaigns: &[Campaign], server: &str, more: &str) -> Self {
        Self::written(campaigns, &[], server, more)
    }

    /// The same, where some advertisers are not of e-commerce: each with its sector.
    pub fn with_sectors(campaigns: &[Campaign], sectors: &[(&str, &str)]) -> Self {
        Self::written(campaigns, sectors, "", "")
    }

    fn written(campaigns: &[Campaign], sectors: &[(&str, &str)], server: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        let mut advertisers: Vec<_> = campaigns.iter().map(|one| one.advertiser).collect();
        advertisers.sort_unstable();
        advertisers.dedup();
        let advertisers = advertisers.iter().map(|name| {
            let declared = sectors.iter().find(|(other, _)| other == name);
            let sector = declared.map_or("ecommerce", |(_, sector)| sector);
            format!(
                "[[advertiser]]\nname = \"{name}\"\ncurrency = \"USD\"\nsector = \"{sector}\"\n\
                 domains = [\"{name}.example\"]\n"
            )
        });
        write("catalog/advertisers.toml", &advertisers.collect::<String>());
        for campaign in campaigns {
            write(&format!("catalog/campaigns/{}.toml", campaign.name), &campaign.file());
        }
        for (name, text) in STRATEGIES {
            let text = format!("version = 1\n{text}exploration = \"none\"\n");
            write(&format!("strategies/{name}.toml"), &text);
        }
        let listen = "127.0.0.1:0";
        // Noise of the machine's own every five minutes would move prices by chance; tests that are
        // about releases say what they want.
        let more = match more.contains("[privacy]") {
            true => more.to_owned(),
            false => format!("{more}\n[privacy]\nreleases_per_day = 1"),
        };
        let config = format!(
            "version = 1\n[paths]\ncatalog = \"catalog\"\nstrategies = \"strategies\"\n\
             state = \"state\"\n[server]\nexchange_listen = \"{listen}\"\n\
             public_listen = \"{listen}\"\nadmin_listen = \"{listen}\"\n{server}\n\
             [exchange.x]\ntmax_default_ms = 5000\n{more}\n"
        );
        write("outbid.toml", &config);
        Self { folder }
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("outbid.toml")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> Config {
        Config::load(&self.config_file()).expect("the configuration is right")
    }
}

/// A bid request of this user (none where empty) for one banner.
pub fn request(id: &str, user: &str) -> Value {
    let mut request = json!({
        "id": id, "tmax": 5_000, "cur": ["USD"],
        "imp": [{ "id": "1", "bidfloor": 0.01, "banner": { "w": 300, "h": 250 } }],
        "site": { "id": "s", "domain": "news.example", "page": "https://news.example/a" },
        "device": { "devicetype": 2, "os": "Windows", "geo": { "country": "USA" } },
    });
    if !user.is_empty() {
        request["user"] = json!({ "id": user });
    }
    request
}
