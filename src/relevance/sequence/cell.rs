//! One gated recurrent unit (Cho et al. 2014), forward and backward, without allocating.
//!
//! With the event's embedding `x` and the state `h`, both of `H` numbers:
//! ```text
//! z = sigmoid(Wz x + Uz h + bz)         how much of the state stays
//! r = sigmoid(Wr x + Ur h + br)         how much of it the candidate sees
//! n = tanh(Wn x + bn + r * (Un h + cn)) the candidate
//! h' = (1 - z) * n + z * h
//! ```
//! Parameters lie as `W` (for each input its 3 H outputs: z, r, n), `U` likewise, `b` (3 H), `cn`
//! (H): a product is then a sum of scaled rows, which needs no sum across a register.

use super::shape::HIDDEN_MAX;

/// Numbers of the widest cell's three gates.
const GATES_MAX: usize = 3 * HIDDEN_MAX;

/// What one step computed, as the step back needs it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// The input; only the first `H` of each array count.
    pub(super) x: [f32; HIDDEN_MAX],
    z: [f32; HIDDEN_MAX],
    r: [f32; HIDDEN_MAX],
    n: [f32; HIDDEN_MAX],
    /// `Un h + cn`.
    u: [f32; HIDDEN_MAX],
}

impl Default for Cell {
    fn default() -> Self {
        let zeros = [0.0; HIDDEN_MAX];
        Self { x: zeros, z: zeros, r: zeros, n: zeros, u: zeros }
    }
}

/// The parts of a cell's parameters, or of their gradient.
struct Parts<T> {
    w: T,
    u: T,
    b: T,
    c: T,
}

fn parts(weights: &[f32], hidden: usize) -> Parts<&[f32]> {
    let (w, rest) = weights.split_at(3 * hidden * hidden);
    let (u, rest) = rest.split_at(3 * hidden * hidden);
    let (b, c) = rest.split_at(3 * hidden);
    Parts { w, u, b, c }
}

fn parts_mut(weights: &mut [f32], hidden: usize) -> Parts<&mut [f32]> {
    let (w, rest) = weights.split_at_mut(3 * hidden * hidden);
    let (u, rest) = rest.split_at_mut(3 * hidden * hidden);
    let (b, c) = rest.split_at_mut(3 * hidden);
    Parts { w, u, b, c }
}

/// The logistic function.
pub(super) fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// `out += scale * row`.
pub(super) fn add_scaled(out: &mut [f32], scale: f32, row: &[f32]) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += scale * value;
    }
}

/// The dot product, in eight sums so that it fits the processor's vectors.
pub(super) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    for (one, other) in ones.zip(others) {
        for (sum, (one, other)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += one * other;
        }
    }
    sums.iter().sum()
}

impl Cell {
    /// Steps `h` by the input in `self.x`. `weights` is the cell's part of the parameters.
    pub(super) fn forward(&mut self, weights: &[f32], h: &mut [f32]) {
        let hidden = h.len();
        let Parts { w, u, b, c } = parts(weights, hidden);
        let (mut of_x, mut of_h) = ([0.0; GATES_MAX], [0.0; GATES_MAX]);
        let (of_x, of_h) = (&mut of_x[..3 * hidden], &mut of_h[..3 * hidden]);
        of_x.copy_from_slice(b);
        of_h[2 * hidden..].copy_from_slice(c);
        for (x, row) in self.x.iter().zip(w.chunks_exact(3 * hidden)) {
            add_scaled(of_x, *x, row);
        }
        for (h, row) in h.iter().zip(u.chunks_exact(3 * hidden)) {
            add_scaled(of_h, *h, row);
        }
        for (unit, h) in h.iter_mut().enumerate() {
            let z = sigmoid(of_x[unit] + of_h[unit]);
            let r = sigmoid(of_x[hidden + unit] + of_h[hidden + unit]);
            let u = of_h[2 * hidden + unit];
            let n = (of_x[2 * hidden + unit] + r * u).tanh();
            *h = (1.0 - z) * n + z * *h;
            (self.z[unit], self.r[unit], self.n[unit], self.u[unit]) = (z, r, n, u);
        }
    }

    /// One step back: from the gradient in `dh` with respect to the new state, to that with respect
    /// to the old one `h` (left in `dh`) and to the input (left in `dx`), adding the parameters' to
    /// `gradient`.
    pub(super) fn backward(
        &self,
        weights: &[f32],
        gradient: &mut [f32],
        h: &[f32],
        dh: &mut [f32],
        dx: &mut [f32],
    ) {
        let hidden = h.len();
        let (mut by_x, mut by_h) = ([0.0; GATES_MAX], [0.0; GATES_MAX]);
        let (by_x, by_h) = (&mut by_x[..3 * hidden], &mut by_h[..3 * hidden]);
        for unit in 0..hidden {
            let (z, r, n, u) = (self.z[unit], self.r[unit], self.n[unit], self.u[unit]);
            let dn = dh[unit] * (1.0 - z) * (1.0 - n * n);
            let dz = dh[unit] * (h[unit] - n) * z * (1.0 - z);
            let dr = dn * u * r * (1.0 - r);
            (by_x[unit], by_x[hidden + unit], by_x[2 * hidden + unit]) = (dz, dr, dn);
            (by_h[unit], by_h[hidden + unit], by_h[2 * hidden + unit]) = (dz, dr, dn * r);
            dh[unit] *= z;
        }
        let Parts { w, u, .. } = parts(weights, hidden);
        let gradient = parts_mut(gradient, hidden);
        let rows = w.chunks_exact(3 * hidden).zip(gradient.w.chunks_exact_mut(3 * hidden));
        for ((x, dx), (row, row_gradient)) in self.x.iter().zip(dx).zip(rows) {
            *dx = dot(row, by_x);
            add_scaled(row_gradient, *x, by_x);
        }
        let rows = u.chunks_exact(3 * hidden).zip(gradient.u.chunks_exact_mut(3 * hidden));
        for ((h, dh), (row, row_gradient)) in h.iter().zip(dh).zip(rows) {
            *dh += dot(row, by_h);
            add_scaled(row_gradient, *h, by_h);
        }
        add_scaled(gradient.b, 1.0, by_x);
        add_scaled(gradient.c, 1.0, &by_h[2 * hidden..]);
    }
}
