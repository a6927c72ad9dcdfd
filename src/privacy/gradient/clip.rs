//! One example's gradient: clipped to an L2 norm of 1 and put into whole numbers.

/// One example's gradient by coordinate, in units of 1/65,536. Its norm is never above 1: that is
/// checked in whole numbers after all rounding. It is about one user, so it has no getter and no
/// `Debug`: it can be added to a [`super::GradientSums`], and that is all.
pub struct Gradient {
    parts: Box<[(u32, i32)]>,
}

impl Gradient {
    /// Units in 1. The smallest slope that an example of 30 features has at a click rate of 1 % is
    /// some hundred of them, so rounding costs nothing beside the noise.
    pub const UNIT: i64 = 1 << 16;

    /// The gradient with these slopes; those of one coordinate add up. One that is longer than 1 is
    /// shortened, what is no finite number is left out.
    #[must_use]
    pub fn clipped(slopes: &mut Vec<(u32, f32)>) -> Self {
        slopes.retain(|(_, slope)| slope.is_finite());
        slopes.sort_unstable_by_key(|(coordinate, _)| *coordinate);
        let merged: Vec<(u32, f64)> = slopes
            .chunk_by(|one, next| one.0 == next.0)
            .map(|same| (same[0].0, same.iter().map(|(_, slope)| f64::from(*slope)).sum()))
            .collect();
        let norm = merged.iter().map(|(_, slope)| slope * slope).sum::<f64>().sqrt();
        let factor = Self::UNIT as f64 / norm.max(1.0);
        let whole = |round: fn(f64) -> f64| {
            let parts = merged.iter().map(|(at, slope)| (*at, round(slope * factor) as i32));
            parts.filter(|(_, units)| *units != 0).collect::<Box<[_]>>()
        };
        // To the nearest, which favours no direction, unless that makes it too long.
        let mut parts = whole(f64::round);
        if squared_norm(&parts) > Self::SQUARED_MAX {
            parts = whole(f64::trunc);
        }
        // Floats may still have erred in the last place.
        while squared_norm(&parts) > Self::SQUARED_MAX {
            let Some((_, largest)) = parts.iter_mut().max_by_key(|(_, units)| units.unsigned_abs())
            else {
                break;
            };
            *largest -= largest.signum();
        }
        Self { parts }
    }

    /// A norm of 1, squared: the sensitivity rests on it.
    const SQUARED_MAX: u64 = (Self::UNIT * Self::UNIT) as u64;

    /// Its parts, for the sums alone.
    pub(super) fn parts(&self) -> &[(u32, i32)] {
        &self.parts
    }
}

/// Cannot overflow: a slope is at most the norm, so a part has at most 17 bits.
fn squared_norm(parts: &[(u32, i32)]) -> u64 {
    parts.iter().map(|(_, units)| u64::from(units.unsigned_abs()).pow(2)).sum()
}
