//! A replay over sockets against the real server.

use super::Played;
use super::site::{self, Server, Site};
use crate::replay::Logged;
use crate::simulate::{self, Episodes, LogPlan, LogResult, run_log};
use crate::units::{Nanos, Timestamp};
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// How to play it.
pub struct Over {
    /// The server's binary.
    pub binary: PathBuf,
    /// Where configuration and state are written.
    pub folder: PathBuf,
    /// Whether the exchange's ledger stays there.
    pub keeps_ledger: bool,
    /// Auctions of an episode.
    pub episode: usize,
    /// Whether each episode is a day; else an edit of the budget.
    pub are_days: bool,
    /// Whether the winner pays its bid.
    pub is_first_price: bool,
}

/// Plays the log, holds the server's books against the exchange's, and says what came of it.
pub fn play(
    log: &[Logged],
    starts: Timestamp,
    site: &Site,
    over: &Over,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Played> {
    let config = over.folder.join(site::CONFIG);
    let server = Server::start(&over.binary, &config)?;
    let plan = LogPlan {
        start: starts,
        auctions: over.episode,
        budget: site.daily_budget,
        episodes: if over.are_days { Episodes::Days } else { Episodes::Edited },
        auction_type: if over.is_first_price { 1 } else { 2 },
        campaign: site::CAMPAIGN.to_owned(),
    };
    let log: Vec<_> = log
        .iter()
        .map(|logged| simulate::Logged {
            price: logged.market,
            p_click: logged.p_click,
            is_clicked: logged.is_click,
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut told = |so_far: &LogResult| progress(so_far.auctions);
    let result = runtime.block_on(run_log(&log, &plan, &server.endpoints, &mut told))?;
    if over.keeps_ledger {
        write_ledger(&over.folder.join("exchange-ledger.csv"), &result)?;
    }
    check(&plan, &result)?;
    Ok(Played {
        auctions: result.auctions,
        bids: result.bids,
        impressions: result.impressions,
        clicks: result.clicks,
        cost: result.cost,
        budget: result.budget,
        value: result.value,
        billed: Some(result.billed),
    })
}

/// The exchange's own ledger, as `outbid ledger verify` reads it.
fn write_ledger(file: &Path, result: &LogResult) -> anyhow::Result<()> {
    let text = format!("campaign,billed_nanos\n{},{}\n", site::CAMPAIGN, result.cost.0);
    std::fs::write(file, text).with_context(|| file.display().to_string())
}

/// The promises of every replay.
///
/// # Errors
/// The one that was not kept.
fn check(plan: &LogPlan, result: &LogResult) -> anyhow::Result<()> {
    anyhow::ensure!(!result.is_overspent(plan.budget), "an episode cost more than its budget");
    anyhow::ensure!(
        result.billed == result.cost && result.absorbed == Nanos::ZERO,
        "the exchange charged {} nanos, the server billed {} and absorbed {}",
        result.cost.0,
        result.billed.0,
        result.absorbed.0
    );
    Ok(())
}
