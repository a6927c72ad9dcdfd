//! How good predicted probabilities are.
//!
//! AUC is exact, ties counting half. Normalised entropy is log loss over that of the base rate alone
//! (He et al., ADKDD 2014): below 1 a model knows more than the base rate. ECE is the expected
//! calibration error, `Σ_bins share × |mean predicted − rate|` (Naeini et al., AAAI 2015), over bins of
//! equal mass (sorted by prediction) and of equal width.

use serde::Serialize;

/// Probabilities count as no surer than this, so that one wrong certainty is no infinite loss. It is
/// near what `f32` can tell from 1.
const CERTAINTY_MIN: f64 = 1e-7;

/// What was predicted of one example, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The probability of a positive.
    pub predicted: f32,
    /// How much the example counts; below 0 for a negative, so that a row takes 8 bytes.
    signed_weight: f32,
}

impl Scored {
    /// Of an example with this outcome and this weight, 0 or more.
    #[must_use]
    pub fn new(predicted: f32, is_positive: bool, weight: f32) -> Self {
        let size = weight.abs();
        Self { predicted, signed_weight: if is_positive { size } else { -size } }
    }

    /// Whether it was positive.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.signed_weight.is_sign_positive()
    }

    /// How much it counts.
    #[must_use]
    pub fn weight(self) -> f64 {
        f64::from(self.signed_weight.abs())
    }

    /// Its log loss.
    #[must_use]
    pub fn log_loss(self) -> f64 {
        let predicted = f64::from(self.predicted).clamp(CERTAINTY_MIN, 1.0 - CERTAINTY_MIN);
        if self.is_positive() { -predicted.ln() } else { -(1.0 - predicted).ln() }
    }
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// The weight of its examples.
    pub weight: f64,
    /// Their mean prediction.
    pub predicted: f64,
    /// The share of positives among them.
    pub actual: f64,
}

/// All metrics of some examples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// How many examples.
    pub rows: u64,
    /// Their weight.
    pub weight: f64,
    /// The share of positives.
    pub rate: f64,
    /// Probability that a positive is ranked above a negative; `None` without both.
    pub auc: Option<f64>,
    /// Mean log loss, in nats.
    pub log_loss: f64,
    /// Normalised entropy; `None` where all examples are alike.
    pub ne: Option<f64>,
    /// Expected calibration error over bins of equal mass.
    pub ece: f64,
    /// The same over bins of equal width.
    pub ece_equal_width: f64,
    /// Predicted positives over actual ones; `None` without any.
    pub predicted_over_actual: Option<f64>,
    /// Bins of equal mass, from the lowest predictions to the highest.
    pub bins: Vec<Bin>,
}

impl Metrics {
    /// Of `scored`, with so many bins.
    #[must_use]
    pub fn of(scored: &[Scored], bins: usize) -> Self {
        let mut sorted = scored.to_vec();
        sorted.sort_unstable_by(|left, right| left.predicted.total_cmp(&right.predicted));
        let all = Sums::of(&sorted);
        let loss: f64 = sorted.iter().map(|each| each.weight() * each.log_loss()).sum();
        let log_loss = all.per_weight(loss);
        let rate = all.per_weight(all.positive);
        let entropy = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
        let masses = by_mass(&sorted, &all, bins.max(1));
        let widths = by_width(&sorted, bins.max(1));
        let actual = (all.positive > 0.0).then_some(all.positive);
        Self {
            rows: sorted.len() as u64,
            weight: all.weight,
            rate,
            auc: auc(&sorted),
            log_loss,
            ne: (entropy > 0.0).then(|| log_loss / entropy),
            ece: all.per_weight(calibration_error(&masses)),
            ece_equal_width: all.per_weight(calibration_error(&widths)),
            predicted_over_actual: actual.map(|actual| all.predicted / actual),
            bins: masses.iter().map(Sums::bin).collect(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    weight: f64,
    positive: f64,
    predicted: f64,
}

impl Sums {
    fn of(scored: &[Scored]) -> Self {
        let mut sums = Self::default();
        scored.iter().for_each(|each| sums.add(*each));
        sums
    }

    fn add(&mut self, each: Scored) {
        let weight = each.weight();
        self.weight += weight;
        self.positive += if each.is_positive() { weight } else { 0.0 };
        self.predicted += weight * f64::from(each.predicted);
    }

    fn per_weight(&self, sum: f64) -> f64 {
        if self.weight > 0.0 { sum / self.weight } else { 0.0 }
    }

    fn bin(&self) -> Bin {
        let (predicted, actual) = (self.per_weight(self.predicted), self.per_weight(self.positive));
        Bin { weight: self.weight, predicted, actual }
    }
}

fn calibration_error(bins: &[Sums]) -> f64 {
    bins.iter().map(|bin| (bin.predicted - bin.positive).abs()).sum()
}

/// Bins of nearly the same weight; those that would be empty are left out.
fn by_mass(sorted: &[Scored], all: &Sums, count: usize) -> Vec<Sums> {
    let (mut bins, mut bin, mut before) = (Vec::with_capacity(count), Sums::default(), 0.0);
    for each in sorted {
        let bound = all.weight * (bins.len() + 1) as f64 / count as f64;
        // An example belongs where most of its weight lies.
        if before + each.weight() / 2.0 > bound && bin.weight > 0.0 && bins.len() + 1 < count {
            bins.push(std::mem::take(&mut bin));
        }
        bin.add(*each);
        before += each.weight();
    }
    if bin.weight > 0.0 {
        bins.push(bin);
    }
    bins
}

fn by_width(sorted: &[Scored], count: usize) -> Vec<Sums> {
    let mut bins = vec![Sums::default(); count];
    for each in sorted {
        let place = (f64::from(each.predicted) * count as f64) as usize;
        bins[place.min(count - 1)].add(*each);
    }
    bins
}

/// The area under the ROC curve of examples by ascending prediction (Mann, Whitney 1947).
fn auc(sorted: &[Scored]) -> Option<f64> {
    let (mut below, mut area, mut positives) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|left, right| left.predicted == right.predicted) {
        let sums = Sums::of(tied);
        let negatives = sums.weight - sums.positive;
        area += sums.positive * (below + negatives / 2.0);
        below += negatives;
        positives += sums.positive;
    }
    (positives > 0.0 && below > 0.0).then(|| area / (positives * below))
}
