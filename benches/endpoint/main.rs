//! The full bid path against a bare echo: what a core can answer, and at what latency.
//!
//! The bidder runs with everything on (consent, sessions of a million users, caps, model, pacing,
//! leases, sealed URLs, histograms, learner, releases, a tenth of the bids won and billed) as one
//! process whose every thread is on core 0; the generator has core 1. The echo is actix-web alone:
//! it reads the same requests and answers as many bytes. They take turns, the other one stopped,
//! so that a noisy neighbour disturbs both alike. `--quick` makes it short. `--releases` compares the
//! bidder with one that releases nothing instead (see `releases`), `--against FILE` with another build
//! of it (see `against`).
//!
//! Closed loop for the rate; open loop at half of that for latency, the bidder's by its own
//! histogram in a process of its own, warm-up included.

mod against;
mod child;
mod process;
mod releases;
mod requests;

use anyhow::Context;
use child::{CAMPAIGNS, SEED, bidder, echo, pin};
use outbid::catalog::generated;
use outbid::clock::Civil;
use outbid::simulate::{LoadPlan, LoadReport, Mode, run_load};
use process::{Process, call};
use std::net::SocketAddr;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Different requests: enough that no user is shown so much that caps end the bidding.
const BODIES: usize = 65_536;
/// Requests by which eligibility is measured.
const SAMPLE: usize = 512;
/// Campaigns to be eligible for a request, a row each.
const ELIGIBLE: [f64; 2] = [50.0, 420.0];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bidder", selectivity, releases_per_day] => {
            pin(0)?;
            bidder(selectivity.parse()?, releases_per_day.parse()?)
        }
        ["echo", bytes] => {
            pin(0)?;
            echo(bytes.parse()?)
        }
        _ => bench(&Plan::parse(&arguments)?),
    }
}

/// How much is measured.
struct Plan {
    rounds: usize,
    seconds: u64,
    eligible: Vec<f64>,
    is_of_releases: bool,
    /// The other build that this one is compared with.
    against: Option<PathBuf>,
}

impl Plan {
    /// `--quick` is one round of a second; `--rounds N`, `--seconds N` and `--eligible N` say how
    /// many rounds, how long each, and one row alone; `--against FILE` names another build.
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let has = |name: &str| arguments.iter().any(|argument| argument == name);
        let (is_quick, is_of_releases) = (has("--quick"), has("--releases"));
        let text = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            Some(arguments.get(at + 1).map_or("", String::as_str))
        };
        let value = |name: &str| text(name).map(str::parse::<u64>);
        // Rounds of releases are long; with more of them users would run into their caps.
        let (many, long) = if is_of_releases { (3, releases::SECONDS) } else { (5, 4) };
        let rounds = value("--rounds").unwrap_or(Ok(if is_quick { 1 } else { many }))?;
        let seconds = value("--seconds").unwrap_or(Ok(if is_quick { 1 } else { long }))?;
        let eligible = match value("--eligible").transpose()? {
            Some(one) => vec![one as f64],
            None => ELIGIBLE.to_vec(),
        };
        let against = text("--against").map(PathBuf::from);
        anyhow::ensure!(
            against.is_none() || !is_of_releases,
            "--against or --releases, one of them"
        );
        Ok(Self { rounds: rounds as usize, seconds, eligible, is_of_releases, against })
    }
}

fn bench(plan: &Plan) -> anyhow::Result<()> {
    pin(1)?;
    for &target in &plan.eligible {
        let bodies = requests::bodies(BODIES, target as u64);
        let selectivity = calibrated(target, &bodies[..SAMPLE]);
        let load = load(bodies, plan.seconds * 1_000);
        match &plan.against {
            Some(other) => against::row(selectivity, load, plan.rounds, other)?,
            None if plan.is_of_releases => releases::row(selectivity, load, plan.rounds)?,
            None => row(selectivity, load, plan.rounds)?,
        }
    }
    Ok(())
}

/// The selectivity of the catalog for which `target` campaigns are eligible now: campaigns keep
/// office hours, so it depends on when the bench runs.
fn calibrated(target: f64, sample: &[bytes::Bytes]) -> f64 {
    let now = Civil::machine().now();
    let mut selectivity = target / CAMPAIGNS as f64;
    let mut counts = Vec::new();
    for _ in 0..3 {
        counts = requests::eligible(&generated(CAMPAIGNS, SEED, selectivity), sample, now);
        let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        if (mean / target - 1.0).abs() < 0.05 {
            break;
        }
        selectivity *= target / mean.max(1.0);
    }
    counts.sort_unstable();
    let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let (low, high) = (counts[counts.len() / 10], counts[counts.len() * 9 / 10]);
    println!("\neligible of {CAMPAIGNS} campaigns: mean {mean:.1}, p10 {low}, p90 {high}");
    selectivity
}

/// What one round of one process gave.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    user_us: f64,
    system_us: f64,
}

impl Round {
    fn both_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// Closed loop, on nobody yet.
fn load(bodies: Vec<bytes::Bytes>, duration_ms: u64) -> LoadPlan {
    LoadPlan {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        path: "/openrtb2/alpha/bid".to_owned(),
        headers: Vec::new(),
        bodies,
        connections: 64,
        mode: Mode::Closed,
        warmup_ms: duration_ms / 4,
        duration_ms,
        notices: None,
        seed: 3,
    }
}

/// Points a load at a process; the echo takes no notices.
fn aim(plan: &mut LoadPlan, process: &Process) {
    plan.address = process.exchange;
    plan.notices = (process.public != process.exchange).then_some((process.public, 0.1));
}

/// Releases of a bidder that works as it is configured by default.
const RELEASES_PER_DAY: &str = "288";

fn row(selectivity: f64, mut plan: LoadPlan, rounds: usize) -> anyhow::Result<()> {
    let bytes = plan.bodies[..SAMPLE].iter().map(bytes::Bytes::len).sum::<usize>() / SAMPLE;
    let selectivity = selectivity.to_string();
    let bidder = ["bidder", &selectivity, RELEASES_PER_DAY];
    let ours = Process::start(&bidder)?;
    aim(&mut plan, &ours);
    // Money is leased on the first bid; sizes are taken after that.
    run(&plan).with_context(|| no_bids(&ours).unwrap_or_default())?;
    let answer = first_answer(&ours, &plan)?;
    println!("requests of {bytes} bytes, an answer of {} bytes", answer.len());
    let bare = Process::start(&["echo", &answer.len().to_string()])?;
    let mut results = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (process, results) in [&ours, &bare].into_iter().zip(&mut results) {
            let other = if std::ptr::eq(process, &raw const ours) { &bare } else { &ours };
            other.pause(true)?;
            aim(&mut plan, process);
            results.push(measure(process, &plan)?);
            other.pause(false)?;
        }
    }
    for (name, results) in ["outbid", "echo"].into_iter().zip(&results) {
        print_rounds(name, results);
    }
    let ratios: Vec<_> = results[0].iter().zip(&results[1]).map(|(a, b)| a.rate / b.rate).collect();
    println!("ratio       {}", spread(&ratios, 3));
    drop(ours);
    plan.duration_ms *= 2;
    let rates =
        results.map(|results| median(&results.iter().map(|round| round.rate).collect::<Vec<_>>()));
    half(&bare, &mut plan, rates[1] / 2.0)?;
    bare.pause(true)?;
    let fresh = Process::start(&bidder)?;
    half(&fresh, &mut plan, rates[0] / 2.0)?;
    stages(&fresh)
}

/// What a bidder's operator can read there.
fn told(ours: &Process, path: &str) -> anyhow::Result<Vec<u8>> {
    let head = format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {}", ours.key);
    let (status, body) = call(ours.admin, &head, &[])?;
    anyhow::ensure!(status == 200, "{path}: {status}");
    Ok(body)
}

/// Why the bidder did not bid, as it counts that.
fn no_bids(ours: &Process) -> anyhow::Result<String> {
    let body = told(ours, "/metrics")?;
    let counted = |line: &&str| line.starts_with("outbid_no_bid") && !line.ends_with(" 0");
    let text = String::from_utf8_lossy(&body);
    Ok(text.lines().filter(counted).collect::<Vec<_>>().join("\n"))
}

fn first_answer(ours: &Process, plan: &LoadPlan) -> anyhow::Result<Vec<u8>> {
    let head = format!("POST {} HTTP/1.1", plan.path);
    for body in plan.bodies.iter().rev() {
        let (status, answer) = call(ours.exchange, &head, body)?;
        if status == 200 {
            return Ok(answer);
        }
    }
    anyhow::bail!("no request got a bid")
}

fn run(plan: &LoadPlan) -> anyhow::Result<LoadReport> {
    let report = run_load(plan).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let answered: u64 = report.by_status.values().sum();
    let bids = report.by_status.get(&200).copied().unwrap_or(0);
    let share = 100.0 * bids as f64 / answered.max(1) as f64;
    let (sent, failed) = (report.notices, report.notices_failed);
    eprintln!("  {:.0}/s, {share:.1} % bids, notices {sent}, failed {failed}", report.rate());
    anyhow::ensure!(share > 95.0, "answers must be bids: {:?}", report.by_status);
    Ok(report)
}

fn measure(process: &Process, plan: &LoadPlan) -> anyhow::Result<Round> {
    let before = process.seconds()?;
    let report = run(plan)?;
    let after = process.seconds()?;
    // Time is taken over the warm-up too, which runs at the same rate.
    let seconds = (plan.duration_ms + plan.warmup_ms) as f64 / 1e3;
    let micros = |time: f64| time * 1e6 / (report.rate() * seconds);
    let (user_us, system_us) = (micros(after.0 - before.0), micros(after.1 - before.1));
    Ok(Round { rate: report.rate(), user_us, system_us })
}

fn print_rounds(name: &str, rounds: &[Round]) {
    let of = |part: fn(&Round) -> f64| rounds.iter().map(part).collect::<Vec<_>>();
    println!("{name:<11} requests/s {}", spread(&of(|round| round.rate), 0));
    println!("{name:<11} user us    {}", spread(&of(|round| round.user_us), 2));
    println!("{name:<11} system us  {}", spread(&of(|round| round.system_us), 2));
}

fn half(process: &Process, plan: &mut LoadPlan, rate: f64) -> anyhow::Result<()> {
    aim(plan, process);
    plan.mode = Mode::Open { rate };
    let report = run(plan)?;
    let micros = |quantile| report.latency.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p99, p999) = (micros(0.5), micros(0.99), micros(0.999));
    let late = report.lateness.value_at_quantile(0.99) as f64 / 1e3;
    let name = if plan.notices.is_some() { "outbid" } else { "echo" };
    println!(
        "{name:<11} open loop at {rate:.0}/s, by the generator: p50 {p50:.0} us, p99 {p99:.0} us, \
         p99.9 {p999:.0} us (generator late p99 {late:.0} us)"
    );
    Ok(())
}

/// The bidder's own histograms, in the order of the way.
fn stages(ours: &Process) -> anyhow::Result<()> {
    let summary: serde_json::Value = serde_json::from_slice(&told(ours, "/latency")?)?;
    for stage in outbid::latency::Stage::ALL {
        let of = |key: &str| summary[stage.name()][key].as_f64().unwrap_or(f64::NAN);
        let (mean, p50, p99, p999) = (of("mean_us"), of("p50_us"), of("p99_us"), of("p999_us"));
        let name = stage.name();
        println!("  {name:<12} mean {mean:7.2} p50 {p50:7.2} p99 {p99:7.2} p99.9 {p999:8.2} us");
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn spread(values: &[f64], digits: usize) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} ({low:.digits$} to {high:.digits$})", median(values))
}

/// One figure of two bidders, and their ratio round by round.
fn compared<T>(name: &str, [one, other]: [&str; 2], rounds: &[Vec<T>; 2], of: impl Fn(&T) -> f64) {
    let each = |rounds: &[T]| rounds.iter().map(&of).collect::<Vec<_>>();
    let (ours, theirs) = (each(&rounds[0]), each(&rounds[1]));
    let ratios: Vec<_> = ours.iter().zip(&theirs).map(|(one, other)| one / other).collect();
    println!(
        "{name:<15} {one} {:<26} {other} {:<26} ratio {}",
        spread(&ours, 1),
        spread(&theirs, 1),
        spread(&ratios, 3)
    );
}
