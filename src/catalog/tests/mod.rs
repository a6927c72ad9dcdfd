//! Tests of the room as a whole; those of single parts stand beside them.

mod actor;
mod ads;
mod domains;
mod edit;
mod index;
mod items;
mod keeper;
mod load;
mod rows;

use super::{Catalog, CatalogError, KnownStrategies, TermsNeeded};
use std::fs;
use std::path::{Path, PathBuf};

/// Our own catalog, which the simulator runs on.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalog")
}

fn strategies() -> KnownStrategies {
    ["cpc", "fixed_cpm", "linear", "target_cpa"]
        .map(|name| {
            let needed = TermsNeeded {
                cpc: name == "cpc",
                target_cpa: name == "target_cpa",
                ..TermsNeeded::default()
            };
            (name.to_owned(), needed)
        })
        .into()
}

const ADVERTISERS: &str = r#"[[advertiser]]
name = "shoes"
currency = "USD"
sector = "ecommerce"
domains = ["shoes.example"]

[[advertiser]]
name = "pills"
currency = "EUR"
sector = "health"

[[advertiser]]
name = "bank"
currency = "USD"
sector = "finance"
domains = ["bank.example"]
"#;

/// A file that loads; the lines of the table of wrong files count from here.
const CAMPAIGN: &str = r#"advertiser = "shoes"
[[campaign]]
name = "run"
category = "running-shoes"
strategy = "cpc"
daily_budget = "20.50"
landing_url = "https://shoes.example/run"
time_zone = "Europe/Berlin"
bid = { max_cpm = 5, cpc = "0.5" }
[campaign.targeting]
geo = { include = ["USA"] }
hours = ["mon-fri 08-20"]
[[campaign.ad]]
name = "run-300x250"
banner = { w = 300, h = 250, image_url = "https://cdn.shoes.example/a.png" }
iab_cats = ["IAB18"]
"#;

/// A folder with the advertisers above and these campaign files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(folder.path().join("campaigns")).expect("a folder");
        folder.write("advertisers.toml", ADVERTISERS);
        for (number, text) in files.iter().enumerate() {
            folder.write(&format!("campaigns/{number}.toml"), text);
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).expect("a file");
    }

    fn load(&self, previous: Option<&Catalog>) -> Result<Catalog, Vec<CatalogError>> {
        Catalog::load(self.path(), &strategies(), previous)
    }
}
