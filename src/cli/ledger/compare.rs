//! Two statements held against each other, account by account.

use crate::budget::{AccountLine, Statement};
use crate::units::Nanos;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a server says of its ledger: a [`Statement`] as JSON has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    /// The last record that it has folded.
    pub position: u64,
    /// The digest up to there.
    pub digest: String,
    house: Value,
    accounts: Vec<AccountLine>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Held against what.
    pub against: String,
    /// Which account or number.
    pub what: String,
    /// What the journal says.
    pub journal: String,
    /// What the other says.
    pub other: String,
    /// Journal less other, where both are amounts in nanos.
    pub difference_nanos: Option<String>,
}

impl Difference {
    /// A difference of texts.
    pub fn of_texts(against: &str, what: &str, journal: String, other: String) -> Self {
        let (against, what) = (against.to_owned(), what.to_owned());
        Self { against, what, journal, other, difference_nanos: None }
    }

    /// A difference of amounts.
    pub fn of_amounts(against: &str, what: &str, journal: Nanos, other: Nanos) -> Self {
        let difference = Some((journal - other).0.to_string());
        let texts = (journal.0.to_string(), other.0.to_string());
        let own = Self::of_texts(against, what, texts.0, texts.1);
        Self { difference_nanos: difference, ..own }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { against, what, journal, other, difference_nanos } = self;
        write!(formatter, "{what}: the journal says {journal}, {against} {other}")?;
        match difference_nanos {
            Some(nanos) => write!(formatter, " ({nanos} nanos)"),
            None => Ok(()),
        }
    }
}

impl Told {
    /// The same as a server would tell it.
    pub fn of(statement: &Statement) -> serde_json::Result<Self> {
        serde_json::from_value(serde_json::to_value(statement)?)
    }

    /// All that the other says otherwise at the same position.
    pub fn differences(&self, against: &str, other: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.digest != other.digest {
            let digests = (self.digest.clone(), other.digest.clone());
            found.push(Difference::of_texts(against, "digest", digests.0, digests.1));
        }
        if self.house != other.house {
            let houses = (self.house.to_string(), other.house.to_string());
            found.push(Difference::of_texts(against, "house", houses.0, houses.1));
        }
        let by_name = |lines: &[AccountLine]| -> BTreeMap<String, AccountLine> {
            lines.iter().map(|line| (line.name(), line.clone())).collect()
        };
        let (own, mut others) = (by_name(&self.accounts), by_name(&other.accounts));
        for (name, line) in own {
            match others.remove(&name) {
                Some(other) => accounts(against, &name, &line, &other, &mut found),
                None => found.push(Difference::of_texts(
                    against,
                    &name,
                    "an account".to_owned(),
                    "none".to_owned(),
                )),
            }
        }
        found.extend(others.keys().map(|name| {
            Difference::of_texts(against, name, "no account".to_owned(), "one".to_owned())
        }));
        found
    }
}

fn accounts(
    against: &str,
    name: &str,
    own: &AccountLine,
    other: &AccountLine,
    found: &mut Vec<Difference>,
) {
    let before = found.len();
    for (what, own, other) in [
        ("billed", own.money.billed, other.money.billed),
        ("late", own.money.late, other.money.late),
        ("leased", own.money.leased, other.money.leased),
        ("absorbed", own.money.absorbed, other.money.absorbed),
        ("adjusted", own.adjusted, other.adjusted),
    ] {
        if own != other {
            found.push(Difference::of_amounts(against, &format!("{name}, {what}"), own, other));
        }
    }
    if found.len() == before && own != other {
        let text = |line: &AccountLine| format!("bound {:?}", line.money.budget.map(|b| b.0));
        found.push(Difference::of_texts(against, name, text(own), text(other)));
    }
}
