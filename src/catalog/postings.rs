//! Rows of the eligibility index: which campaigns a value admits or keeps out.
//!
//! A row has one bit a campaign and lies in one arena, in blocks of 512 bits so that the compiler
//! makes vector instructions of each step. A value that few campaigns name has no row of its own
//! but a short list of positions: 100,000 campaigns with a private segment each would otherwise
//! take 1.2 GB of rows.

use super::filters::Dimension;
use crate::prefetch::prefetch_item;
use rustc_hash::FxHashMap;

/// Words of one block.
pub(super) const BLOCK_WORDS: usize = 8;
/// Bits of one block.
pub(super) const BLOCK_BITS: usize = BLOCK_WORDS * 64;

/// Blocks of a row that are asked for at once; those of longer rows the processor then foresees.
const ASKED_MAX: usize = 32;

/// 512 campaigns.
pub(super) type Block = [u64; BLOCK_WORDS];

/// A row by its first block in the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(u32);

/// The campaigns of one value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Posting {
    /// A row. Among includes it holds those without a wish too.
    Dense(Row),
    /// Positions `start..end` of the list of positions.
    Sparse { start: u32, end: u32 },
}

/// All rows, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    blocks_per_row: usize,
    blocks: Vec<Block>,
    positions: Vec<u32>,
}

impl Arena {
    pub(super) fn new(campaigns: usize) -> Self {
        Self { blocks_per_row: campaigns.div_ceil(BLOCK_BITS), ..Self::default() }
    }

    pub(super) fn blocks_per_row(&self) -> usize {
        self.blocks_per_row
    }

    /// Asks for a row, to be read soon: a stream of 20 lines is over before the processor has
    /// noticed that it is one.
    #[inline]
    pub(super) fn prefetch(&self, row: Row) {
        self.row(row).iter().take(ASKED_MAX).for_each(prefetch_item);
    }

    /// The blocks of a row.
    #[inline(always)]
    pub(super) fn row(&self, row: Row) -> &[Block] {
        let start = row.0 as usize;
        &self.blocks[start..start + self.blocks_per_row]
    }

    /// The positions of a sparse posting.
    #[inline(always)]
    pub(super) fn positions(&self, start: u32, end: u32) -> &[u32] {
        &self.positions[start as usize..end as usize]
    }

    /// Adds a row: a copy of `base`, if any, with these positions on.
    pub(super) fn add(&mut self, base: Option<Row>, positions: &[u32]) -> Row {
        let start = self.blocks.len();
        match base {
            Some(base) => {
                let base = base.0 as usize;
                self.blocks.extend_from_within(base..base + self.blocks_per_row);
            }
            None => self.blocks.resize(start + self.blocks_per_row, [0; BLOCK_WORDS]),
        }
        set(&mut self.blocks[start..], positions);
        // 2^32 blocks are 256 GB: the process is out of memory long before.
        Row(u32::try_from(start).unwrap_or(u32::MAX))
    }

    /// Adds the row of those that are in both.
    pub(super) fn add_both(&mut self, one: Row, other: Row) -> Row {
        let row = self.add(Some(one), &[]);
        let other = self.row(other).to_vec();
        and(&mut self.blocks[row.0 as usize..], &other);
        row
    }

    fn add_posting(&mut self, base: Option<Row>, positions: &[u32], dense_from: usize) -> Posting {
        if positions.len() >= dense_from {
            return Posting::Dense(self.add(base, positions));
        }
        let position = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let start = position(self.positions.len());
        self.positions.extend_from_slice(positions);
        Posting::Sparse { start, end: position(self.positions.len()) }
    }
}

/// The postings of one dimension.
#[derive(Clone, Debug, Default)]
pub(super) struct Postings {
    /// Campaigns without a wish.
    pub any: Row,
    /// Whether any campaign has a wish.
    pub is_restricting: bool,
    /// By key: one look-up a value of the request says all of it.
    pub values: FxHashMap<u64, Value>,
}

/// What campaigns say of one value: those that want it, and those that want none of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value {
    pub include: Option<Posting>,
    pub exclude: Option<Posting>,
}

impl Postings {
    /// Gathers one dimension. `campaigns` yields each position's includes and excludes;
    /// values of fewer than `dense_from` campaigns become lists.
    pub(super) fn gather<'a>(
        arena: &mut Arena,
        campaigns: impl Iterator<Item = (&'a [u64], &'a [u64])>,
        dense_from: usize,
    ) -> Self {
        let mut without_wish = Vec::new();
        let mut include: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        let mut exclude: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        for (position, (wanted, unwanted)) in (0u32..).zip(campaigns) {
            if wanted.is_empty() {
                without_wish.push(position);
            }
            wanted.iter().for_each(|key| include.entry(*key).or_default().push(position));
            unwanted.iter().for_each(|key| exclude.entry(*key).or_default().push(position));
        }
        let any = arena.add(None, &without_wish);
        let is_restricting = !include.is_empty();
        let mut values: FxHashMap<u64, Value> = FxHashMap::default();
        for (key, positions) in include {
            let posting = arena.add_posting(Some(any), &positions, dense_from);
            values.entry(key).or_default().include = Some(posting);
        }
        for (key, positions) in exclude {
            let posting = arena.add_posting(None, &positions, dense_from);
            values.entry(key).or_default().exclude = Some(posting);
        }
        Self { any, is_restricting, values }
    }
}

/// Dimensions of which a request often names no value that any campaign knows. What then remains of
/// each is its `any` row; the index keeps the conjunctions of these for every set of silent
/// dimensions, so that all silent ones together cost one row.
pub(super) const OFTEN_SILENT: [Dimension; 7] = [
    Dimension::Inventory,
    Dimension::PageCategory,
    Dimension::Keyword,
    Dimension::UserKeyword,
    Dimension::Segment,
    Dimension::Deal,
    Dimension::Place,
];

/// The bit of a dimension in a set of silent ones; `None` for dimensions that nearly always speak.
pub(super) fn silent_bit(dimension: Dimension) -> Option<usize> {
    OFTEN_SILENT.iter().position(|often| *often == dimension).map(|position| 1 << position)
}

#[inline(always)]
pub(super) fn set(blocks: &mut [Block], positions: &[u32]) {
    let words = blocks.as_flattened_mut();
    positions.iter().for_each(|position| words[*position as usize / 64] |= 1 << (position % 64));
}

#[inline(always)]
pub(super) fn unset(blocks: &mut [Block], positions: &[u32]) {
    let words = blocks.as_flattened_mut();
    positions.iter().for_each(|position| words[*position as usize / 64] &= !(1 << (position % 64)));
}

#[inline(always)]
pub(super) fn and(blocks: &mut [Block], others: &[Block]) {
    for (word, other) in blocks.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
        *word &= other;
    }
}

#[inline(always)]
pub(super) fn or(blocks: &mut [Block], others: &[Block]) {
    for (word, other) in blocks.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
        *word |= other;
    }
}

#[inline(always)]
pub(super) fn and_not(blocks: &mut [Block], others: &[Block]) {
    for (word, other) in blocks.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
        *word &= !other;
    }
}
