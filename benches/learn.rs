//! What one core learns in a second: single steps of the model core on features with Zipf-like
//! frequencies, in tables that no core's cache holds. The mark is 300,000 examples of 10 fields at
//! k = 16; the running engine's shape is 22 fields at k = 8, three times over for its shadows.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use outbid::hash;
use outbid::prediction::{Feature, Fwfm, FwfmConfig, Rates, Rule, Sample};
use std::hint::black_box;

const EXAMPLES: usize = 20_000;
/// Values of a field, the first ten of which make a quarter of its examples.
const VALUES: f64 = 5_000.0;

/// Examples of `fields` features each, every fifth a positive.
fn examples(fields: usize) -> Vec<(Vec<Feature>, bool)> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash::mix(state)
    };
    let mut feature = |field: usize| {
        let unit = (next() >> 11) as f64 / (1_u64 << 53) as f64;
        let value = VALUES.powf(unit) as u64;
        Feature::category(field as u16, hash::combine(field as u64 + 1, value) as u32)
    };
    let example = |number| ((0..fields).map(&mut feature).collect(), number % 5 == 0);
    (0..EXAMPLES).map(example).collect()
}

fn learning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("learn");
    group.throughput(Throughput::Elements(EXAMPLES as u64)).sample_size(20);
    for (fields, dim, rule) in [
        (10, 16, Rule::Gaussian),
        (10, 16, Rule::Ftrl),
        (10, 8, Rule::Gaussian),
        (22, 8, Rule::Gaussian),
        (39, 16, Rule::Gaussian),
    ] {
        let examples = examples(fields);
        let rates = Rates { rule, ..Rates::default() };
        let shape = FwfmConfig::new(fields, dim);
        let config = FwfmConfig { rates, linear_bits: 20, vector_bits: 18, ..shape };
        let mut model = Fwfm::new(&config).expect("a model");
        let name = format!("{fields} fields, k = {dim}, {rule:?}");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                for (features, label) in &examples {
                    let sample = Sample { features, dense: &[], prior_offset: 0.0 };
                    black_box(model.learn(&sample, *label, 1.0));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, learning);
criterion_main!(benches);
