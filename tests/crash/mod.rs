//! What the tests of crashes share: an exchange of their own, and a site whose money is tight.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod exchange;
pub mod faults;

use crate::common::{Campaign, Process, Site, until};
use exchange::{Exchange, Plan};
use outbid::units::CampaignId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Name, country and daily budget of each campaign, in micros. What is frozen after a kill counts as
/// spent until its window ends, so that all but the last run out again and again.
pub const CAMPAIGNS: [(&str, &str, u64); 4] = [
    ("tents", "FRA", 150_000),
    ("bikes", "DEU", 300_000),
    ("books", "GBR", 900_000),
    ("shoes", "USA", 10_000_000_000),
];

/// The daily budget of a campaign, in nanos.
pub fn daily(name: &str) -> i128 {
    let daily = CAMPAIGNS.iter().find(|(own, ..)| *own == name).map(|(.., daily)| *daily);
    i128::from(daily.expect("a campaign of ours")) * 1_000
}

/// The dearest bid of each, in nanos an impression.
pub const CAP: i128 = 2_500_000;
pub const WORKERS: i128 = 2;
/// Within which the exchange bills: notices wait for a second at most, and a restart is shorter.
pub const WINDOW: Duration = Duration::from_secs(15);

pub const PLAN: Plan = Plan {
    countries: &["FRA", "DEU", "GBR", "USA"],
    connections: 8,
    rate: 2_500,
    notices: 16,
    delay_ms: 800,
    window: WINDOW,
    told_percent: 80,
    seed: 20_261_126,
};

/// A campaign for each country; `more` is further configuration.
pub fn site(more: &str) -> Site {
    let targets =
        CAMPAIGNS.map(|(_, country, _)| format!("targeting.geo = {{ include = [\"{country}\"] }}"));
    let budgets =
        CAMPAIGNS.map(|(.., daily)| format!("{}.{:06}", daily / 1_000_000, daily % 1_000_000));
    let all =
        CAMPAIGNS.iter().zip(&budgets).zip(&targets).map(|(((name, ..), daily_budget), more)| {
            Campaign { name, daily_budget, more, ..Campaign::default() }
        });
    let campaigns: Vec<_> = all.collect();
    let exchange = format!("decision_ttl_s = 5\nbilling_window_s = {}\n{more}", WINDOW.as_secs());
    Site::new(&campaigns, &format!("workers = {WORKERS}"), &exchange)
}

/// A request from this country; no user, who might be shown an ad too often.
pub fn request(id: &str, country: &str) -> String {
    let mut request = crate::common::request(id, "");
    request["device"]["geo"]["country"] = country.into();
    request.to_string()
}

/// From here on the site is served at the addresses of `process`.
pub fn keep_addresses(site: &Site, process: &Process) {
    let mut text = std::fs::read_to_string(site.config_file()).expect("the configuration");
    for (key, address) in [
        ("exchange_listen", process.exchange.address),
        ("public_listen", process.public.address),
        ("admin_listen", process.admin.address),
    ] {
        text = text.replace(&format!("{key} = \"127.0.0.1:0\""), &format!("{key} = \"{address}\""));
    }
    std::fs::write(site.config_file(), text).expect("the configuration");
}

pub fn open(process: &Process, plan: Plan) -> Exchange {
    Exchange::open(plan, process.exchange.address, process.public.address)
}

/// No more requests; everything decided is told until it is acknowledged, and the ledger is what the
/// exchange's is, campaign by campaign.
pub fn settle(exchange: &Exchange, process: &mut Process) -> BTreeMap<String, Money> {
    exchange.stop_asking();
    until("every notice is acknowledged", || exchange.is_settled().then_some(()));
    let due = exchange.due();
    let accounts = until("the ledger has folded it", || {
        let accounts = accounts(&process.admin.get("/api/v1/report").json());
        let is_same = |(name, money): (&String, &Money)| {
            money.billed + money.absorbed == due.get(name).map_or(0, |(all, _)| *all)
        };
        accounts.iter().all(is_same).then_some(accounts)
    });
    for (name, money) in &accounts {
        let (all, acknowledged) = due.get(name).copied().unwrap_or_default();
        assert_eq!(all, acknowledged, "{name}");
        assert!(money.billed <= money.budget, "{name}: {money:?}");
    }
    assert_eq!(exchange.faults(), Vec::<String>::new());
    accounts
}

/// A campaign's account over all days, in nanos.
#[derive(Clone, Copy, Debug)]
pub struct Money {
    pub budget: i128,
    pub billed: i128,
    pub late: i128,
    pub leased: i128,
    pub absorbed: i128,
}

/// The accounts of a report, by campaign.
pub fn accounts(report: &Value) -> BTreeMap<String, Money> {
    let names: BTreeMap<u64, &str> =
        CAMPAIGNS.iter().map(|(name, ..)| (CampaignId::of(name).0, *name)).collect();
    let all = report["budget"]["campaigns"].as_array().expect("campaigns");
    let accounts = all.iter().filter(|campaign| campaign["account"].is_object()).map(|campaign| {
        let (total, day) = (&campaign["account"]["total"], &campaign["account"]["day"]);
        let number = |text: &Value| -> i128 {
            text.as_str().and_then(|text| text.parse().ok()).expect("nanos as text")
        };
        let money = Money {
            budget: number(&day["budget"]),
            billed: number(&total["billed"]),
            late: number(&total["late"]),
            leased: number(&total["leased"]),
            absorbed: number(&total["absorbed"]),
        };
        (names[&campaign["campaign"].as_u64().expect("an id")].to_owned(), money)
    });
    accounts.collect()
}

/// A file system in memory, for as long as this lives.
pub struct Mount(PathBuf);

impl Mount {
    /// `None` where this test may not mount, as in most containers.
    pub fn new(folder: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&folder).expect("a folder");
        let option = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&folder);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: no file system may be mounted here");
        }
        is_mounted.then_some(Self(folder))
    }

    pub fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "nothing writes there");
    }

    /// Takes what room there is.
    pub fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        let mut filler = fs::File::create(&file).expect("a file");
        while filler.write_all(&[0; 4_096]).is_ok() {}
        // The last page, byte by byte.
        while filler.write_all(&[0]).is_ok() {}
        file
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that was killed may still be going.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
