//! This bidder beside another build of it, in turn, the other one stopped: what a change costs or
//! gains. `--against FILE` names the other build's executable of this bench.

use crate::process::Process;
use crate::{RELEASES_PER_DAY, Round, aim, compared, measure, run};
use outbid::simulate::LoadPlan;
use std::path::Path;

/// Measures and prints one row.
pub fn row(
    selectivity: f64,
    mut plan: LoadPlan,
    rounds: usize,
    other: &Path,
) -> anyhow::Result<()> {
    let role = ["bidder", &selectivity.to_string(), RELEASES_PER_DAY];
    let this = Process::start(&role)?;
    let other = Process::start_of(other, &role)?;
    for process in [&this, &other] {
        aim(&mut plan, process);
        // Money is leased on the first bid.
        run(&plan)?;
    }
    let mut results = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Whoever comes first comes second in the next round.
        for turn in [round % 2, 1 - round % 2] {
            let (process, stopped) = if turn == 0 { (&this, &other) } else { (&other, &this) };
            stopped.pause(true)?;
            aim(&mut plan, process);
            results[turn].push(measure(process, &plan)?);
            stopped.pause(false)?;
        }
    }
    let names = ["this", "other"];
    compared("requests/s", names, &results, |round| round.rate);
    compared("user us", names, &results, |round| round.user_us);
    compared("system us", names, &results, |round| round.system_us);
    compared("both us", names, &results, Round::both_us);
    Ok(())
}
