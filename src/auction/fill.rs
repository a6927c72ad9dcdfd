//! Who fills which imp: the best candidates that the page's rules and the money admit. Where one is
//! refused, more contenders are visited, until the next best is known.

use crate::auction::decide::Auctioneer;
use crate::auction::explain::Controllers;
use crate::auction::input::{AuctionInput, ImpInput};
use crate::auction::outcome::Pick;
use crate::auction::pod;
use crate::auction::purse::Purse;
use crate::auction::reason::NoBid;
use crate::auction::select::{Candidate, Shortlist};
use crate::auction::world::{Seated, World};
use crate::budget::Purpose;
use crate::hash;
use crate::strategy::pacing::LocalPacing;
use crate::strategy::{Shading, Strategy};
use crate::units::Micros;
use smallvec::SmallVec;

impl Auctioneer {
    /// Fills the imps of one ad with the best candidates that the page and the money admit, then each
    /// pod with the best that the page leaves.
    pub(super) fn select(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        gate: &mut NoBid,
    ) {
        let has_pods = input.imps.iter().any(|imp| imp.pod.is_some());
        let mut pods: SmallVec<[Shortlist; 2]> = SmallVec::new();
        if has_pods {
            let lists = self.shortlists.iter_mut().zip(&input.imps);
            for (list, _) in lists.filter(|(_, imp)| imp.pod.is_some()) {
                pods.push(std::mem::take(list));
                list.close();
            }
        }
        if self.is_exploring {
            self.select_explorers(world, purse, input, gate);
        }
        self.select_single(world, purse, input, gate);
        for mut list in pods {
            self.fill_pod(world, purse, input, &mut list, gate);
        }
    }

    /// Moves the local pace of each campaign that could have bid by what the auction took of its money,
    /// or did not take, and notes with each pick what its pace was.
    pub(super) fn count(&self, world: &World, pacing: &mut LocalPacing, input: &mut AuctionInput) {
        let picks = &mut input.outcome.picks[..];
        for (campaign, slot, _) in self.paced(world) {
            match picks.iter_mut().find(|pick| pick.campaign == campaign) {
                // Nearly all of them: compiled for itself it is the shorter of the two.
                None => pacing.on_auction(slot, None),
                Some(pick) => {
                    pick.controllers = Controllers::from(&pacing.pace(slot, &world.pacing));
                    pacing.on_auction(slot, Some(pick.held.price));
                }
            }
        }
    }

    /// Bids on one pod, ad by ad: which is next is decided anew for what room is left.
    fn fill_pod(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        list: &mut Shortlist,
        gate: &mut NoBid,
    ) {
        let Some(imp) = list.iter().next().map(|first| usize::from(first.imp)) else { return };
        let Some(mut room) = input.imps[imp].pod else { return };
        while let Some(candidate) = pod::next(list, &self.page, room) {
            list.drop_ad(candidate.ad);
            match take_money(world, purse, input, &candidate, Purpose::Serve) {
                Some(pick) => {
                    room = room.without(candidate.seconds);
                    self.page.take(&candidate);
                    input.outcome.picks.push(pick);
                }
                None => *gate = (*gate).max(NoBid::NoMoney),
            }
        }
    }

    /// Bids on ads whose draws are worth more than all that the predictions put on an imp, as far as
    /// there is money for exploring; what is not so stays for the predictions to decide.
    fn select_explorers(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        gate: &mut NoBid,
    ) {
        for imp in 0..input.imps.len() {
            self.settle(world, input, gate);
            let Self { shortlists, explorers, page, .. } = self;
            let best = shortlists[imp].iter().find(|candidate| page.admits(candidate)).copied();
            let is_by_draw = |explorer: &&Candidate| {
                best.is_none_or(|best| best.ad != explorer.ad && best.rank < explorer.rank)
            };
            let admitted = explorers[imp].iter().filter(|explorer| page.admits(explorer));
            let pick = admitted.take_while(is_by_draw).find_map(|explorer| {
                take_money(world, purse, input, explorer, Purpose::Explore)
                    .map(|pick| (pick, *explorer))
            });
            if let Some((pick, explorer)) = pick {
                shortlists[imp].close();
                page.take(&explorer);
                input.outcome.picks.push(pick);
            }
        }
        self.is_exploring = false;
        self.settle(world, input, gate);
    }

    /// Takes the best candidate that the page and the money admit, until no imp can be filled. What the
    /// first is taken from is settled.
    fn select_single(
        &mut self,
        world: &World,
        purse: &mut impl Purse,
        input: &mut AuctionInput,
        gate: &mut NoBid,
    ) {
        debug_assert!(self.is_settled(input), "somebody could still be better");
        loop {
            let open = self.shortlists[..input.imps.len()]
                .iter()
                .filter_map(|list| list.iter().find(|candidate| self.page.admits(candidate)));
            // Of equals the first imp wins, so that the order depends on the input alone.
            let best =
                open.copied().reduce(|best, next| if next.rank > best.rank { next } else { best });
            let Some(candidate) = best else { return };
            let list = &mut self.shortlists[usize::from(candidate.imp)];
            match take_money(world, purse, input, &candidate, Purpose::Serve) {
                Some(pick) => {
                    list.close();
                    self.page.take(&candidate);
                    input.outcome.picks.push(pick);
                }
                None => {
                    *gate = (*gate).max(NoBid::NoMoney);
                    list.drop_ad(candidate.ad);
                }
            }
            // Of one imp, which is usual, the first pick is all there is.
            if self.shortlists[..input.imps.len()].iter().all(Shortlist::is_closed) {
                return;
            }
            self.settle(world, input, gate);
        }
    }
}

/// Holds the price, or what is left where that still clears the floor.
fn take_money(
    world: &World,
    purse: &mut impl Purse,
    input: &AuctionInput,
    candidate: &Candidate,
    purpose: Purpose,
) -> Option<Pick> {
    let row = world.catalog.row(candidate.campaign)?;
    let imp = &input.imps[usize::from(candidate.imp)];
    // The bid is for a thousand impressions, and one play may count for many.
    let rate = world.rates.rate(input.currency, row.currency)?.times(imp.quantity)?;
    let is_first_price = input.is_first_price && candidate.deal.is_none();
    let mut price = shaded(
        world,
        input,
        imp,
        (candidate.deal, Seated::of(row, candidate.arm), candidate.ad),
        (candidate.paced, candidate.price, candidate.floor),
    );
    let mut held_price = rate.convert_up(price)?;
    let held = match purse.hold(row.id, purpose, held_price, input.windows, input.now) {
        Ok(held) => held,
        // What is left is less than the draw was worth, and others are worth more than that.
        Err(_) if purpose == Purpose::Explore => return None,
        Err(left) => {
            price = rate.largest_within(left)?;
            held_price = rate.convert_up(price)?;
            if price.0 == 0 || price < candidate.floor {
                return None;
            }
            purse.hold(row.id, purpose, held_price, input.windows, input.now).ok()?
        }
    };
    Some(Pick {
        imp: imp.position,
        deal: candidate.deal,
        campaign: candidate.campaign,
        strategy_arm: candidate.arm,
        ad: candidate.ad,
        price,
        paced: candidate.price,
        is_exploration: purpose == Purpose::Explore,
        is_first_price,
        held,
        rate,
        logit: candidate.logit,
        conversions_ppm: candidate.conversions_ppm,
        prior_logit: candidate.prior_logit,
        interest: candidate.interest,
        strengths: candidate.strengths,
        floor: candidate.floor,
        controllers: Controllers::default(),
    })
}

/// What is bid of a candidate's price: below it where the winner pays its bid and the strategy says
/// so. On deals never: whom one competes with there, the open market does not tell.
pub fn shaded(
    world: &World,
    input: &AuctionInput,
    imp: &ImpInput,
    (deal, seated, ad): (Option<u8>, Seated, u32),
    (paced, price, floor): (Micros, Micros, Micros),
) -> Micros {
    let shades = |strategy: &Strategy| strategy.shading() == Shading::Auto;
    if deal.is_some() || !input.is_first_price || !world.strategy_of(seated).is_some_and(shades) {
        return price;
    }
    let seed = hash::combine(input.seed, u64::from(ad));
    world.market.shade(&input.place(imp), paced, floor, seed).price.min(price)
}
