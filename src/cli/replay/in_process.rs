//! A replay in this process, by the room `replay`: no network, the same parts.

use crate::replay::{Logged, Market, Report, Setup, Shape, replay, spread};
use crate::strategy::pacing::CampaignPacing;
use crate::strategy::{Strategy, ValueInput};
use crate::units::{Micros, Timestamp};

/// What a campaign of a log is told, beside its click probabilities.
pub fn terms(max_cpm: Micros, cpc_micros: u64) -> ValueInput {
    ValueInput {
        p_click: 0.0,
        // Fixed by the strategy: see `strategy::text_of`.
        average_p_click: 0.0,
        max_cpm,
        cpc_micros: Some(cpc_micros),
        ..ValueInput::default()
    }
}

/// The controllers that a server would give a campaign with this strategy and these terms.
pub fn pacing_of(strategy: &Strategy, terms: &ValueInput) -> CampaignPacing {
    let most_ppm = (strategy.multiplier_bounds().1 * 1e6).round() as u64;
    let pacing = CampaignPacing::new(strategy.pacing(), strategy.target(terms));
    pacing.up_to(most_ppm).on_plan(strategy.plan(), None)
}

/// Plays the log with each `per_day` auctions as one day, spread by `traffic`. `pacing` is moved on: it
/// may know a day before.
pub fn play(
    log: &mut [Logged],
    starts: Timestamp,
    per_day: usize,
    traffic: &Shape,
    market: &Market,
    setup: &Setup<'_>,
    pacing: &mut CampaignPacing,
) -> Report {
    spread(log, starts, per_day, traffic);
    replay(log, market, setup, pacing)
}
