//! What it costs to find the campaigns that fit a request: the first thing that every bid pays for,
//! and what a larger catalog costs. Requests differ from one another in every dimension, as real
//! ones do, so rows come from the outer caches. A regression here means fewer requests a core.
//!
//! What is measured is processor time of this thread where Linux tells it, so that neighbours on a
//! shared machine do not count; wall time elsewhere.
//!
//! Marks: under 1 us at 10,000 campaigns and under 10 us at 100,000, with some 50 eligible.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use outbid::catalog::{CampaignEdit, EligibilityScratch, RequestFacts, generated, generated_facts};
use std::hint::black_box;
use std::time::Duration;

/// Requests that take turns: enough that no row stays in the innermost cache by chance.
const REQUESTS: u64 = 256;

/// Campaigns, and the share of them that is eligible: about 50 and 420 of 10,000; about 80, 500 and
/// 4,200 of 100,000.
const SHAPES: [(usize, f64); 5] =
    [(10_000, 0.005), (10_000, 0.042), (100_000, 0.000_8), (100_000, 0.005), (100_000, 0.042)];

fn eligibility(criterion: &mut Criterion) {
    let requests: Vec<RequestFacts> = (0..REQUESTS).map(generated_facts).collect();
    for (campaigns, selectivity) in SHAPES {
        let catalog = generated(campaigns, 1, selectivity);
        let (mut scratch, mut out) = (EligibilityScratch::default(), Vec::new());
        let mut total = 0;
        for facts in &requests {
            catalog.eligible(facts, &mut scratch, &mut out);
            total += out.len();
        }
        let name = format!("eligible/{campaigns}/{}", total / requests.len());
        let mut next = requests.iter().cycle();
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = ThreadTime::now();
                for facts in next.by_ref().take(iterations as usize) {
                    catalog.eligible(black_box(facts), &mut scratch, &mut out);
                    black_box(out.len());
                }
                start.elapsed()
            });
        });
    }
}

/// Time that this thread has run.
struct ThreadTime {
    ran: Option<Duration>,
    wall: quanta::Instant,
}

impl ThreadTime {
    fn now() -> Self {
        // The first number is nanoseconds on a processor, current to a scheduler tick: samples
        // are a hundred times longer than that.
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let first = text.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
        Self { ran: first.map(Duration::from_nanos), wall: quanta::Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        let now = Self::now();
        let ran = now.ran.zip(self.ran).map(|(now, start)| now.saturating_sub(start));
        ran.unwrap_or(now.wall - self.wall)
    }
}

/// What the control thread pays for an edit: a copy of the campaigns and a new index.
fn edit(criterion: &mut Criterion) {
    let catalog = generated(10_000, 1, 0.005);
    let edit = CampaignEdit { daily_budget_micros: Some(50_000_000), ..CampaignEdit::default() };
    criterion.bench_function("edit/10000", |bencher| {
        let work = |()| catalog.with_campaign_edit("campaign-17", black_box(&edit)).is_ok();
        bencher.iter_batched(|| (), work, BatchSize::PerIteration);
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = eligibility, edit
}
criterion_main!(benches);
