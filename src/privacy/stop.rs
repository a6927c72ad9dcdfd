//! Why nothing is released: each reason with how long it holds, and what it says to a person.

use std::fmt;

/// Why nothing is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    why: Why,
    /// The last UTC day on which it holds; `None` is until another start.
    until: Option<i32>,
    detail: String,
}

/// The reasons, closed: they are labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There was a ledger, and it is gone.
    Missing,
    /// It cannot be read, or its records do not fit one another.
    Damaged,
    /// It ends before what was released: an older copy.
    Older,
    /// It is the ledger of another installation.
    Foreign,
    /// The clock stands on a day before one that was charged.
    ClockBack,
    /// Another process writes.
    NewerOwner,
    /// The open day's key is gone, and with it what the bounder must remember.
    KeyLost,
    /// The plan is another than the one that the open day was charged by.
    PlanChanged,
    /// More users came than can be tracked.
    UsersOverrun,
    /// The ledger takes nothing any more.
    LedgerClosed,
    /// The ledger takes nothing for now.
    LedgerRefuses,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::Damaged,
        Self::Older,
        Self::Foreign,
        Self::ClockBack,
        Self::NewerOwner,
        Self::KeyLost,
        Self::PlanChanged,
        Self::UsersOverrun,
        Self::LedgerClosed,
        Self::LedgerRefuses,
    ];

    /// Its name in metrics and the status.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Older => "older",
            Self::Foreign => "foreign",
            Self::ClockBack => "clock_back",
            Self::NewerOwner => "newer_owner",
            Self::KeyLost => "key_lost",
            Self::PlanChanged => "plan_changed",
            Self::UsersOverrun => "users_overrun",
            Self::LedgerClosed => "ledger_closed",
            Self::LedgerRefuses => "ledger_refuses",
        }
    }
}

impl Stop {
    /// A stop that ends with `day`.
    #[must_use]
    pub fn for_day(why: Why, day: i32, detail: impl Into<String>) -> Self {
        Self { why, until: Some(day), detail: detail.into() }
    }

    /// A stop that ends with the process.
    #[must_use]
    pub fn for_good(why: Why, detail: impl Into<String>) -> Self {
        Self { why, until: None, detail: detail.into() }
    }

    /// The reason.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }

    /// Whether it holds on `day`.
    #[must_use]
    pub fn holds(&self, day: i32) -> bool {
        self.until.is_none_or(|until| day <= until)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.why {
            Why::Missing => "the privacy ledger is gone",
            Why::Damaged => {
                "the privacy ledger is damaged: `outbid privacy repair` keeps what is sound"
            }
            Why::Older => "the privacy ledger is an older copy",
            Why::Foreign => "the privacy ledger is another installation's",
            Why::ClockBack => "the clock is before a day that was charged",
            Why::NewerOwner => "another process writes the privacy ledger",
            Why::KeyLost => "the day's key is gone",
            Why::PlanChanged => "the day was charged by another configuration",
            Why::UsersOverrun => "more users came than can be tracked",
            Why::LedgerClosed => "the privacy ledger cannot be written any more: restart",
            Why::LedgerRefuses => "the privacy ledger takes nothing for now",
        };
        match self.until {
            Some(_) => write!(f, "{what}; releases begin again on another day ({})", self.detail),
            None => write!(f, "{what} ({})", self.detail),
        }
    }
}
