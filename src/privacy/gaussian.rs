//! The analytic Gaussian: the smallest epsilon of a Gaussian mechanism, by its exact privacy loss.
//!
//! `rho`-zCDP by Gaussian noise alone is a shift by `mu = sqrt(2 rho)` of a standard normal, also
//! where it is composed (Dong, Roth, Su 2022), and is `(epsilon, delta)`-private exactly where
//! `delta >= Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)` (Balle, Wang 2018).
//!
//! Our noise is the discrete Gaussian, for which this is no theorem: what is claimed is the
//! conversion of [`epsilon`](super::epsilon), and this figure beside it says how much of that is
//! slack of the conversion.

/// From here on Mills' ratio is a continued fraction; below it is a series.
const FRACTION_FROM: f64 = 3.0;
/// Terms of the continued fraction: at 3 the 90th changes nothing any more.
const FRACTION_TERMS: u32 = 90;
/// The largest epsilon looked for.
const EPSILON_SEARCH_MAX: f64 = 1e6;

/// The smallest epsilon at `delta` of Gaussian mechanisms that together cost `rho`; never below 0,
/// infinite for arguments that [`epsilon`](super::epsilon) refuses.
#[must_use]
pub fn epsilon(rho: f64, delta: f64) -> f64 {
    if let Some(epsilon) = super::zcdp::without_search(rho, delta) {
        return epsilon;
    }
    let mu = (2.0 * rho).sqrt();
    if loss(mu, 0.0) <= delta {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while loss(mu, high) > delta {
        low = high;
        high *= 2.0;
        if high > EPSILON_SEARCH_MAX {
            return f64::INFINITY;
        }
    }
    // Until the floats between are used up.
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if loss(mu, middle) > delta { low = middle } else { high = middle }
    }
}

/// The delta of Gaussian mechanisms that together cost `rho`, at `epsilon`: what no event can pass.
#[cfg(test)]
pub(super) fn delta(rho: f64, epsilon: f64) -> f64 {
    loss((2.0 * rho).sqrt(), epsilon)
}

/// Delta of a shift by `mu` at `epsilon`. With `a = epsilon/mu - mu/2` both parts have the factor
/// `phi(a)`, so it is `phi(a) (M(a) - M(a + mu))` of Mills' ratio `M`: nothing large cancels.
fn loss(mu: f64, epsilon: f64) -> f64 {
    let a = epsilon / mu - mu / 2.0;
    if a < -FRACTION_FROM {
        // M(a) would be huge: Phi(-a) is near 1 and needs no care.
        return 1.0 - density(a) * (mills(-a) + mills(a + mu));
    }
    density(a) * (mills(a) - mills(a + mu))
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Mills' ratio `(1 - Phi(x)) / phi(x)`, for `x >= -3`.
fn mills(x: f64) -> f64 {
    if x >= FRACTION_FROM {
        // Laplace: 1 / (x + 1 / (x + 2 / (x + 3 / ...))), from the inside.
        let inner = (1..=FRACTION_TERMS).rev().fold(x, |inner, k| x + f64::from(k) / inner);
        return 1.0 / inner;
    }
    // Phi(x) - 1/2 = phi(x) (x + x^3 / 3 + x^5 / (3 * 5) + ...).
    let (mut term, mut sum, mut odd) = (x, 0.0, 1.0);
    while sum + term != sum {
        sum += term;
        odd += 2.0;
        term *= x * x / odd;
    }
    0.5 / density(x) - sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::tests::vectors;

    #[test]
    fn epsilon_matches_the_reference_to_a_billionth() {
        let mut checked = 0;
        for (file, rho, analytic) in [
            ("gaussian_composed.csv", "rho_zcdp", "eps_analytic_dp_accounting"),
            ("gaussian_composed.csv", "rho_zcdp", "eps_analytic_mpmath30"),
            ("tree_single_participation.csv", "rho", "eps_analytic_mpmath30"),
        ] {
            for row in vectors(file, &[rho, "delta", analytic]) {
                // Some points were not worked out twice.
                if row[2].is_nan() {
                    continue;
                }
                let ours = epsilon(row[0], row[1]);
                // The files print 12 significant digits.
                let tolerance = 1e-9_f64.max(row[2] * 1e-11);
                assert!((ours - row[2]).abs() <= tolerance, "{file}: {row:?}: {ours}");
                checked += 1;
            }
        }
        assert!(checked == 0 || checked >= 216 + 156, "{checked} rows");
    }

    #[test]
    fn it_is_never_above_the_conversion_from_zcdp() {
        for rho in [1e-4, 0.01, 0.2, 1.0, 10.0] {
            for delta in [1e-3, 1e-6, 1e-12] {
                let (analytic, zcdp) = (epsilon(rho, delta), crate::privacy::epsilon(rho, delta));
                assert!(analytic <= zcdp, "rho {rho} delta {delta}: {analytic} above {zcdp}");
            }
        }
        for (rho, delta) in [(-1.0, 1e-6), (f64::NAN, 1e-6), (0.1, 0.0), (0.1, 1.0), (0.0, 0.0)] {
            assert_eq!(epsilon(rho, delta), f64::INFINITY, "{rho} {delta}");
        }
        assert_eq!(epsilon(0.0, 1e-6), 0.0);
    }
}
