//! The secret of one day: what turns a user's key into the pseudonym of one day. It is drawn anew
//! for each day and destroyed after it, and what was kept under it says nothing more then.

use super::config::Error;
use crate::units::UserKey;
use ring::rand::{SecureRandom, SystemRandom};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// One user on one day. Without the day's key it belongs to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub(super) u64);

/// The secret of one day. It has no `Debug` and no `Serialize`.
#[derive(Clone)]
pub struct DayKey([u8; Self::BYTES]);

impl DayKey {
    /// Sixteen bytes for pseudonyms.
    const BYTES: usize = 16;

    /// A new one from the machine's generator.
    ///
    /// # Errors
    /// [`Error::Noise`] where the machine gives no random bytes.
    pub fn draw() -> Result<Self, Error> {
        let mut bytes = [0; Self::BYTES];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| Error::Noise("the machine gave no random bytes".to_owned()))?;
        Ok(Self(bytes))
    }

    /// Who `user` is on this day (SipHash-2-4 under the day's key).
    #[must_use]
    pub fn pseudonym(&self, user: UserKey) -> Pseudonym {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u64(user.0);
        Pseudonym(hasher.finish())
    }
}
