//! `outbid ledger verify`: the journal folded again, and held against everything that should say
//! the same.

use super::compare::{Difference, Told};
use super::exchange::{Bills, Owed};
use super::fold::{From, Journal};
use crate::budget::Ledger;
use crate::cli::admin::AdminKey;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Fold the ledger's log again, and compare with snapshots, a running server and an exchange.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid ledger verify --state var\n  \
    outbid ledger verify --state var --server 127.0.0.1:8082 --key-file admin.key\n  \
    outbid ledger verify --state var --exchange-ledger bills.csv --json\n\n\
    The exchange's file is CSV with the columns campaign,billed_nanos (a line a campaign, by name) \
    or hold,price_micros (a line a bill). What is due to exchanges is billed + absorbed - adjusted. \
    The exit code is 1 when anything differs. A server may be running.")]
pub struct Args {
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// The admin listener of the server that runs on it.
    #[arg(long)]
    server: Option<SocketAddr>,
    #[command(flatten)]
    admin: AdminKey,
    /// What the exchange says that it is owed.
    #[arg(long)]
    exchange_ledger: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::super::start_log("warn");
    let owed = args.exchange_ledger.as_deref().map(Owed::read).transpose()?;
    // First the server, then the log: what it has folded is in the log by then.
    let live: Option<Told> = args.admin.ask(args.server, "/api/v1/ledger")?;
    let journal = Journal::open(&args.state)?;
    let mut ledger = journal.base(From::Oldest)?;
    let mut check =
        Check { journal: &journal, live, compared: Vec::new(), differences: Vec::new() };
    let mut bills = Bills::default();
    let first = ledger.position().0 + 1;
    if matches!(owed, Some(Owed::Holds(_))) && first > 1 {
        anyhow::bail!("bills before position {first} were trimmed: compare by campaign instead");
    }
    check.server_at(&ledger)?;
    let mut failed = None;
    journal.fold(&mut ledger, |ledger, folded| {
        if owed.is_some() {
            bills.see(folded);
        }
        failed = failed.take().or_else(|| check.at(ledger).err());
    })?;
    failed.map_or(Ok(()), Err)?;
    check.end(&ledger)?;
    if let Some(owed) = &owed {
        check.compared.push("the exchange's ledger".to_owned());
        check.differences.extend(owed.differences(&ledger.statement(None), &bills));
    }
    check.say(args, first, &ledger)
}

struct Check<'a> {
    journal: &'a Journal,
    live: Option<Told>,
    compared: Vec<String>,
    differences: Vec<Difference>,
}

impl Check<'_> {
    /// Holds the ledger against all that speaks of its position.
    fn at(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        self.server_at(ledger)?;
        self.snapshots_at(ledger)
    }

    fn server_at(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        let position = ledger.position().0;
        if self.live.as_ref().is_some_and(|live| live.position == position)
            && let Some(live) = self.live.take()
        {
            self.compared.push(format!("the server at position {position}"));
            let own = Told::of(&ledger.statement(None))?;
            self.differences.extend(own.differences("the server", &live));
        }
        Ok(())
    }

    fn snapshots_at(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        let position = ledger.position().0;
        for saved in &self.journal.snapshots {
            if saved.position().0 != position {
                continue;
            }
            self.compared.push(format!("the snapshot at position {position}"));
            if saved == ledger {
                continue;
            }
            let (own, other) = (ledger.statement(None), saved.statement(None));
            let found = Told::of(&own)?.differences("the snapshot", &Told::of(&other)?);
            let beyond = || {
                let other = "another (leases, remembered prices or adjustments)".to_owned();
                Difference::of_texts("the snapshot", "state", "one".to_owned(), other)
            };
            let is_beyond = found.is_empty();
            self.differences.extend(found);
            self.differences.extend(is_beyond.then(beyond));
        }
        Ok(())
    }

    /// What must hold at the end.
    fn end(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        self.compared.push("the ledger with itself".to_owned());
        if let Err(violation) = ledger.audit() {
            self.differences.push(Difference::of_texts(
                "the audit",
                "inequalities",
                violation.to_string(),
                "none of it".to_owned(),
            ));
        }
        if let Some(live) = self.live.take() {
            let ends = format!("positions up to {}", ledger.position().0);
            let other = format!("position {}", live.position);
            self.differences.push(Difference::of_texts("the server", "log", ends, other));
        }
        Ok(())
    }

    fn say(&self, args: &Args, first: u64, ledger: &Ledger) -> anyhow::Result<()> {
        let statement = ledger.statement(None);
        let (last, count) = (ledger.position().0, self.differences.len());
        if args.json {
            let report = json!({
                "first": first,
                "position": last,
                "digest": statement.digest,
                "house": statement.house,
                "accounts": statement.accounts.len(),
                "compared": self.compared,
                "differences": self.differences,
            });
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("records {first} to {last}, {} accounts", statement.accounts.len());
            println!("digest {}", statement.digest);
            self.compared.iter().for_each(|what| println!("compared with {what}"));
            self.differences.iter().for_each(|difference| println!("{difference}"));
            if count == 0 {
                println!("nothing differs");
            }
        }
        anyhow::ensure!(count == 0, "{count} differences");
        Ok(())
    }
}
