//! `outbid explain`: why this ad, why this price, why not mine.

use crate::config::Config;
use crate::server::{self, Asked, Pairs};
use crate::simulate::Client;
use crate::units::Timestamp;
use anyhow::Context as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Take the decision on one bid request apart, or ask for the audit of one that was made.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  outbid explain --request fixtures/request.json\n  \
    outbid explain --request fixtures/request.json --campaign northtrail-running-shoes --json\n  \
    outbid explain --request fixtures/request.json --user ifa:6D92078A-8246-4BA4-AE5B-76104861E7DC \
    --server 127.0.0.1:8082\n  \
    outbid explain --auction 80ce30c53c16e6ede735f123ef6e32361bfc7b22 --server 127.0.0.1:8082\n\n\
    Without --server it reads catalog and strategies as they are on disk, with a model that has \
    learned nothing and no sessions. With it, a running server says what it knows; the admin key \
    comes from --key or OUTBID_ADMIN_KEY.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, env = "OUTBID_CONFIG", default_value = "fixtures/outbid.toml")]
    config: PathBuf,
    /// A bid request, as JSON.
    #[arg(long, required_unless_present = "auction")]
    request: Option<PathBuf>,
    /// The id of a recent auction (the id of its request), to see what was bid and why.
    #[arg(long, conflicts_with = "request", requires = "server")]
    auction: Option<String>,
    /// A user in place of the request's own: ifa:ID, buyeruid:ID, eid:SOURCE:ID or id:ID.
    #[arg(long)]
    user: Option<String>,
    /// The exchange that the request comes from; the first of the configuration when left out.
    #[arg(long)]
    exchange: Option<String>,
    /// Only this campaign.
    #[arg(long)]
    campaign: Option<String>,
    /// The admin listener of a running server.
    #[arg(long)]
    server: Option<SocketAddr>,
    /// The running server's admin key.
    #[arg(long, env = "OUTBID_ADMIN_KEY", hide_env_values = true)]
    key: Option<String>,
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
    let mut answer = match (args.server, &args.auction) {
        (Some(server), Some(auction)) => ask(args, server, &audit_path(auction), None)?,
        (Some(server), None) => {
            let path = explain_path(args);
            ask(args, server, &path, Some(request_body(args)?))?
        }
        (None, _) => explain_here(args)?,
    };
    if let Some(name) = &args.campaign {
        keep_campaign(&mut answer, name)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else if args.auction.is_some() {
        print_audit(&answer);
    } else {
        print_explanation(&answer);
    }
    Ok(())
}

fn request_body(args: &Args) -> anyhow::Result<Vec<u8>> {
    let file = args.request.as_ref().context("a request is needed: --request FILE")?;
    std::fs::read(file).with_context(|| file.display().to_string())
}

/// Explains with what lies on disk.
fn explain_here(args: &Args) -> anyhow::Result<Value> {
    let body = request_body(args)?;
    let config = Config::load(&args.config)?;
    let now = args.now.map_or_else(|| crate::clock::Civil::machine().now(), Timestamp);
    let running = server::start_unheard(config, now)?;
    let (exchange, user) = (args.exchange.clone(), args.user.clone());
    let pairs = if args.json { Pairs::All } else { Pairs::Strongest };
    let asked = Asked { exchange, user, pairs };
    let engine = running.engine();
    let explanation = actix::System::new().block_on(engine.explain(&asked, &body));
    Ok(serde_json::to_value(explanation.map_err(anyhow::Error::msg)?)?)
}

/// Asks a running server.
fn ask(
    args: &Args,
    server: SocketAddr,
    path: &str,
    body: Option<Vec<u8>>,
) -> anyhow::Result<Value> {
    let mut client = Client::new(server, args.key.as_deref());
    // A server in simulation goes by the largest time that it was told: 0 tells it nothing.
    let now = Timestamp(args.now.unwrap_or(0));
    let reply = actix::System::new().block_on(async {
        match body {
            Some(body) => client.post(now, path, "application/json", body).await,
            None => client.get(now, path).await,
        }
    })?;
    let answer: Value = serde_json::from_slice(&reply.body)
        .with_context(|| format!("{server} answered {} without JSON", reply.status))?;
    let reason = || answer["error"].as_str().unwrap_or("no reason given").to_owned();
    anyhow::ensure!(reply.status == 200, "{server} answered {}: {}", reply.status, reason());
    Ok(answer)
}

fn explain_path(args: &Args) -> String {
    let pairs = [("exchange", &args.exchange), ("user", &args.user)];
    let pairs = pairs.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let pairs =
        pairs.map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    let all = args.json.then(|| "pairs=all".to_owned());
    format!("/explain?{}", pairs.chain(all).collect::<Vec<_>>().join("&"))
}

fn audit_path(auction: &str) -> String {
    format!("/api/v1/auctions/{}", utf8_percent_encode(auction, NON_ALPHANUMERIC))
}

/// Keeps one campaign of an explanation, or one campaign's bids of an audit.
fn keep_campaign(answer: &mut Value, name: &str) -> anyhow::Result<()> {
    let list = if answer["campaigns"].is_array() { "campaigns" } else { "bids" };
    let Some(items) = answer[list].as_array_mut() else { return Ok(()) };
    items.retain(|item| item["campaign"] == name);
    anyhow::ensure!(!items.is_empty(), "there is no campaign `{name}`");
    Ok(())
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// Micros as the decimal that they are.
fn cpm(micros: &Value) -> String {
    micros.as_u64().map_or(String::new(), |micros| format!("{:.4}", micros as f64 / 1e6))
}

fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or(String::new(), |number| format!("{number:.digits$}"))
}

/// A name, or a name with what it is about, such as `not_included device`.
fn name(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            map.iter().map(|(key, about)| format!("{key} {}", name(about))).collect()
        }
        other => other.to_string(),
    }
}

fn names(value: &Value, key: &str) -> String {
    items(value, key).map(name).collect::<Vec<_>>().join(", ")
}

fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(header);
    table
}

fn print_explanation(explanation: &Value) {
    if let Some(reason) = explanation["no_bid"].as_str() {
        println!("no bid: {reason}");
    }
    println!("arm {}, permissions {}", name(&explanation["arm"]), explanation["permissions"]);
    for restriction in items(explanation, "restrictions") {
        let (signal, forbids) = (name(&restriction["signal"]), names(restriction, "forbids"));
        println!("{signal} forbids: {forbids}");
    }
    for bid in items(explanation, "bids") {
        let (ad, campaign) = (name(&bid["ad"]), name(&bid["campaign"]));
        println!("imp {}: {ad} ({campaign}) at {} CPM", bid["imp"], cpm(&bid["price_micros"]));
    }
    let mut table = table(&[
        "campaign", "ad", "imp", "p click", "value", "x pace", "price", "floor", "end", "why not",
    ]);
    for campaign in items(explanation, "campaigns") {
        let shown = name(&campaign["campaign"]);
        let excluded = names(campaign, "excluded");
        if !excluded.is_empty() {
            table.add_row([&shown, "", "", "", "", "", "", "", "targeting", &excluded]);
        }
        for ad in items(campaign, "ads") {
            table.add_row(row(&shown, ad));
        }
    }
    println!("{table}");
    let ads = items(explanation, "campaigns").flat_map(|campaign| items(campaign, "ads"));
    ads.for_each(print_score);
}

fn row(campaign: &str, ad: &Value) -> [String; 10] {
    let price = &ad["price"];
    [
        campaign.to_owned(),
        name(&ad["ad"]),
        ad["imp"].to_string(),
        number(&price["p_click"], 5),
        cpm(&price["value_micros"]),
        number(&price["multiplier"], 3),
        cpm(&price["price_micros"]),
        cpm(&price["floor_micros"]),
        name(&ad["end"]),
        names(ad, "misfits"),
    ]
}

/// The parts of a score that weigh at least a hundredth of a nat, strongest first, and the steps of
/// the price.
fn print_score(ad: &Value) {
    let price = &ad["price"];
    if !price.is_object() {
        return;
    }
    let pairs = |key: &str| {
        let pairs = items(price, key)
            .filter_map(|pair| Some((pair[0].as_str()?.to_owned(), pair[1].as_f64()?)));
        pairs.collect::<Vec<_>>()
    };
    let mut parts = pairs("contributions");
    parts.retain(|(_, nats)| nats.abs() >= 0.01);
    parts.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
    let mut scores = table(&["part of the score", "nats"]);
    scores.add_rows(parts.iter().map(|(name, nats)| [name.clone(), format!("{nats:+.3}")]));
    let steps = pairs("factors").into_iter().map(|(name, value)| format!("{name} {value:.6}"));
    let steps: Vec<_> = steps.collect();
    println!("{} on imp {}:\n{scores}", name(&ad["ad"]), ad["imp"]);
    if price["diversity"].as_f64().is_some_and(|factor| factor < 1.0) {
        println!("  diversity: its rank x {}", price["diversity"]);
    }
    println!("  {}", steps.join(", "));
}

fn print_audit(audit: &Value) {
    println!("auction {}", name(&audit["auction"]));
    let header = [
        "at",
        "exchange",
        "imp",
        "campaign",
        "ad",
        "arm",
        "p click",
        "prior",
        "interest",
        "value",
        "ln budget",
        "ln cpa",
        "price",
        "floor",
        "currency",
        "hold",
    ];
    let mut table = table(&header);
    for bid in items(audit, "bids") {
        let controllers = &bid["controllers"];
        table.add_row([
            bid["at"].to_string(),
            name(&bid["exchange"]),
            bid["imp"].to_string(),
            name(&bid["campaign"]),
            name(&bid["ad"]),
            name(&bid["arm"]),
            number(&bid["p_click"], 5),
            number(&bid["prior_p_click"], 5),
            number(&bid["interest"], 2),
            cpm(&bid["value_micros"]),
            number(&controllers["ln_budget"], 3),
            number(&controllers["ln_cpa"], 3),
            cpm(&bid["price_micros"]),
            cpm(&bid["floor_micros"]),
            name(&bid["currency"]),
            name(&bid["hold"]),
        ]);
    }
    println!("{table}");
}
