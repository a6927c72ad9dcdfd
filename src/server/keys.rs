//! Secrets of one installation: made at the first start, kept in the state folder, shown once.

use crate::hash::UserHasher;
use crate::units::Timestamp;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

/// What a caller may do with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read and change campaigns, read reports and measurements.
    Admin,
    /// Send behaviour events.
    Events,
}

/// The secrets as the state folder keeps them: API keys only as their SHA-256.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    boot: u32,
    // Of before keys followed each other; read and not written.
    #[serde(default, skip_serializing)]
    user_hash_key: Option<String>,
    // Files of before have none.
    mark_key: Option<String>,
    token_key: String,
    // Files of before have none.
    seal_key: Option<String>,
    admin_key_sha256: String,
    events_key_sha256: String,
    #[serde(default)]
    user_key: Vec<StoredUserKey>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUserKey {
    id: u8,
    since_ms: i64,
    key: String,
}

/// A key of users, and from when on it names them.
#[derive(Clone, PartialEq, Eq)]
pub struct UserKeySince {
    /// The key with its number.
    pub hasher: UserHasher,
    /// From when on.
    pub since: Timestamp,
    key: [u8; 16],
}

impl UserKeySince {
    /// A new key.
    ///
    /// # Errors
    /// The machine has no random source.
    pub fn fresh(number: u8, since: Timestamp) -> anyhow::Result<Self> {
        let mut key = [0; 16];
        let filled = SystemRandom::new().fill(&mut key);
        filled.map_err(|_| anyhow::anyhow!("the machine gave no random bytes"))?;
        Ok(Self { hasher: UserHasher::of_generation(key, number), since, key })
    }
}

/// The secrets of a running server.
#[derive(Clone)]
pub struct Keys {
    /// Replace raw user ids, each from its time on.
    pub user_keys: Vec<UserKeySince>,
    /// Hashes ids of events and orders, which are remembered longer than users' keys.
    pub mark_key: [u8; 16],
    /// Seals notice tokens.
    pub token_key: [u8; 32],
    /// Seals saved sessions, where the configuration brings no key.
    pub seal_key: [u8; 32],
    /// Counts the starts; part of every lease id.
    pub boot: u32,
    admin_sha256: [u8; 32],
    events_sha256: [u8; 32],
}

/// API keys in clear, on the one occasion that they can be shown.
pub struct FreshKeys {
    /// For `/api/v1` and the other admin routes.
    pub admin: String,
    /// For `POST /events`.
    pub events: String,
}

impl Keys {
    /// Reads the secrets below `state`, making them first where there are none; counts the boot,
    /// and not below the second at `now`: where an older copy of the folder came back, the starts
    /// after it are not counted, and none of their numbers may be given again. The API keys come back in clear only when they were made now.
    ///
    /// # Errors
    /// The file cannot be read, written or understood.
    pub fn open(state: &Path, now: Timestamp) -> anyhow::Result<(Self, Option<FreshKeys>)> {
        std::fs::create_dir_all(state)?;
        let file = state.join("keys.toml");
        let (mut stored, fresh) = match std::fs::read_to_string(&file) {
            Ok(text) => (toml::from_str::<Stored>(&text)?, None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (mut stored, fresh) = Stored::generate()?;
                stored.user_key.iter_mut().for_each(|key| key.since_ms = now.0);
                (stored, Some(fresh))
            }
            Err(error) => return Err(error.into()),
        };
        if stored.seal_key.is_none() {
            stored.seal_key = Some(random_hex::<32>()?);
        }
        if stored.mark_key.is_none() {
            stored.mark_key = Some(random_hex::<16>()?);
        }
        if let Some(key) = stored.user_hash_key.take() {
            stored.user_key.push(StoredUserKey { id: 0, since_ms: 0, key });
        }
        let next = stored.boot.checked_add(1).ok_or_else(|| anyhow::anyhow!("boots ran out"))?;
        stored.boot = u32::try_from(now.0 / 1_000).unwrap_or(0).max(next);
        write_private(&file, &toml::to_string(&stored)?)?;
        Ok((stored.open()?, fresh))
    }

    /// The keys of users below `state`, as they are now.
    ///
    /// # Errors
    /// The file cannot be read or understood, or has two keys of one number.
    pub fn read_user_keys(state: &Path) -> anyhow::Result<Vec<UserKeySince>> {
        Self::stored(state)?.user_keys()
    }

    /// Puts these keys in the place of all others, whose bytes are overwritten: the disk's own
    /// copies, where it keeps some, are out of reach.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn write_user_keys(state: &Path, keys: &[UserKeySince]) -> anyhow::Result<()> {
        use std::io::Write as _;
        let file = state.join("keys.toml");
        let keys = keys.iter().map(|key| StoredUserKey {
            id: key.hasher.generation(),
            since_ms: key.since.0,
            key: to_hex(&key.key),
        });
        let stored = Stored { user_key: keys.collect(), ..Self::stored(state)? };
        let mut old = std::fs::OpenOptions::new().write(true).open(&file)?;
        let length = old.metadata()?.len() as usize;
        write_private(&file, &toml::to_string(&stored)?)?;
        // By now the name is the new file's.
        old.write_all(&vec![0; length])?;
        Ok(old.sync_all()?)
    }

    fn stored(state: &Path) -> anyhow::Result<Stored> {
        let text = std::fs::read_to_string(state.join("keys.toml"))?;
        // What the parser would say may quote a key.
        toml::from_str(&text).map_err(|_| anyhow::anyhow!("keys.toml cannot be understood"))
    }

    /// Secrets for one run, kept nowhere.
    ///
    /// # Errors
    /// The machine has no random source.
    pub fn ephemeral() -> anyhow::Result<(Self, FreshKeys)> {
        let (stored, fresh) = Stored::generate()?;
        Ok((stored.open()?, fresh))
    }

    /// Whether `presented` is a key of this scope.
    #[must_use]
    pub fn admits(&self, scope: Scope, presented: &str) -> bool {
        let expected = match scope {
            Scope::Admin => &self.admin_sha256,
            Scope::Events => &self.events_sha256,
        };
        // Comparing digests leaks nothing useful: whoever times it learns digest bytes of his own
        // guess, and cannot aim at the next one.
        digest::digest(&digest::SHA256, presented.as_bytes()).as_ref() == expected
    }
}

impl Stored {
    fn generate() -> anyhow::Result<(Self, FreshKeys)> {
        let fresh = FreshKeys {
            admin: format!("outbid_admin_{}", random_hex::<32>()?),
            events: format!("outbid_events_{}", random_hex::<32>()?),
        };
        let sha256 = |key: &str| to_hex(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
        let stored = Self {
            version: 1,
            boot: 0,
            user_hash_key: None,
            mark_key: Some(random_hex::<16>()?),
            user_key: vec![StoredUserKey { id: 0, since_ms: 0, key: random_hex::<16>()? }],
            token_key: random_hex::<32>()?,
            seal_key: Some(random_hex::<32>()?),
            admin_key_sha256: sha256(&fresh.admin),
            events_key_sha256: sha256(&fresh.events),
        };
        Ok((stored, fresh))
    }

    fn open(&self) -> anyhow::Result<Keys> {
        anyhow::ensure!(self.version == 1, "keys.toml: version {} is not known", self.version);
        let seal_key = self.seal_key.as_deref().unwrap_or_default();
        Ok(Keys {
            user_keys: self.user_keys()?,
            mark_key: from_hex(self.mark_key.as_deref().unwrap_or_default())?,
            token_key: from_hex(&self.token_key)?,
            seal_key: from_hex(seal_key)?,
            boot: self.boot,
            admin_sha256: from_hex(&self.admin_key_sha256)?,
            events_sha256: from_hex(&self.events_key_sha256)?,
        })
    }
}

impl Stored {
    fn user_keys(&self) -> anyhow::Result<Vec<UserKeySince>> {
        let key = |stored: &StoredUserKey| {
            let key = from_hex(&stored.key)?;
            let hasher = UserHasher::of_generation(key, stored.id);
            anyhow::Ok(UserKeySince { hasher, since: Timestamp(stored.since_ms), key })
        };
        let mut numbers: Vec<_> = self.user_key.iter().map(|key| key.id).collect();
        numbers.sort_unstable();
        let is_twice = numbers.windows(2).any(|pair| pair[0] == pair[1]);
        anyhow::ensure!(!is_twice, "keys.toml: two keys of users have one number");
        anyhow::ensure!(!numbers.is_empty(), "keys.toml: it has no key of users");
        self.user_key.iter().map(key).collect()
    }
}

fn random_hex<const BYTES: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| anyhow::anyhow!("the machine gave no random bytes"))?;
    Ok(to_hex(&bytes))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

fn from_hex<const BYTES: usize>(text: &str) -> anyhow::Result<[u8; BYTES]> {
    anyhow::ensure!(text.len() == 2 * BYTES && text.is_ascii(), "keys.toml: a key is damaged");
    let mut bytes = [0; BYTES];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16)?;
    }
    Ok(bytes)
}

/// Replaces `file` in one step, readable by its owner alone.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let draft = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(&draft)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()?;
    std::fs::rename(&draft, file)?;
    // Its name too: keys that were shown and are lost open no token any more.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_once_and_kept_hashed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, fresh) = Keys::open(folder.path(), Timestamp(0)).expect("made");
        let fresh = fresh.expect("shown at the first start");
        assert!(first.admits(Scope::Admin, &fresh.admin));
        assert!(!first.admits(Scope::Events, &fresh.admin), "scopes are apart");
        assert!(!first.admits(Scope::Admin, ""));
        let text = std::fs::read_to_string(folder.path().join("keys.toml")).expect("kept");
        assert!(!text.contains(&fresh.admin) && !text.contains(&fresh.events));

        let (second, shown) = Keys::open(folder.path(), Timestamp(0)).expect("read");
        assert!(shown.is_none());
        assert_eq!((first.boot, second.boot), (1, 2));
        assert!(first.user_keys == second.user_keys);
        assert_eq!(first.mark_key, second.mark_key);
        assert!(second.admits(Scope::Events, &fresh.events));

        let boot_at = |ms| Keys::open(folder.path(), Timestamp(ms)).expect("read").0.boot;
        let old = std::fs::read(folder.path().join("keys.toml")).expect("kept");
        let lost = [boot_at(1_790_000_000_999), boot_at(1_790_000_000_999), boot_at(0)];
        assert_eq!(lost, [1_790_000_000, 1_790_000_001, 1_790_000_002], "it only grows");
        std::fs::write(folder.path().join("keys.toml"), old).expect("an older copy");
        assert!(boot_at(1_790_000_060_000) > lost[2], "and not only while the count is known");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        Keys::open(folder.path(), Timestamp(0)).expect("made");
        let file = folder.path().join("keys.toml");
        let text = std::fs::read_to_string(&file).expect("kept");
        std::fs::write(&file, text.replace("token_key = \"", "token_key = \"zz")).expect("written");
        assert!(Keys::open(folder.path(), Timestamp(0)).is_err());
    }
}
