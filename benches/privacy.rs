//! What releases cost, on their own thread and never on a bid's way: a draw of noise, and a tick.
//!
//! A tick does the same for each counter: a draw, a row of the matrix over what the day has seen so
//! far, and the estimate. A whole day of 350 counters is 100,800 such steps of all lengths, so one
//! iteration of `tick` is an average tick of 100,000 counters. It has to stay below one second of one
//! core; nearly all of it is the exact sampler.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outbid::privacy::{Continual, NoiseSource, RawStream, ReleasedStream, Rho, Scale};
use std::hint::black_box;

const TICKS: usize = 288;
const COUNTERS: usize = 350;
const DRAWS: usize = 10_000;

/// The noise of clicks in the default plan: `S^2` 3 and 82 % of epsilon 4.
fn sigma(mechanism: &Continual) -> Scale {
    mechanism.scale(3, Rho::within(4.0, 1e-6).percent(82)).expect("a scale that fits")
}

fn day(mechanism: &Continual, sigma: Scale, noise: &mut NoiseSource) -> f64 {
    let (mut raw, mut seen) = (RawStream::default(), ReleasedStream::default());
    let all = (1..=TICKS).map(|step| mechanism.values_at(step)).sum();
    let mut draws = noise.gaussian(sigma, all).expect("noise");
    let mut released = Vec::new();
    let mut sum = 0.0;
    for tick in 0..TICKS {
        released.clear();
        raw.release(mechanism, tick as i64 % 3, &mut draws, &mut released).expect("a step");
        seen.push(mechanism, &released).expect("a step");
        sum += seen.estimate(mechanism);
    }
    sum
}

fn releases(criterion: &mut Criterion) {
    let toeplitz = Continual::toeplitz(TICKS).expect("a day");
    let tree = Continual::honaker(TICKS).expect("a day");
    let mut noise = NoiseSource::exact();

    let mut group = criterion.benchmark_group("draw");
    group.sample_size(10).throughput(Throughput::Elements(DRAWS as u64));
    let gaussian = sigma(&toeplitz);
    group.bench_function("gaussian", |bencher| {
        bencher.iter(|| black_box(noise.gaussian(gaussian, DRAWS).expect("noise")).left());
    });
    let laplace = Scale::for_epsilon(2, 0.02).expect("a scale that fits");
    group.bench_function("laplace", |bencher| {
        bencher.iter(|| black_box(noise.laplace(laplace, DRAWS).expect("noise")).left());
    });
    group.finish();

    let mut group = criterion.benchmark_group("tick");
    group.sample_size(10).throughput(Throughput::Elements((COUNTERS * TICKS) as u64));
    for (name, mechanism) in [("toeplitz", &toeplitz), ("tree", &tree)] {
        let sigma = sigma(mechanism);
        group.bench_function(name, |bencher| {
            bencher.iter(|| (0..COUNTERS).map(|_| day(mechanism, sigma, &mut noise)).sum::<f64>());
        });
    }
    group.finish();
}

criterion_group!(benches, releases);
criterion_main!(benches);
