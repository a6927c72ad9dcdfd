//! The hidden truth: how likely a click and a purchase really are. Log-odds add up; what an engine
//! can learn (interest, context, creative) makes most of the difference, and the rest is the
//! user's and the placement's own.

use super::SlotKind;
use super::random::{Purpose, logistic, normal, stream, trait_of};
use super::spec::Conversion;
use super::world::World;
use crate::units::Timestamp;
use rand::Rng;

/// One ad in front of one user.
#[derive(Clone, Copy, Debug)]
pub struct Showing<'a> {
    /// When it is shown.
    pub at: Timestamp,
    /// The user's number.
    pub user: u32,
    /// What he looks for now.
    pub intent: u16,
    /// The items that he looked at lately.
    pub seen: &'a [u16],
    /// The publisher's number.
    pub publisher: u16,
    /// The placement on its page.
    pub slot: SlotKind,
    /// The campaign's name.
    pub campaign: &'a str,
    /// The creative's name.
    pub creative: &'a str,
}

/// The longest that a purchase follows its click: after a day nobody connects the two.
const DELAY_MS_MAX: i64 = 86_400_000;

impl World {
    /// The true probability of a click.
    #[must_use]
    pub fn click_probability(&self, showing: &Showing<'_>) -> f64 {
        let click = &self.spec.click;
        let user = self.user(showing.user);
        let publisher = self.publisher(showing.publisher);
        let placement = stream(
            self.seed,
            Purpose::Placement,
            u64::from(showing.publisher) << 8 | showing.slot as u64,
        );
        let mut logit = click.base
            + user.readiness
            + showing.slot.click_effect()
            + click.hour * hour_effect(showing.at)
            + click.placement_sd * normal(&mut { placement })
            + click.creative_sd * trait_of(self.seed, Purpose::Creative, showing.creative);
        if let Some(category) = self.category_of(showing.campaign) {
            let group = &self.category(category).group;
            if category == showing.intent {
                logit += click.intent;
            } else if !group.is_empty() && *group == self.category(showing.intent).group {
                logit += click.related;
            }
            let taste = user.tastes.iter().filter(|(liked, _)| *liked == category);
            logit += click.taste * taste.map(|(_, strength)| *strength).fold(0.0, f64::max);
            if !group.is_empty() && *group == publisher.group {
                logit += click.page;
            }
            logit += self.good_effect(showing.user, category, showing.creative, showing.seen);
        }
        logistic(logit)
    }

    /// The true probability that a click leads to a purchase.
    #[must_use]
    pub fn conversion_probability(&self, showing: &Showing<'_>) -> f64 {
        let conversion = &self.spec.conversion;
        let matches = self.category_of(showing.campaign) == Some(showing.intent);
        logistic(
            conversion.base
                + if matches { conversion.intent } else { 0.0 }
                + conversion.campaign_sd * trait_of(self.seed, Purpose::Campaign, showing.campaign),
        )
    }
}

impl Conversion {
    /// Milliseconds from a click to its purchase: log-normal, at most a day.
    pub(super) fn delay_ms(&self, rng: &mut impl Rng) -> i64 {
        let minutes = self.delay_median_min * (self.delay_sigma * normal(rng)).exp();
        ((minutes * 60_000.0) as i64).clamp(1_000, DELAY_MS_MAX)
    }
}

/// A swing over the day between -1 and 1, highest at 20:00 UTC.
fn hour_effect(at: Timestamp) -> f64 {
    let day = at.0.rem_euclid(86_400_000) as f64 / 86_400_000.0;
    ((day - 20.0 / 24.0) * std::f64::consts::TAU).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Ad, Spec, World};

    fn world() -> World {
        let spec = Spec::built_in().expect("good");
        let ad = |category: &str| Ad { advertiser: "shop".into(), category: category.into() };
        let ads = spec.category.iter().map(|c| (format!("c-{}", c.name), ad(&c.name))).collect();
        World::new(spec, ads, 300, 11)
    }

    fn showing<'a>(world: &World, n: u32, campaign: &'a str) -> Showing<'a> {
        Showing {
            at: Timestamp(i64::from(n) * 977_000),
            user: n,
            intent: world.user(n).tastes[n as usize % 3].0,
            seen: &[],
            publisher: n as u16 * 7,
            slot: world.publisher(n as u16 * 7).slots[0],
            campaign,
            creative: campaign,
        }
    }

    #[test]
    fn random_ads_get_two_or_three_percent_and_the_best_several_times_that() {
        let world = world();
        let names: Vec<_> = world.ads.keys().cloned().collect();
        let (mut random, mut best) = (0.0, 0.0);
        for n in 0..2_000 {
            let rates = names.iter().map(|name| world.click_probability(&showing(&world, n, name)));
            let rates: Vec<_> = rates.collect();
            random += rates.iter().sum::<f64>() / rates.len() as f64 / 2_000.0;
            best += rates.iter().copied().fold(0.0, f64::max) / 2_000.0;
        }
        assert!((0.018..0.032).contains(&random), "{random}");
        assert!(best > 3.0 * random, "{best} against {random}");
    }

    #[test]
    fn intent_makes_purchases_likelier_and_unknown_ads_match_nobody() {
        let world = world();
        let other = world.ads.keys().next().expect("an ad").clone();
        let mut base = showing(&world, 1, &other);
        base.intent = world.category_of(&other).expect("known");
        let matched = world.conversion_probability(&base);
        base.intent = base.intent.wrapping_add(1);
        assert!(matched > 2.0 * world.conversion_probability(&base));
        assert!(world.click_probability(&showing(&world, 1, "unheard of")) > 0.0);
    }

    #[test]
    fn purchases_come_within_minutes_to_hours() {
        let world = world();
        let mut rng = stream(1, Purpose::Outcome, 1);
        let mut delays: Vec<_> =
            (0..1_001).map(|_| world.spec.conversion.delay_ms(&mut rng) / 60_000).collect();
        delays.sort_unstable();
        assert!((35..55).contains(&delays[500]), "{}", delays[500]);
        assert!(delays[1_000] <= 1_440);
    }
}
