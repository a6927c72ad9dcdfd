//! The bid path's share of prediction: one request reduced, then 1,000 candidates by random slot
//! out of 10,000 ads. The figure to keep is 50 µs for `score/1000`; a tenth of that is what it takes
//! where rows are in cache. `publish_after_…` is what a tick of the learner costs, which nobody
//! waits for but the learner's own mailbox.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use outbid::prediction::{
    AdFeatures, AdInput, Config, ContextFeatures, ContextInput, Cross, Example, Interest, Learner,
    ScoreScratch, SlotFormat, sigmoid,
};
use outbid::units::{
    AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, LeaseId, Slot, Timestamp,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::hint::black_box;

const ADS: u32 = 10_000;
const CANDIDATES: usize = 1_000;

fn make_ads(random: &mut ChaCha8Rng) -> Vec<AdFeatures> {
    let sizes = [(300, 250), (728, 90), (160, 600), (320, 50)];
    let ad = |index: u32| {
        let input = AdInput {
            advertiser: AdvertiserId(u64::from(index) / 20),
            campaign: CampaignId(u64::from(index) / 2),
            creative: CreativeId(index.into()),
            category: CategoryId(random.random_range(0..200)),
            format: SlotFormat::Banner,
            size: sizes[random.random_range(0..4)],
            content: [1, 2, 3, 0, 0, 0].map(|kind| kind * random.random_range(1..200)),
            is_active: true,
        };
        let slot = Slot { index, generation: 0 };
        AdFeatures::new(slot, &input)
    };
    (0..ADS).map(ad).collect()
}

fn make_context(random: &mut ChaCha8Rng) -> ContextFeatures {
    let input = ContextInput {
        publisher: random.random_range(1..5_000),
        placement: random.random_range(1..20_000),
        country: random.random_range(1..50),
        hour: random.random_range(0..24),
        weekday: random.random_range(0..7),
        interest: Interest::Known {
            top: [(); 3].map(|()| Some(CategoryId(random.random_range(0..200)))),
            last_event: None,
        },
        ..ContextInput::default()
    };
    ContextFeatures::from(&input)
}

/// A learner and the endless stream of random outcomes (one click in fifty) that it learns from.
struct Stream {
    learner: Learner,
    ads: Vec<AdFeatures>,
    random: ChaCha8Rng,
    sequence: u32,
}

impl Stream {
    fn new() -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let config = Config { click_window_ms: 1, ..Config::default() };
        let mut learner = Learner::new(&config).expect("the defaults are in range");
        let ads = make_ads(&mut random);
        learner.replace_ads(&ads);
        Self { learner, ads, random, sequence: 0 }
    }

    fn learn(&mut self, outcomes: u32) {
        for _ in 0..outcomes {
            self.sequence += 1;
            let at = Timestamp(self.sequence.into());
            let hold = HoldId { lease: LeaseId::default(), sequence: self.sequence };
            let ad = self.ads[self.random.random_range(0..self.ads.len())].ids;
            self.learner.impression(Box::new(Example {
                hold,
                context: make_context(&mut self.random),
                ad,
                cross: Cross { interest: 0.5, prior_logit: -4.0, ..Cross::NEUTRAL },
                logit: f32::NAN,
                conversion_prior_logit: f32::NAN,
                calibration_group: 0,
                predicted: 0.02,
                at,
                arm: 0,
                learn: true,
            }));
            if self.random.random_range(0..50) == 0 {
                self.learner.click(hold, at);
            }
            self.learner.expire(at);
        }
    }
}

fn scoring(criterion: &mut Criterion) {
    let mut stream = Stream::new();
    stream.learn(50_000);
    let snapshot = stream.learner.publish();
    let Stream { mut random, ads, .. } = stream;
    let contexts: Vec<_> = (0..256).map(|_| make_context(&mut random)).collect();
    let candidate = |_| {
        let cross = Cross {
            interest: [0.0, 0.02, 0.7, 4.0][random.random_range(0..4)],
            prior_logit: -4.0 - random.random::<f32>(),
            ..Cross::NEUTRAL
        };
        (ads[random.random_range(0..ads.len())].slot, cross)
    };
    let candidates: Vec<(Slot, Cross)> = (0..CANDIDATES).map(candidate).collect();
    let mut scratch = ScoreScratch::default();
    let mut turn = 0;

    let mut group = criterion.benchmark_group("score");
    group.bench_function("prepare", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % contexts.len();
            snapshot.prepare(black_box(&contexts[turn]), &mut scratch);
            black_box(&scratch);
        });
    });
    group.throughput(Throughput::Elements(CANDIDATES as u64));
    group.bench_function("1000", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % contexts.len();
            snapshot.prepare(&contexts[turn], &mut scratch);
            let scores = candidates.iter();
            let logits = scores.map(|&(slot, cross)| snapshot.logit(&scratch, slot, cross));
            sigmoid(logits.fold(f32::NEG_INFINITY, f32::max))
        });
    });
    group.finish();
}

fn learning(criterion: &mut Criterion) {
    let mut stream = Stream::new();
    let mut group = criterion.benchmark_group("learner");
    group.sample_size(30);
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("learn_1000", |bencher| bencher.iter(|| stream.learn(1_000)));
    let stream = RefCell::new(stream);
    for outcomes in [10, 1_000, 20_000] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("publish_after_{outcomes}"), |bencher| {
            bencher.iter_batched(
                || stream.borrow_mut().learn(outcomes),
                |()| stream.borrow_mut().learner.publish(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, scoring, learning);
criterion_main!(benches);
