//! `outbid ledger show`: the account tree, and the records that led to it.

use super::fold::{Folded, From, Journal};
use crate::budget::{AccountLine, Command, DayNumber, LeaseOp, Ledger, Level};
use crate::catalog::LocalDate;
use crate::units::{CampaignId, Nanos};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::PathBuf;

/// Records shown where no number is given.
const RECORDS: &str = "50";

/// Show the account tree, or the records of the log.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid ledger show --state var\n  \
    outbid ledger show --state var --campaign northtrail-running-shoes --day 2026-03-28\n  \
    outbid ledger show --state var --records 20\n\n\
    Amounts are in the advertiser's currency. Accounts go by ids: the hash of a name, as --campaign \
    works it out. A server may be running.")]
pub struct Args {
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// Only the campaign of this name, and what is above it.
    #[arg(long)]
    campaign: Option<String>,
    /// Only this local day, with the flight and month that it lies in.
    #[arg(long)]
    day: Option<String>,
    /// The last records, the newest last, in place of accounts.
    #[arg(long, num_args = 0..=1, default_missing_value = RECORDS)]
    records: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::super::start_log("warn");
    let day = args.day.clone().map(LocalDate::try_from).transpose().map_err(anyhow::Error::msg)?;
    let wanted = Wanted {
        campaign: args.campaign.as_deref().map(CampaignId::of),
        day: day.map(|LocalDate(date)| DayNumber::of(date)),
    };
    let journal = Journal::open(&args.state)?;
    let from = if args.records.is_some() { From::Oldest } else { From::Newest };
    let mut ledger = journal.base(from)?;
    let mut records = VecDeque::new();
    journal.fold(&mut ledger, |ledger, folded| {
        let Some(most) = args.records else { return };
        if wanted.has_record(ledger, folded) {
            records.push_back(record(folded));
            if records.len() > most {
                records.pop_front();
            }
        }
    })?;
    if args.records.is_some() {
        return show_records(args, &records);
    }
    let mut statement = ledger.statement(wanted.campaign);
    let is_known = wanted.campaign.is_none() || !statement.accounts.is_empty();
    anyhow::ensure!(
        is_known,
        "the ledger has no campaign `{}`",
        args.campaign.as_deref().unwrap_or("")
    );
    statement.accounts.retain(|line| wanted.has_account(line));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&statement)?);
        return Ok(());
    }
    println!("position {}, digest {}", statement.position.0, statement.digest);
    let house = statement.house;
    println!(
        "borne by the house: {}{}",
        units(house.absorbed),
        if house.is_poisoned { "; POISONED" } else { "" }
    );
    println!(
        "{:<46} {:>16} {:>16} {:>16} {:>16} {:>16} {:>16}",
        "account", "bound", "billed", "late", "leased", "absorbed", "free"
    );
    statement.accounts.iter().for_each(print);
    Ok(())
}

struct Wanted {
    campaign: Option<CampaignId>,
    day: Option<DayNumber>,
}

impl Wanted {
    fn has_account(&self, line: &AccountLine) -> bool {
        let (Some(day), Some(first)) = (self.day, line.first) else { return true };
        match line.level {
            Level::Month => day.month() == first,
            _ => (first..=line.last.unwrap_or(first)).contains(&day),
        }
    }

    fn has_record(&self, ledger: &Ledger, folded: &Folded) -> bool {
        let (campaign, day) = match folded.command {
            Command::SetCampaign { campaign, .. } => (Some(*campaign), None),
            Command::Lease { op: LeaseOp::Open { campaign, day, .. }, .. }
            | Command::Settle { campaign, day, .. }
            | Command::Adjust { campaign, day, .. } => (Some(*campaign), Some(*day)),
            Command::Lease { lease, .. } => {
                let campaign = ledger.owner_of(*lease).map(|(campaign, _)| campaign);
                (campaign, ledger.day_of(*lease))
            }
            Command::HolderLost { .. } | Command::Expire => (None, None),
        };
        self.campaign.is_none_or(|wanted| campaign == Some(wanted))
            && self.day.is_none_or(|wanted| day == Some(wanted))
    }
}

fn record(Folded { record, command, outcome }: &Folded) -> Value {
    json!({
        "position": record.position.0,
        "at_ms": record.at.0,
        "command": format!("{command:?}"),
        "outcome": format!("{outcome:?}"),
    })
}

fn show_records(args: &Args, records: &VecDeque<Value>) -> anyhow::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "records": records }))?);
        return Ok(());
    }
    for record in records {
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let (position, at) = (&record["position"], &record["at_ms"]);
        println!("{position} at {at}: {} -> {}", text("command"), text("outcome"));
    }
    Ok(())
}

fn print(line: &AccountLine) {
    let indent = match line.level {
        Level::Advertiser => 0,
        Level::Campaign => 2,
        Level::Flight | Level::Month => 4,
        Level::Day => 6,
        Level::Exploration => 8,
    };
    let full = line.name();
    let name = match (&line.campaign, line.level) {
        (Some(campaign), Level::Flight | Level::Month | Level::Day | Level::Exploration) => {
            full.trim_start_matches(&format!("campaign {campaign} ")).to_owned()
        }
        _ => format!("{full} {}{}", line.currency, if line.is_active { "" } else { " paused" }),
    };
    let optional = |amount: Option<Nanos>| amount.map_or("-".to_owned(), units);
    println!(
        "{:<46} {:>16} {:>16} {:>16} {:>16} {:>16} {:>16}",
        format!("{:indent$}{name}", ""),
        optional(line.money.budget),
        units(line.money.billed),
        units(line.money.late),
        units(line.money.leased),
        units(line.money.absorbed),
        optional(line.free()),
    );
    if line.adjusted != Nanos::ZERO {
        println!("{:indent$}  adjusted by {}", "", units(line.adjusted));
    }
}

/// Nanos as units of currency, to the last of them.
fn units(Nanos(nanos): Nanos) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, rest) =
        (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    format!("{sign}{whole}.{rest:09}")
}
