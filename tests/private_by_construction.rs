//! Promise: what one user did on a day reaches others only through releases that are bounded,
//! noised, charged for and refused past the budget. Driven through the actor, with the real noise.

use actix::prelude::*;
use outbid::privacy::{
    AggregateStatus, Aggregates, CONTEXT_BUCKETS, Cell, Config, ContextBucket, Contribute,
    CountDropped, DeclareCells, Kind, Opening, Plan, Releases, Status, Tick,
};
use outbid::units::{CampaignId, Micros, Timestamp, UserKey};
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn plan() -> Plan {
    let config = Config { releases_per_day: 24, ..Config::default() };
    Plan::try_from(&config).expect("a valid configuration")
}

fn bucket(index: usize) -> ContextBucket {
    ContextBucket::from_index(index as u8).expect("an index below the number of buckets")
}

/// The actor and its snapshot.
struct Driver {
    actor: Addr<outbid::privacy::AggregateActor>,
    aggregates: Aggregates,
}

impl Driver {
    /// An actor at time 0 that has `campaigns` declared, numbered from 0.
    async fn start(campaigns: u64) -> Self {
        let aggregates =
            Aggregates::start(&plan(), Timestamp(0), Opening::in_memory()).expect("a thread");
        let actor = aggregates.actor().start();
        let driver = Self { actor, aggregates };
        let declared: Arc<[_]> = (0..campaigns).map(CampaignId).collect();
        driver.actor.send(DeclareCells(declared)).await.unwrap();
        driver
    }

    async fn count(&self, user: u64, campaign: u64, kind: Kind) {
        let contribution = Contribute {
            user: Some(UserKey(user)),
            at: Timestamp(0),
            cell: Cell { campaign: CampaignId(campaign), bucket: bucket(0) },
            kind,
            price: Micros(0),
        };
        self.actor.send(contribution).await.unwrap();
    }

    async fn tick(&self, now_ms: i64) -> Arc<Releases> {
        self.actor.send(Tick { now: Timestamp(now_ms) }).await.unwrap();
        self.aggregates.releases().load_full()
    }

    async fn status(&self) -> AggregateStatus {
        self.actor.send(Status).await.unwrap()
    }

    /// Contributions beyond a bound, exactly: the status shows no number as small as these.
    async fn over_bound(&self) -> u64 {
        self.actor.send(CountDropped).await.unwrap().over_bound
    }
}

/// Released value and declared variance of every cell of `campaigns`.
fn released(releases: &Releases, campaigns: u64, kind: Kind) -> Vec<(f64, f64)> {
    (0..campaigns)
        .flat_map(|campaign| (0..CONTEXT_BUCKETS).map(move |index| (campaign, index)))
        .map(|(campaign, index)| {
            let estimate = releases.estimate(CampaignId(campaign), bucket(index), kind);
            let estimate = estimate.expect("every declared cell is released");
            (estimate.value, estimate.variance)
        })
        .collect()
}

#[test]
fn the_default_claim_is_epsilon_four_and_delta_a_millionth() {
    let claim = plan().claim();
    println!("{claim}");
    assert!(claim.epsilon() <= 4.0);
    assert!(claim.delta <= 1e-6);
    assert!(plan().scheduled() <= plan().budget());
    let text = claim.to_string();
    assert!(text.starts_with("epsilon 4.000 and delta 1e-6 a user-day"), "{text}");
    assert!(claim.over_days(30) > 20.0, "a month is stated as what it is");
}

#[actix::test]
async fn over_ten_thousand_releases_the_error_has_the_declared_variance() {
    // 625 campaigns of 16 cells, nothing counted: what is released is the error itself.
    let driver = Driver::start(625).await;
    let releases = driver.tick(HOUR_MS).await;
    for kind in Kind::ALL {
        let errors = released(&releases, 625, kind);
        assert_eq!(errors.len(), 10_000);
        let declared = errors[0].1;
        let measured = errors.iter().map(|error| error.0 * error.0).sum::<f64>() / 1e4;
        let mean = errors.iter().map(|error| error.0).sum::<f64>() / 1e4;
        println!("{kind:?}: variance {measured:.3} measured, {declared:.3} declared");
        assert!((measured / declared - 1.0).abs() < 0.1, "{kind:?}: {measured} {declared}");
        // Five standard errors of a mean over 10^4 draws.
        assert!(mean.abs() < 5.0 * declared.sqrt() / 100.0, "{kind:?}: mean {mean}");
        // And what is declared is what the budget of the kind asks for.
        let plan = plan();
        let kind_plan = plan.kind(kind);
        let mechanism = plan.continual();
        let unit = mechanism.variance(1, kind_plan.scale) / kind_plan.scale.variance();
        let sensitivity = kind_plan.bound.sensitivity_squared() as f64;
        let cost = sensitivity * mechanism.norm_squared() as f64 / (2.0 * declared / unit);
        assert!(cost <= kind_plan.rho.as_f64(), "{kind:?} costs {cost}");
    }
}

#[actix::test]
async fn one_user_cannot_move_a_release_beyond_the_noise() {
    let driver = Driver::start(2).await;
    for _ in 0..3_000 {
        driver.count(7, 1, Kind::Click).await;
    }
    let releases = driver.tick(HOUR_MS).await;
    let (value, variance) = released(&releases, 2, Kind::Click)[CONTEXT_BUCKETS];
    // The bound lets one click in; 3,000 would stand hundreds of deviations out.
    assert!(value.abs() < 1.0 + 8.0 * variance.sqrt(), "{value} at variance {variance}");
    let dropped = driver.status().await.dropped;
    assert_eq!(dropped.over_bound, 2_900, "2,999, shown as a magnitude");
}

#[actix::test]
async fn the_prior_follows_releases_and_only_releases() {
    let driver = Driver::start(3).await;
    let before = driver.aggregates.releases().load_full();
    // Campaign 1 is clicked by every fifth user, campaign 2 by none, campaign 0 is not shown.
    for user in 0..10_000 {
        driver.count(user, 1, Kind::Impression).await;
        driver.count(user, 2, Kind::Impression).await;
        if user % 5 == 0 {
            driver.count(user, 1, Kind::Click).await;
        }
    }
    let logit =
        |releases: &Releases, campaign| releases.prior(CampaignId(campaign), bucket(0)).logit;
    let counted = driver.tick(HOUR_MS - 1).await;
    for campaign in 0..3 {
        assert_eq!(logit(&before, campaign), logit(&counted, campaign), "not released yet");
    }
    let first = driver.tick(HOUR_MS).await;
    assert_eq!((before.epoch(), first.epoch()), (0, 1));
    assert!(logit(&first, 1) > logit(&first, 2) + 1.0, "evidence separates the two");
    let rate = first.prior(CampaignId(1), bucket(0)).rate;
    assert!((0.1..0.25).contains(&rate), "0.2 with noise and shrinkage: {rate}");
    // Nothing more is counted; another release has other noise, hence another prior.
    let second = driver.tick(2 * HOUR_MS).await;
    assert_ne!(logit(&first, 1), logit(&second, 1));
}

#[actix::test]
async fn a_day_is_charged_before_its_first_release_and_once() {
    let driver = Driver::start(1).await;
    assert_eq!(driver.status().await.epsilon_spent, 0.0);
    let mut epochs = Vec::new();
    for hour in 1..24 {
        epochs.push(driver.tick(hour * HOUR_MS).await.epoch());
        let again = driver.tick(hour * HOUR_MS).await.epoch();
        assert_eq!(epochs.last(), Some(&again), "an interval is released once");
        let status = driver.status().await;
        assert!(status.epsilon_spent > 3.9 && status.epsilon_spent <= 4.0, "{status:?}");
        assert!(status.rho_spent <= status.rho_budget);
    }
    assert_eq!(epochs, (1..24).collect::<Vec<_>>());
    driver.tick(DAY_MS).await;
    let status = driver.status().await;
    assert_eq!((status.day, status.releases, status.refused), (1, 24, 0));
    assert_eq!(status.epsilon_spent, 0.0, "a new day has a budget of its own");
    let shown = serde_json::to_string(&status).unwrap();
    println!("{shown}");
}

#[actix::test]
async fn an_actor_that_is_lost_takes_no_bound_and_no_charge_with_it() {
    let mut driver = Driver::start(1).await;
    for _ in 0..2 {
        driver.count(7, 0, Kind::Click).await;
    }
    driver.tick(HOUR_MS).await;
    let (spent, over) = (driver.status().await, driver.over_bound().await);
    driver.actor = driver.aggregates.actor().start();
    driver.count(7, 0, Kind::Click).await;
    assert_eq!(driver.tick(2 * HOUR_MS).await.epoch(), 2);
    let status = driver.status().await;
    assert_eq!(status.rho_spent, spent.rho_spent, "the day stays charged once");
    assert_eq!((over, driver.over_bound().await), (1, 2));
    assert_eq!(driver.aggregates.epsilon_spent(), status.epsilon_spent);
}
