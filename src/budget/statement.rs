//! All accounts on paper: what the admin API shows and `outbid ledger` compares.

use super::account::Account;
use super::day::DayNumber;
use super::ledger::Ledger;
use super::tree::Campaign;
use super::view::{House, Money, as_text, from_text};
use crate::store::Position;
use crate::units::{AdvertiserId, CampaignId, CurrencyCode, Nanos};
use serde::{Deserialize, Serialize};

/// The ledger at a position.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// The last record folded.
    pub position: Position,
    /// The digest of the history up to there, in hex.
    pub digest: String,
    /// The house's own numbers.
    pub house: House,
    /// From the top of the tree down, in the order of ids and days.
    pub accounts: Vec<AccountLine>,
}

/// What a line of a statement speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// An advertiser, over all campaigns.
    Advertiser,
    /// A campaign, over all days.
    Campaign,
    /// A flight.
    Flight,
    /// A calendar month.
    Month,
    /// A day.
    Day,
    /// A day's exploration, which is a part of it.
    Exploration,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    /// What it speaks of.
    pub level: Level,
    /// The advertiser's id in hex: the hash of its name.
    pub advertiser: String,
    /// The campaign's, in the same form.
    pub campaign: Option<String>,
    /// The first day, or the only one.
    pub first: Option<DayNumber>,
    /// A flight's last day.
    pub last: Option<DayNumber>,
    /// The currency of all amounts.
    pub currency: CurrencyCode,
    /// Whether the campaign is granted money; always true for others.
    pub is_active: bool,
    /// Bound and sums, in nanos.
    #[serde(flatten)]
    pub money: Money,
    /// A campaign's adjustments: `billed + absorbed - adjusted` is what is due to exchanges.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub adjusted: Nanos,
}

impl AccountLine {
    /// What the account is, for people and for finding it again.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = match (&self.campaign, self.level) {
            (None, _) => format!("advertiser {}", self.advertiser),
            (Some(campaign), _) => format!("campaign {campaign}"),
        };
        let level = match self.level {
            Level::Advertiser | Level::Campaign => return name,
            Level::Flight => "flight",
            Level::Month => "month of",
            Level::Day => "day",
            Level::Exploration => "exploration on",
        };
        name.push_str(&format!(" {level}"));
        [self.first, self.last].into_iter().flatten().for_each(|day| {
            name.push_str(&format!(" {day}"));
        });
        name
    }

    /// What may still be granted; `None` without a bound.
    #[must_use]
    pub fn free(&self) -> Option<Nanos> {
        let Money { budget, billed, late, leased, .. } = self.money;
        budget.map(|budget| (budget - billed - late - leased).max(Nanos::ZERO))
    }
}

/// An id as statements write it.
#[must_use]
pub fn id_text(id: u64) -> String {
    format!("{id:016x}")
}

impl Ledger {
    /// All accounts, or those of one campaign and what is above it.
    #[must_use]
    pub fn statement(&self, only: Option<CampaignId>) -> Statement {
        let mut accounts = Vec::new();
        for (id, advertiser) in &self.tree.advertisers {
            let of_this = self.tree.campaigns.iter().filter(|(campaign, one)| {
                one.advertiser == *id && only.is_none_or(|only| only == **campaign)
            });
            let campaigns: Vec<_> = of_this.collect();
            if only.is_some() && campaigns.is_empty() {
                continue;
            }
            let page = Page { advertiser: *id, campaign: None, currency: advertiser.currency };
            accounts.push(page.line(Level::Advertiser, [None; 2], &advertiser.account));
            for (id, campaign) in campaigns {
                Page { campaign: Some(*id), ..page }.campaign(campaign, &mut accounts);
            }
        }
        Statement {
            position: self.position(),
            digest: self.digest().iter().map(|byte| format!("{byte:02x}")).collect(),
            house: self.house(),
            accounts,
        }
    }
}

/// Where lines are written.
#[derive(Clone, Copy)]
struct Page {
    advertiser: AdvertiserId,
    campaign: Option<CampaignId>,
    currency: CurrencyCode,
}

impl Page {
    fn line(
        self,
        level: Level,
        [first, last]: [Option<DayNumber>; 2],
        of: &Account,
    ) -> AccountLine {
        AccountLine {
            level,
            advertiser: id_text(self.advertiser.0),
            campaign: self.campaign.map(|campaign| id_text(campaign.0)),
            first,
            last,
            currency: self.currency,
            is_active: true,
            money: Money::from(of),
            adjusted: Nanos::ZERO,
        }
    }

    fn campaign(self, campaign: &Campaign, out: &mut Vec<AccountLine>) {
        let Campaign { account, adjusted, budget, .. } = campaign;
        let own = self.line(Level::Campaign, [None; 2], account);
        out.push(AccountLine { adjusted: *adjusted, is_active: budget.is_active, ..own });
        for one in campaign.flights.values() {
            let days = [Some(one.flight.first), Some(one.flight.last)];
            out.push(self.line(Level::Flight, days, &one.account));
        }
        for (first, month) in &campaign.months {
            out.push(self.line(Level::Month, [Some(*first), None], month));
        }
        for (number, day) in &campaign.days {
            let days = [Some(*number), None];
            out.push(self.line(Level::Day, days, &day.account));
            if day.explore.target != Some(Nanos::ZERO) || day.explore.sums.committed() > Nanos::ZERO
            {
                out.push(self.line(Level::Exploration, days, &day.explore));
            }
        }
    }
}
