//! Why there was no bid: the furthest gate that any ad reached, from a closed list.

/// Reasons in the order of the gates; a later one means that some ad came further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum NoBid {
    /// The request was not understood (the sender gets a 400 with the reason).
    Malformed,
    /// This worker had enough to do.
    Overload,
    /// The seat rules (`wseat`, `bseat`) exclude us.
    SeatExcluded,
    /// A transparency object (DSA) is required, and we send none.
    TransparencyRequired,
    /// It is a test, and the exchange's tests get no bids.
    TestRequest,
    /// The supply chain is missing or incomplete, and the exchange's policy asks for a complete one.
    SupplyChainIncomplete,
    /// A seller in the supply chain is blocked.
    SellerBlocked,
    /// None of the currencies asked for is in the rates table.
    CurrencyUnknown,
    /// Targeting left no campaign.
    NoCampaign,
    /// Each campaign left is blocked by the request (advertiser, category, app).
    Blocked,
    /// No creative fits an imp (size, format, mime, duration, attribute, asset).
    NoCreativeFits,
    /// The user has seen each campaign left often enough.
    FrequencyCapped,
    /// Each price stayed below its floor.
    BelowFloor,
    /// The page's rules (no ad or advertiser twice, competitors apart) left none.
    PageRules,
    /// No campaign left had money on this core.
    NoMoney,
    /// Our own check found the answer wrong: a defect of ours.
    OwnCheckFailed,
    /// The answer would have come too late.
    Deadline,
}

impl NoBid {
    /// All reasons, in order.
    pub const ALL: [Self; 17] = [
        Self::Malformed,
        Self::Overload,
        Self::SeatExcluded,
        Self::TransparencyRequired,
        Self::TestRequest,
        Self::SupplyChainIncomplete,
        Self::SellerBlocked,
        Self::CurrencyUnknown,
        Self::NoCampaign,
        Self::Blocked,
        Self::NoCreativeFits,
        Self::FrequencyCapped,
        Self::BelowFloor,
        Self::PageRules,
        Self::NoMoney,
        Self::OwnCheckFailed,
        Self::Deadline,
    ];

    /// The label in metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Overload => "overload",
            Self::SeatExcluded => "seat_excluded",
            Self::TransparencyRequired => "transparency_required",
            Self::TestRequest => "test_request",
            Self::SupplyChainIncomplete => "supply_chain_incomplete",
            Self::SellerBlocked => "seller_blocked",
            Self::CurrencyUnknown => "currency_unknown",
            Self::NoCampaign => "no_campaign",
            Self::Blocked => "blocked",
            Self::FrequencyCapped => "frequency_capped",
            Self::NoCreativeFits => "no_creative_fits",
            Self::BelowFloor => "below_floor",
            Self::PageRules => "page_rules",
            Self::NoMoney => "no_money",
            Self::OwnCheckFailed => "own_check_failed",
            Self::Deadline => "deadline",
        }
    }

    /// The code of OpenRTB 2.6 list 5.24 that says it to the exchange: 2 invalid request, 1
    /// technical error, 16 incomplete supply chain, 17 blocked seller in it, 0 unknown.
    #[must_use]
    pub const fn nbr(self) -> u16 {
        match self {
            Self::Malformed => 2,
            Self::SupplyChainIncomplete => 16,
            Self::SellerBlocked => 17,
            Self::Overload | Self::OwnCheckFailed | Self::Deadline => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_in_order() {
        for (at, reason) in NoBid::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
