//! What the demo found: one object, printed as tables or as JSON.

use super::pass::Pass;
use super::promises;
use crate::budget::DayNumber;
use crate::simulate::{Decile, Lift, deciles, lift};
use crate::units::Nanos;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Shows of a day that the model has to warm up, of a thousand.
const WARM_UP_PERMILLE: usize = 100;

/// The end of a demo.
#[derive(Serialize)]
pub struct Summary {
    requests: u64,
    answered: u64,
    bids: u64,
    wins: u64,
    clicks: u64,
    conversions: u64,
    no_bid_reasons: Value,
    campaigns: Vec<Campaign>,
    arms: BTreeMap<String, Arm>,
    lifts: BTreeMap<String, LiftOf>,
    auc: Option<f64>,
    auc_of_truth: Option<f64>,
    /// Of the arm `full` on all paced days, without their first tenth; so are the deciles.
    predicted_over_actual: Option<f64>,
    /// Clicks that were to be expected of those shows.
    warm_clicks: f64,
    deciles: Vec<Decile>,
    latency_us: BTreeMap<String, Stage>,
    epsilon_spent: f64,
    delta: f64,
    own_bids_refused_by_exchange: u64,
    engine: Value,
}

/// What a campaign did on the last paced day.
#[derive(Default, Serialize)]
pub struct Campaign {
    pub id: String,
    /// How many of its own days the simulated day touches: 2 in other time zones.
    pub days: i128,
    /// The budget of all of them.
    #[serde(serialize_with = "as_text")]
    pub budget_nanos: Nanos,
    /// This and the next two are of those days too, and together never above the budget.
    #[serde(serialize_with = "as_text")]
    pub billed_nanos: Nanos,
    #[serde(serialize_with = "as_text")]
    pub late_nanos: Nanos,
    #[serde(serialize_with = "as_text")]
    pub leased_nanos: Nanos,
    #[serde(serialize_with = "as_text")]
    pub absorbed_nanos: Nanos,
    /// What the exchange says that it billed.
    #[serde(serialize_with = "as_text")]
    pub exchange_billed_nanos: Nanos,
    /// Minute of the day at which 98 % of the budget were spent, with pacing and without.
    pub minute_spent_98: Option<u32>,
    pub minute_spent_98_unpaced: Option<u32>,
    /// Whether it could spend far more than it may.
    pub is_tight: bool,
    pub impressions: u64,
    pub clicks: u64,
    pub conversions: u64,
}

#[derive(Default, Serialize)]
struct Arm {
    impressions: u64,
    clicks: u64,
    ctr: f64,
    /// The mean of the true click probabilities: the rate without chance.
    true_ctr: f64,
}

/// How much more often `full` is clicked than another arm.
#[derive(Serialize)]
pub struct LiftOf {
    pub ratio: f64,
    /// The same of the true click probabilities, over all seeds: without chance.
    pub true_ratio: f64,
    /// Bounds of the 95 % interval; absent with one seed.
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

#[derive(Serialize)]
struct Stage {
    count: u64,
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

fn as_text<S: serde::Serializer>(amount: &Nanos, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&amount.0)
}

/// Reads `path` of a report; money comes as text.
fn amount(report: &Value, path: &str) -> Nanos {
    let text = report.pointer(path).and_then(Value::as_str);
    Nanos(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// A sum over a campaign's days up to `last_day`. Notices are awaited into the night, and the day that
/// has begun by then has leases of its own.
fn played(account: &Value, part: &str, last_day: DayNumber) -> Nanos {
    let total = amount(account, &format!("/total/{part}"));
    match account["number"].as_i64() {
        Some(day) if day > i64::from(last_day.0) => {
            total - amount(account, &format!("/day/{part}"))
        }
        _ => total,
    }
}

impl Summary {
    /// Of days with pacing (the last one is shown in full) and one without.
    pub fn of(paced: &[Pass], unpaced: &Pass) -> anyhow::Result<Self> {
        let last = paced.last().ok_or_else(|| anyhow::anyhow!("no day was played"))?;
        let report = last.day.engine_report.as_ref();
        let report = report.ok_or_else(|| anyhow::anyhow!("the engine made no report"))?;
        let totals = &last.day.totals;
        let warm = paced.iter().flat_map(|pass| pass.day.model_and_truth(WARM_UP_PERMILLE));
        let warm: Vec<_> = warm.collect();
        let (predicted, actual) = warm
            .iter()
            .fold((0.0, 0.0), |(predicted, actual), pair| (predicted + pair.0, actual + pair.1));
        let arms = arms(paced);
        Ok(Self {
            requests: totals.requests,
            answered: totals.answered,
            bids: totals.bids,
            wins: totals.wins,
            clicks: totals.clicks,
            conversions: totals.conversions,
            no_bid_reasons: report["no_bid_reasons"].clone(),
            campaigns: campaigns(last, unpaced, report),
            lifts: lifts(paced, &arms),
            arms,
            auc: last.day.auc(),
            auc_of_truth: last.day.auc_of_truth(),
            predicted_over_actual: (actual > 0.0).then_some(predicted / actual),
            warm_clicks: actual,
            deciles: deciles(&warm),
            latency_us: latency(&last.latency),
            epsilon_spent: report["privacy"]["epsilon_spent"].as_f64().unwrap_or(f64::NAN),
            delta: report["privacy"]["delta"].as_f64().unwrap_or(f64::NAN),
            own_bids_refused_by_exchange: last.day.defects.values().sum(),
            engine: report.clone(),
        })
    }

    /// One line for each promise of the demo that was not kept.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken =
            promises::broken(&self.campaigns, &self.lifts, self.own_bids_refused_by_exchange);
        broken.extend(promises::miscalibrated(self.predicted_over_actual, self.warm_clicks));
        broken
    }

    /// Tables for a person.
    pub fn print(&self) {
        println!("{}", self.traffic_table());
        println!("{}", self.money_table());
        println!("{}", self.pacing_lines());
        println!("{}", self.arm_table());
        println!("{}", self.decile_table());
        println!("{}", self.latency_table());
        let over = self.campaigns.iter().filter(|c| c.is_over()).count();
        println!(
            "budgets passed: {over}   epsilon spent: {:.3} of a user-day at delta {:e}",
            self.epsilon_spent, self.delta
        );
    }

    fn traffic_table(&self) -> Table {
        let mut table = table(["traffic", ""]);
        for (name, count) in [
            ("requests", self.requests),
            ("answered with a bid", self.answered),
            ("bids", self.bids),
            ("wins", self.wins),
            ("clicks", self.clicks),
            ("conversions", self.conversions),
            ("bids the exchange refused", self.own_bids_refused_by_exchange),
        ] {
            table.add_row([name.to_owned(), count.to_string()]);
        }
        for (reason, count) in self.no_bid_reasons.as_object().into_iter().flatten() {
            if count != &Value::from(0) {
                table.add_row([format!("no bid: {reason}"), count.to_string()]);
            }
        }
        table
    }

    fn money_table(&self) -> Table {
        let mut table = table([
            "campaign", "tight", "days", "budget", "billed", "%", "late", "leased", "absorbed",
            "98 % at", "unpaced", "shown", "clicks", "conv.",
        ]);
        let clock = |minute: Option<u32>| {
            minute.map_or("-".to_owned(), |m| format!("{:02}:{:02}", m / 60, m % 60))
        };
        for c in &self.campaigns {
            let share = 100.0 * c.billed_nanos.0 as f64 / c.budget_nanos.0.max(1) as f64;
            table.add_row([
                c.id.clone(),
                if c.is_tight { "*" } else { "" }.to_owned(),
                c.days.to_string(),
                c.budget_nanos.to_string(),
                c.billed_nanos.to_string(),
                format!("{share:.1}"),
                c.late_nanos.to_string(),
                c.leased_nanos.to_string(),
                c.absorbed_nanos.to_string(),
                clock(c.minute_spent_98),
                clock(c.minute_spent_98_unpaced),
                c.impressions.to_string(),
                c.clicks.to_string(),
                c.conversions.to_string(),
            ]);
        }
        table
    }

    fn pacing_lines(&self) -> String {
        let [tight, spent, lasted, both] = promises::counts(&self.campaigns);
        format!(
            "* tight: with pacing off, 98 % are gone before 14:24 (60 % of the simulated UTC day). \
             Of {tight} (of {}),\n  {spent} spent at least 98 %, {lasted} had money until 21:36 \
             (90 %), {both} did both. `%` is of the budget for\n  the simulated day; where that \
             touches 2 days of a campaign's own time zone, of both, and nothing is promised.",
            self.campaigns.len(),
        )
    }

    fn arm_table(&self) -> Table {
        let mut table =
            table(["arm", "impressions", "clicks", "CTR %", "true CTR %", "full / arm"]);
        for (name, arm) in &self.arms {
            let lift = self.lifts.get(name).map_or(String::new(), |lift| {
                let interval = lift.lower.zip(lift.upper);
                let interval =
                    interval.map(|(lower, upper)| format!(" ({lower:.2} to {upper:.2})"));
                format!("{:.2}{}", lift.ratio, interval.unwrap_or_default())
            });
            table.add_row([
                name.clone(),
                arm.impressions.to_string(),
                arm.clicks.to_string(),
                format!("{:.2}", 100.0 * arm.ctr),
                format!("{:.2}", 100.0 * arm.true_ctr),
                lift,
            ]);
        }
        table
    }

    fn decile_table(&self) -> Table {
        let mut table = table(["decile", "predicted %", "true %", "predicted / true"]);
        for (number, decile) in self.deciles.iter().enumerate() {
            table.add_row([
                (number + 1).to_string(),
                format!("{:.2}", 100.0 * decile.predicted),
                format!("{:.2}", 100.0 * decile.actual),
                format!("{:.2}", decile.predicted / decile.actual),
            ]);
        }
        let figure =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        table.add_row([
            "all, after 10 %".to_owned(),
            format!("AUC {}", figure(self.auc)),
            format!("AUC of truth {}", figure(self.auc_of_truth)),
            figure(self.predicted_over_actual),
        ]);
        table
    }

    fn latency_table(&self) -> Table {
        let mut table = table(["stage, us", "count", "p50", "p99", "p99.9", "max"]);
        for (stage, figures) in &self.latency_us {
            table.add_row([
                stage.clone(),
                figures.count.to_string(),
                format!("{:.1}", figures.p50),
                format!("{:.1}", figures.p99),
                format!("{:.1}", figures.p999),
                format!("{:.1}", figures.max),
            ]);
        }
        table
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(header);
    table
}

fn campaigns(last: &Pass, unpaced: &Pass, report: &Value) -> Vec<Campaign> {
    let accounts = report["budget"]["campaigns"].as_array().cloned().unwrap_or_default();
    let mut campaigns = Vec::new();
    for account in &accounts {
        let id = account["campaign"].as_u64().unwrap_or(0);
        let Some(name) = last.names.get(&id) else { continue };
        let budget = last.budgets.get(name).copied().unwrap_or_default();
        let in_usd = last.budgets_usd.get(name).copied().unwrap_or_default();
        let books = last.day.campaigns.get(name).cloned().unwrap_or_default();
        let without = unpaced.day.campaigns.get(name).cloned().unwrap_or_default();
        let days = last.days.get(name).copied().unwrap_or(1);
        let last_day = last.last_days.get(name).copied().unwrap_or_default();
        let of_days = |part: &str| played(&account["account"], part, last_day);
        let minute_spent_98_unpaced = without.minute_of(in_usd, 980);
        campaigns.push(Campaign {
            id: name.clone(),
            days,
            is_tight: promises::is_tight(days, minute_spent_98_unpaced),
            budget_nanos: budget,
            billed_nanos: of_days("billed"),
            late_nanos: of_days("late"),
            leased_nanos: of_days("leased"),
            absorbed_nanos: amount(account, "/account/total/absorbed"),
            exchange_billed_nanos: books.billed,
            minute_spent_98: books.minute_of(in_usd, 980),
            minute_spent_98_unpaced,
            impressions: books.impressions,
            clicks: books.clicks,
            conversions: books.conversions,
        });
    }
    campaigns.sort_by(|one, other| one.id.cmp(&other.id));
    campaigns
}

fn arms(paced: &[Pass]) -> BTreeMap<String, Arm> {
    let mut arms: BTreeMap<String, Arm> = BTreeMap::new();
    for (name, books) in paced.iter().flat_map(|pass| &pass.day.arms) {
        let arm = arms.entry(name.clone()).or_default();
        arm.impressions += books.impressions;
        arm.clicks += books.clicks;
        arm.true_ctr += books.expected_clicks;
    }
    for arm in arms.values_mut() {
        let shown = arm.impressions.max(1) as f64;
        arm.ctr = arm.clicks as f64 / shown;
        arm.true_ctr /= shown;
    }
    arms
}

/// Lifts of the arm `full` over the others: by seed with an interval, else of the sums.
fn lifts(paced: &[Pass], arms: &BTreeMap<String, Arm>) -> BTreeMap<String, LiftOf> {
    let mut lifts = BTreeMap::new();
    let names = paced.iter().flat_map(|pass| pass.day.arms.keys());
    for name in names.filter(|name| *name != "full") {
        let rate = |pass: &Pass, arm: &str| pass.day.arms.get(arm).map(|arm| arm.click_rate());
        let rates: Vec<_> =
            paced.iter().filter_map(|pass| rate(pass, "full").zip(rate(pass, name))).collect();
        let true_ctr = |arm: &str| arms.get(arm).map_or(f64::NAN, |arm| arm.true_ctr);
        let true_ratio = true_ctr("full") / true_ctr(name);
        let of = match lift(&rates) {
            Some(Lift { ratio, lower, upper, .. }) => {
                LiftOf { ratio, true_ratio, lower: Some(lower), upper: Some(upper) }
            }
            None => {
                let ratio = rates.first().map_or(f64::NAN, |(full, other)| full / other);
                LiftOf { ratio, true_ratio, lower: None, upper: None }
            }
        };
        lifts.insert(name.clone(), of);
    }
    lifts
}

fn latency(merged: &Value) -> BTreeMap<String, Stage> {
    let stages = merged.as_object().into_iter().flatten();
    let stage = |(name, figures): (&String, &Value)| {
        let figure = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
        let stage = Stage {
            count: figures["count"].as_u64().unwrap_or(0),
            p50: figure("p50_us"),
            p99: figure("p99_us"),
            p999: figure("p999_us"),
            max: figure("max_us"),
        };
        (name.clone(), stage)
    };
    stages.map(stage).collect()
}
