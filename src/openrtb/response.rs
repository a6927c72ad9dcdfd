//! Answers: typed and borrowed for writing, typed and owned for reading.
//!
//! Written by hand: each value straight into the buffer, prices as exact decimals. Missing texts
//! and empty lists are left out.

use super::escape::Sink;
use crate::units::{CurrencyCode, Micros};
use bytes::BytesMut;
use serde::{Deserialize, Deserializer};

/// Why nothing is bid: OpenRTB's list 5.24, continued by AdCOM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoBidReason(pub u16);

impl NoBidReason {
    /// Anything that has no number of its own.
    pub const UNKNOWN: Self = Self(0);
    /// A fault of ours.
    pub const TECHNICAL_ERROR: Self = Self(1);
    /// The request cannot be understood.
    pub const INVALID_REQUEST: Self = Self(2);
    /// The user is a known spider.
    pub const KNOWN_SPIDER: Self = Self(3);
    /// The user seems not to be human.
    pub const SUSPECTED_NON_HUMAN: Self = Self(4);
    /// The address is a data centre's or a proxy's.
    pub const PROXY: Self = Self(5);
    /// The device is not supported.
    pub const UNSUPPORTED_DEVICE: Self = Self(6);
    /// The publisher or site is blocked.
    pub const BLOCKED_PUBLISHER: Self = Self(7);
    /// The user is not known.
    pub const UNMATCHED_USER: Self = Self(8);
    /// The user has seen enough today.
    pub const DAILY_USER_CAP: Self = Self(9);
    /// The domain has shown enough today.
    pub const DAILY_DOMAIN_CAP: Self = Self(10);
    /// The seller's authorisation (ads.txt) is not available.
    pub const ADS_TXT_UNAVAILABLE: Self = Self(11);
    /// The seller is not authorised (ads.txt).
    pub const ADS_TXT_VIOLATION: Self = Self(12);
    /// The authentication certificate is not available.
    pub const CERTIFICATE_UNAVAILABLE: Self = Self(13);
    /// The authentication certificate is wrong.
    pub const CERTIFICATE_VIOLATION: Self = Self(14);
    /// `tmax` leaves too little time.
    pub const TOO_LITTLE_TIME: Self = Self(15);
    /// The supply chain is incomplete.
    pub const INCOMPLETE_SUPPLY_CHAIN: Self = Self(16);
    /// A seller in the supply chain is blocked.
    pub const BLOCKED_SUPPLY_CHAIN_NODE: Self = Self(17);
}

/// An answer to one request as it is written: the bids of one seat, one after the other, so that
/// none is moved or kept.
#[derive(Clone, Debug, Default)]
pub struct BidResponse<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The seat; empty for none.
    pub seat: &'a str,
    /// The currency of all prices.
    pub cur: CurrencyCode,
    has_bid: bool,
}

/// The answer that bids nothing and says why.
#[derive(Clone, Copy, Debug)]
pub struct NoBidResponse<'a> {
    /// The request's id.
    pub id: &'a str,
    /// Why nothing is bid.
    pub nbr: NoBidReason,
}

/// What all bids on one ad say of it. Empty texts and lists are not written. `S` is how the catalog
/// keeps texts.
#[derive(Clone, Copy, Debug)]
pub struct AdFields<'a, S> {
    /// Our id of the ad.
    pub adid: &'a str,
    /// The advertiser's domains.
    pub adomain: &'a [S],
    /// The app that is advertised.
    pub bundle: &'a str,
    /// The campaign.
    pub cid: &'a str,
    /// The creative.
    pub crid: &'a str,
    /// The ad's categories.
    pub cat: &'a [S],
    /// Taxonomy of `cat` (2.6).
    pub cattax: Option<u16>,
    /// The ad's attributes: bit n is code n.
    pub attr: u64,
    /// API frameworks that the markup needs (2.6): bit n is code n.
    pub apis: u64,
    /// The language of the ad: an ISO 639-1 code is sent as `language`, any other tag as `langb`.
    pub language: &'a str,
}

/// The same in JSON, written once for all bids on the ad.
#[derive(Clone, Debug, Default)]
pub struct AdJson {
    text: Box<[u8]>,
    /// Where the ad's id ends, and with it what stands before the URLs.
    id_ends: usize,
}

/// One bid. Empty texts are not written.
#[derive(Clone, Debug)]
pub struct Bid<'a> {
    /// Our id for the bid; written as text.
    pub id: u32,
    /// The imp that it is for.
    pub impid: &'a str,
    /// The price as a CPM in the answer's currency.
    pub price: Micros,
    /// What is said of the ad.
    pub ad: &'a AdJson,
    /// Called when the bid wins. These URLs and the markup are escaped for JSON already.
    pub nurl: &'a str,
    /// Called when the bid is billed.
    pub burl: &'a str,
    /// Called when the bid loses.
    pub lurl: &'a str,
    /// The markup.
    pub adm: &'a str,
    /// The deal that the bid is made under.
    pub dealid: &'a str,
    /// Width in pixels.
    pub w: Option<u32>,
    /// Height in pixels.
    pub h: Option<u32>,
    /// Relative width and height, where the size was asked for by its ratio.
    pub ratio: Option<(u32, u32)>,
    /// Kind of markup (2.6): 1 banner, 2 video, 3 audio, 4 native.
    pub mtype: Option<u8>,
    /// Length in seconds of video and audio (2.6).
    pub dur: Option<u32>,
    /// Seconds for which the bid holds.
    pub exp: Option<u32>,
    /// What a simulator is told, under `ext.outbid`; never sent to a real exchange.
    pub simulation: Option<SimulationExt<'a>>,
}

/// What a bid tells a simulator: enough to hold predictions against its hidden truth.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimulationExt<'a> {
    /// The user's experiment arm.
    pub arm: &'a str,
    /// The predicted click probability.
    pub pctr: f32,
    /// The click URL that the markup contains.
    pub click: &'a str,
}

impl<'a> BidResponse<'a> {
    /// An answer without bids so far.
    #[must_use]
    pub const fn new(id: &'a str, seat: &'a str, cur: CurrencyCode) -> Self {
        Self { id, seat, cur, has_bid: false }
    }

    /// The answer that bids nothing and says why.
    #[must_use]
    pub const fn no_bid(id: &'a str, nbr: NoBidReason) -> NoBidResponse<'a> {
        NoBidResponse { id, nbr }
    }

    /// Appends a bid, and before the first one the beginning of the answer.
    pub fn push(&mut self, bid: &Bid<'_>, out: &mut BytesMut) {
        if self.has_bid {
            out.put(",");
        } else {
            out.put("{\"id\":");
            out.put_json(self.id);
            out.put(",\"seatbid\":[{\"bid\":[");
            self.has_bid = true;
        }
        bid.write(out);
    }

    /// Appends the end of the answer; nothing where there is no bid.
    pub fn close(self, out: &mut BytesMut) {
        if self.has_bid {
            out.put("]");
            text(out, ",\"seat\":", self.seat);
            out.put("}],\"cur\":\"");
            out.put(self.cur.as_str());
            out.put("\"}");
        }
    }
}

impl NoBidResponse<'_> {
    /// Appends the answer's JSON.
    pub fn write(&self, out: &mut BytesMut) {
        out.put("{\"id\":");
        out.put_json(self.id);
        out.put(",\"nbr\":");
        out.put_number(u64::from(self.nbr.0));
        out.put("}");
    }
}

impl AdJson {
    /// What is written of the ad with these fields.
    #[must_use]
    pub fn new<S: AsRef<str>>(ad: &AdFields<'_, S>) -> Self {
        let mut out = BytesMut::new();
        text(&mut out, ",\"adid\":", ad.adid);
        let id_ends = out.len();
        list(&mut out, ",\"adomain\":[", ad.adomain);
        text(&mut out, ",\"bundle\":", ad.bundle);
        text(&mut out, ",\"cid\":", ad.cid);
        text(&mut out, ",\"crid\":", ad.crid);
        list(&mut out, ",\"cat\":[", ad.cat);
        number(&mut out, ",\"cattax\":", ad.cattax);
        codes(&mut out, ",\"attr\":[", ad.attr);
        codes(&mut out, ",\"apis\":[", ad.apis);
        let is_code = ad.language.len() == 2;
        text(&mut out, if is_code { ",\"language\":" } else { ",\"langb\":" }, ad.language);
        Self { text: out[..].into(), id_ends }
    }

    /// What is written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl Bid<'_> {
    fn write(&self, out: &mut BytesMut) {
        let (ad_id, of_ad) = self.ad.text.split_at(self.ad.id_ends);
        out.put("{\"id\":\"");
        out.put_number(u64::from(self.id));
        out.put("\",\"impid\":");
        out.put_json(self.impid);
        out.put(",\"price\":");
        put_price(self.price, out);
        out.extend_from_slice(ad_id);
        escaped(out, ",\"nurl\":\"", self.nurl);
        escaped(out, ",\"burl\":\"", self.burl);
        escaped(out, ",\"lurl\":\"", self.lurl);
        escaped(out, ",\"adm\":\"", self.adm);
        out.extend_from_slice(of_ad);
        text(out, ",\"dealid\":", self.dealid);
        number(out, ",\"w\":", self.w);
        number(out, ",\"h\":", self.h);
        if let Some((wratio, hratio)) = self.ratio {
            number(out, ",\"wratio\":", Some(wratio));
            number(out, ",\"hratio\":", Some(hratio));
        }
        number(out, ",\"mtype\":", self.mtype);
        number(out, ",\"dur\":", self.dur);
        number(out, ",\"exp\":", self.exp);
        if let Some(simulation) = &self.simulation {
            out.put(",\"ext\":{\"outbid\":{\"arm\":");
            out.put_json(simulation.arm);
            text(out, ",\"click\":", simulation.click);
            out.put(",\"pctr\":");
            out.put(&simulation.pctr.clamp(0.0, 1.0).to_string());
            out.put("}}");
        }
        out.put("}");
    }
}

/// The list of the set bits' numbers; nothing where none is set.
fn codes(out: &mut BytesMut, open: &str, bits: u64) {
    let mut rest = bits;
    let mut separator = open;
    while rest != 0 {
        out.put(separator);
        out.put_number(u64::from(rest.trailing_zeros()));
        rest &= rest - 1;
        separator = ",";
    }
    if bits != 0 {
        out.put("]");
    }
}

fn text(out: &mut BytesMut, key: &str, value: &str) {
    if !value.is_empty() {
        out.put(key);
        out.put_json(value);
    }
}

/// The same for a text that is escaped already.
fn escaped(out: &mut BytesMut, open: &str, value: &str) {
    if !value.is_empty() {
        [open, value, "\""].into_iter().for_each(|text| out.put(text));
    }
}

fn number(out: &mut BytesMut, key: &str, value: Option<impl Into<u64>>) {
    if let Some(value) = value {
        out.put(key);
        out.put_number(value.into());
    }
}

fn list<S: AsRef<str>>(out: &mut BytesMut, open: &str, items: &[S]) {
    let mut separator = open;
    for item in items {
        out.put(separator);
        out.put_json(item.as_ref());
        separator = ",";
    }
    if !items.is_empty() {
        out.put("]");
    }
}

/// Appends a price as the decimal that it is: 1,250,000 micros are `1.25`.
fn put_price(price: Micros, out: &mut BytesMut) {
    out.put_number(price.0 / 1_000_000);
    let mut fraction = price.0 % 1_000_000;
    if fraction == 0 {
        return;
    }
    let mut digits = *b".000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    let end = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
    out.extend_from_slice(&digits[..=end]);
}

/// An answer as a client reads it: what we read of others' answers, and of our own in tests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ParsedResponse {
    /// The request's id.
    pub id: String,
    /// The bids by seat.
    #[serde(deserialize_with = "nullable")]
    pub seatbid: Vec<ParsedSeatBid>,
    /// The bidder's id for this answer.
    #[serde(deserialize_with = "nullable")]
    pub bidid: String,
    /// The currency of all prices; empty means dollars.
    #[serde(deserialize_with = "nullable")]
    pub cur: String,
    /// Why nothing is bid.
    pub nbr: Option<i64>,
}

/// The bids of one seat, as a client reads them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ParsedSeatBid {
    /// The seat.
    #[serde(deserialize_with = "nullable")]
    pub seat: String,
    /// Its bids.
    #[serde(deserialize_with = "nullable")]
    pub bid: Vec<ParsedBid>,
}

/// One bid, as a client reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ParsedBid {
    /// The bidder's id for the bid.
    pub id: String,
    /// The imp that it is for.
    pub impid: String,
    /// The price as a CPM in the answer's currency.
    #[serde(deserialize_with = "price")]
    pub price: Micros,
    /// The bidder's id of the ad.
    pub adid: Option<String>,
    /// Called when the bid wins.
    pub nurl: Option<String>,
    /// Called when the bid is billed.
    pub burl: Option<String>,
    /// Called when the bid loses.
    pub lurl: Option<String>,
    /// The markup.
    pub adm: Option<String>,
    /// The advertiser's domains.
    #[serde(deserialize_with = "nullable")]
    pub adomain: Vec<String>,
    /// The app that is advertised.
    pub bundle: Option<String>,
    /// The campaign.
    pub cid: Option<String>,
    /// The creative.
    pub crid: Option<String>,
    /// The ad's categories.
    #[serde(deserialize_with = "nullable")]
    pub cat: Vec<String>,
    /// Taxonomy of `cat`.
    pub cattax: Option<i64>,
    /// The ad's attributes.
    #[serde(deserialize_with = "nullable")]
    pub attr: Vec<i64>,
    /// API frameworks that the markup needs.
    #[serde(deserialize_with = "nullable")]
    pub apis: Vec<i64>,
    /// The language of the ad, by ISO 639-1.
    pub language: Option<String>,
    /// The same as a tag of BCP 47; only one of the two is sent.
    pub langb: Option<String>,
    /// The deal that the bid is made under.
    pub dealid: Option<String>,
    /// Width in pixels.
    pub w: Option<i64>,
    /// Height in pixels.
    pub h: Option<i64>,
    /// Relative width.
    pub wratio: Option<i64>,
    /// Relative height.
    pub hratio: Option<i64>,
    /// Kind of markup.
    pub mtype: Option<i64>,
    /// Length in seconds.
    pub dur: Option<i64>,
    /// Seconds for which the bid holds.
    pub exp: Option<i64>,
    /// Extensions; ours are under `outbid`.
    pub ext: serde_json::Value,
}

impl ParsedBid {
    /// The experiment's arm that our own answers carry.
    #[must_use]
    pub fn arm(&self) -> Option<&str> {
        self.ext.pointer("/outbid/arm")?.as_str()
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    source: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or_default())
}

/// Unlike a floor, a price that is negative or no number is an error: it cannot be paid.
fn price<'de, D: Deserializer<'de>>(source: D) -> Result<Micros, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Price {
        Number(f64),
        Text(String),
    }
    match Price::deserialize(source)? {
        Price::Number(cpm) => Micros::from_cpm_f64(cpm),
        Price::Text(text) => Micros::parse_decimal(text.trim()),
    }
    .ok_or_else(|| serde::de::Error::custom("a price is a decimal that is not negative"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).expect("JSON is UTF-8")
    }

    #[test]
    fn a_no_bid_says_why() {
        let response = BidResponse::no_bid("r\"1", NoBidReason::TOO_LITTLE_TIME);
        assert_eq!(written(|out| response.write(out)), r#"{"id":"r\"1","nbr":15}"#);
    }

    #[test]
    fn an_answer_without_bids_is_nothing() {
        let response = BidResponse::new("r", "seat", CurrencyCode::USD);
        assert_eq!(written(|out| response.close(out)), "");
    }

    #[test]
    fn prices_are_exact_decimals() {
        for (micros, expected) in [
            (0, "0"),
            (1, "0.000001"),
            (1_250_000, "1.25"),
            (10_000_000, "10"),
            (123_456_789, "123.456789"),
            (u64::MAX, "18446744073709.551615"),
        ] {
            let mut out = BytesMut::new();
            put_price(Micros(micros), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
            assert_eq!(Micros::parse_decimal(expected), Some(Micros(micros)));
        }
    }

    #[test]
    fn a_price_that_cannot_be_paid_is_refused() {
        for (price, expected) in [
            ("1.5", Some(1_500_000)),
            ("\"1.5\"", Some(1_500_000)),
            ("-1", None),
            ("\"cheap\"", None),
            ("null", None),
        ] {
            let text = format!("{{\"id\":\"b\",\"impid\":\"1\",\"price\":{price}}}");
            let parsed = serde_json::from_str::<ParsedBid>(&text).ok();
            assert_eq!(parsed.map(|bid| bid.price.0), expected, "{price}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            texts in proptest::collection::vec(any::<String>(), 17),
            language in "|en|pt-BR|yue|[a-z]{2}",
            prices in proptest::collection::vec(0..1_000_000_000u64, 2),
            sizes in proptest::collection::vec(proptest::option::of(any::<u32>()), 4),
            attr in any::<u64>(),
            mtype in proptest::option::of(1..5u8),
        ) {
            let ad = AdJson::new(&AdFields {
                adid: &texts[2],
                adomain: &texts[7..9],
                bundle: &texts[9],
                cid: &texts[10],
                crid: &texts[11],
                cat: &texts[12..13],
                cattax: Some(2),
                attr,
                apis: attr >> 1,
                language: &language,
            });
            let escaped = |text: usize| written(|out| out.put_json_text(&texts[text]));
            let [nurl, burl, lurl, adm] = [3, 4, 5, 6].map(escaped);
            let bid = |price: u64| Bid {
                id: 7,
                impid: &texts[1],
                price: Micros(price),
                ad: &ad,
                nurl: &nurl,
                burl: &burl,
                lurl: &lurl,
                adm: &adm,
                dealid: &texts[13],
                w: sizes[0],
                h: sizes[1],
                ratio: sizes[2].zip(sizes[3]),
                mtype,
                dur: sizes[2],
                exp: sizes[3],
                simulation: Some(SimulationExt { arm: &texts[14], ..SimulationExt::default() }),
            };
            let mut response = BidResponse::new(&texts[15], &texts[16], CurrencyCode::USD);
            let answer = written(|out| {
                prices.iter().for_each(|price| response.push(&bid(*price), out));
                response.close(out);
            });
            let parsed: ParsedResponse = serde_json::from_str(&answer).expect("JSON");
            prop_assert_eq!(&parsed.id, &texts[15]);
            prop_assert_eq!(&parsed.cur, "USD");
            prop_assert_eq!(&parsed.seatbid[0].seat, &texts[16]);
            prop_assert_eq!(parsed.seatbid[0].bid.len(), prices.len());
            for (bid, price) in parsed.seatbid[0].bid.iter().zip(&prices) {
                let given = |text: &String| (!text.is_empty()).then(|| text.clone());
                prop_assert_eq!(bid.price, Micros(*price));
                prop_assert_eq!(&bid.id, "7");
                prop_assert_eq!(&bid.impid, &texts[1]);
                let read = [
                    &bid.adid, &bid.nurl, &bid.burl, &bid.lurl, &bid.adm, &bid.bundle, &bid.cid,
                    &bid.crid, &bid.dealid,
                ];
                for (read, sent) in read.into_iter().zip([2, 3, 4, 5, 6, 9, 10, 11, 13]) {
                    prop_assert_eq!(read, &given(&texts[sent]));
                }
                let of_two = Some(&language).filter(|tag| tag.len() == 2);
                let of_others = Some(&language).filter(|tag| tag.len() > 2);
                prop_assert_eq!((bid.language.as_ref(), bid.langb.as_ref()), (of_two, of_others));
                prop_assert_eq!(&bid.adomain[..], &texts[7..9]);
                prop_assert_eq!(&bid.cat[..], &texts[12..13]);
                prop_assert_eq!(bid.cattax, Some(2));
                let bits = bid.attr.iter().fold(0u64, |bits, code| bits | 1 << code);
                prop_assert_eq!(bits, attr);
                let bits = bid.apis.iter().fold(0u64, |bits, code| bits | 1 << code);
                prop_assert_eq!(bits, attr >> 1);
                prop_assert_eq!(
                    [bid.w, bid.h, bid.dur, bid.exp],
                    [sizes[0], sizes[1], sizes[2], sizes[3]].map(|size| size.map(i64::from))
                );
                let ratio = sizes[2].zip(sizes[3]).map(|(w, h)| (i64::from(w), i64::from(h)));
                prop_assert_eq!(bid.wratio.zip(bid.hratio), ratio);
                prop_assert_eq!(bid.mtype, mtype.map(i64::from));
                prop_assert_eq!(bid.arm().map(str::to_owned), Some(texts[14].clone()));
            }
        }
    }
}
