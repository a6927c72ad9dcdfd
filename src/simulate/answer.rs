//! Reading bid responses as an exchange does: leniently, then strictly against the request, and the
//! macros in notice URLs.

use super::request::{Imp, Rendered};
use crate::units::Micros;
use serde::{Deserialize, Serialize};

/// Longest notice URL that is called, after its macros; browsers and servers agree on 8 kB.
const URL_BYTES_MAX: usize = 8_192;

/// A bid response, as far as the exchange reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Must be the request's.
    pub id: String,
    /// Currency of all prices.
    #[serde(default)]
    pub cur: Option<String>,
    /// Bids by seat.
    #[serde(default)]
    pub seatbid: Vec<SeatBid>,
}

/// The bids of one seat.
#[derive(Clone, Debug, Deserialize)]
pub struct SeatBid {
    /// The seat.
    #[serde(default)]
    pub seat: Option<String>,
    /// Its bids.
    pub bid: Vec<AnsweredBid>,
}

/// One bid.
#[derive(Clone, Debug, Deserialize)]
pub struct AnsweredBid {
    /// Its id.
    pub id: String,
    /// The imp that it is for.
    pub impid: String,
    /// A CPM.
    pub price: f64,
    /// Win notice.
    #[serde(default)]
    pub nurl: Option<String>,
    /// Billing notice.
    #[serde(default)]
    pub burl: Option<String>,
    /// Loss notice.
    #[serde(default)]
    pub lurl: Option<String>,
    /// Creative, as the bidder calls it.
    #[serde(default)]
    pub adid: Option<String>,
    /// Creative, for the exchange's review.
    #[serde(default)]
    pub crid: Option<String>,
    /// Campaign.
    #[serde(default)]
    pub cid: Option<String>,
    /// Deal.
    #[serde(default)]
    pub dealid: Option<String>,
    /// Advertiser domains.
    #[serde(default)]
    pub adomain: Vec<String>,
    /// Extensions; ours are in `outbid`.
    #[serde(default)]
    pub ext: BidExt,
}

/// Extensions of a bid.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct BidExt {
    /// What the engine adds in simulation mode.
    #[serde(default)]
    pub outbid: Simulated,
}

/// What the engine tells in simulation mode only.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Simulated {
    /// Experiment arm.
    pub arm: Option<String>,
    /// Where a click leads.
    pub click: Option<String>,
    /// Predicted click probability.
    pub pctr: Option<f64>,
}

impl AnsweredBid {
    /// The creative's name: `crid`, else `adid`.
    #[must_use]
    pub fn creative(&self) -> &str {
        self.crid.as_deref().or(self.adid.as_deref()).unwrap_or_default()
    }

    /// The campaign's name; empty where the bid names none.
    #[must_use]
    pub fn campaign(&self) -> &str {
        self.cid.as_deref().unwrap_or_default()
    }
}

/// Why the exchange throws an answer or a bid away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    /// Not JSON, or not a bid response.
    Unreadable,
    /// The id is not the request's.
    WrongId,
    /// Not US dollars, which every request allows and nothing else.
    WrongCurrency,
    /// No imp has this id.
    UnknownImp,
    /// Not a positive number.
    WrongPrice,
    /// A deal that is not on offer, or none in a private auction.
    WrongDeal,
    /// An advertiser that the publisher refuses.
    BlockedAdvertiser,
    /// Below the floor.
    BelowFloor,
}

impl Answer {
    /// Reads a body and checks what holds for all of its bids.
    ///
    /// # Errors
    /// The defect for which the whole answer is thrown away.
    pub fn read(body: &[u8], request: &Rendered) -> Result<Self, Defect> {
        let answer: Self = serde_json::from_slice(body).map_err(|_| Defect::Unreadable)?;
        if answer.id != request.id {
            return Err(Defect::WrongId);
        }
        match answer.cur.as_deref() {
            None | Some("USD") => Ok(answer),
            Some(_) => Err(Defect::WrongCurrency),
        }
    }
}

/// A bid that may take part: its imp's position, price and floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Valid {
    pub(super) position: usize,
    pub(super) price: Micros,
    pub(super) floor: Micros,
}

/// Checks a bid against its request; `blocked` are the advertisers that the publisher refuses.
pub(super) fn check(
    bid: &AnsweredBid,
    request: &Rendered,
    blocked: &[String],
) -> Result<Valid, Defect> {
    let is_meant = |imp: &Imp| imp.id == bid.impid;
    let position = request.imps.iter().position(is_meant).ok_or(Defect::UnknownImp)?;
    let price = Micros::from_cpm_f64(bid.price).filter(|price| *price > Micros::ZERO);
    let price = price.ok_or(Defect::WrongPrice)?;
    let floor = request.imps[position].floor_for(bid.dealid.as_deref()).ok_or(Defect::WrongDeal)?;
    if bid.adomain.iter().any(|domain| blocked.contains(domain)) {
        return Err(Defect::BlockedAdvertiser);
    }
    if price < floor {
        return Err(Defect::BelowFloor);
    }
    Ok(Valid { position, price, floor })
}

/// What the macros of a notice URL stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Macros<'a> {
    pub(super) auction: &'a str,
    pub(super) bid: &'a AnsweredBid,
    pub(super) price: Micros,
    pub(super) loss: Option<u32>,
    pub(super) needed: Option<Micros>,
}

/// A price as exchanges write it: a decimal with up to six places.
pub(super) fn decimal(price: Micros) -> String {
    let text = format!("{}.{:06}", price.0 / 1_000_000, price.0 % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Macros<'_> {
    /// The URL's path and query, macros replaced (OpenRTB 2.6 §4.4; unknown ones stay). `None` for
    /// a URL without a path or one that is too long.
    pub(super) fn path(&self, url: &str) -> Option<String> {
        let mut rest = path_of(url)?;
        let mut path = String::with_capacity(rest.len() + 16);
        while let Some((before, after)) = rest.split_once("${") {
            path.push_str(before);
            let (name, behind) = after.split_once('}')?;
            match self.value(name) {
                Some(value) => path.push_str(&value),
                None => path.extend(["${", name, "}"]),
            }
            rest = behind;
        }
        path.push_str(rest);
        (path.len() <= URL_BYTES_MAX).then_some(path)
    }

    fn value(&self, name: &str) -> Option<String> {
        Some(match name {
            "AUCTION_ID" => self.auction.to_owned(),
            "AUCTION_BID_ID" => self.bid.id.clone(),
            "AUCTION_IMP_ID" => self.bid.impid.clone(),
            "AUCTION_AD_ID" => self.bid.adid.clone().unwrap_or_default(),
            "AUCTION_PRICE" => decimal(self.price),
            "AUCTION_CURRENCY" => "USD".to_owned(),
            "AUCTION_LOSS" => self.loss.map(|reason| reason.to_string()).unwrap_or_default(),
            "AUCTION_MIN_TO_WIN" => self.needed.map(decimal).unwrap_or_default(),
            _ => return None,
        })
    }
}

/// Path and query of an absolute URL.
pub(super) fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::SlotKind;
    use serde_json::json;
    use smallvec::SmallVec;

    fn bid(change: impl FnOnce(&mut serde_json::Value)) -> AnsweredBid {
        let mut value =
            json!({ "id": "b", "impid": "1", "price": 1.25, "adomain": ["shop.example"] });
        change(&mut value);
        serde_json::from_value(value).expect("a bid")
    }

    fn request() -> Rendered {
        let floor = Micros(1_000_000);
        let imp = Imp {
            id: "1".into(),
            slot: SlotKind::Feed,
            floor,
            deals: SmallVec::new(),
            private: false,
        };
        Rendered { id: "r".into(), body: Vec::new(), imps: vec![imp], at: 1 }
    }

    #[test]
    fn bids_are_held_against_their_request() {
        let good = Valid { position: 0, price: Micros(1_250_000), floor: Micros(1_000_000) };
        let blocked = ["casino.example".to_owned()];
        for (bid, expected) in [
            (bid(|_| {}), Ok(good)),
            (bid(|bid| bid["impid"] = json!("9")), Err(Defect::UnknownImp)),
            (bid(|bid| bid["price"] = json!(-1)), Err(Defect::WrongPrice)),
            (bid(|bid| bid["price"] = json!(0)), Err(Defect::WrongPrice)),
            (bid(|bid| bid["price"] = json!(0.999_999)), Err(Defect::BelowFloor)),
            (bid(|bid| bid["dealid"] = json!("d")), Err(Defect::WrongDeal)),
            (bid(|bid| bid["adomain"] = json!(["casino.example"])), Err(Defect::BlockedAdvertiser)),
        ] {
            assert_eq!(check(&bid, &request(), &blocked), expected, "{bid:?}");
        }
    }

    #[test]
    fn answers_must_be_for_the_request_and_in_its_currency() {
        for (body, expected) in [
            (r#"{"id":"r"}"#, None),
            (r#"{"id":"r","cur":"USD","seatbid":[{"bid":[]}]}"#, None),
            (r#"{"id":"q"}"#, Some(Defect::WrongId)),
            (r#"{"id":"r","cur":"EUR"}"#, Some(Defect::WrongCurrency)),
            ("[", Some(Defect::Unreadable)),
        ] {
            assert_eq!(Answer::read(body.as_bytes(), &request()).err(), expected, "{body}");
        }
    }

    #[test]
    fn macros_are_replaced_and_unknown_ones_stay() {
        let bid = bid(|_| {});
        let macros = Macros {
            auction: "r",
            bid: &bid,
            price: Micros(1_230_000),
            loss: Some(102),
            needed: Some(Micros(7)),
        };
        let url =
            "http://h:1/n?p=${AUCTION_PRICE}&l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}&x=${X}";
        assert_eq!(macros.path(url).as_deref(), Some("/n?p=1.23&l=102&m=0.000007&x=${X}"));
        assert_eq!(macros.path("no url"), None);
        assert_eq!(decimal(Micros(2_000_000)), "2");
    }
}
