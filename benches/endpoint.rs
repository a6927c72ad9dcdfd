//! The whole bid path over HTTP against a bare actix-web echo of the same sizes: what an exchange
//! gets from one core, with everything on.
//!
//! Each server is a child process pinned to core 0, all of its threads included; the generator is
//! pinned to core 1 and keeps 64 connections busy. Rounds alternate, so that what the neighbours do
//! hits both. The server has 10,000 generated campaigns, a million sessions with interest built from
//! events, and takes notices for a tenth of its bids; consent, session, caps, score, pacing, hold,
//! sealed URLs, histograms, learner and releases all run. A regression here is money: fewer requests
//! for the same machine.
//!
//! `cargo bench --bench endpoint` measures both catalogs; `-- --quick` takes two short rounds.

mod support;

use outbid::simulate::{LoadPlan, LoadReport, Mode, run_load};
use support::{child, requests, server};

/// Rounds of each server; the median counts.
const ROUNDS: usize = 5;
/// Shares of the catalog that are eligible: about 50 and about 420 of 10,000.
const SELECTIVITIES: [f64; 2] = [0.005, 0.042];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--echo") => server::echo(),
        Some("--bidder") => server::bidder(arguments[2].parse().expect("a selectivity")),
        _ => compare(arguments.iter().any(|argument| argument == "--quick")),
    }
}

fn compare(is_quick: bool) {
    pin(1);
    let (rounds, millis) = if is_quick { (2, 1_000) } else { (ROUNDS, 3_000) };
    let bodies = requests::bodies(4_096);
    let mean = bodies.iter().map(bytes::Bytes::len).sum::<usize>() / bodies.len();
    println!("requests of {mean} B; closed loop, 64 connections, {rounds} rounds of {millis} ms");
    let echo = child::Child::start(&["--echo"]);
    for selectivity in SELECTIVITIES {
        let bidder = child::Child::start(&["--bidder", &selectivity.to_string()]);
        println!("\n{}", bidder.greeting);
        let plan = |child: &child::Child, mode| LoadPlan {
            address: child.exchange,
            path: "/openrtb2/alpha/bid".to_owned(),
            headers: Vec::new(),
            bodies: bodies.clone(),
            connections: 64,
            mode,
            warmup_ms: 500,
            duration_ms: millis,
            notices: child.public.map(|public| (public, 0.1)),
            seed: 1,
        };
        let mut rows = [Row::new("echo"), Row::new("bid path")];
        for _ in 0..rounds {
            for (row, child) in rows.iter_mut().zip([&echo, &bidder]) {
                let before = child.cpu();
                let report = run_load(&plan(child, Mode::Closed)).expect("the server answers");
                row.add(&report, child.cpu() - before);
            }
        }
        rows.iter().for_each(Row::print);
        println!("ratio of rates {:.3}", rows[1].rate() / rows[0].rate());
        let rate = rows[1].rate() / 2.0;
        for (name, child) in [("echo", &echo), ("bid path", &bidder)] {
            let report = run_load(&plan(child, Mode::Open { rate })).expect("the server answers");
            let at = |quantile| report.service.value_at_quantile(quantile) as f64 / 1e3;
            println!(
                "{name:9} at {rate:.0}/s, send to reply: p50 {:.0} p99 {:.0} p99.9 {:.0} us",
                at(0.5),
                at(0.99),
                at(0.999)
            );
        }
        println!("{}", bidder.latency());
    }
}

/// Pins this thread, and what it starts, to one core.
fn pin(core: usize) {
    let is_pinned = core_affinity::set_for_current(core_affinity::CoreId { id: core });
    assert!(is_pinned, "core {core} cannot be had");
}

/// One server's figures, a value a round.
struct Row {
    name: &'static str,
    rates: Vec<f64>,
    user_us: Vec<f64>,
    system_us: Vec<f64>,
    bids: f64,
}

impl Row {
    const fn new(name: &'static str) -> Self {
        Self { name, rates: Vec::new(), user_us: Vec::new(), system_us: Vec::new(), bids: 0.0 }
    }

    fn add(&mut self, report: &LoadReport, cpu: child::Cpu) {
        let answers = report.by_status.values().sum::<u64>() as f64;
        // The warm-up's requests are in the processor's time as well, in proportion.
        let all = answers * (report.seconds + 0.5) / report.seconds;
        self.rates.push(report.rate());
        self.user_us.push(cpu.user_us / all);
        self.system_us.push(cpu.system_us / all);
        self.bids = *report.by_status.get(&200).unwrap_or(&0) as f64 / answers;
    }

    fn rate(&self) -> f64 {
        median(&self.rates)
    }

    fn print(&self) {
        let (low, high) = self
            .rates
            .iter()
            .fold((f64::MAX, 0.0_f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
        println!(
            "{:9} {:>7.0} requests/s ({low:.0} to {high:.0})  user {:.2} us  system {:.2} us  \
             {:.1} % answered 200",
            self.name,
            self.rate(),
            median(&self.user_us),
            median(&self.system_us),
            100.0 * self.bids
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
