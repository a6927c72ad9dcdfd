//! How good a ranking is where one answer is right: hit rates, NDCG, MRR.

use serde::Serialize;

/// Sums over questions; each has one right answer, found at some rank from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranking {
    questions: u64,
    first: u64,
    in_ten: u64,
    gain: f64,
    reciprocal: f64,
}

/// What a ranking came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RankQuality {
    /// The part answered by the first.
    pub hit_rate_1: f64,
    /// The part answered within the first ten.
    pub hit_rate_10: f64,
    /// Mean of 1 / log2(rank + 1) within the first ten, else 0: with one right answer the normalised
    /// discounted cumulative gain (Jarvelin and Kekalainen 2002).
    pub ndcg_10: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
}

impl Ranking {
    /// Counts a question whose answer was found at `rank`, from 1.
    pub fn add(&mut self, rank: usize) {
        let rank = rank.max(1);
        self.questions += 1;
        self.first += u64::from(rank == 1);
        if rank <= 10 {
            self.in_ten += 1;
            self.gain += 1.0 / (rank as f64 + 1.0).log2();
        }
        self.reciprocal += 1.0 / rank as f64;
    }

    /// How many questions.
    #[must_use]
    pub const fn questions(&self) -> u64 {
        self.questions
    }

    /// The means; zeros of nothing.
    #[must_use]
    pub fn quality(&self) -> RankQuality {
        let questions = self.questions.max(1) as f64;
        RankQuality {
            hit_rate_1: self.first as f64 / questions,
            hit_rate_10: self.in_ten as f64 / questions,
            ndcg_10: self.gain / questions,
            mrr: self.reciprocal / questions,
        }
    }
}

/// The rank of `scores[right]`, from 1: after what scores higher, and after one half of what scores
/// the same. What is not a number is last.
#[must_use]
pub fn rank_of(scores: &[f32], right: usize) -> usize {
    let Some(&mine) = scores.get(right).filter(|score| !score.is_nan()) else {
        return scores.len().max(1);
    };
    let (mut higher, mut equal) = (0, 0);
    for &score in scores {
        higher += usize::from(score > mine);
        equal += usize::from(score == mine);
    }
    1 + higher + (equal - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_their_means_are_those_of_the_definitions() {
        for (scores, right, rank) in [
            (&[3.0, 2.0, 1.0][..], 0, 1),
            (&[3.0, 2.0, 1.0], 2, 3),
            (&[1.0, 1.0, 1.0, 1.0, 1.0], 3, 3),
            (&[2.0, f32::NAN, 1.0], 2, 2),
            (&[2.0, f32::NAN, 1.0], 1, 3),
            (&[1.0], 7, 1),
        ] {
            assert_eq!(rank_of(scores, right), rank, "{scores:?} {right}");
        }
        let mut ranking = Ranking::default();
        assert_eq!(ranking.quality().mrr, 0.0);
        [1, 3, 10, 11].into_iter().for_each(|rank| ranking.add(rank));
        let quality = ranking.quality();
        assert_eq!((quality.hit_rate_1, quality.hit_rate_10), (0.25, 0.75));
        let gain = (1.0 + 0.5 + 1.0 / 11_f64.log2()) / 4.0;
        assert!((quality.ndcg_10 - gain).abs() < 1e-12);
        let reciprocal = (1.0 + 1.0 / 3.0 + 0.1 + 1.0 / 11.0) / 4.0;
        assert!((quality.mrr - reciprocal).abs() < 1e-12);
    }
}
