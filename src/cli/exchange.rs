//! `outbid exchange`: requests of the simulated world against any OpenRTB endpoint, open loop.

use crate::simulate::{Ads, LoadPlan, LoadReport, Mode, Spec, World, run_load};
use crate::units::Timestamp;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Send bid requests to an OpenRTB endpoint at a fixed rate and show its latencies.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid exchange --url http://127.0.0.1:8080/openrtb2/demo/bid --rate 2000 --seconds 10\n  \
    outbid exchange --url http://127.0.0.1:8080/openrtb2/demo/bid --closed --connections 64 --json\n\n\
    Latencies count from the intended moment of each request, so a stall is not hidden by the \
    requests that it kept from being sent. Plain http only; point it at your own machines.")]
pub struct Args {
    /// The endpoint.
    #[arg(long)]
    url: String,
    /// Requests a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// As fast as answers come, in place of a rate.
    #[arg(long)]
    closed: bool,
    /// Seconds that are counted.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds at the start that are not counted.
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Share of bids that win and are billed, 0 to 1; the notices go to --notices.
    #[arg(long, default_value_t = 0.0)]
    win_share: f64,
    /// Where win and billing notices go: the bidder's public listener.
    #[arg(long)]
    notices: Option<SocketAddr>,
    /// More headers, as NAME:VALUE.
    #[arg(long = "header")]
    headers: Vec<String>,
    /// Users of the simulated world.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Different requests, sent in turn.
    #[arg(long, default_value_t = 5_000)]
    bodies: usize,
    /// Seed of the world.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (address, path) = target(&args.url)?;
    anyhow::ensure!((0.0..=1.0).contains(&args.win_share), "--win-share lies between 0 and 1");
    anyhow::ensure!(args.rate > 0.0 && args.rate.is_finite(), "--rate is above 0");
    anyhow::ensure!(args.seconds > 0 && args.bodies > 0, "--seconds and --bodies are above 0");
    let headers = args.headers.iter().map(|header| {
        let (name, value) = header.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    let headers = headers.collect::<Option<Vec<_>>>();
    let headers = headers.ok_or_else(|| anyhow::anyhow!("a --header is NAME:VALUE"))?;
    let world = World::new(Spec::built_in()?, Ads::new(), args.users, args.seed);
    let plan = LoadPlan {
        address,
        path,
        headers,
        bodies: world.request_bodies(Timestamp(START_MS), args.bodies),
        connections: args.connections,
        mode: if args.closed { Mode::Closed } else { Mode::Open { rate: args.rate } },
        warmup_ms: args.warmup * 1_000,
        duration_ms: args.seconds * 1_000,
        notices: args.notices.filter(|_| args.win_share > 0.0).map(|to| (to, args.win_share)),
        seed: args.seed,
    };
    let report = with_progress(args, || run_load(&plan))??;
    if args.json {
        println!("{}", to_json(&report));
    } else {
        print(&report);
    }
    let is_served = SERVED.iter().any(|status| report.by_status.contains_key(status));
    anyhow::ensure!(is_served, "{} answered no request with 200 or 204", args.url);
    Ok(())
}

/// What an endpoint answers that takes bid requests: a bid, or none.
const SERVED: [u16; 2] = [200, 204];

/// The day that the requests speak of; only their local hours matter.
const START_MS: i64 = 1_772_409_600_000;

/// Address and path of a plain http URL.
fn target(url: &str) -> anyhow::Result<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| anyhow::anyhow!("--url starts with http://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = host.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| anyhow::anyhow!("{host} has no address"))?;
    Ok((address, format!("/{path}")))
}

/// Runs the load on a thread of its own, since it keeps its core busy, and shows the time.
fn with_progress<T: Send>(args: &Args, load: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let seconds = args.warmup + args.seconds;
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(seconds) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} s") {
        bar.set_style(style);
    }
    let outcome = std::thread::scope(|scope| {
        let load = scope.spawn(load);
        while !load.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            bar.set_position(bar.elapsed().as_secs().min(seconds));
        }
        load.join()
    });
    bar.finish_and_clear();
    outcome.map_err(|_| anyhow::anyhow!("the load generator panicked"))
}

/// Quantiles that are shown, with their names.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

fn print(report: &LoadReport) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["latency, us", "p50", "p90", "p99", "p99.9", "max"]);
    let rows = [
        ("from the intended moment", &report.latency),
        ("from sending", &report.service),
        ("generator's lateness", &report.lateness),
    ];
    for (name, histogram) in rows {
        let values = QUANTILES.map(|(_, quantile)| {
            format!("{:.1}", histogram.value_at_quantile(quantile) as f64 / 1e3)
        });
        table.add_row(std::iter::once(name.to_owned()).chain(values));
    }
    println!("{table}");
    let statuses: Vec<_> =
        report.by_status.iter().map(|(code, n)| format!("{code}: {n}")).collect();
    println!(
        "{:.0} requests/s over {:.1} s   {}   errors {}   unsent {}   unanswered {}",
        report.rate(),
        report.seconds,
        statuses.join("   "),
        report.errors,
        report.unsent,
        report.unanswered
    );
    if report.notices + report.notices_failed > 0 {
        println!("notices {} taken, {} failed", report.notices, report.notices_failed);
    }
}

fn to_json(report: &LoadReport) -> serde_json::Value {
    let quantiles = |histogram: &hdrhistogram::Histogram<u64>| {
        let values = QUANTILES.map(|(name, quantile)| {
            let micros = histogram.value_at_quantile(quantile) as f64 / 1e3;
            (name.to_owned(), serde_json::Value::from(micros))
        });
        serde_json::Value::Object(values.into_iter().collect())
    };
    serde_json::json!({
        "requests_per_s": report.rate(),
        "seconds": report.seconds,
        "by_status": report.by_status,
        "errors": report.errors,
        "unsent": report.unsent,
        "unanswered": report.unanswered,
        "latency_us": quantiles(&report.latency),
        "service_us": quantiles(&report.service),
        "lateness_us": quantiles(&report.lateness),
        "notices": report.notices,
        "notices_failed": report.notices_failed,
    })
}
