//! Metrics against pencil and paper, against their definitions, and a planted stream against itself.

use super::{Example, Metrics, Planted, Scored};
use proptest::prelude::*;

fn scored(rows: &[(f32, u8)]) -> Vec<Scored> {
    rows.iter().map(|(predicted, label)| Scored::new(*predicted, *label == 1, 1.0)).collect()
}

#[test]
fn known_figures() {
    let metrics = Metrics::of(&scored(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]), 2);
    assert_eq!(metrics.auc, Some(0.75));
    let loss = -(0.9_f64.ln() + 0.6_f64.ln() + 0.35_f64.ln() + 0.8_f64.ln()) / 4.0;
    assert!((metrics.log_loss - loss).abs() < 1e-6);
    assert!((metrics.ne.expect("both labels") - loss / 2.0_f64.ln()).abs() < 1e-6);
    // Bins {.1, .35} and {.4, .8}: |.45 - 1| and |1.2 - 1| of 4 examples.
    assert!((metrics.ece - (0.55 + 0.2) / 4.0).abs() < 1e-6, "{}", metrics.ece);
    // Below and above .5: {.1, .35, .4} and {.8}.
    assert!((metrics.ece_equal_width - (0.15 + 0.2) / 4.0).abs() < 1e-6);
    assert!((metrics.predicted_over_actual.expect("positives") - 1.65 / 2.0).abs() < 1e-6);
    assert_eq!(metrics.bins.len(), 2);
}

#[test]
fn ties_count_half_and_one_label_has_no_auc() {
    assert_eq!(Metrics::of(&scored(&[(0.3, 0), (0.3, 1), (0.3, 1)]), 10).auc, Some(0.5));
    let alike = Metrics::of(&scored(&[(0.3, 0), (0.4, 0)]), 10);
    assert_eq!((alike.auc, alike.ne, alike.predicted_over_actual), (None, None, None));
    let none = Metrics::of(&[], 10);
    assert_eq!((none.rows, none.log_loss, none.bins.len()), (0, 0.0, 0));
    let certain = Metrics::of(&scored(&[(0.0, 1), (1.0, 0)]), 10);
    assert!(certain.log_loss.is_finite() && certain.log_loss > 10.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn auc_is_the_share_of_pairs_in_order(
        rows in prop::collection::vec((0_u8..12, 0_u8..2, 1_u8..4), 2..60)
    ) {
        let all: Vec<_> = rows
            .iter()
            .map(|(p, y, w)| Scored::new(f32::from(*p) / 12.0, *y == 1, f32::from(*w)))
            .collect();
        let (mut ordered, mut pairs) = (0.0, 0.0);
        for one in all.iter().filter(|each| each.is_positive()) {
            for other in all.iter().filter(|each| !each.is_positive()) {
                let weight = one.weight() * other.weight();
                pairs += weight;
                ordered += match one.predicted.total_cmp(&other.predicted) {
                    std::cmp::Ordering::Greater => weight,
                    std::cmp::Ordering::Equal => weight / 2.0,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        match Metrics::of(&all, 10).auc {
            None => prop_assert_eq!(pairs, 0.0),
            Some(auc) => prop_assert!((auc - ordered / pairs).abs() < 1e-9),
        }
    }

    #[test]
    fn weights_count_as_copies(
        rows in prop::collection::vec((0.01_f32..0.99, 0_u8..2, 0_u8..4), 1..40)
    ) {
        let weighted: Vec<_> =
            rows.iter().map(|(p, y, w)| Scored::new(*p, *y == 1, f32::from(*w))).collect();
        let copied: Vec<_> = rows
            .iter()
            .flat_map(|(p, y, w)| vec![Scored::new(*p, *y == 1, 1.0); usize::from(*w)])
            .collect();
        let (one, other) = (Metrics::of(&weighted, 1), Metrics::of(&copied, 1));
        prop_assert!((one.log_loss - other.log_loss).abs() < 1e-9);
        prop_assert!((one.ece - other.ece).abs() < 1e-9);
        prop_assert_eq!(one.auc.is_some(), other.auc.is_some());
        if let Some((one, other)) = one.auc.zip(other.auc) {
            prop_assert!((one - other).abs() < 1e-9);
        }
    }
}

#[test]
fn the_planted_optimum_is_calibrated_and_the_stream_reproducible() {
    let stream = |seed: u64| {
        let mut planted = Planted::new(seed, 12, 500);
        let mut example = Example::default();
        let draw = |_| (planted.draw(&mut example), example.features.clone());
        (0..20_000).map(draw).collect::<Vec<_>>()
    };
    let (one, again, other) = (stream(1), stream(1), stream(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let optimum = Metrics::of(&one.iter().map(|row| row.0).collect::<Vec<_>>(), 10);
    // Each bin of 2,000 has a deviation of at most .011; the sum of ten is seldom beyond .012.
    assert!(optimum.ece < 0.015, "true probabilities are calibrated: {optimum:?}");
    let ratio = optimum.predicted_over_actual.expect("positives");
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    assert!(optimum.auc.expect("both") > 0.6 && optimum.ne.expect("both") < 0.97, "{optimum:?}");
}
