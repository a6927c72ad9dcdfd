//! Which user an id names. Bids and events must agree on it to the byte, so both come here.

use crate::hash::UserHasher;
use crate::units::UserKey;

/// Longest raw id, exchange name or source that is accepted, in bytes: the longest ids in the wild
/// (encrypted envelopes apart) stay below 300.
pub const ID_BYTES_MAX: usize = 512;

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
    /// The user's key. `None` for an id that names nobody: empty, longer than [`ID_BYTES_MAX`], or
    /// the zeros that a device sends when tracking is limited.
    #[must_use]
    pub fn key(&self, hasher: &UserHasher) -> Option<UserKey> {
        match *self {
            Self::Ifa(id) => {
                let id = usable(id)?.to_ascii_lowercase();
                let is_blank = id.bytes().all(|byte| matches!(byte, b'0' | b'-'));
                (!is_blank).then(|| hasher.user("ifa", &id))
            }
            Self::Buyeruid { exchange, id } => {
                let namespace = format!("buyeruid:{}", usable(exchange)?);
                Some(hasher.user(&namespace, usable(id)?))
            }
            Self::Eid { source, id } => {
                let namespace = format!("eid:{}", usable(source)?.to_ascii_lowercase());
                Some(hasher.user(&namespace, usable(id)?))
            }
            Self::Id(id) => Some(hasher.user("user.id", usable(id)?)),
        }
    }
}

fn usable(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= ID_BYTES_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_namespace_and_normalised() {
        let hasher = UserHasher::new([7; 16]);
        let key = |id: UserId<'_>| id.key(&hasher);
        assert_eq!(key(UserId::Ifa(" AB-12 ")), key(UserId::Ifa("ab-12")));
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
