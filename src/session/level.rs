//! One exponentially decayed counter in 16 bits, as it was at a reference that all counters of a
//! session share.

/// A non-negative counter as 1 + 1024 * (32 + log2 of it); 0 stands for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level(pub(super) u16);

impl Level {
    const STEPS: f32 = 1_024.0;
    const OFFSET: f32 = 32.0;

    /// The nearest level; what is below 2^-32 is nothing, what is above 2^31 stays there.
    pub(super) fn encode(value: f32) -> Self {
        let steps = ((value.log2() + Self::OFFSET) * Self::STEPS).round();
        // A cast from float saturates, and takes the NaN of no value to 0.
        if steps < 0.0 { Self(0) } else { Self((steps as u16).saturating_add(1)) }
    }

    /// The value after `age` half-lives.
    pub(super) fn decayed(self, age: f32) -> f32 {
        if self.0 == 0 {
            return 0.0;
        }
        (f32::from(self.0 - 1) / Self::STEPS - Self::OFFSET - age).exp2()
    }

    /// The level after so many steps of 1/1024 half-life, without any rounding.
    const fn later(self, steps: u32) -> Self {
        // What sinks to 0 or below is nothing.
        Self((self.0 as u32).saturating_sub(steps) as u16)
    }
}

/// How one kind of counter decays. The references are every `period_s` seconds, in which it sinks by
/// a whole number of steps: so a session that moves its reference a thousand times loses nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    half_life_s: f32,
    period_s: u32,
    steps: u32,
}

impl Decay {
    /// Halves in so many seconds; `period_s` must be a whole number of steps.
    pub(super) const fn new(half_life_s: u32, period_s: u32) -> Self {
        let steps = period_s * Level::STEPS as u32;
        assert!(steps.is_multiple_of(half_life_s), "a period is a whole number of steps");
        Self { half_life_s: half_life_s as f32, period_s, steps: steps / half_life_s }
    }

    /// The level that is kept, as of `from_s`, as it is kept as of `to_s`, not earlier.
    pub(super) const fn moved(self, level: Level, from_s: u32, to_s: u32) -> Level {
        let periods = (to_s / self.period_s).saturating_sub(from_s / self.period_s);
        level.later(periods.saturating_mul(self.steps))
    }

    /// How many half-lives `now_s` is after the reference of `kept_s`; negative before it.
    pub(super) fn age(self, now_s: u32, kept_s: u32) -> f32 {
        let reference_s = kept_s - kept_s % self.period_s;
        (i64::from(now_s) - i64::from(reference_s)) as f32 / self.half_life_s
    }

    /// The level, kept as of `kept_s`, with `weight` more at `at_s`, which may be earlier.
    pub(super) fn plus(self, level: Level, weight: f32, at_s: u32, kept_s: u32) -> Level {
        Level::encode(level.decayed(0.0) + weight * self.age(at_s, kept_s).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_keep_their_value_within_a_step() {
        for value in [1e-9_f32, 0.3, 1.0, 4.0, 1_000.0, 1e9] {
            let kept = Level::encode(value).decayed(0.0);
            assert!((kept / value - 1.0).abs() < 0.000_4, "{value} became {kept}");
        }
        assert_eq!(Level::encode(0.0), Level(0));
        assert_eq!(Level::encode(1e-12).decayed(0.0), 0.0);
        assert!(Level::encode(f32::MAX).decayed(0.0) > 1e9);
    }

    #[test]
    fn moving_the_reference_often_loses_nothing() {
        let decay = Decay::new(120, 15);
        let level = decay.plus(Level::default(), 1.0, 1_000_003, 1_000_003);
        let at_once = decay.moved(level, 1_000_003, 1_001_500);
        let mut often = level;
        for second in 1_000_003..1_001_500 {
            often = decay.moved(often, second, second + 1);
        }
        assert_eq!(often, at_once);
        let value = at_once.decayed(decay.age(1_001_500, 1_001_500));
        let exact = (-1_497.0_f32 / 120.0).exp2();
        assert!((value / exact - 1.0).abs() < 0.000_4, "{value} is not {exact}");
        assert_eq!(decay.moved(level, 1_000_003, u32::MAX), Level(0), "nothing is left");
        assert_eq!(decay.moved(Level(0), 0, 15), Level(0));
    }
}
