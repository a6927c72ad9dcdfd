//! Rows of the eligibility index: which campaigns a value admits or keeps out.
//!
//! A row has one bit a campaign and lies in one arena, in blocks of 512 bits so that the compiler
//! makes vector instructions of each step. A value that few campaigns name has no row of its own
//! but a short list of positions: 100,000 campaigns with a private segment each would otherwise
//! take 1.2 GB of rows.

use super::filters::Dimension;
use super::values::{Value, Values};
use crate::prefetch::prefetch_items;
use rustc_hash::FxHashMap;

/// Rows that share a pass of [`and_all`].
pub(super) const AT_ONCE: usize = 4;

/// Words of one block.
pub(super) const BLOCK_WORDS: usize = 8;
/// Bits of one block.
pub(super) const BLOCK_BITS: usize = BLOCK_WORDS * 64;

/// 512 campaigns.
pub(super) type Block = [u64; BLOCK_WORDS];

/// A row by its first block in the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(u32);

/// A list by its part of all positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub start: u32,
    pub end: u32,
}

/// The campaigns of one value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Posting {
    /// A row of those whom the value admits: of includes, with those without a wish; of excludes, all
    /// but those who want none of it. So each takes part by an AND or an OR.
    Dense(Row),
    /// The campaigns that name it, and nobody else.
    Sparse(List),
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
        prefetch_items(self.row(row));
    }

    /// Asks for a row or a list, to be read soon.
    #[inline]
    pub(super) fn prefetch_posting(&self, posting: Posting) {
        match posting {
            Posting::Dense(row) => self.prefetch(row),
            Posting::Sparse(list) => prefetch_items(self.positions(list)),
        }
    }

    /// The blocks of a row.
    #[inline(always)]
    pub(super) fn row(&self, row: Row) -> &[Block] {
        let start = row.0 as usize;
        &self.blocks[start..start + self.blocks_per_row]
    }

    /// The positions of a list.
    #[inline(always)]
    pub(super) fn positions(&self, list: List) -> &[u32] {
        &self.positions[list.start as usize..list.end as usize]
    }

    /// Adds a row with these positions on.
    pub(super) fn add(&mut self, positions: &[u32]) -> Row {
        let start = self.blocks.len();
        self.blocks.resize(start + self.blocks_per_row, [0; BLOCK_WORDS]);
        self.change_last(start, |row| set(row, positions))
    }

    /// Adds a copy of a row with these positions on.
    fn add_with(&mut self, base: Row, positions: &[u32]) -> Row {
        let start = self.copy(base);
        self.change_last(start, |row| set(row, positions))
    }

    /// Adds a copy of a row with these positions off.
    pub(super) fn add_without(&mut self, base: Row, positions: &[u32]) -> Row {
        let start = self.copy(base);
        self.change_last(start, |row| unset(row, positions))
    }

    /// Adds the row of those that are in both.
    pub(super) fn add_both(&mut self, one: Row, other: Row) -> Row {
        let start = self.copy(one);
        let other = self.row(other).to_vec();
        self.change_last(start, |row| and_all(row, [&other[..]; AT_ONCE]))
    }

    fn copy(&mut self, base: Row) -> usize {
        let (start, base) = (self.blocks.len(), base.0 as usize);
        self.blocks.extend_from_within(base..base + self.blocks_per_row);
        start
    }

    fn change_last(&mut self, start: usize, change: impl FnOnce(&mut [Block])) -> Row {
        change(&mut self.blocks[start..]);
        // 2^32 blocks are 256 GB: the process is out of memory long before.
        Row(u32::try_from(start).unwrap_or(u32::MAX))
    }

    /// Adds what these positions are to be found by; nothing where there are none.
    fn add_posting(
        &mut self,
        positions: &[u32],
        dense_from: usize,
        row: impl FnOnce(&mut Self) -> Row,
    ) -> Option<Posting> {
        match positions {
            [] => None,
            few if few.len() < dense_from => Some(Posting::Sparse(self.add_list(few))),
            _ => Some(Posting::Dense(row(self))),
        }
    }

    fn add_list(&mut self, positions: &[u32]) -> List {
        let position = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let start = position(self.positions.len());
        self.positions.extend_from_slice(positions);
        List { start, end: position(self.positions.len()) }
    }
}

/// The postings of one dimension.
#[derive(Clone, Debug, Default)]
pub(super) struct Postings {
    /// Campaigns without a wish.
    pub any: Row,
    /// Whether any campaign has a wish.
    pub is_restricting: bool,
    pub values: Values,
}

impl Postings {
    /// Gathers one dimension. `campaigns` yields each position's includes and excludes, `all` is the
    /// row of all positions; values of fewer than `dense_from` campaigns become lists.
    pub(super) fn gather<'a>(
        arena: &mut Arena,
        all: Row,
        campaigns: impl Iterator<Item = (&'a [u64], &'a [u64])>,
        dense_from: usize,
    ) -> Self {
        let mut without_wish = Vec::new();
        let mut is_restricting = false;
        // Who wants it, and who does not.
        let mut named: FxHashMap<u64, [Vec<u32>; 2]> = FxHashMap::default();
        for (position, (wanted, unwanted)) in (0u32..).zip(campaigns) {
            if wanted.is_empty() {
                without_wish.push(position);
            }
            is_restricting |= !wanted.is_empty();
            for (side, keys) in [wanted, unwanted].into_iter().enumerate() {
                keys.iter().for_each(|key| named.entry(*key).or_default()[side].push(position));
            }
        }
        let any = arena.add(&without_wish);
        let mut values = FxHashMap::default();
        for (key, [include, exclude]) in named {
            let include =
                arena.add_posting(&include, dense_from, |arena| arena.add_with(any, &include));
            let exclude =
                arena.add_posting(&exclude, dense_from, |arena| arena.add_without(all, &exclude));
            values.insert(key, Value { include, exclude });
        }
        Self { any, is_restricting, values: Values::new(&values) }
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

/// Leaves what is in all of these rows. Each pass over what is left costs about as much as one row, so
/// that several rows share one.
#[inline(always)]
pub(super) fn and_all(blocks: &mut [Block], rows: [&[Block]; AT_ONCE]) {
    let [first, second, third, fourth] = rows.map(<[Block]>::as_flattened);
    let others = first.iter().zip(second).zip(third.iter().zip(fourth));
    for (word, ((first, second), (third, fourth))) in
        blocks.as_flattened_mut().iter_mut().zip(others)
    {
        *word &= first & second & third & fourth;
    }
}

/// Leaves what is in one row or the other.
#[inline(always)]
pub(super) fn and_either(blocks: &mut [Block], one: &[Block], other: &[Block]) {
    let others = one.as_flattened().iter().zip(other.as_flattened());
    for (word, (one, other)) in blocks.as_flattened_mut().iter_mut().zip(others) {
        *word &= one | other;
    }
}

#[inline(always)]
pub(super) fn or(blocks: &mut [Block], others: &[Block]) {
    for (word, other) in blocks.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
        *word |= other;
    }
}
