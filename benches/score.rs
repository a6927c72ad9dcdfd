//! The bid path's share of prediction: one request hashed and reduced, then its candidates scored out
//! of 50,000 ads, drawn at random (no row is in the core's own cache) and in runs of four. Marks:
//! 1,000 candidates in 50 us and 100 in 8. Below it what the learner's ticks cost, which nobody
//! waits for but the learner's own mailbox.
//!
//! What is compared takes turns in one process, each turn with another request and other candidates,
//! so that a noisy neighbour disturbs all alike.

use outbid::clock::Mono;
use outbid::prediction::{
    AdFeatures, AdInput, Asked, Config, ContextFeatures, ContextInput, Cross, Example, Interest,
    Learner, ModelSnapshot, ScoreScratch, SlotFormat,
};
use outbid::units::{
    AdvertiserId, CampaignId, CategoryId, CreativeId, HoldId, LeaseId, Slot, Timestamp,
};
use pulp::Arch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;

const ADS: u32 = 50_000;
/// Lists of candidates: together they name each ad more than once, so none stays in cache.
const LISTS: usize = 64;
/// Ads of one campaign, which lie side by side.
const RUN: u32 = 4;

fn make_ads(random: &mut ChaCha8Rng) -> Vec<AdFeatures> {
    let sizes = [(300, 250), (728, 90), (160, 600), (320, 50)];
    let ad = |index: u32| {
        let input = AdInput {
            advertiser: AdvertiserId(u64::from(index) / 20),
            campaign: CampaignId(u64::from(index / RUN)),
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

fn make_context(random: &mut ChaCha8Rng) -> ContextInput {
    ContextInput {
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
    }
}

/// A learner and the endless stream of random outcomes (one click in fifty) that it learns from.
struct Stream {
    learner: Learner,
    ads: Vec<AdFeatures>,
    random: ChaCha8Rng,
    sequence: u32,
}

impl Stream {
    fn new(config: &Config) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut learner = Learner::new(config).expect("the settings are in range");
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
                context: ContextFeatures::from(&make_context(&mut self.random)),
                ad,
                cross: Cross { interest: 0.5, prior_logit: -4.0, ..Cross::NEUTRAL },
                logit: f32::NAN,
                conversion_prior_logit: f32::NAN,
                calibration_group: 0,
                user: None,
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

/// The 10th, 50th and 90th percent of what was timed, in us.
fn spread(nanos: &mut [u64]) -> [f64; 3] {
    nanos.sort_unstable();
    [1, 5, 9].map(|tenth| nanos[nanos.len() * tenth / 10] as f64 / 1e3)
}

/// One list of candidates: at random, or in runs of one campaign.
fn make_list(random: &mut ChaCha8Rng, candidates: u32, is_clustered: bool) -> Vec<Asked> {
    let run = if is_clustered { RUN } else { 1 };
    let mut first = 0;
    let ask = |number: u32| {
        if number.is_multiple_of(run) {
            first = random.random_range(0..ADS / run) * run;
        }
        let interest = [0.0, 0.02, 0.7, 4.0][random.random_range(0..4)];
        let cross =
            Cross { interest, prior_logit: -4.0 - random.random::<f32>(), ..Cross::NEUTRAL };
        let ad = Slot { index: first + number % run, generation: 0 };
        Asked { request: 0, ad, cross }
    };
    (0..candidates).map(ask).collect()
}

/// Ways to the same logits, each with the hashing of the request and its reduction.
const WAYS: [&str; 3] = ["batch, dispatched", "batch, portable", "one by one"];

fn score_by(
    way: usize,
    snapshot: &ModelSnapshot,
    (context, asked): (&ContextInput, &[Asked]),
    scratch: &mut [ScoreScratch; 1],
    logits: &mut Vec<f32>,
) {
    let context = ContextFeatures::from(context);
    match way {
        0 => {
            snapshot.prepare(&context, &mut scratch[0]);
            snapshot.logits(scratch, asked, logits);
        }
        1 => {
            snapshot.prepare_by(Arch::Scalar, &context, &mut scratch[0]);
            snapshot.logits_by(Arch::Scalar, scratch, asked, logits);
        }
        _ => {
            snapshot.prepare(&context, &mut scratch[0]);
            logits.clear();
            logits.extend(asked.iter().map(|one| snapshot.logit(&scratch[0], one.ad, one.cross)));
        }
    }
}

fn scoring(snapshot: &ModelSnapshot, random: &mut ChaCha8Rng, rounds: usize) {
    let contexts: Vec<_> = (0..512).map(|_| make_context(random)).collect();
    let (mut scratch, mut logits) = ([ScoreScratch::default()], Vec::new());
    for (candidates, is_clustered) in [(100, false), (100, true), (1_000, false), (1_000, true)] {
        let lists: Vec<_> =
            (0..LISTS).map(|_| make_list(random, candidates, is_clustered)).collect();
        let mut nanos = [(); WAYS.len()].map(|()| Vec::new());
        for round in 0..rounds {
            for (way, nanos) in nanos.iter_mut().enumerate() {
                // A third of all lists lie between two ways' turns with the same one.
                let asked = &lists[(round + way * LISTS / WAYS.len()) % LISTS];
                let start = Mono::now();
                let request = (&contexts[round % contexts.len()], &asked[..]);
                score_by(way, snapshot, request, &mut scratch, &mut logits);
                nanos.push(Mono::now().nanos_since(start));
                black_box(&logits);
            }
        }
        let kind = if is_clustered { "in runs of four" } else { "at random" };
        println!("{candidates} candidates {kind}, request included");
        for (name, nanos) in WAYS.iter().zip(&mut nanos) {
            let [low, median, high] = spread(nanos);
            println!("  {name:18} {median:7.2} us  (p10 {low:.2}, p90 {high:.2})");
        }
    }
}

fn ticks(stream: &mut Stream, rounds: usize) {
    println!("publication, {ADS} ads");
    for outcomes in [1, 10, 100, 1_000, 20_000] {
        let mut nanos = Vec::new();
        // The auctions of a tick hold the last snapshot while the next is made.
        let mut held = stream.learner.publish();
        for _ in 0..rounds {
            stream.learn(outcomes);
            let start = Mono::now();
            let next = stream.learner.publish();
            nanos.push(Mono::now().nanos_since(start));
            held = next;
        }
        black_box(held);
        let [low, median, high] = spread(&mut nanos);
        let rows = stream.learner.status().rebuilt.rows;
        println!(
            "  after {outcomes:6} outcomes {median:9.1} us  (p10 {low:.1}, p90 {high:.1}), {rows} rows"
        );
    }
}

fn learning(stream: &mut Stream, rounds: usize) {
    let mut nanos = Vec::new();
    for _ in 0..rounds {
        let start = Mono::now();
        stream.learn(1_000);
        nanos.push(Mono::now().nanos_since(start));
    }
    let [low, median, high] = spread(&mut nanos);
    println!("1,000 outcomes learned {median:7.1} us  (p10 {low:.1}, p90 {high:.1})");
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let (scores, rounds) = if is_quick { (50, 2) } else { (2_000, 40) };
    let config = Config { click_window_ms: 1, ..Config::default() };
    let mut stream = Stream::new(&config);
    stream.learn(if is_quick { 2_000 } else { 50_000 });
    let snapshot = stream.learner.publish();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    scoring(&snapshot, &mut random, scores);
    learning(&mut stream, rounds);
    ticks(&mut stream, rounds);
}
