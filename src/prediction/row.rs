//! One ad as scoring reads it: whole cache lines of 8-bit components, and a bound that needs none.

use super::evidence::Evidence;
use super::features::{AD_FIELDS, CONTEXT_FIELDS};
use super::vectors::{add_scaled, inner};
use crate::units::Slot;
use ndarray::Array2;

/// Most components of a factor vector.
pub(super) const DIM_MAX: usize = 16;
// The widest instructions take sixteen lanes of a row at once.
const _: () = assert!((AD_FIELDS * 8).is_multiple_of(16));

/// One ad, reduced: one cache line at 8 components, two at 16.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct AdRow<const K: usize> {
    /// `Q_a`: the ad's vectors, side by side, in units of `scale`.
    pub(super) vectors: [[i8; K]; AD_FIELDS],
    /// The rest of it.
    pub(super) own: AdOwn,
}
const _: () = assert!(size_of::<AdRow<8>>() == 64 && size_of::<AdRow<16>>() == 128);

/// What a row says beside its vectors, whatever their size.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct AdOwn {
    pub(super) scale: f32,
    /// `s_a`: the ad's linear weights and the pairs within it.
    pub(super) logit: f32,
    pub(super) generation: u32,
    pub(super) is_present: bool,
    /// How much was learned of the ad itself, beyond what it shares with others.
    pub(super) evidence: Evidence,
}

impl AdOwn {
    /// Of a slot without an ad.
    const ABSENT: Self =
        Self { scale: 0.0, logit: 0.0, generation: 0, is_present: false, evidence: Evidence::NONE };

    /// Whether this is of the ad that `slot` means.
    #[inline(always)]
    pub(super) fn is_of(&self, slot: Slot) -> bool {
        self.is_present && self.generation == slot.generation
    }
}

impl<const K: usize> AdRow<K> {
    /// A slot without an ad.
    pub(super) const ABSENT: Self = Self { vectors: [[0; K]; AD_FIELDS], own: AdOwn::ABSENT };

    /// An ad of which nothing is known.
    pub(super) const fn unknown(generation: u32) -> Self {
        let own = AdOwn { generation, is_present: true, ..AdOwn::ABSENT };
        Self { own, ..Self::ABSENT }
    }

    /// The row of an ad whose fields have these linear weights and vectors.
    pub(super) fn new(
        generation: u32,
        linear: [f32; AD_FIELDS],
        vectors: &[[f32; K]; AD_FIELDS],
        field_weights: &Array2<f32>,
    ) -> Self {
        let mut logit: f32 = linear.iter().sum();
        for first in 0..AD_FIELDS {
            for second in first + 1..AD_FIELDS {
                let weight = field_weights[(CONTEXT_FIELDS + first, CONTEXT_FIELDS + second)];
                logit += weight * inner(&vectors[first], &vectors[second]);
            }
        }
        let mut row = Self::unknown(generation);
        row.own.logit = logit;
        let whole = row.vectors.as_flattened_mut();
        row.own.scale = quantise(vectors.as_flattened(), i8::MAX.into(), whole);
        row
    }

    /// How long the vectors of its fields are.
    pub(super) fn lengths(&self) -> [f32; AD_FIELDS] {
        std::array::from_fn(|field| {
            let vector = self.vector(field);
            inner(&vector, &vector).sqrt()
        })
    }

    /// The vector of one of the ad's fields.
    pub(super) fn vector(&self, field: usize) -> [f32; K] {
        self.vectors[field].map(|component| f32::from(component) * self.own.scale)
    }
}

/// Puts `values` into `whole`, one to one, in whole numbers of a scale, which it returns and of which
/// the largest takes `most`. What is not finite counts as 0.
#[inline(always)]
pub(super) fn quantise<T: Copy + Default + TryFrom<i32>>(
    values: &[f32],
    most: i32,
    whole: &mut [T],
) -> f32 {
    let sizes = values.iter().map(|value| value.abs());
    let larger =
        |most: f32, size: f32| if size < f32::INFINITY && size > most { size } else { most };
    let largest = sizes.fold(0.0, larger);
    if largest == 0.0 {
        whole.fill(T::default());
        return 0.0;
    }
    let scale = largest / most as f32;
    // To the nearest, halves up: `round` is a call where the processor has no instruction for it.
    // The cast cuts off, after a shift that makes all of them positive, and takes NaN alone to 0.
    let shift = most as f32 + 1.0;
    let unit = 1.0 / scale;
    for (place, value) in whole.iter_mut().zip(values) {
        let shifted = (value * unit + (shift + 0.5)) as i32;
        let is_number = shifted != 0;
        *place =
            T::try_from(if is_number { shifted - shift as i32 } else { 0 }).unwrap_or_default();
    }
    scale
}

/// The arithmetic of scores by one of the processor's instruction sets. Each rounds alike.
pub(super) trait Lanes: Copy {
    /// The inner product in whole numbers of two rows of one length: at most 96 * 32,767 * 127, which
    /// 32 bits hold.
    fn dot(self, left: &[i16], right: &[i8]) -> i32;

    /// `into += weight * vector`, the product rounded before the sum. `K` is a multiple of 8.
    fn add_scaled<const K: usize>(self, into: &mut [f32; K], weight: f32, vector: &[f32; K]);
}

/// Any processor. Written so that the compiler multiplies and adds eight pairs in one instruction.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn dot(self, left: &[i16], right: &[i8]) -> i32 {
        let pairs = left.iter().zip(right);
        pairs.map(|(&left, &right)| i32::from(left) * i32::from(i16::from(right))).sum()
    }

    #[inline(always)]
    fn add_scaled<const K: usize>(self, into: &mut [f32; K], weight: f32, vector: &[f32; K]) {
        add_scaled(into, weight, vector);
    }
}

/// AVX2: sixteen pairs, or eight floats, in one instruction, which the compiler does not find by
/// itself.
#[cfg(target_arch = "x86_64")]
impl Lanes for pulp::x86::V3 {
    #[inline(always)]
    fn dot(self, left: &[i16], right: &[i8]) -> i32 {
        let mut sums = self.avx._mm256_setzero_si256();
        for (left, right) in left.as_chunks::<16>().0.iter().zip(right.as_chunks::<16>().0) {
            let right = self.avx2._mm256_cvtepi8_epi16(pulp::cast(*right));
            let products = self.avx2._mm256_madd_epi16(pulp::cast(*left), right);
            sums = self.avx2._mm256_add_epi32(sums, products);
        }
        let lanes: [i32; 8] = pulp::cast(sums);
        lanes.iter().sum()
    }

    #[inline(always)]
    fn add_scaled<const K: usize>(self, into: &mut [f32; K], weight: f32, vector: &[f32; K]) {
        let weight = self.avx._mm256_set1_ps(weight);
        let (into, vector) = (into.as_chunks_mut::<8>().0, vector.as_chunks::<8>().0);
        for (sum, part) in into.iter_mut().zip(vector) {
            let product = self.avx._mm256_mul_ps(weight, pulp::cast(*part));
            *sum = pulp::cast(self.avx._mm256_add_ps(pulp::cast(*sum), product));
        }
    }
}
