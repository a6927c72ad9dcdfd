//! `outbid explain`: why this ad, why this price, why not mine.

use crate::auction::{ExplainedAd, Explanation};
use crate::config::Config;
use crate::server;
use crate::units::Timestamp;
use std::path::PathBuf;

/// Take the decision on one bid request apart: each campaign's filters, scores and price.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid explain --request fixtures/request.json\n  \
    outbid explain --request fixtures/request.json --campaign trail-shoes --json\n\n\
    Reads catalog and strategies as they are on disk, with a model that has learned nothing; ask a \
    running server at POST /explain for what it knows.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, env = "OUTBID_CONFIG", default_value = "fixtures/outbid.toml")]
    config: PathBuf,
    /// A bid request, as JSON.
    #[arg(long)]
    request: PathBuf,
    /// The exchange that it comes from; the first of the configuration when left out.
    #[arg(long)]
    exchange: Option<String>,
    /// Only this campaign.
    #[arg(long)]
    campaign: Option<String>,
    /// The time of the request, in Unix milliseconds; now when left out.
    #[arg(long)]
    now: Option<i64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    super::start_log("warn");
    let config = Config::load(&args.config)?;
    let body = std::fs::read(&args.request)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.request.display()))?;
    let now = args.now.map_or_else(|| crate::clock::Civil::machine().now(), Timestamp);
    let running = server::start_unheard(config, now)?;
    let explanation = running.engine().explain(args.exchange.as_deref(), &body);
    let mut explanation = explanation.map_err(anyhow::Error::msg)?;
    if let Some(name) = &args.campaign {
        explanation.campaigns.retain(|campaign| campaign.campaign == *name);
        anyhow::ensure!(!explanation.campaigns.is_empty(), "there is no campaign `{name}`");
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&explanation)?);
    } else {
        print(&explanation);
    }
    Ok(())
}

fn print(explanation: &Explanation) {
    if let Some(reason) = explanation.no_bid {
        println!("no bid: {reason}");
    }
    for bid in &explanation.bids {
        let price = bid.price_micros as f64 / 1e6;
        println!("imp {}: {} ({}) at {price:.4} CPM", bid.imp, bid.ad, bid.campaign);
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "campaign", "ad", "imp", "p click", "value", "x pace", "price", "floor", "why not",
    ]);
    for campaign in &explanation.campaigns {
        if !campaign.excluded.is_empty() {
            let reasons: Vec<_> = campaign.excluded.iter().map(|why| format!("{why:?}")).collect();
            table.add_row([&campaign.campaign, "", "", "", "", "", "", "", &reasons.join(", ")]);
        }
        for ad in &campaign.ads {
            table.add_row(row(&campaign.campaign, ad));
        }
    }
    println!("{table}");
    explanation.campaigns.iter().flat_map(|campaign| &campaign.ads).for_each(print_score);
}

fn row(campaign: &str, ad: &ExplainedAd) -> Vec<String> {
    let mut row = vec![campaign.to_owned(), ad.ad.clone(), ad.imp.to_string()];
    let cpm = |micros: u64| format!("{:.4}", micros as f64 / 1e6);
    match &ad.price {
        Some(price) => row.extend([
            format!("{:.5}", price.p_click),
            cpm(price.value_micros),
            format!("{:.3}", price.multiplier),
            cpm(price.price_micros),
            cpm(price.floor_micros),
            if price.clears_floor { String::new() } else { "below the floor".to_owned() },
        ]),
        None => {
            row.extend(std::iter::repeat_n(String::new(), 5));
            row.push(ad.misfit.map_or(String::new(), |misfit| format!("{misfit:?}")));
        }
    }
    row
}

/// The parts of a score that weigh at least a hundredth of a nat.
fn print_score(ad: &ExplainedAd) {
    let Some(price) = &ad.price else { return };
    let parts = price.contributions.iter().filter(|(_, nats)| nats.abs() >= 0.01);
    let parts: Vec<_> = parts.map(|(name, nats)| format!("{name} {nats:+.2}")).collect();
    println!("{} on imp {}: {}", ad.ad, ad.imp, parts.join(", "));
}
