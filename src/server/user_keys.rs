//! The keys under which users are known, each with the time from which it names them.
//!
//! The newest names users. For a grace period after it came, ids are also tried under the one before;
//! whoever is found so moves to his new key by an alias, with caps and interest (`session::alias`).
//! After that the old key is destroyed: what was remembered under it leads back to nobody, not even
//! with the folder in hand. Keys lie in `keys.toml` (`[[user_key]]`), where the engine makes one every
//! `session.user_key_days` and an operator may add one, which `POST /api/v1/reload` reads.

use crate::config::Config;
use crate::hash::{UserHasher, UserHashers};
use crate::server::keys::{Keys, UserKeySince};
use crate::units::Timestamp;
use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const DAY_MS: i64 = 86_400_000;

/// The keys of users, as they stand now.
pub struct UserKeys {
    /// `None` where keys are of one run.
    state: Option<PathBuf>,
    /// Milliseconds after which a new key is made; `None` for never.
    every_ms: Option<i64>,
    grace_ms: i64,
    // Held over a write of the keys' file, which happens once a rotation.
    known: Mutex<Vec<UserKeySince>>,
    current: Arc<ArcSwap<UserHashers>>,
    /// When [`UserKeys::tick`] has something to do next, in Unix milliseconds.
    due: AtomicI64,
}

impl UserKeys {
    /// The keys that `keys` brings, turned to `now`.
    ///
    /// # Errors
    /// As [`UserKeys::tick`].
    pub fn open(
        config: &Config,
        keys: &Keys,
        is_kept: bool,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let days = config.session.user_key_days;
        let user_keys = Self {
            state: is_kept.then(|| config.paths.state.clone()),
            every_ms: (days > 0).then_some(i64::from(days) * DAY_MS),
            grace_ms: i64::from(config.session.user_key_grace_s) * 1_000,
            known: Mutex::new(keys.user_keys.clone()),
            current: Arc::new(ArcSwap::from_pointee(UserHashers::only(UserHasher::new([0; 16])))),
            due: AtomicI64::new(i64::MIN),
        };
        user_keys.turn(now, false)?;
        Ok(user_keys)
    }

    /// The keys to hash ids with. Keep it no longer than a request.
    pub fn load(&self) -> Guard<Arc<UserHashers>> {
        self.current.load()
    }

    /// Makes a new key and destroys old ones, if it is time to.
    ///
    /// # Errors
    /// The keys' file cannot be read or written: the keys stay as they are, and the next tick tries
    /// again.
    pub fn tick(&self, now: Timestamp) -> anyhow::Result<()> {
        if now.0 < self.due.load(Ordering::Relaxed) { Ok(()) } else { self.turn(now, false) }
    }

    /// Reads the keys' file again.
    ///
    /// # Errors
    /// As [`UserKeys::tick`].
    pub fn reload(&self, now: Timestamp) -> anyhow::Result<()> {
        self.turn(now, true)
    }

    /// How many keys are known, and the number of the newest, read when somebody looks.
    pub fn metrics(&self) -> UserKeyMetrics {
        UserKeyMetrics(self.current.clone())
    }

    fn turn(&self, now: Timestamp, is_read: bool) -> anyhow::Result<()> {
        let mut known = self.known.lock();
        let mut keys = match &self.state {
            Some(state) if is_read => Keys::read_user_keys(state)?,
            _ => known.clone(),
        };
        let before = keys.clone();
        keys.sort_by_key(|key| key.since);
        let newest = keys.iter().rposition(|key| key.since <= now).unwrap_or(0);
        let is_old = |key: &UserKeySince| {
            self.every_ms.is_some_and(|every_ms| now.millis_since(key.since) >= every_ms)
        };
        if keys.get(newest).is_none_or(is_old) {
            let number = keys.get(newest).map_or(0, |key| key.hasher.generation().wrapping_add(1));
            keys.insert((newest + 1).min(keys.len()), UserKeySince::fresh(number, now)?);
        }
        let newest = keys.iter().rposition(|key| key.since <= now).unwrap_or(0);
        let is_over = now.millis_since(keys[newest].since) >= self.grace_ms;
        let kept = if is_over { newest } else { newest.saturating_sub(1) };
        keys.drain(..kept);
        if let Some(state) = self.state.as_ref().filter(|_| keys != before) {
            Keys::write_user_keys(state, &keys)?;
            tracing::warn!(keys = keys.len(), "the keys of users have changed");
        }
        let at = newest - kept;
        let hashers = UserHashers {
            newest: keys[at].hasher.clone(),
            before: at.checked_sub(1).map(|at| keys[at].hasher.clone()),
        };
        self.current.store(Arc::new(hashers));
        self.due.store(self.next_turn(&keys, at).0, Ordering::Relaxed);
        *known = keys;
        Ok(())
    }

    fn next_turn(&self, keys: &[UserKeySince], newest: usize) -> Timestamp {
        let since = keys[newest].since;
        let turns = [
            self.every_ms.map(|every_ms| since.plus_millis(every_ms)),
            (newest > 0).then(|| since.plus_millis(self.grace_ms)),
            keys.get(newest + 1).map(|next| next.since),
        ];
        turns.into_iter().flatten().min().unwrap_or(Timestamp(i64::MAX))
    }
}

/// Figures of the keys of users.
#[derive(Debug)]
pub struct UserKeyMetrics(Arc<ArcSwap<UserHashers>>);

impl Collector for UserKeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let hashers = self.0.load();
        let number = i64::from(hashers.newest.generation());
        for (name, help, value) in [
            ("user_key", "Number of the key that names users", number),
            ("user_keys", "Keys under which users are found", hashers.all().count() as i64),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UserKey;

    fn user_keys(days: u32, grace_s: u32, state: Option<PathBuf>) -> UserKeys {
        let keys = match &state {
            Some(state) => Keys::open(state, Timestamp(0)).expect("keys").0,
            None => Keys::ephemeral().expect("keys").0,
        };
        let opened = UserKeys {
            state,
            every_ms: (days > 0).then_some(i64::from(days) * DAY_MS),
            grace_ms: i64::from(grace_s) * 1_000,
            known: Mutex::new(keys.user_keys),
            current: Arc::new(ArcSwap::from_pointee(UserHashers::only(UserHasher::new([0; 16])))),
            due: AtomicI64::new(i64::MIN),
        };
        opened.turn(Timestamp(0), false).expect("turned");
        opened
    }

    fn names(keys: &UserKeys) -> Vec<UserKey> {
        keys.load().all().map(|hasher| hasher.user("ifa", "x")).collect()
    }

    #[test]
    fn a_key_names_users_until_the_next_and_leads_to_them_for_its_grace() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let keys = user_keys(30, 2 * 86_400, Some(state.clone()));
        let text = || std::fs::read_to_string(state.join("keys.toml")).expect("kept");
        let first = names(&keys);
        assert_eq!(first.len(), 1);
        keys.tick(Timestamp(30 * DAY_MS - 1)).expect("nothing to do");
        assert_eq!(names(&keys), first);
        let of_first = text();
        keys.tick(Timestamp(30 * DAY_MS)).expect("a new key");
        let both = names(&keys);
        assert_eq!((both.len(), both[1]), (2, first[0]));
        assert!(both[0] < both[1], "newer keys give smaller names, so that ids lead to them");
        assert_eq!(names(&user_keys(30, 2 * 86_400, Some(state.clone())))[0], first[0], "at 0");

        keys.tick(Timestamp(32 * DAY_MS - 1)).expect("nothing to do");
        assert_eq!(names(&keys), both);
        let secret = of_first.lines().rfind(|line| line.starts_with("key = ")).expect("a key");
        assert!(text().contains(secret));
        keys.tick(Timestamp(32 * DAY_MS)).expect("the old one goes");
        assert_eq!(names(&keys), both[..1]);
        assert!(!text().contains(secret), "it is destroyed");
        keys.reload(Timestamp(33 * DAY_MS)).expect("read");
        assert_eq!(names(&keys), both[..1]);
    }

    #[test]
    fn an_operators_key_counts_from_its_time_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let keys = user_keys(0, 86_400, Some(state.clone()));
        let first = names(&keys);
        let file = state.join("keys.toml");
        let mut text = std::fs::read_to_string(&file).expect("kept");
        text += &format!(
            "\n[[user_key]]\nid = 9\nsince_ms = {DAY_MS}\nkey = \"{}\"\n",
            "ab".repeat(16)
        );
        std::fs::write(&file, text).expect("written");
        keys.reload(Timestamp(5)).expect("read");
        assert_eq!(names(&keys), first, "not yet");
        keys.tick(Timestamp(DAY_MS)).expect("turned");
        let both = names(&keys);
        assert_eq!((both.len(), both[1]), (2, first[0]));
        std::fs::write(&file, "nonsense").expect("written");
        assert!(keys.reload(Timestamp(DAY_MS)).is_err());
        assert_eq!(names(&keys), both);
    }
}
