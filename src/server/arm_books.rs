//! What each arm of each traffic split has bid, won and spent since the split began or this process
//! did: by campaign, and never by user. The ledger knows no arms; what it charged for a bid is counted
//! here for the arm in the bid's token. Spend is told exactly, as bills are, bids and wins as
//! magnitudes.

use crate::budget::{ArmBill, DayNumber, Outcome, Settlement};
use crate::catalog::{Campaign, Catalog, StrategyShare};
use crate::notice::BidToken;
use crate::privacy::magnitude;
use crate::units::{CampaignId, Nanos, Timestamp};
use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The books of all splits. At most 256 campaigns have one (`catalog::SPLITS_MAX`).
#[derive(Debug, Default)]
pub struct ArmBooks(ArcSwap<BTreeMap<CampaignId, Arc<Book>>>);

#[derive(Debug)]
struct Book {
    campaign: String,
    /// Bids from before are none of these arms'.
    since: Timestamp,
    arms: Vec<(StrategyShare, Arc<Counts>)>,
    before: Arc<Counts>,
}

/// Only sums, of which none decides about another.
#[derive(Debug, Default)]
struct Counts {
    bids: AtomicU64,
    wins: AtomicU64,
    /// Nanos: 64 bits are 18 billion units of currency.
    spend: AtomicU64,
}

impl Counts {
    fn charge(&self, amount: Nanos) {
        self.wins.fetch_add(1, Ordering::Relaxed);
        self.spend.fetch_add(u64::try_from(amount.0).unwrap_or(0), Ordering::Relaxed);
    }

    /// Bids and wins, and nanos spent.
    fn shown(&self) -> [u64; 3] {
        let [bids, wins, spend] =
            [&self.bids, &self.wins, &self.spend].map(|count| count.load(Ordering::Relaxed));
        [magnitude(bids), magnitude(wins), spend]
    }
}

impl Book {
    /// The book of a campaign, which goes on with `known` where the arms are the same.
    fn of(campaign: &Campaign, known: Option<&Arc<Self>>, now: Timestamp) -> Arc<Self> {
        let names = |book: &&Arc<Self>| {
            let known = book.arms.iter().map(|(arm, _)| &arm.name);
            known.eq(campaign.strategies.iter().map(|arm| &arm.name))
        };
        let same = known.filter(names);
        let arms = campaign.strategies.iter().enumerate().map(|(at, arm)| {
            let counts = same.and_then(|book| book.arms.get(at)).map(|(_, counts)| counts.clone());
            (arm.clone(), counts.unwrap_or_default())
        });
        Arc::new(Self {
            campaign: campaign.name.clone(),
            since: same.map_or(now, |book| book.since),
            arms: arms.collect(),
            before: same.map_or_else(Arc::default, |book| book.before.clone()),
        })
    }
}

impl ArmBooks {
    /// Opens and closes books, so that they are those of this catalog's splits.
    pub fn follow(&self, catalog: &Catalog, now: Timestamp) {
        let known = self.0.load();
        let books = catalog
            .splits()
            .map(|(campaign, _)| (campaign.id, Book::of(campaign, known.get(&campaign.id), now)));
        self.0.store(Arc::new(books.collect()));
    }

    /// Bids have left, each of a campaign's arm.
    pub fn bid(&self, bids: impl Iterator<Item = (CampaignId, u8)>) {
        let books = self.0.load();
        if books.is_empty() {
            return;
        }
        for (campaign, arm) in bids {
            let book = books.get(&campaign);
            if let Some((_, counts)) = book.and_then(|book| book.arms.get(usize::from(arm))) {
                counts.bids.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The ledger has settled a bid. What the controllers of its arm are to know, if it has one and was
    /// charged.
    pub fn settled(&self, token: &BidToken, settlement: Option<Settlement>) -> Option<ArmBill> {
        let books = self.0.load();
        let book = books.get(&token.campaign)?;
        let Outcome::Settled { from_lease, from_free, .. } = settlement?.outcome else {
            return None;
        };
        let amount = from_lease + from_free;
        let arm = book.arms.get(usize::from(token.strategy_arm));
        let Some((_, counts)) = arm.filter(|_| token.issued >= book.since) else {
            book.before.charge(amount);
            return None;
        };
        counts.charge(amount);
        let day = DayNumber(token.day);
        Some(ArmBill { campaign: token.campaign, arm: token.strategy_arm, day, amount })
    }

    /// The results of a campaign's arms, where it has some.
    pub fn report(&self, campaign: CampaignId) -> Option<Value> {
        let books = self.0.load();
        let book = books.get(&campaign)?;
        let arms = book.arms.iter().map(|(arm, counts)| {
            let [bids, wins, spend] = counts.shown();
            json!({
                "strategy": arm.name,
                "share": arm.share,
                "bids": bids,
                "wins": wins,
                "spend_nanos": spend.to_string(),
            })
        });
        let [_, wins, spend] = book.before.shown();
        Some(json!({
            "since": book.since,
            "arms": arms.collect::<Vec<_>>(),
            "bid_before": { "wins": wins, "spend_nanos": spend.to_string() },
        }))
    }
}

/// The books as time series.
#[derive(Debug)]
pub struct ArmMetrics(pub Arc<ArmBooks>);

impl Collector for ArmMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let books = self.0.0.load();
        for (at, name, help) in [
            (0, "strategy_arm_bids", "Bids by arms of traffic splits"),
            (1, "strategy_arm_wins", "Bids by arms of traffic splits that were charged"),
            (2, "strategy_arm_spend", "What they cost, in nanos of the account's currency"),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for book in books.values() {
                for (arm, counts) in &book.arms {
                    let labels = [("campaign", book.campaign.as_str()), ("strategy", &arm.name)];
                    family
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&counts.shown()[at], None)?;
                }
            }
        }
        Ok(())
    }
}
