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
    /// The exchange sends more requests a second than it was granted.
    RateLimited,
    /// `tmax` leaves nothing once the network's margin is taken off.
    TooLittleTime,
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
    /// Not even the best bid fits into the largest answer that the exchange takes.
    AnswerTooLarge,
    /// The answer would have come too late.
    Deadline,
}

impl NoBid {
    /// All reasons, in order.
    pub const ALL: [Self; 20] = [
        Self::Malformed,
        Self::Overload,
        Self::RateLimited,
        Self::TooLittleTime,
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
        Self::AnswerTooLarge,
        Self::Deadline,
    ];

    /// The label in metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Overload => "overload",
            Self::RateLimited => "rate_limited",
            Self::TooLittleTime => "too_little_time",
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
            Self::AnswerTooLarge => "answer_too_large",
            Self::Deadline => "deadline",
        }
    }

    /// The code of OpenRTB's list 5.24 (AdCOM: No-Bid Reason Codes) that says it to the exchange: 1
    /// technical error, 2 invalid request, 9 daily user cap met, 15 insufficient auction time, 16
    /// incomplete supply chain, 17 blocked seller in it. Most reasons have no code there and are 0,
    /// unknown; 500 and beyond are an exchange's own to define.
    #[must_use]
    pub const fn nbr(self) -> u16 {
        match self {
            Self::Malformed => 2,
            Self::SupplyChainIncomplete => 16,
            Self::SellerBlocked => 17,
            Self::Overload | Self::OwnCheckFailed | Self::Deadline => 1,
            Self::FrequencyCapped => 9,
            Self::TooLittleTime => 15,
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

    /// OpenRTB 2.6 list 5.24: 0 to 17 are defined.
    #[test]
    fn codes_say_what_the_list_says() {
        for reason in NoBid::ALL {
            let expected = match reason {
                NoBid::Malformed => 2,
                NoBid::Overload | NoBid::OwnCheckFailed | NoBid::Deadline => 1,
                NoBid::FrequencyCapped => 9,
                NoBid::TooLittleTime => 15,
                NoBid::SupplyChainIncomplete => 16,
                NoBid::SellerBlocked => 17,
                _ => continue,
            };
            assert_eq!(reason.nbr(), expected, "{reason:?}");
        }
        assert!(NoBid::ALL.iter().all(|reason| reason.nbr() <= 17));
    }
}
