//! The room as a whole, with planted noise where a number must be exact and real noise elsewhere.

use super::aggregate::Aggregate;
use super::release::Publisher;
use super::*;
use crate::units::{CampaignId, Micros, Timestamp, UserKey};
use std::path::PathBuf;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The numbers in `columns` of a reference file; empty, with a note, where it is absent.
pub(super) fn vectors(file: &str, columns: &[&str]) -> Vec<Vec<f64>> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("OUTBID_SHARED").map_or(default, PathBuf::from);
    let path = shared.join("vectors/privacy").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is absent; set OUTBID_SHARED", path.display());
        return Vec::new();
    };
    let mut lines = text.lines();
    let header: Vec<_> = lines.next().unwrap().split(',').collect();
    let wanted: Vec<_> = columns
        .iter()
        .map(|column| header.iter().position(|name| name == column).unwrap())
        .collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            let number = |text: &str| match text.split_once('/') {
                Some((numerator, denominator)) => {
                    numerator.parse::<f64>().unwrap() / denominator.parse::<f64>().unwrap()
                }
                None => text.parse().unwrap_or(f64::NAN),
            };
            wanted.iter().map(|&index| number(fields[index])).collect()
        })
        .collect()
}

pub(super) fn plan() -> Plan {
    Plan::try_from(&Config { releases_per_day: 24, ..Config::default() }).unwrap()
}

pub(super) fn cell(campaign: u64, bucket: u8) -> Cell {
    Cell { campaign: CampaignId(campaign), bucket: ContextBucket::from_index(bucket).unwrap() }
}

/// Aggregate and publisher without a thread between them.
pub(super) struct Bench {
    pub aggregate: Aggregate,
    pub publisher: Publisher,
    pub releases: Releases,
}

impl Bench {
    fn new(plan: &Plan, noise: NoiseSource) -> Self {
        Self::at(plan, noise, Timestamp(0), Opening::in_memory())
    }

    pub fn at(plan: &Plan, noise: NoiseSource, now: Timestamp, opening: Opening) -> Self {
        let mut aggregate = Aggregate::new(plan, now, &opening).unwrap();
        aggregate.declare(&[CampaignId(1), CampaignId(2)]);
        let publisher = Publisher::new(plan, noise, opening);
        let releases = publisher.snapshot(now);
        Self { aggregate, publisher, releases }
    }

    fn silent(plan: &Plan) -> Self {
        Self::new(plan, NoiseSource::planted(|| 0))
    }

    /// One event; of spend, an impression at the highest price.
    pub fn count(&mut self, user: u64, cell: Cell, kind: Kind) {
        self.contribute(Some(UserKey(user)), Timestamp(0), cell, kind);
    }

    fn contribute(&mut self, user: Option<UserKey>, at: Timestamp, cell: Cell, kind: Kind) {
        let (kind, price) = match kind {
            Kind::Spend => (Kind::Impression, Micros(u64::MAX)),
            Kind::Impression => (kind, Micros(2_000_000)),
            kind => (kind, Micros(0)),
        };
        self.aggregate.contribute(&Contribute { user, at, cell, kind, price });
    }

    /// Ticks at `now_ms`; whether something was released.
    pub fn tick(&mut self, now_ms: i64) -> bool {
        let closing = self.aggregate.advance(Timestamp(now_ms));
        let published = self.publisher.publish(closing).unwrap();
        self.publisher.enter(self.aggregate.day());
        let Some(releases) = published else { return false };
        self.releases = releases;
        true
    }

    fn status(&self) -> AggregateStatus {
        self.aggregate.status(0, 0, &self.publisher.status(), None)
    }

    /// In the kind's own units, to a billionth.
    pub fn sum(&self, cell: Cell, kind: Kind) -> f64 {
        let estimate = self.releases.estimate(cell.campaign, cell.bucket, kind);
        estimate.map_or(f64::NAN, |estimate| (estimate.value * 1e9).round() / 1e9)
    }
}

#[test]
fn a_user_who_floods_moves_a_days_releases_by_no_more_than_the_bound() {
    let plan = plan();
    for kind in Kind::ALL {
        let mut bench = Bench::silent(&plan);
        let bound = plan.kind(kind).bound;
        let cells: Vec<_> = (0..16).map(|bucket| cell(1, bucket)).collect();
        for hour in 1..=24 {
            for event in 0..1_000 {
                bench.count(7, cells[event % cells.len()], kind);
            }
            assert!(bench.tick(hour * HOUR_MS));
        }
        let day: Vec<_> = cells.iter().map(|&cell| bench.sum(cell, kind)).collect();
        let total: f64 = day.iter().sum();
        assert!(day.iter().all(|&sum| sum <= f64::from(bound.per_cell)), "{day:?}");
        assert!((total - f64::from(bound.total)).abs() < 1e-6, "{total}");
        let norm_squared: f64 = day.iter().map(|count| count * count).sum();
        assert!(norm_squared <= bound.sensitivity_squared() as f64 + 1e-6);
    }
}

#[test]
fn a_changed_release_changes_the_prior_and_nothing_else_does() {
    let priors = [3_i64, -3].map(|noise| {
        // A day's first release of two campaigns draws the bar of its users, 32 numbers for
        // impressions, 32 for clicks, and so on; each is a count in units of a coefficient.
        let planted = [100_000 << 10, (1_000 + noise * 200) << 10];
        let mut draws = 0..;
        let source = move || {
            let draw: usize = draws.next().unwrap_or(0);
            draw.checked_sub(1).and_then(|draw| planted.get(draw / 32)).copied().unwrap_or(0)
        };
        let mut bench = Bench::new(&plan(), NoiseSource::planted(source));
        let before = bench.releases.prior(CampaignId(1), ContextBucket::default());
        bench.count(1, cell(1, 0), Kind::Impression);
        bench.count(1, cell(1, 0), Kind::Click);
        let counted = bench.releases.prior(CampaignId(1), ContextBucket::default());
        assert_eq!(before, counted, "a count alone moved the prior");
        assert!(!bench.tick(HOUR_MS - 1) && bench.tick(HOUR_MS));
        let prior = bench.releases.prior(CampaignId(1), ContextBucket::default());
        assert_ne!(before, prior, "a release did not move the prior");
        prior
    });
    // The counts were the same: only the released numbers differ.
    assert_ne!(priors[0].logit, priors[1].logit);
}

#[test]
fn the_actors_state_charges_a_day_once_and_each_interval_is_released_once() {
    let mut bench = Bench::silent(&plan());
    assert_eq!(bench.status().epsilon_spent, 0.0);
    assert!(bench.tick(HOUR_MS));
    let spent = bench.status();
    assert!(spent.epsilon_spent > 3.9 && spent.epsilon_spent <= 4.0, "{spent:?}");
    assert!(!bench.tick(HOUR_MS), "the same interval again");
    assert!(!bench.tick(0), "the clock went back");
    assert!(bench.tick(5 * HOUR_MS), "four intervals at once");
    assert!(bench.tick(DAY_MS), "the day's last interval");
    assert_eq!(bench.status().epsilon_spent, 0.0, "a new day");
    assert!(!bench.tick(23 * HOUR_MS), "yesterday");
    assert!(bench.tick(DAY_MS + HOUR_MS));
    let second = bench.status();
    assert_eq!((second.rho_spent, &second.parts), (spent.rho_spent, &spent.parts));
    assert_eq!(second.spent_over["7_days"].days, 2);
    assert!(second.spent_over["7_days"].epsilon > second.epsilon_spent);
}

#[test]
fn what_may_not_be_counted_is_not() {
    let mut bench = Bench::silent(&plan());
    let kind = Kind::Impression;
    bench.contribute(None, Timestamp(0), cell(1, 0), kind);
    bench.count(1, cell(3, 0), kind);
    let user = Some(UserKey(1));
    let stale = Timestamp(-DAY_MS - 1);
    bench.contribute(user, stale, cell(1, 0), kind);
    for _ in 0..7 {
        bench.count(2, cell(2, 5), kind);
    }
    bench.aggregate.declare(&[CampaignId(2), CampaignId(4)]);
    bench.count(1, cell(1, 0), kind);
    assert!(bench.tick(HOUR_MS));
    assert!(bench.sum(cell(1, 0), kind).is_nan(), "no longer declared");
    assert_eq!(bench.sum(cell(2, 5), kind), 4.0);
    assert_eq!(bench.sum(cell(2, 4), kind), 0.0, "released though empty");
    assert_eq!(bench.sum(cell(4, 0), kind), 0.0, "released though new");
    let expected =
        Dropped { no_permission: 1, undeclared: 2, over_bound: 3, users_full: 0, stale: 1 };
    assert_eq!(bench.aggregate.dropped(), expected);
    assert_eq!(bench.status().dropped, Dropped::default(), "too few to show");
    // After a change of declarations the slots are renumbered, at the day's end and not before.
    bench.count(3, cell(4, 1), kind);
    assert!(bench.tick(DAY_MS));
    bench.count(3, cell(4, 2), kind);
    assert!(bench.tick(DAY_MS + HOUR_MS));
    assert!(bench.sum(cell(4, 1), kind) > 0.5);
    assert_eq!(bench.sum(cell(4, 2), kind), 1.0);
    assert_eq!(bench.sum(cell(2, 2), kind), 0.0);
}

#[test]
fn a_campaign_that_leaves_and_comes_back_has_what_it_had_come_to() {
    let mut bench = Bench::silent(&plan());
    bench.count(1, cell(1, 0), Kind::Click);
    assert!(bench.tick(HOUR_MS));
    bench.aggregate.declare(&[CampaignId(2)]);
    assert!(bench.tick(2 * HOUR_MS));
    assert_eq!(bench.sum(cell(1, 0), Kind::Click), 1.0, "it stays");
    bench.aggregate.declare(&[CampaignId(1), CampaignId(2)]);
    bench.count(2, cell(1, 0), Kind::Click);
    assert!(bench.tick(3 * HOUR_MS));
    assert_eq!(bench.sum(cell(1, 0), Kind::Click), 2.0, "a segment of its own");
    assert_eq!(bench.sum(cell(2, 0), Kind::Click), 0.0, "nothing of another's");
}

#[test]
fn a_bound_is_renewed_by_a_new_day_and_by_nothing_else() {
    let mut bench = Bench::silent(&plan());
    for (now_ms, is_counted) in [(HOUR_MS, true), (2 * HOUR_MS, false), (DAY_MS, false)] {
        let before = bench.sum(cell(1, 0), Kind::Click);
        bench.count(7, cell(1, 0), Kind::Click);
        assert!(bench.tick(now_ms));
        let grown = bench.sum(cell(1, 0), Kind::Click) > before || before.is_nan();
        assert_eq!(grown, is_counted, "at {now_ms}");
    }
    bench.count(7, cell(1, 0), Kind::Click);
    assert!(bench.tick(DAY_MS + HOUR_MS));
    assert!(bench.sum(cell(1, 0), Kind::Click) > 1.0, "a second day");
}

#[test]
fn released_sums_halve_in_their_half_life() {
    let mut bench = Bench::silent(&plan());
    bench.count(1, cell(1, 0), Kind::Click);
    assert!(bench.tick(HOUR_MS) && bench.tick(HOUR_MS + 3 * DAY_MS));
    assert_eq!(bench.sum(cell(1, 0), Kind::Click), 1.0, "its day is not over");
    assert!(bench.tick(2 * HOUR_MS + 3 * DAY_MS));
    let estimate =
        bench.releases.estimate(CampaignId(1), ContextBucket::default(), Kind::Click).unwrap();
    let plan = plan();
    let variance = |steps| plan.continual().variance(steps, plan.kind(Kind::Click).scale);
    assert!((estimate.value - 0.5).abs() < 1e-9);
    let expected = variance(2) / 4.0 + variance(1);
    assert!((estimate.variance / expected - 1.0).abs() < 1e-9);
}

/// Mass of the discrete Gaussian of this variance at `-span..=span`.
fn discrete_gaussian(variance: f64, span: i64) -> Vec<f64> {
    let weights: Vec<_> =
        (-span..=span).map(|x| (-(x as f64).powi(2) / (2.0 * variance)).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[test]
fn the_declared_noise_keeps_the_claimed_epsilon_and_half_of_it_does_not() {
    let mut config = Config::default();
    // S^2 = min(1 * 4^2, 4 * 4) = 16: the worst pair differs by 4 in one cell.
    config.clicks = KindConfig { per_cell: 4, cells: 1, total: 4, ..config.clicks };
    let plan = Plan::try_from(&config).unwrap();
    let clicks = plan.kind(Kind::Click);
    assert_eq!(clicks.bound.sensitivity_squared(), 16);
    let claimed = epsilon(clicks.rho.as_f64(), plan.delta());
    let hockey_stick = |variance: f64| -> f64 {
        let mass = discrete_gaussian(variance, 400);
        let pairs = mass.iter().zip(&mass[4..]);
        pairs.map(|(one, shifted)| (one - claimed.exp() * shifted).max(0.0)).sum()
    };
    // The mechanism spreads a count over the day: along that direction the noise is so much less.
    let variance = clicks.scale.variance() / plan.continual().norm_squared() as f64;
    assert!(hockey_stick(variance) <= plan.delta());
    assert!(hockey_stick(variance / 4.0) > plan.delta());
}

#[test]
fn opendps_sampler_draws_the_reference_distribution() {
    let rows = vectors("sampler_pmf.csv", &["param(sigma2 or scale)", "x", "pmf"]);
    for (variance, sigma) in [(1.0, 1_u8), (100.0, 10)] {
        // The file's first 24 rows are the discrete Gaussian; 9/2 has no rational sigma.
        let mass: Vec<_> =
            rows.iter().take(24).filter(|row| row[0] == variance && row[1] <= 10.0).collect();
        let draws = 20_000;
        let mut counts = std::collections::HashMap::<i64, u32>::new();
        for _ in 0..draws {
            let draw = opendp::traits::samplers::sample_discrete_gaussian(sigma.into()).unwrap();
            *counts.entry(i64::try_from(draw).unwrap()).or_default() += 1;
        }
        let mut chi_squared = 0.0;
        let mut cells = 0;
        for row in &mass {
            let x = row[1] as i64;
            for x in if x == 0 { vec![0] } else { vec![x, -x] } {
                let expected = row[2] * f64::from(draws);
                if expected >= 20.0 {
                    let seen = f64::from(counts.get(&x).copied().unwrap_or(0));
                    chi_squared += (seen - expected).powi(2) / expected;
                    cells += 1;
                }
            }
        }
        // At most 11 cells: 45 is beyond the 1 - 5e-6 quantile of chi-squared with 11 degrees.
        assert!(chi_squared < 45.0, "sigma {sigma}: {chi_squared} over {cells}");
        assert!(mass.is_empty() || cells >= 7, "{cells} cells compared");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_release_thread_in_the_background_gives_way_to_others() {
    let niceness = |stat: &str| -> i32 {
        // Field 19, counted from 1; the name in parentheses may hold spaces.
        let after = stat.rsplit(')').next().unwrap();
        after.split_whitespace().nth(16).unwrap().parse().unwrap()
    };
    let own = niceness(&std::fs::read_to_string("/proc/thread-self/stat").unwrap());
    // A thread of another test may end while it is looked at.
    let lowest = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        let releasing = stats.filter(|stat| stat.contains("(outbid-privacy)"));
        releasing.map(|stat| niceness(&stat)).max()
    };
    let opening = Opening::in_memory().in_background();
    let aggregates = Aggregates::start(&plan(), Timestamp(0), opening).unwrap();
    let mut looks = 0;
    while lowest() != Some((own + 10).min(19)) {
        looks += 1;
        assert!(looks < 5_000, "{own} and {:?}", lowest());
        std::thread::yield_now();
    }
    drop(aggregates);
}
