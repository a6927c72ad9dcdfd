//! What an exchange says that it is owed.
//!
//! A CSV file whose first line names its columns, one of:
//! * `campaign,billed_nanos`: a line a campaign, by its name or its id in sixteen hex digits, with
//!   all that the exchange billed for it. Campaigns that are not in the file are owed nothing.
//! * `hold,price_micros`: a line a bill, the hold as `NODE-BOOT-CORE-LEASE-SEQUENCE` (so the event
//!   log and the audits write it) with its price in micros per thousand, which is what one
//!   impression costs in nanos.

use super::compare::Difference;
use super::fold::Folded;
use crate::budget::{AccountLine, Command, Level, Outcome, Statement, id_text};
use crate::server::{hold_of, hold_text};
use crate::units::{CampaignId, HoldId, Micros, Nanos};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::Path;

/// How differences are named.
const AGAINST: &str = "the exchange";

/// An exchange's own ledger.
pub enum Owed {
    /// By campaign; its id as statements write it, and the name that the file uses.
    Campaigns(BTreeMap<String, (String, Nanos)>),
    /// By hold.
    Holds(BTreeMap<HoldId, Micros>),
}

impl Owed {
    /// Reads a file.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let head = lines.next().map_or("", |(line, _)| line.trim());
        let mut owed = match head {
            "campaign,billed_nanos" => Self::Campaigns(BTreeMap::new()),
            "hold,price_micros" => Self::Holds(BTreeMap::new()),
            _ => anyhow::bail!(
                "{}:1: columns are campaign,billed_nanos or hold,price_micros",
                file.display()
            ),
        };
        for (line, number) in lines {
            let added =
                line.split_once(',').and_then(|(key, amount)| owed.add(key.trim(), amount.trim()));
            let place = || format!("{}:{number}: `{line}` is no {head}", file.display());
            added.with_context(place)?;
        }
        Ok(owed)
    }

    /// Adds a line; `None` where it cannot be read.
    fn add(&mut self, key: &str, amount: &str) -> Option<()> {
        match self {
            Self::Campaigns(all) => {
                let is_id = key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
                let id =
                    if is_id { key.to_ascii_lowercase() } else { id_text(CampaignId::of(key).0) };
                let amount =
                    Nanos(amount.parse().ok().filter(|amount: &i128| amount.abs() < 1 << 100)?);
                let sum = all.entry(id).or_insert_with(|| (key.to_owned(), Nanos::ZERO));
                sum.1 += amount;
            }
            Self::Holds(all) => {
                // A hold is owed once: a second line with it would be a second bill.
                let price = Micros(amount.parse().ok()?);
                all.insert(hold_of(key)?, price).is_none().then_some(())?;
            }
        }
        Some(())
    }

    /// Holds the exchange's ledger against what the journal says of campaigns and of bills.
    pub fn differences(&self, statement: &Statement, bills: &Bills) -> Vec<Difference> {
        match self {
            Self::Campaigns(owed) => of_campaigns(owed, &statement.accounts),
            Self::Holds(owed) => of_holds(owed, &bills.0),
        }
    }
}

/// Every bill that was charged to somebody or borne by the house.
#[derive(Default)]
pub struct Bills(BTreeMap<HoldId, Micros>);

impl Bills {
    /// Counts a record that was a bill.
    pub fn see(&mut self, folded: &Folded) {
        if let (
            Command::Settle { hold, price, .. },
            Outcome::Settled { .. } | Outcome::Forgotten { .. },
        ) = (folded.command, folded.outcome)
        {
            self.0.insert(*hold, *price);
        }
    }
}

fn of_campaigns(
    owed: &BTreeMap<String, (String, Nanos)>,
    accounts: &[AccountLine],
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut left = owed.clone();
    for line in accounts.iter().filter(|line| line.level == Level::Campaign) {
        let id = line.campaign.clone().unwrap_or_default();
        let due = line.money.billed + line.money.absorbed - line.adjusted;
        let (name, other) = left.remove(&id).unwrap_or((id, Nanos::ZERO));
        if due != other {
            found.push(Difference::of_amounts(
                AGAINST,
                &format!("campaign {name}, due"),
                due,
                other,
            ));
        }
    }
    for (name, other) in left.into_values().filter(|(_, other)| *other != Nanos::ZERO) {
        let what = format!("campaign {name}, due");
        found.push(Difference::of_amounts(AGAINST, &what, Nanos::ZERO, other));
    }
    found
}

fn of_holds(owed: &BTreeMap<HoldId, Micros>, bills: &BTreeMap<HoldId, Micros>) -> Vec<Difference> {
    let price = |all: &BTreeMap<HoldId, Micros>, hold: &HoldId| {
        all.get(hold).map_or(Nanos::ZERO, |price| price.per_impression())
    };
    let mut holds: Vec<_> = owed.keys().chain(bills.keys()).collect();
    holds.sort_unstable();
    holds.dedup();
    let differs = holds.into_iter().filter(|hold| owed.get(hold) != bills.get(hold));
    let difference = |hold: &HoldId| {
        let what = format!("hold {}, price", hold_text(*hold));
        Difference::of_amounts(AGAINST, &what, price(bills, hold), price(owed, hold))
    };
    differs.map(difference).collect()
}
