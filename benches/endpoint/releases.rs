//! What releases cost the bid path: a bidder that releases during each round beside one that never
//! does, in turn, both with every thread on the same core as its worker.
//!
//! At the default of 288 a day a release comes every five minutes; here one begins with each round, so
//! rounds have far more than their share of it, and the share that a day of 288 takes of a core follows
//! from the release thread's own processor time.

use crate::process::Process;
use crate::{aim, compared, measure, median, run, told};
use outbid::simulate::{LoadPlan, Mode};
use std::time::Duration;

/// How long a round is: a release of 10,000 campaigns takes some seconds of a core beside bids.
pub const SECONDS: u64 = 20;
/// What the bidders are called.
const NAMES: [&str; 2] = ["with", "without"];
/// The release thread.
const THREAD: &str = "outbid-privacy";
/// Seconds between two releases at the default of 288 a day.
const INTERVAL_S: f64 = 300.0;

/// What one round of one bidder gave.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    /// Microseconds of processor time a request, of the whole process.
    all_us: f64,
    /// The same without the release thread.
    bids_us: f64,
}

/// Latency of one open-loop round by the generator, in microseconds at p50, p99 and p99.9.
type Latency = [f64; 3];

/// Two bidders that differ in their releases alone.
struct Pair {
    with: Process,
    without: Process,
}

impl Pair {
    /// Runs `each` on both in turn, the other one stopped, with a release in each round of the first.
    fn in_turn<T>(
        &mut self,
        rounds: usize,
        plan: &mut LoadPlan,
        each: fn(&Process, &LoadPlan) -> anyhow::Result<T>,
    ) -> anyhow::Result<[Vec<T>; 2]> {
        let mut results = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            // Whoever comes first comes second in the next round.
            for turn in [round % 2, 1 - round % 2] {
                let is_with = turn == 0;
                if is_with {
                    self.without.pause(true)?;
                    self.with.tell("release")?;
                } else {
                    self.with.pause(true)?;
                }
                let (process, other) = match is_with {
                    true => (&self.with, &self.without),
                    false => (&self.without, &self.with),
                };
                aim(plan, process);
                results[turn].push(each(process, plan)?);
                other.pause(false)?;
            }
        }
        Ok(results)
    }
}

/// Measures and prints one row.
pub fn row(selectivity: f64, mut plan: LoadPlan, rounds: usize) -> anyhow::Result<()> {
    let selectivity = selectivity.to_string();
    // One release a day comes at midnight, and in no other round.
    let with = Process::start(&["bidder", &selectivity, crate::RELEASES_PER_DAY])?;
    let without = Process::start(&["bidder", &selectivity, "1"])?;
    let mut pair = Pair { with, without };
    plan.warmup_ms = 0;
    for process in [&pair.with, &pair.without] {
        aim(&mut plan, process);
        run(&plan)?;
    }
    let tick_s = one_release(&mut pair.with)?;
    println!(
        "a release    {tick_s:.2} s of processor time: {:.2} % of a core at 288 a day",
        100.0 * tick_s / INTERVAL_S
    );
    let seats_us: f64 = pair.with.ask("seats")?.parse()?;
    println!("a worker     follows a release in {:.2} ms", seats_us / 1e3);

    let rounds_of = pair.in_turn(rounds, &mut plan, closed)?;
    compared("requests/s", NAMES, &rounds_of, |round| round.rate);
    compared("us a request", NAMES, &rounds_of, |round| round.all_us);
    compared("us, bids alone", NAMES, &rounds_of, |round| round.bids_us);

    let rates: Vec<_> = rounds_of[1].iter().map(|round| round.rate).collect();
    plan.mode = Mode::Open { rate: median(&rates) / 2.0 };
    println!("open loop at {:.0}/s, by the generator", median(&rates) / 2.0);
    let latency = pair.in_turn(rounds, &mut plan, open)?;
    compared("p50 us", NAMES, &latency, |round| round[0]);
    compared("p99 us", NAMES, &latency, |round| round[1]);
    compared("p99.9 us", NAMES, &latency, |round| round[2]);
    println!("releases     {} of {} rounds", released(&pair.with)?, 2 * rounds + 1);
    anyhow::ensure!(released(&pair.without)? == 0, "it was midnight: measure again");
    Ok(())
}

/// Releases once while nobody asks for bids; the seconds that the release thread takes.
fn one_release(process: &mut Process) -> anyhow::Result<f64> {
    let (before, seconds) = (released(process)?, process.seconds_of(THREAD)?);
    process.tell("release")?;
    while released(process)? == before {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(process.seconds_of(THREAD)? - seconds)
}

/// Intervals that a bidder has released.
fn released(process: &Process) -> anyhow::Result<u64> {
    let text = String::from_utf8(told(process, "/metrics")?)?;
    let count = text.lines().find_map(|line| line.strip_prefix("outbid_privacy_releases_total "));
    Ok(count.map_or("0", str::trim).parse()?)
}

fn closed(process: &Process, plan: &LoadPlan) -> anyhow::Result<Round> {
    let before = process.seconds_of(THREAD)?;
    let round = measure(process, plan)?;
    let releasing_s = process.seconds_of(THREAD)? - before;
    let requests = round.rate * plan.duration_ms as f64 / 1e3;
    let all_us = round.both_us();
    Ok(Round { rate: round.rate, all_us, bids_us: all_us - releasing_s * 1e6 / requests })
}

fn open(_: &Process, plan: &LoadPlan) -> anyhow::Result<Latency> {
    let report = run(plan)?;
    Ok([0.5, 0.99, 0.999].map(|quantile| report.latency.value_at_quantile(quantile) as f64 / 1e3))
}
