//! Which user an id names. Bids and events must agree on it to the byte, so both come here.

use crate::hash::{UserHasher, trimmed};
use crate::units::UserKey;
use serde::Serialize;

/// Longest raw id, exchange name or source that is accepted, in bytes: the longest ids in the wild
/// (encrypted envelopes apart) stay below 300.
pub const ID_BYTES_MAX: usize = 512;

/// Kinds of ids, as explanations name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// [`UserId::Ifa`].
    Ifa,
    /// [`UserId::Buyeruid`].
    Buyeruid,
    /// [`UserId::Eid`].
    Eid,
    /// [`UserId::Id`].
    Id,
}

/// A raw user id with its namespace: an id means nothing outside of the one who gave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserId<'a> {
    /// `device.ifa`: an advertising id of the device, compared in lower case.
    Ifa(&'a str),
    /// `user.buyeruid`: our id for the user, as this exchange matched it.
    Buyeruid {
        /// The exchange's name in our configuration.
        exchange: &'a str,
        /// The id.
        id: &'a str,
    },
    /// One of `user.eids`.
    Eid {
        /// Who gave the id out (`eids[].source`), compared in lower case.
        source: &'a str,
        /// The id (`eids[].uids[].id`).
        id: &'a str,
    },
    /// `user.id`.
    Id(&'a str),
}

impl UserId<'_> {
    /// What kind of id it is.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        match self {
            Self::Ifa(_) => Namespace::Ifa,
            Self::Buyeruid { .. } => Namespace::Buyeruid,
            Self::Eid { .. } => Namespace::Eid,
            Self::Id(_) => Namespace::Id,
        }
    }

    /// The user's key. `None` for an id that names nobody: empty, longer than [`ID_BYTES_MAX`], or
    /// the zeros that a device sends when tracking is limited. Allocates nothing.
    #[must_use]
    pub fn key(&self, hasher: &UserHasher) -> Option<UserKey> {
        match *self {
            Self::Ifa(id) => {
                let mut lower = [0; ID_BYTES_MAX];
                let id = lower_case(usable(id)?, &mut lower)?;
                let is_blank = id.bytes().all(|byte| matches!(byte, b'0' | b'-'));
                (!is_blank).then(|| hasher.user("ifa", id))
            }
            Self::Buyeruid { exchange, id } => {
                Some(hasher.user_within("buyeruid:", usable(exchange)?, usable(id)?))
            }
            Self::Eid { source, id } => {
                let mut lower = [0; ID_BYTES_MAX];
                let source = lower_case(usable(source)?, &mut lower)?;
                Some(hasher.user_within("eid:", source, usable(id)?))
            }
            Self::Id(id) => Some(hasher.user("user.id", usable(id)?)),
        }
    }
}

fn usable(text: &str) -> Option<&str> {
    let text = trimmed(text);
    (!text.is_empty() && text.len() <= ID_BYTES_MAX).then_some(text)
}

/// `text` in lower case, in `buffer`.
fn lower_case<'b>(text: &str, buffer: &'b mut [u8; ID_BYTES_MAX]) -> Option<&'b str> {
    let lower = buffer.get_mut(..text.len())?;
    lower.copy_from_slice(text.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_namespace_and_normalised() {
        let hasher = UserHasher::new([7; 16]);
        let key = |id: UserId<'_>| id.key(&hasher);
        assert_eq!(key(UserId::Ifa(" AB-12 ")), key(UserId::Ifa("ab-12")));
        assert_eq!(key(UserId::Ifa("Ä-B")), Some(hasher.user("ifa", "Ä-b")));
        let of_one = UserId::Buyeruid { exchange: "one", id: "x" };
        assert_eq!(key(of_one), Some(hasher.user("buyeruid:one", "x")));
        assert_ne!(key(UserId::Ifa("x")), key(UserId::Id("x")));
        assert_ne!(key(UserId::Id("x")), key(UserId::Id("X")), "only an ifa ignores case");
        assert_ne!(
            key(UserId::Buyeruid { exchange: "one", id: "x" }),
            key(UserId::Buyeruid { exchange: "two", id: "x" })
        );
        assert_eq!(
            key(UserId::Eid { source: "Example.COM", id: "x" }),
            key(UserId::Eid { source: "example.com", id: "x" })
        );
        assert_ne!(
            key(UserId::Eid { source: "one", id: "x" }),
            key(UserId::Buyeruid { exchange: "one", id: "x" })
        );
    }

    #[test]
    fn an_id_that_names_nobody_has_no_key() {
        let hasher = UserHasher::new([7; 16]);
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for id in [
            UserId::Ifa("00000000-0000-0000-0000-000000000000"),
            UserId::Ifa(" "),
            UserId::Id(""),
            UserId::Id(&long),
            UserId::Eid { source: "", id: "x" },
            UserId::Buyeruid { exchange: "one", id: "" },
        ] {
            assert_eq!(id.key(&hasher), None, "{id:?}");
        }
    }
}
