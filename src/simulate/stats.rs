//! The few statistics that judge a day: AUC, calibration by decile, lift with its bound over seeds.

use serde::Serialize;

/// Area under the ROC curve of (score, positive) pairs: the probability that a positive scores
/// above a negative, ties counting half (Mann and Whitney 1947). `None` without both kinds.
#[must_use]
pub fn auc(pairs: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let positives = sorted.iter().filter(|pair| pair.1).count() as f64;
    let negatives = sorted.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut below = 0.0;
    let mut ordered = 0.0;
    for ties in sorted.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let tied_positives = ties.iter().filter(|pair| pair.1).count() as f64;
        let tied_negatives = ties.len() as f64 - tied_positives;
        ordered += tied_positives * (below + tied_negatives / 2.0);
        below += tied_negatives;
    }
    Some(ordered / (positives * negatives))
}

/// A tenth of the predictions, by size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Decile {
    /// How many.
    pub count: usize,
    /// Mean prediction.
    pub predicted: f64,
    /// Mean of what came.
    pub actual: f64,
}

/// (prediction, outcome) pairs in ten parts of equal size (within one), smallest predictions first.
/// Fewer pairs than ten give fewer parts.
#[must_use]
pub fn deciles(pairs: &[(f64, f64)]) -> Vec<Decile> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let edge = |part: usize| part * sorted.len() / 10;
    let parts = (0..10).map(|part| &sorted[edge(part)..edge(part + 1)]);
    let mean = |part: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        part.iter().map(of).sum::<f64>() / part.len() as f64
    };
    let filled = parts.filter(|part| !part.is_empty());
    let decile = |part: &[(f64, f64)]| Decile {
        count: part.len(),
        predicted: mean(part, |pair| pair.0),
        actual: mean(part, |pair| pair.1),
    };
    filled.map(decile).collect()
}

/// How many times better one rate is than another, over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lift {
    /// Geometric mean of the ratios.
    pub ratio: f64,
    /// Lower end of the two-sided 95 % interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Seeds that went in.
    pub seeds: usize,
}

/// The lift of (better, baseline) rates, one pair a seed: Student's interval of the logarithms of
/// the ratios. `None` with fewer than two usable pairs (both rates positive).
#[must_use]
pub fn lift(rates: &[(f64, f64)]) -> Option<Lift> {
    let usable = rates.iter().filter(|(better, baseline)| *better > 0.0 && *baseline > 0.0);
    let logs: Vec<f64> = usable.map(|(better, baseline)| (better / baseline).ln()).collect();
    let count = logs.len();
    if count < 2 {
        return None;
    }
    let mean = logs.iter().sum::<f64>() / count as f64;
    let squares = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
    let error = (squares / (count - 1) as f64 / count as f64).sqrt();
    let reach = student_95(count - 1) * error;
    Some(Lift {
        ratio: mean.exp(),
        lower: (mean - reach).exp(),
        upper: (mean + reach).exp(),
        seeds: count,
    })
}

/// The 0.975 quantile of Student's distribution; above 30 degrees of freedom by its expansion
/// around the normal one (Abramowitz and Stegun 26.7.5, first two terms).
fn student_95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    let normal = 1.959_964_f64;
    let expansion = |degrees: f64| normal + (normal.powi(3) + normal) / (4.0 * degrees);
    let known = degrees.checked_sub(1).and_then(|row| TABLE.get(row)).copied();
    known.unwrap_or_else(|| expansion(degrees.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_of_known_cases() {
        for (pairs, expected) in [
            (vec![(0.1, false), (0.9, true)], Some(1.0)),
            (vec![(0.9, false), (0.1, true)], Some(0.0)),
            (vec![(0.5, false), (0.5, true)], Some(0.5)),
            // Positives 3 and 2 against negatives 2 and 1: 1 + 1 + 1/2 + 1 of 4.
            (vec![(3.0, true), (2.0, true), (2.0, false), (1.0, false)], Some(0.875)),
            (vec![(0.5, true)], None),
            (vec![], None),
        ] {
            assert_eq!(auc(&pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn deciles_hold_everything_in_order() {
        let pairs: Vec<_> = (0..25).rev().map(|n| (f64::from(n), f64::from(n) * 2.0)).collect();
        let parts = deciles(&pairs);
        assert_eq!(parts.len(), 10);
        assert_eq!(parts.iter().map(|part| part.count).sum::<usize>(), 25);
        assert!(parts.is_sorted_by(|one, other| one.predicted < other.predicted));
        assert!(parts.iter().all(|part| (part.actual - 2.0 * part.predicted).abs() < 1e-9));
        assert_eq!(deciles(&pairs[..3]).iter().map(|part| part.count).sum::<usize>(), 3);
    }

    #[test]
    fn lift_has_students_interval() {
        // Logarithms ln 2 - 0.1, ln 2, ln 2 + 0.1: error 0.1 / sqrt 3, times 4.303.
        let rates = [-0.1_f64, 0.0, 0.1].map(|off| (2.0 * off.exp(), 1.0));
        let found = lift(&rates).expect("three seeds");
        assert!((found.ratio - 2.0).abs() < 1e-9);
        assert!((found.lower - 2.0 * (-4.303 * 0.1 / 3.0_f64.sqrt()).exp()).abs() < 1e-9);
        assert_eq!(found.seeds, 3);
        assert_eq!(lift(&[(1.0, 1.0), (1.0, 0.0)]), None);
        // Published quantiles for 40 and 100 degrees of freedom.
        assert!((student_95(40) - 2.021).abs() < 0.003 && (student_95(100) - 1.984).abs() < 0.002);
    }
}
