//! From zero-concentrated to approximate differential privacy.

/// Smallest and largest `ln(alpha - 1)` tried: the optimum lies near
/// `alpha = 1 + sqrt(ln(1/delta) / rho)`, which for every accepted `rho` and `delta` is well inside.
const LN_ORDER_RANGE: (f64, f64) = (-12.0, 30.0);
/// Grid steps before the refinement: 0.1 apart, far narrower than the valley.
const GRID_STEPS: u32 = 420;
/// Golden-section steps: each keeps 0.618 of the bracket, so 60 leave 1e-13 of it.
const REFINEMENTS: u32 = 60;

/// The smallest epsilon that `rho`-zCDP implies at `delta`: the minimum over `alpha > 1` of
/// `rho alpha + ln(1 - 1/alpha) + (ln(1/delta) - ln alpha) / (alpha - 1)`, never below 0
/// (Canonne, Kamath, Steinke 2020, corollary 13 solved for epsilon).
///
/// Infinite for a `rho` that is negative or NaN and for a `delta` outside (0, 1): what cannot be
/// accounted for protects nobody.
#[must_use]
pub fn epsilon(rho: f64, delta: f64) -> f64 {
    if let Some(epsilon) = without_search(rho, delta) {
        return epsilon;
    }
    let at = |ln_order: f64| {
        let excess = ln_order.exp();
        let alpha = 1.0 + excess;
        // ln(1 - 1/alpha) = ln(alpha - 1) - ln(alpha), and ln_1p keeps alpha near 1 exact.
        let ln_alpha = excess.ln_1p();
        rho * alpha + ln_order - ln_alpha + (-delta.ln() - ln_alpha) / excess
    };
    minimum(at).max(0.0)
}

/// The smallest delta that `rho`-zCDP implies at `epsilon`: the minimum over `alpha > 1` of
/// `exp((alpha - 1) (alpha rho - epsilon)) / (alpha - 1) (1 - 1/alpha)^alpha`, never above 1
/// (Canonne, Kamath, Steinke 2020, corollary 13).
///
/// 1 for a `rho` or `epsilon` that is negative or no number.
#[must_use]
pub fn delta(rho: f64, epsilon: f64) -> f64 {
    let is_usable = rho >= 0.0 && rho.is_finite() && epsilon >= 0.0;
    if !is_usable {
        return 1.0;
    }
    if rho == 0.0 {
        return 0.0;
    }
    let ln_delta = |ln_order: f64| {
        let excess = ln_order.exp();
        let alpha = 1.0 + excess;
        excess * (alpha * rho - epsilon) - ln_order + alpha * (ln_order - excess.ln_1p())
    };
    minimum(ln_delta).exp().min(1.0)
}

/// The smallest epsilon at `delta` of `rho`-zCDP together with purely private parts whose epsilons
/// are `pure`: added to epsilon, or as `epsilon^2 / 2` to rho, whichever is less. Both hold.
#[must_use]
pub fn epsilon_with_pure(rho: f64, pure: &[f64], delta: f64) -> f64 {
    let is_usable = pure.iter().all(|&part| part >= 0.0);
    if !is_usable {
        return f64::INFINITY;
    }
    let added = epsilon(rho, delta) + pure.iter().sum::<f64>();
    let squares: f64 = pure.iter().map(|part| part * part / 2.0).sum();
    added.min(epsilon(rho + squares, delta))
}

/// The minimum of a function of `ln(alpha - 1)` that has one valley.
fn minimum(function: impl Fn(f64) -> f64) -> f64 {
    let (low, high) = LN_ORDER_RANGE;
    let step = (high - low) / f64::from(GRID_STEPS);
    let best = (0..=GRID_STEPS)
        .map(|index| low + step * f64::from(index))
        .min_by(|one, other| function(*one).total_cmp(&function(*other)))
        .unwrap_or(low);
    golden_section(function, best - step, best + step)
}

/// Epsilon where there is nothing to look for: 0 where nothing is spent, infinite where the arguments
/// account for nothing.
pub(super) fn without_search(rho: f64, delta: f64) -> Option<f64> {
    if rho == 0.0 && delta > 0.0 {
        return Some(0.0);
    }
    let is_usable = rho > 0.0 && rho.is_finite() && delta > 0.0 && delta < 1.0;
    (!is_usable).then_some(f64::INFINITY)
}

/// The minimum of `function` in a bracket in which it has one valley.
fn golden_section(function: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..REFINEMENTS {
        let left = high - ratio * (high - low);
        let right = low + ratio * (high - low);
        if function(left) < function(right) {
            high = right;
        } else {
            low = left;
        }
    }
    function(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::tests::vectors;

    #[test]
    fn epsilon_matches_the_reference_to_a_billionth() {
        let mut checked = 0;
        for (file, rho, delta, expected) in [
            ("zcdp_to_eps.csv", "rho", "delta", "eps_cks20"),
            ("gaussian_composed.csv", "rho_zcdp", "delta", "eps_zcdp_cks20"),
        ] {
            for row in vectors(file, &[rho, delta, expected]) {
                let ours = epsilon(row[0], row[1]);
                // The files print 12 significant digits, which bounds what can be asked of big ones.
                let tolerance = 1e-9_f64.max(row[2] * 1e-11);
                assert!(
                    (ours - row[2]).abs() <= tolerance,
                    "{file}: rho {} delta {}: {ours} against {}",
                    row[0],
                    row[1],
                    row[2]
                );
                checked += 1;
            }
        }
        assert!(checked == 0 || checked == 48 + 216, "{checked} rows");
    }

    #[test]
    fn delta_matches_the_reference_to_a_billionth() {
        let rows = vectors("zcdp_to_delta.csv", &["rho", "eps", "delta_cks20"]);
        for row in &rows {
            let ours = delta(row[0], row[1]);
            assert!((ours - row[2]).abs() <= 1e-9 * row[2], "{row:?}: {ours}");
        }
        assert!(rows.is_empty() || rows.len() == 35, "{} rows", rows.len());
        // OpenDP's test suite has this value.
        assert!((delta(1.0 / 32.0, 0.0) - 0.150_845_784_562_286_2).abs() < 1e-12);
        assert_eq!((delta(0.0, 0.0), delta(f64::NAN, 1.0), delta(1.0, -1.0)), (0.0, 1.0, 1.0));
    }

    #[test]
    fn pure_parts_add_up_by_whichever_rule_is_less() {
        // Many small parts are less as rho, few large ones as epsilon.
        let small = epsilon_with_pure(0.1, &[0.01; 100], 1e-6);
        assert_eq!(small, epsilon(0.1 + 100.0 * 0.01 * 0.01 / 2.0, 1e-6));
        let large = epsilon_with_pure(0.1, &[5.0], 1e-6);
        assert_eq!(large, epsilon(0.1, 1e-6) + 5.0);
        assert_eq!(epsilon_with_pure(0.1, &[f64::NAN], 1e-6), f64::INFINITY);
        assert_eq!(epsilon_with_pure(0.0, &[0.0], 1e-6), 0.0);
    }

    #[test]
    fn epsilon_agrees_with_opendps_own_test_value() {
        // OpenDP's test suite has this value for rho = 1/32.
        assert!((epsilon(1.0 / 32.0, 1e-3) - 0.688_002_455_487_808_5).abs() < 1e-12);
    }

    #[test]
    fn nonsense_protects_nobody() {
        for (rho, delta) in [
            (-1.0, 1e-6),
            (f64::NAN, 1e-6),
            (f64::INFINITY, 1e-6),
            (0.1, 0.0),
            (0.1, 1.0),
            (0.1, f64::NAN),
            (0.0, 0.0),
        ] {
            assert_eq!(epsilon(rho, delta), f64::INFINITY, "{rho} {delta}");
        }
        assert_eq!(epsilon(0.0, 1e-6), 0.0);
    }
}
