//! What conversions may cost.

use crate::units::Nanos;

/// A target for the cost of conversions, or for what they return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What a conversion may cost; with `order_value`, one of that value.
    pub cost: Nanos,
    /// Conversions of a million clicks, as the campaign's bids expect them.
    pub expected_cvr_ppm: u32,
    /// The value that counts as one conversion; `None` where each counts the same.
    pub order_value: Option<Nanos>,
}

impl Target {
    /// So many micros a conversion; `None` where that or the rate is zero.
    #[must_use]
    pub fn cpa(micros: u64, expected_cvr_ppm: u32) -> Option<Self> {
        let is_sound = micros > 0 && expected_cvr_ppm > 0;
        let cost = Nanos::from_micros(micros);
        is_sound.then_some(Self { cost, expected_cvr_ppm, order_value: None })
    }

    /// `roas_ppm` millionths of value for each unit of currency spent, with orders expected to be worth
    /// `order_micros`; `None` where one of them is zero.
    #[must_use]
    pub fn roas(roas_ppm: u64, order_micros: u64, expected_cvr_ppm: u32) -> Option<Self> {
        let value = Nanos::from_micros(order_micros);
        let cost = Nanos((value.0 * 1_000_000).checked_div(i128::from(roas_ppm))?);
        let is_sound = cost > Nanos::ZERO && expected_cvr_ppm > 0;
        is_sound.then_some(Self { cost, expected_cvr_ppm, order_value: Some(value) })
    }
}
