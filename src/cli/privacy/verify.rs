//! `outbid privacy verify`: the privacy ledger folded again, and held against a server.

use super::fold::fold;
use crate::cli::admin::AdminKey;
use crate::privacy::{Books, Kind};
use crate::units::CampaignId;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Relative difference of two sums that are the same: JSON may lose the last bit of each.
const ROUNDING: f64 = 1e-9;

/// Fold the privacy ledger again: each release charged before it and none twice, all pieces whole,
/// owners in order; and compare with what a running server publishes.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid privacy verify --state var\n  \
    outbid privacy verify --state var --server 127.0.0.1:8082 --key-file admin.key\n\n\
    The exit code is 1 when anything is wrong or differs. A server may be running.")]
pub struct Args {
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// The admin listener of the server that runs on it.
    #[arg(long)]
    server: Option<SocketAddr>,
    #[command(flatten)]
    admin: AdminKey,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a server says of its releases.
#[derive(Deserialize)]
struct Told {
    status: ToldStatus,
    campaigns: Vec<ToldCampaign>,
}

#[derive(Deserialize)]
struct ToldStatus {
    position: u64,
    digest: String,
}

#[derive(Deserialize)]
struct ToldCampaign {
    campaign: String,
    sums: BTreeMap<String, (f64, f64)>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::super::start_log("warn");
    // First the server, then the log: what it has published is in the log by then.
    let told: Option<Told> = args.admin.ask(args.server, "/api/v1/privacy")?;
    let mut problems = Vec::new();
    let mut compared = None;
    let folded = fold(&args.state, |books| {
        if let Some(told) = &told
            && told.status.position == books.position()
        {
            compared = Some(told.status.position);
            problems.extend(told.differences(books));
        }
    })?;
    problems.extend(folded.wrong.clone());
    if let Some(told) = &told
        && compared.is_none()
        && told.status.position != 0
    {
        problems.push(format!(
            "the server is at position {}, which is not there",
            told.status.position
        ));
    }
    let (first, last) = folded.ends;
    let releases: u32 = folded.days.values().map(|day| day.releases).sum();
    if args.json {
        let report = json!({
            "first": first,
            "position": last,
            "days": folded.days.len(),
            "releases": releases,
            "compared_at": compared,
            "problems": problems,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("records {first} to {last}, {} days, {releases} releases", folded.days.len());
        if let Some(position) = compared {
            println!("compared with the server at position {position}");
        }
        problems.iter().for_each(|problem| println!("{problem}"));
        if problems.is_empty() {
            println!("nothing is wrong");
        }
    }
    anyhow::ensure!(problems.is_empty(), "{} problems", problems.len());
    Ok(())
}

impl Told {
    /// What the server says otherwise than the ledger at the same position.
    fn differences(&self, books: &Books) -> Vec<String> {
        let mut found = Vec::new();
        let digest = books.mark().map_or(0, |(_, digest)| digest);
        if self.status.digest != format!("{digest:016x}") {
            found.push(format!(
                "the server's last record is {}, not {digest:016x}",
                self.status.digest
            ));
        }
        let sums = books.sums();
        for ToldCampaign { campaign, sums: told } in &self.campaigns {
            let id = u64::from_str_radix(campaign, 16).map(CampaignId);
            let own = id.ok().and_then(|id| sums.get(&id));
            for kind in Kind::ALL {
                let own = own.map(|cells| {
                    let kind = kind.index();
                    cells.iter().fold((0.0, 0.0), |sum: (f64, f64), cell| {
                        (sum.0 + cell[kind].value, sum.1 + cell[kind].variance)
                    })
                });
                let told = told.get(kind.label()).copied();
                let is_same = match (own, told) {
                    (Some(own), Some(told)) => is_close(own.0, told.0) && is_close(own.1, told.1),
                    _ => false,
                };
                if !is_same {
                    let kind = kind.label();
                    found.push(format!(
                        "{kind} of {campaign}: the ledger says {own:?}, the server {told:?}"
                    ));
                }
            }
        }
        found
    }
}

fn is_close(one: f64, other: f64) -> bool {
    (one - other).abs() <= ROUNDING * (1.0 + one.abs().max(other.abs()))
}
