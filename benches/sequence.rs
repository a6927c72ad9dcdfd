//! The sequence model's share of a behaviour event and of a bid: one step of a user's state, from
//! bytes to bytes, at both sizes; and one affinity as the auction multiplies it out. The figure to
//! keep is 10 µs for `step/64`: the owning shard does it for each pooled event.

use criterion::{Criterion, criterion_group, criterion_main};
use outbid::relevance::sequence::{
    CategoryRows, SequenceModel, State, TrainConfig, Trainer, Visit, Vocabulary,
};
use outbid::units::CategoryId;
use std::hint::black_box;
use std::sync::Arc;

/// As many as the Taobao stream has, so that embeddings come from beyond the first caches.
const CATEGORIES: usize = 3_000;

fn model(hidden: usize) -> SequenceModel {
    let ids = (1..=CATEGORIES as u32).map(CategoryId).collect();
    let config = TrainConfig { hidden, ..TrainConfig::default() };
    let counts = [1; CATEGORIES + 1];
    let trainer = Trainer::new(Arc::new(Vocabulary::new(ids)), &counts, config);
    trainer.expect("valid sizes").into_model()
}

fn visit(number: usize) -> Visit {
    let at_s = 1_700_000_000 + 60 * number as u32;
    Visit { category: 1 + number * 7_919 % CATEGORIES, item: 0, kind: (number % 5) as u8, at_s }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sequence");
    for hidden in [32, 64] {
        let model = model(hidden);
        let (mut state, mut number) = (State::default(), 0);
        group.bench_function(format!("step/{hidden}"), |bencher| {
            bencher.iter(|| {
                number += 1;
                model.step(black_box(&mut state), black_box(visit(number)));
            });
        });
        let mut rows = CategoryRows::default();
        for id in model.vocabulary().ids() {
            rows.number(&model, *id);
        }
        group.bench_function(format!("affinity/{hidden}"), |bencher| {
            bencher.iter(|| {
                number += 1;
                rows.affinity(black_box(&state), black_box((number % 50) as u16))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
