//! The learner: shows and clicks in, model snapshots out. No actor, clock or socket here.

use super::calibration::{Calibration, Calibrator, EXCHANGES_MAX, SavedCalibration};
use super::config::{Config, Error};
use super::conversion::{ConversionCounters, ConversionHead};
use super::dp_ftrl::DpFtrl;
use super::features::{AD_FIELD_NAMES, AdFeatures, CONTEXT_FIELD_NAMES};
use super::join::{Admission, Example, JoinTable, Matched};
use super::model_file::{self, ModelFileError};
use super::online::{OnlineSample, fwfm_config};
use super::publish::{Publisher, Rebuilt};
use super::quality::{Quality, QualitySummary};
use super::released::ReleasedModel;
use super::saved::{SavedFwfm, SavedShadows};
use super::score::ModelSnapshot;
use super::shadows::Shadows;
use crate::hash;
use crate::privacy::{GradientTotals, Taught};
use crate::units::{HoldId, Timestamp, UserKey};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Arms of an experiment whose quality is kept apart; more would be labels without bound.
pub(super) const ARMS: usize = 4;

/// Keeps the choice of negatives apart from whatever else is drawn by holds.
const SAMPLING_SALT: u64 = 0x6e65_6761_7469_7665;

/// What came in and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Shows that were let in to wait.
    pub impressions: u64,
    /// Shows whose hold was waiting already.
    pub duplicate_impressions: u64,
    /// Shows that came after their own window.
    pub stale_impressions: u64,
    /// Shows turned away because the join table was full: lost to the model.
    pub dropped_impressions: u64,
    /// First clicks of waiting shows.
    pub clicks: u64,
    /// Repeated clicks.
    pub duplicate_clicks: u64,
    /// Clicks after the show's window, whose show counts as not clicked.
    pub late_clicks: u64,
    /// Clicks of shows that nobody told us of, or that had left the table.
    pub unknown_clicks: u64,
    /// Shows whose window ended with a click.
    pub positives: u64,
    /// Shows whose window ended without.
    pub negatives: u64,
    /// Shows without a click that were left out ([`Config::negative_rate`]).
    pub sampled_out: u64,
    /// Outcomes that the model learned from.
    pub learned: u64,
    /// Outcomes of exchanges beyond those whose quality is kept apart.
    pub exchanges_refused: u64,
}

/// The learner's state in figures.
#[derive(Clone, Debug, Serialize)]
pub struct LearnerStatus {
    /// The last published snapshot.
    pub epoch: u64,
    /// Holds in the join table.
    pub waiting: usize,
    /// For how long the oldest show whose window has ended waits to be learned, in ms.
    pub lag_ms: i64,
    /// What came in.
    pub counters: Counters,
    /// Ads that keep a row.
    pub ads: usize,
    /// Ads refused a row because their slot number is too high.
    pub ads_refused: u64,
    /// What the last publication wrote.
    pub rebuilt: Rebuilt,
    /// Ad rows that are older than the weights and wait for the next publications.
    pub rows_waiting: usize,
    /// Which of the configured rates serves, counted from 0.
    pub serving: usize,
    /// The decayed progressive log loss of the model with each of the rates.
    pub shadow_losses: Vec<f64>,
    /// The learned coefficient of the campaign's prior.
    pub prior_weight: f32,
    /// The probabilities that were bid on, against their outcomes.
    pub served: QualitySummary,
    /// The same by arm of the experiment.
    pub arms: Vec<QualitySummary>,
    /// The same of what the model itself predicted, after calibration.
    pub model: QualitySummary,
    /// That by exchange, each under the id of its feature ([`super::exchange_feature`]).
    pub exchanges: Vec<(u32, QualitySummary)>,
    /// Clicks and their conversions.
    pub conversions: ConversionCounters,
    /// Clicks that wait for conversions.
    pub conversions_waiting: usize,
    /// The model's own prediction of each example just before it learned from it (progressive
    /// validation), among the examples that it sees ([`Config::negative_rate`]).
    pub progressive: QualitySummary,
}

/// What a learner has learned. Shows that wait for their clicks are not in it: the next process
/// counts what comes for them as unknown.
#[derive(Serialize, Deserialize)]
pub struct SavedLearner {
    map: u64,
    epoch: u64,
    body: Body,
}

/// The click models, the calibration, the conversion head, and what was released where weights come
/// from releases.
type Body = (SavedShadows, Option<SavedCalibration>, SavedFwfm, Option<DpFtrl>);

impl SavedLearner {
    /// The model file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        model_file::encode(self.map, self.epoch, &self.body)
    }

    /// What the model file at `path` keeps; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not one of the model that `config` asks for.
    pub fn read(config: &Config, path: &Path) -> Result<Option<Self>, ModelFileError> {
        let map = map_of(config);
        let found = model_file::read(path, map).map_err(|error| told_apart(error, config))?;
        Ok(found.map(|(epoch, body)| Self { map, epoch, body }))
    }
}

/// The digest of the engine's feature map.
fn map_of(config: &Config) -> u64 {
    let kind = config.released_day_decay.map(|_| "dp-ftrl");
    let names = CONTEXT_FIELD_NAMES.into_iter().chain(AD_FIELD_NAMES).chain(kind);
    model_file::map_digest(names, &fwfm_config(config), &config.rates)
}

/// Says so where only the size of the vectors is another: the one shape that people change.
fn told_apart(error: ModelFileError, config: &Config) -> ModelFileError {
    let ModelFileError::OtherMap { found: map } = error else { return error };
    let of = |dim| map_of(&Config { dim, ..config.clone() });
    match [8, 16].into_iter().find(|&dim| of(dim) == map) {
        Some(found) => ModelFileError::OtherDim { found, expected: config.dim },
        None => error,
    }
}

/// The model, its join table and its figures.
pub struct Learner {
    map: u64,
    model: Shadows,
    calibrator: Option<Calibrator>,
    conversions: ConversionHead,
    released: Option<ReleasedModel>,
    negative_rate: f64,
    /// Shows from before were scored by a model that no longer serves, and tell nothing of the present
    /// one's errors.
    calibrates_from: Timestamp,
    publisher: Publisher,
    join: JoinTable,
    snapshot: Arc<ModelSnapshot>,
    is_changed: bool,
    counters: Counters,
    rebuilt: Rebuilt,
    ads: usize,
    served: Quality,
    arms: [Quality; ARMS],
    by_model: Quality,
    exchanges: Vec<(u32, Quality)>,
    progressive: Quality,
}

impl Learner {
    /// A learner that has seen nothing.
    ///
    /// # Errors
    /// When a setting lies outside its range.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.validate()?;
        let model = Shadows::new(&fwfm_config(config), &config.rates)?;
        let mut publisher = Publisher::new(model.serving());
        let snapshot = publisher.snapshot(model.serving(), Calibration::default(), None);
        Ok(Self {
            map: map_of(config),
            model,
            conversions: ConversionHead::new(config)?,
            released: ReleasedModel::new(config),
            negative_rate: config.negative_rate,
            calibrates_from: Timestamp(i64::MIN),
            calibrator: config.calibration.then(|| Calibrator::new(config.base_logit())),
            publisher,
            join: JoinTable::new(config.click_window_ms, config.join_max),
            snapshot,
            is_changed: false,
            counters: Counters::default(),
            rebuilt: Rebuilt::default(),
            ads: 0,
            served: Quality::default(),
            arms: Default::default(),
            by_model: Quality::default(),
            exchanges: Vec::new(),
            progressive: Quality::default(),
        })
    }

    /// A learner that goes on where an earlier one was saved.
    ///
    /// # Errors
    /// When what was saved is not of such models as `config` asks for.
    pub fn resume(config: &Config, saved: SavedLearner) -> Result<Self, ModelFileError> {
        let unsound = ModelFileError::Unsound;
        let mut learner = Self::new(config).map_err(|_| unsound("settings"))?;
        let SavedLearner { epoch, body: (models, calibration, conversions, released), .. } = saved;
        learner.model = Shadows::restore(&fwfm_config(config), &config.rates, models)?;
        if let (Some(calibrator), Some(saved)) = (&mut learner.calibrator, calibration) {
            let restored = Calibrator::restore(config.base_logit(), saved);
            *calibrator = restored.ok_or(unsound("calibration"))?;
        }
        learner.conversions.take_over(conversions)?;
        if let (Some(own), Some(saved)) = (&mut learner.released, released) {
            if !own.take_over(saved) {
                return Err(unsound("released sums"));
            }
            own.give(learner.model.serving_mut());
        }
        learner.publisher.count_from(epoch);
        learner.is_changed = true;
        Ok(learner)
    }

    /// A copy of what was learned.
    #[must_use]
    pub fn to_saved(&self) -> SavedLearner {
        let calibration = self.calibrator.as_ref().map(Calibrator::to_saved);
        let released = self.released.as_ref().map(|released| released.state.clone());
        let body = (self.model.to_saved(), calibration, self.conversions.to_saved(), released);
        SavedLearner { map: self.map, epoch: self.snapshot.epoch(), body }
    }

    /// An ad was shown: it waits for its click.
    pub fn impression(&mut self, example: Box<Example>) {
        let counter = match self.join.admit(example) {
            Admission::Waiting => &mut self.counters.impressions,
            Admission::Duplicate => &mut self.counters.duplicate_impressions,
            Admission::Stale => &mut self.counters.stale_impressions,
            Admission::Full => &mut self.counters.dropped_impressions,
        };
        *counter += 1;
    }

    /// An ad was clicked, which is learned when its window ends.
    pub fn click(&mut self, hold: HoldId, at: Timestamp) {
        let counter = match self.join.click(hold, at) {
            Matched::First => {
                let learns = |example: &&Example| example.learn && self.released.is_none();
                if let Some(example) = self.join.example(hold).filter(learns) {
                    self.conversions.click(example, at);
                }
                &mut self.counters.clicks
            }
            Matched::Duplicate => &mut self.counters.duplicate_clicks,
            Matched::Late => &mut self.counters.late_clicks,
            Matched::Unknown => &mut self.counters.unknown_clicks,
        };
        *counter += 1;
    }

    /// A click became a conversion, which was at `at`.
    pub fn convert(&mut self, hold: HoldId, at: Timestamp) {
        self.conversions.convert(hold, at);
    }

    /// Drops what waits of these users: shows for their clicks, clicks for their conversions. Returns
    /// how much.
    pub fn forget(&mut self, users: &[UserKey]) -> usize {
        self.join.forget(users) + self.conversions.forget(users)
    }

    /// Moves the present to `now` (never back).
    pub fn advance(&mut self, now: Timestamp) {
        self.join.advance(now);
        self.model.advance(now);
        self.conversions.advance(now);
    }

    /// Learns from shows whose windows have ended, in the order of their windows: about 6 µs each, at
    /// most `count` of them. Whether there may be more.
    pub fn learn_ended(&mut self, count: usize) -> bool {
        let has_clicks = self.conversions.expire(count);
        for _ in 0..count {
            let Some((example, is_clicked)) = self.join.next_ended() else { return has_clicks };
            let counter = if is_clicked {
                &mut self.counters.positives
            } else {
                &mut self.counters.negatives
            };
            *counter += 1;
            self.outcome(&example, is_clicked);
        }
        true
    }

    /// What was taught since this was asked last, for the releases to bound, sum and noise; nothing
    /// where the model learns by itself.
    pub fn take_taught(&mut self) -> Vec<Taught> {
        self.released.as_mut().map(ReleasedModel::take_taught).unwrap_or_default()
    }

    /// Takes over the weights that follow from what was released.
    pub fn follow_releases(&mut self, totals: &GradientTotals) {
        if let Some(released) = &mut self.released {
            self.is_changed |= released.follow(totals, self.model.serving_mut());
        }
    }

    /// Replaces the ads that snapshots keep rows of. Takes about 0.3 µs an ad.
    pub fn replace_ads(&mut self, ads: &[AdFeatures]) {
        self.ads = self.publisher.replace_ads(self.model.serving(), ads);
        if self.released.is_none() {
            self.conversions.replace_ads(ads);
        }
        self.is_changed = true;
    }

    /// Says which epoch of the catalog the ads are from, so that snapshots may bound their scores.
    pub fn follow(&mut self, catalog: u64) {
        self.publisher.catalog = Some(catalog);
        self.is_changed = true;
    }

    /// The model as it stands, as a snapshot; but for ad rows that only hear of changes which many ads
    /// share some publications later, [`LearnerStatus::rows_waiting`] of them. The same snapshot as before if nothing changed.
    pub fn publish(&mut self) -> Arc<ModelSnapshot> {
        let has_head = self.released.is_none();
        if self.is_changed || has_head && self.conversions.is_changed() {
            self.rebuilt = self.publisher.refresh(self.model.serving());
            self.model.clear_touched();
            let calibrator = self.calibrator.as_ref();
            let calibration = calibrator.map_or_else(Calibration::default, Calibrator::snapshot);
            self.snapshot = self.publisher.snapshot(
                self.model.serving(),
                calibration,
                has_head.then(|| self.conversions.publish()),
            );
            self.is_changed = self.publisher.waiting() > 0;
        }
        Arc::clone(&self.snapshot)
    }

    /// The figures.
    #[must_use]
    pub fn status(&self) -> LearnerStatus {
        LearnerStatus {
            epoch: self.snapshot.epoch(),
            waiting: self.join.len(),
            lag_ms: self.join.lag_ms(),
            counters: self.counters,
            ads: self.ads,
            ads_refused: self.publisher.ads_refused,
            rebuilt: self.rebuilt,
            rows_waiting: self.publisher.waiting(),
            serving: self.model.serving_number(),
            shadow_losses: self.model.losses(),
            prior_weight: self.model.serving().prior_weight(),
            served: self.served.summary(),
            arms: self.arms.iter().map(Quality::summary).collect(),
            model: self.by_model.summary(),
            exchanges: self.exchanges.iter().map(|(id, one)| (*id, one.summary())).collect(),
            conversions: self.conversions.counters(),
            conversions_waiting: self.conversions.waiting(),
            progressive: self.progressive.summary(),
        }
    }

    fn outcome(&mut self, example: &Example, is_clicked: bool) {
        self.served.record(example.predicted, is_clicked);
        let arm = usize::from(example.arm).min(ARMS - 1);
        self.arms[arm].record(example.predicted, is_clicked);
        if example.logit.is_finite() {
            self.calibrate(example, is_clicked);
        }
        if !example.learn {
            return;
        }
        if let Some(released) = &mut self.released {
            let predicted = released.teach(example, is_clicked, self.model.serving());
            self.progressive.record(predicted, is_clicked);
            self.counters.learned += 1;
            return;
        }
        if !is_clicked && !self.is_seen(example.hold) {
            self.counters.sampled_out += 1;
            return;
        }
        let base_logit = self.model.serving().base_logit();
        let online = OnlineSample::new(&example.context, &example.ad, example.cross, base_logit);
        let served = self.model.serving_number();
        let predicted = self.model.learn(&online.sample(), is_clicked, 1.0);
        if self.model.serving_number() != served {
            self.calibrates_from = self.join.now();
            self.calibrator.iter_mut().for_each(Calibrator::loosen);
        }
        let among_seen = self.model.serving().among_seen(predicted);
        self.progressive.record(among_seen, is_clicked);
        self.counters.learned += 1;
        self.is_changed = true;
    }
}

impl Learner {
    /// Whether the model sees a show without a click. The same hold always has the same answer.
    fn is_seen(&self, hold: HoldId) -> bool {
        let drawn = (hash::mix(hold.key() ^ SAMPLING_SALT) >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < self.negative_rate
    }

    /// What the model itself predicted, against what came.
    fn calibrate(&mut self, example: &Example, is_clicked: bool) {
        self.by_model.record(example.predicted, is_clicked);
        let exchange = example.context.exchange();
        let is_known = self.exchanges.iter().any(|(id, _)| *id == exchange);
        if !is_known && self.exchanges.len() < EXCHANGES_MAX {
            self.exchanges.push((exchange, Quality::default()));
        }
        match self.exchanges.iter_mut().find(|(id, _)| *id == exchange) {
            Some((_, quality)) => quality.record(example.predicted, is_clicked),
            None => self.counters.exchanges_refused += 1,
        }
        let is_of_present = example.at >= self.calibrates_from;
        if let Some(calibrator) = self.calibrator.as_mut().filter(|_| is_of_present) {
            calibrator.learn(exchange, example.calibration_group, example.logit, is_clicked);
            self.is_changed = true;
        }
    }
}

impl Learner {
    /// Learns from every show whose window has ended by `now`.
    pub fn expire(&mut self, now: Timestamp) {
        self.advance(now);
        while self.learn_ended(64) {}
    }
}

#[cfg(test)]
impl Learner {
    /// The model, to compare snapshots with.
    pub(super) fn model(&self) -> &super::Fwfm {
        self.model.serving()
    }
}
