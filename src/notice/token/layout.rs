//! The fixed layout of a token's fields: big-endian, in the order below, 102 bytes.
//!
//! Times are unsigned 48-bit milliseconds (good until the year 10889); others are saturated.

use super::{BidToken, FIELDS};
use crate::market::SizeClass;
use crate::rates::Rate;
use crate::units::{
    AdvertiserId, CampaignId, CreativeId, CurrencyCode, HoldId, LeaseId, Micros, Slot, Timestamp,
    UserKey,
};

const HAS_USER: u8 = 1;
const MEASURE: u8 = 2;
const STORE_SESSION: u8 = 4;
/// The flags' upper five bits are the size's class.
const SIZE_SHIFT: u32 = 3;
/// The arm's upper bits are the strategy's arm, two of them, and a flag.
const ARM: u8 = 31;
const STRATEGY_ARM: u8 = 3;
const STRATEGY_ARM_SHIFT: u32 = 5;
const FIRST_PRICE: u8 = 128;
const TIME: usize = 6;
/// Largest time of the layout: all bits of 48.
const TIME_MS_MAX: i64 = (1 << 48) - 1;

/// Writes `token` into exactly `FIELDS` bytes.
pub(super) fn encode(token: &BidToken, out: &mut [u8]) {
    debug_assert_eq!(out.len(), FIELDS);
    let mut rest = out;
    let mut put = |bytes: &[u8]| {
        let (head, tail) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        rest = tail;
    };
    let HoldId { lease, sequence } = token.hold;
    put(&lease.node.to_be_bytes());
    put(&lease.core.to_be_bytes());
    put(&lease.boot.to_be_bytes());
    put(&lease.number.to_be_bytes());
    put(&sequence.to_be_bytes());
    put(&token.advertiser.0.to_be_bytes());
    put(&token.campaign.0.to_be_bytes());
    put(&token.creative.0.to_be_bytes());
    put(&token.ad.index.to_be_bytes());
    put(&token.ad.generation.to_be_bytes());
    put(&token.day.to_be_bytes());
    put(&token.price.0.to_be_bytes());
    put(&token.bid_price.0.to_be_bytes());
    put(token.bid_currency.as_str().as_bytes());
    put(&token.rate.0.to_be_bytes());
    let has_user = if token.user.is_some() { HAS_USER } else { 0 };
    let measure = if token.measure { MEASURE } else { 0 };
    let store_session = if token.store_session { STORE_SESSION } else { 0 };
    put(&[has_user | measure | store_session | token.size.number() << SIZE_SHIFT]);
    put(&token.user.map_or(0, |user| user.0).to_be_bytes());
    let first_price = if token.is_first_price { FIRST_PRICE } else { 0 };
    let strategy_arm = (token.strategy_arm & STRATEGY_ARM) << STRATEGY_ARM_SHIFT;
    put(&[token.arm & ARM | strategy_arm | first_price, token.bucket]);
    put(&time(token.issued));
    put(&time(token.expires));
}

fn time(at: Timestamp) -> [u8; TIME] {
    let bytes = at.0.clamp(0, TIME_MS_MAX).to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// Reads what [`encode`] wrote. `None` for anything else, which a verified token never is.
pub(super) fn decode(bytes: &[u8]) -> Option<BidToken> {
    let mut reader = Reader(bytes);
    let lease = LeaseId {
        node: u16::from_be_bytes(reader.take()?),
        core: u16::from_be_bytes(reader.take()?),
        boot: u32::from_be_bytes(reader.take()?),
        number: u32::from_be_bytes(reader.take()?),
    };
    // Fields of a struct expression are evaluated as written: the order of `encode`.
    let hold = HoldId { lease, sequence: u32::from_be_bytes(reader.take()?) };
    let advertiser = AdvertiserId(u64::from_be_bytes(reader.take()?));
    let campaign = CampaignId(u64::from_be_bytes(reader.take()?));
    let creative = CreativeId(u64::from_be_bytes(reader.take()?));
    let index = u32::from_be_bytes(reader.take()?);
    let ad = Slot { index, generation: u32::from_be_bytes(reader.take()?) };
    let day = i32::from_be_bytes(reader.take()?);
    let price = Micros(u64::from_be_bytes(reader.take()?));
    let bid_price = Micros(u64::from_be_bytes(reader.take()?));
    let currency: [u8; 3] = reader.take()?;
    let bid_currency = CurrencyCode::parse(std::str::from_utf8(&currency).ok()?)?;
    let rate = Rate(u64::from_be_bytes(reader.take()?));
    let [flags] = reader.take()?;
    let user = UserKey(u64::from_be_bytes(reader.take()?));
    let [arm, bucket] = reader.take()?;
    let issued = reader.time()?;
    let expires = reader.time()?;
    reader.0.is_empty().then_some(BidToken {
        hold,
        advertiser,
        campaign,
        creative,
        ad,
        day,
        price,
        bid_price,
        bid_currency,
        rate,
        user: (flags & HAS_USER != 0).then_some(user),
        measure: flags & MEASURE != 0,
        store_session: flags & STORE_SESSION != 0,
        arm: arm & ARM,
        strategy_arm: arm >> STRATEGY_ARM_SHIFT & STRATEGY_ARM,
        is_first_price: arm & FIRST_PRICE != 0,
        size: SizeClass::from_number(flags >> SIZE_SHIFT),
        bucket,
        issued,
        expires,
    })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let bytes = self.take::<TIME>()?;
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&bytes);
        Some(Timestamp(i64::from_be_bytes(wide)))
    }
}
