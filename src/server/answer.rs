//! From an outcome to bytes: sealed URLs, markup, our own check, the response.

mod fitted;

use crate::auction::{AuctionInput, Pick};
use crate::catalog::{Ad, AdKind, Campaign, Catalog};
use crate::market::SizeClass;
use crate::notice::token::{BidToken, NonceSequence, Purpose, SealedText, Sealer};
use crate::notice::{ChargeOn, write_url};
use crate::openrtb::markup::Tracking;
use crate::openrtb::response::SimulationExt;
use crate::openrtb::{Bid, BidRequest, BidResponse, CheckedBid, Defect, Imp, MacroValues, check};
use crate::prediction::sigmoid;
use crate::privacy::ContextBucket;
use crate::rates::Rates;
use crate::units::{CurrencyCode, Micros};
use bytes::BytesMut;
use fitted::Fitted;
use smallvec::SmallVec;

/// What every answer of one exchange shares.
pub struct Desk<'a> {
    /// Seals tokens.
    pub sealer: &'a Sealer,
    /// How the public listener is reached, without a slash at the end. Like the exchange's name and
    /// tokens it holds nothing that JSON escapes, so that our URLs stand in an answer as they are.
    pub public_url: &'a str,
    /// The exchange's name.
    pub exchange: &'a str,
    /// Stable hash of it.
    pub exchange_key: u64,
    /// Our seat with it.
    pub seat: &'a str,
    /// Which of its notices charges: the pixel asks for the price where it does.
    pub charge_on: ChargeOn,
    /// Milliseconds for which notices of a bid are taken.
    pub token_ttl_ms: i64,
    /// Currency rates.
    pub rates: &'a Rates,
    /// Whether to tell a simulator what we think.
    pub is_simulation: bool,
    /// Largest answer that the exchange takes, in bytes.
    pub bytes_max: usize,
}

/// A bid that was left out of the answer.
pub struct Refused {
    /// Its number among the bids of the auction, from 1.
    number: u32,
    /// The bid.
    pub pick: Pick,
    /// What our own check found wrong with it; nothing where the answer was too long.
    pub defect: Option<Defect>,
}

/// Where one worker writes its answers, reused so that a warm one allocates nothing. Grows to the
/// largest answer, which the imps of a request bound.
#[derive(Default)]
pub struct Scratch {
    /// The answer written last. A connection takes it as it is and gives its place back once it has
    /// copied it to what it sends, at once as a rule. Of one that sends more than it reads, the last
    /// answer keeps its place, and the next is written to another.
    pub answer: BytesMut,
    texts: Texts,
}

/// What is written of one bid before it is checked.
#[derive(Default)]
struct Texts {
    win: String,
    billing: String,
    loss: String,
    click: String,
    view: String,
    /// As it stands in the answer, inside of a JSON string.
    markup: String,
    /// What is written before it is escaped for that.
    plain: String,
}

/// Writes the answer to `request` into `scratch.answer`. Bids that fail our own check are left out,
/// and so are the cheapest of an answer that is longer than the exchange takes; both are returned,
/// so that their money is released. The answer is empty when none is left.
pub fn write(
    desk: &Desk<'_>,
    nonces: &mut NonceSequence,
    request: &BidRequest<'_>,
    input: &AuctionInput,
    scratch: &mut Scratch,
) -> SmallVec<[Refused; 1]> {
    let mut refused = SmallVec::new();
    // What a bid takes counts what stands around it too for one of them, so that one more round may
    // be needed; each leaves out a bid at least.
    loop {
        let mut written = fill(desk, nonces, request, input, scratch, &mut refused);
        let mut excess = scratch.answer.len().saturating_sub(desk.bytes_max);
        if excess == 0 {
            return refused;
        }
        written.sort_by_key(|(_, pick, _)| std::cmp::Reverse(pick.price));
        while excess > 0
            && let Some((number, pick, bytes)) = written.pop()
        {
            excess = excess.saturating_sub(bytes);
            refused.push(Refused { number, pick, defect: None });
        }
    }
}

/// Writes what was not refused before; what was written, with the bytes it took.
fn fill(
    desk: &Desk<'_>,
    nonces: &mut NonceSequence,
    request: &BidRequest<'_>,
    input: &AuctionInput,
    scratch: &mut Scratch,
    refused: &mut SmallVec<[Refused; 1]>,
) -> SmallVec<[(u32, Pick, usize); 4]> {
    let Scratch { answer, texts } = scratch;
    answer.clear();
    let mut written = SmallVec::new();
    let mut response = BidResponse::new(&request.id, desk.seat, input.currency);
    let catalog = input.outcome.catalog.as_deref();
    for (number, pick) in (1..).zip(&input.outcome.picks) {
        if refused.iter().any(|refused: &Refused| refused.number == number) {
            continue;
        }
        let from = answer.len();
        let bid = catalog
            .ok_or(Defect::UnknownImp)
            .and_then(|catalog| bid(desk, nonces, request, input, catalog, (number, pick), texts));
        match bid {
            Ok(bid) => {
                response.push(&bid, answer);
                written.push((number, *pick, answer.len() - from));
            }
            Err(defect) => refused.push(Refused { number, pick: *pick, defect: Some(defect) }),
        }
    }
    response.close(answer);
    written
}

fn bid<'a>(
    desk: &Desk<'a>,
    nonces: &mut NonceSequence,
    request: &'a BidRequest<'_>,
    input: &AuctionInput,
    catalog: &'a Catalog,
    (number, pick): (u32, &Pick),
    texts: &'a mut Texts,
) -> Result<Bid<'a>, Defect> {
    let imp = request.imp.get(usize::from(pick.imp)).ok_or(Defect::UnknownImp)?;
    let campaign = catalog.campaign(pick.campaign).ok_or(Defect::UnknownImp)?;
    let ad = catalog.ad(pick.ad).ok_or(Defect::UnknownImp)?;
    let token = token_of(desk, input, campaign, ad, pick);
    let nonce = nonces.next_nonce();
    let sealed = desk.sealer.seal(desk.exchange_key, &token, nonce);
    texts.write_urls(desk, sealed.as_text());
    let fitted = Fitted::new(imp, &ad.kind)?;
    let Texts { win, billing, loss, click, view, markup, plain } = texts;
    let tracking = Tracking {
        values: MacroValues {
            click,
            impression: view,
            ..macro_values(desk, request, input, imp, campaign, ad, nonce)
        },
        impressions: &ad.impression_trackers,
        clicks: &ad.click_trackers,
    };
    fitted.write(&ad.name, &tracking, plain, markup).ok_or(Defect::NoMarkup)?;
    let deal = pick.deal.and_then(|deal| imp.pmp.deals.get(usize::from(deal)));
    let checked = CheckedBid {
        impid: &imp.id,
        price: pick.price,
        currency: input.currency,
        floor: floor(desk, input, imp, ad, pick),
        seat: desk.seat,
        dealid: deal.map_or("", |deal| deal.id.as_str()),
        adomain: &ad.adomain,
        bundle: &ad.bundle,
        cat: &ad.iab_cats,
        cattax: 1,
        attr: ad.attr,
        language: &ad.language,
        api: ad.api,
        markup,
        media: fitted.media(),
    };
    check(request, usize::from(pick.imp), &checked)?;
    let (w, h) = fitted.size().unzip();
    Ok(Bid {
        id: number,
        impid: &imp.id,
        price: pick.price,
        ad: &ad.json,
        nurl: win,
        burl: billing,
        lurl: loss,
        adm: markup,
        dealid: deal.map_or("", |deal| deal.id.as_str()),
        w,
        h,
        ratio: fitted.ratio(),
        mtype: Some(fitted.mtype()),
        dur: ad.kind.duration_s(),
        exp: None,
        simulation: desk.is_simulation.then(|| SimulationExt {
            arm: input.arm.as_str(),
            pctr: sigmoid(pick.logit),
            click,
        }),
    })
}

/// What macros become, but for our own two URLs.
fn macro_values<'a>(
    desk: &Desk<'a>,
    request: &'a BidRequest<'_>,
    input: &'a AuctionInput,
    imp: &'a Imp<'_>,
    campaign: &'a Campaign,
    ad: &'a Ad,
    nonce: [u8; 12],
) -> MacroValues<'a> {
    let place = request.inventory();
    let site = place.and_then(|place| place.bundle.given().or(place.domain.given()));
    let [worker_high, worker_low, .., a, b, c, d, e] = nonce;
    MacroValues {
        auction_id: &request.id,
        imp_id: &imp.id,
        seat_id: desk.seat,
        creative: &ad.name,
        currency: input.currency.as_str(),
        click: "",
        impression: "",
        // The worker, since all count from one start, and the low part of its count of bids: as many
        // bits as a number in a script holds.
        cache_buster: u64::from_be_bytes([0, worker_high & 31, worker_low, a, b, c, d, e]),
        campaign: &campaign.name,
        site: site.map_or("", |site| site),
        gdpr: request.regs.gdpr,
        consent: &request.user.consent,
        us_privacy: &request.regs.us_privacy,
        gpp: &request.regs.gpp,
        gpp_sid: &request.regs.gpp_sid,
    }
}

/// The floor that the bid must keep, worked out from the request once more and not from the input,
/// so that the check trusts nothing that the auction did.
fn floor(desk: &Desk<'_>, input: &AuctionInput, imp: &Imp<'_>, ad: &Ad, pick: &Pick) -> Micros {
    let convert = |floor, currency: Option<CurrencyCode>| {
        currency.and_then(|currency| desk.rates.convert(floor, currency, input.currency))
    };
    let deal = pick.deal.and_then(|deal| imp.pmp.deals.get(usize::from(deal)));
    let flat = match deal {
        Some(deal) => convert(deal.bidfloor, deal.floor_currency()),
        None => convert(imp.bidfloor, imp.floor_currency()),
    };
    let (of_slot, seconds) = match &ad.kind {
        AdKind::Video(video) => {
            let seconds = video.duration_s;
            (imp.video.as_ref().map(|slot| slot.duration_floor(seconds)), seconds)
        }
        AdKind::Audio(audio) => {
            let seconds = audio.duration_s;
            (imp.audio.as_ref().map(|slot| slot.duration_floor(seconds)), seconds)
        }
        AdKind::Banner(_) | AdKind::Native(_) => (None, 0),
    };
    let of_deal = deal
        .filter(|_| of_slot.is_some())
        .and_then(|deal| Some(convert(deal.duration_floor(seconds)?, deal.floor_currency())));
    let of_slot = || convert(of_slot.unwrap_or(Micros::ZERO), imp.floor_currency());
    let by_length = of_deal.unwrap_or_else(of_slot);
    flat.zip(by_length).map_or(Micros(u64::MAX), |(flat, by_length)| flat.max(by_length))
}

fn token_of(
    desk: &Desk<'_>,
    input: &AuctionInput,
    campaign: &Campaign,
    ad: &Ad,
    pick: &Pick,
) -> BidToken {
    let imp = input.imps.iter().find(|imp| imp.position == pick.imp);
    let format = imp.map_or(0, |imp| imp.format as u8);
    BidToken {
        hold: pick.held.hold,
        advertiser: campaign.advertiser,
        campaign: campaign.id,
        creative: ad.id,
        ad: ad.slot,
        day: pick.held.day.0,
        price: pick.held.price,
        bid_price: pick.price,
        bid_currency: input.currency,
        rate: pick.rate,
        user: input.user,
        measure: input.permissions.measure,
        store_session: input.permissions.store_session,
        arm: input.arm as u8,
        strategy_arm: pick.strategy_arm,
        is_first_price: pick.is_first_price,
        size: imp.map_or(SizeClass::default(), |imp| input.place(imp).size),
        bucket: ContextBucket::of(input.user_context.device_type, format).index() as u8,
        issued: input.now,
        expires: if input.is_test {
            BidToken::TEST_EXPIRES
        } else {
            input.now.plus_millis(desk.token_ttl_ms)
        },
    }
}

impl Texts {
    /// Writes the five URLs, each in place of the last bid's.
    fn write_urls(&mut self, desk: &Desk<'_>, sealed: SealedText<'_>) {
        for (url, purpose) in [
            (&mut self.win, Purpose::Win),
            (&mut self.billing, Purpose::Billing),
            (&mut self.loss, Purpose::Loss),
            (&mut self.click, Purpose::Click),
            (&mut self.view, Purpose::View),
        ] {
            url.clear();
            write_url(url, desk.public_url, desk.exchange, purpose, desk.charge_on, sealed);
        }
    }
}

#[cfg(test)]
mod tests;
