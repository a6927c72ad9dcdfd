//! Whether ads of a shape may take the imps of one request. Thousands of ads share a shape, and many
//! campaigns have ads of the same few shapes; so shapes are held against the imps once a request, and
//! what is then known of a set of them is one look-up a campaign.

use crate::auction::fits::{self, Misfit};
use crate::auction::input::{AuctionInput, ImpInput};
use crate::auction::reason::NoBid;
use crate::auction::world::World;
use crate::catalog::Form;

/// The last bit of a set of imps, which stands for all imps from there on.
const LAST: u8 = u64::BITS as u8 - 1;

/// Imps of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImpSet(u64);

impl ImpSet {
    /// No imp.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the imp at this position may be one of them; that is sure of those before the last bit.
    #[inline]
    pub const fn has(self, imp: u8) -> bool {
        self.0 & Self::bit(imp) != 0
    }

    /// Adds the imp at this position.
    #[inline]
    pub const fn add(&mut self, imp: u8) {
        self.0 |= Self::bit(imp);
    }

    const fn bit(imp: u8) -> u64 {
        1 << if imp < LAST { imp } else { LAST }
    }
}

/// What the shapes alone say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// The request that it is of.
    request: u32,
    /// Whether native ads are among those that fit, whose parts are still to be held against what is
    /// asked for.
    pub has_parts: bool,
    /// Imps that an ad fits.
    pub imps: ImpSet,
}

/// One core's verdicts, reused from request to request.
#[derive(Default)]
pub struct Verdicts {
    /// Numbers requests, so that nothing has to be emptied; 0 is none.
    request: u32,
    /// By number of the shape.
    shapes: Vec<Verdict>,
    /// By number of the set of shapes.
    sets: Vec<Verdict>,
    /// Imps on which other things than shapes decide too: deals, the ad's length.
    others: ImpSet,
    misfits: Misfits,
}

/// The kinds of misfits that were met, one bit each: a request meets hundreds and reports one.
#[derive(Clone, Copy, Default)]
struct Misfits(u32);

impl Verdicts {
    /// Forgets the last request.
    pub fn begin(&mut self, world: &World, input: &AuctionInput) {
        self.request = self.request.wrapping_add(1);
        if self.request == 0 {
            self.shapes.clear();
            self.sets.clear();
            self.request = 1;
        }
        let (shapes, sets) = (world.catalog.shapes().len(), world.catalog.shape_sets());
        self.shapes.resize(shapes, Verdict::default());
        self.sets.resize(sets, Verdict::default());
        self.misfits = Misfits::default();
        self.others = ImpSet::NONE;
        let has_preferred = world.strategies.prefer_deals();
        for (imp, slot) in (0..).zip(&input.imps) {
            let asks_deals = slot.is_private || has_preferred && !slot.deals.is_empty();
            if asks_deals || slot.has_length_floors || slot.pod.is_some() || imp >= LAST {
                self.others.add(imp);
            }
        }
    }

    /// Imps on which shapes alone do not decide.
    pub const fn others(&self) -> ImpSet {
        self.others
    }

    /// Takes note of what keeps an ad out.
    pub fn note(&mut self, misfit: Misfit) {
        self.misfits.0 |= 1 << misfit as u32;
    }

    /// The furthest gate at which anything noted stands.
    pub fn gate(&self) -> Option<NoBid> {
        let met = Misfit::ALL.iter().filter(|misfit| self.misfits.0 & 1 << **misfit as u32 != 0);
        met.map(|misfit| misfit.gate()).max()
    }

    /// What the shapes of a set say of the imps on which they decide.
    #[inline]
    pub fn of_set(&mut self, world: &World, input: &AuctionInput, set: u32) -> Verdict {
        match self.sets.get(set as usize) {
            Some(known) if known.request == self.request => *known,
            _ => self.judge_set(world, input, set),
        }
    }

    /// The same of one shape.
    #[inline]
    pub fn of_shape(&mut self, world: &World, input: &AuctionInput, shape: u32) -> Verdict {
        match self.shapes.get(shape as usize) {
            Some(known) if known.request == self.request => *known,
            _ => self.judge_shape(world, input, shape),
        }
    }

    #[cold]
    fn judge_set(&mut self, world: &World, input: &AuctionInput, set: u32) -> Verdict {
        let mut verdict = Verdict { request: self.request, ..Verdict::default() };
        for shape in world.catalog.shape_set(set) {
            let one = self.of_shape(world, input, *shape);
            verdict.imps.0 |= one.imps.0;
            verdict.has_parts |= one.has_parts;
        }
        if let Some(place) = self.sets.get_mut(set as usize) {
            *place = verdict;
        }
        verdict
    }

    /// A shape's misfits are noted here, and not again for each ad of it.
    #[cold]
    fn judge_shape(&mut self, world: &World, input: &AuctionInput, number: u32) -> Verdict {
        let mut verdict = Verdict { request: self.request, ..Verdict::default() };
        let Some(shape) = world.catalog.shapes().get(number as usize) else { return verdict };
        for (imp, slot) in by_shape(self.others, input) {
            match fits::shape_fits(shape, slot) {
                Ok(()) => verdict.imps.add(imp),
                Err(misfit) => self.note(misfit),
            }
        }
        verdict.has_parts = shape.form == Form::Native && !verdict.imps.is_empty();
        if let Some(place) = self.shapes.get_mut(number as usize) {
            *place = verdict;
        }
        verdict
    }
}

/// The imps on which shapes alone decide.
pub fn by_shape(others: ImpSet, input: &AuctionInput) -> impl Iterator<Item = (u8, &ImpInput)> {
    (0u8..).zip(&input.imps).filter(move |(imp, _)| !others.has(*imp))
}
