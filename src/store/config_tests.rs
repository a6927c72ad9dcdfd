//! What every store of settings promises, run on each of them; and what the file promises beside.

use super::embedded::{SqliteConfig, StoreError, read_config, repair_config};
use super::{ConfigError, ConfigStore, MemoryConfig, Revision, VALUE_BYTES_MAX};
use bytes::Bytes;
use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Opens the store again, where it outlives that.
type Reopen<'a> = &'a dyn Fn(Option<Box<dyn ConfigStore>>) -> Box<dyn ConfigStore>;

fn values(store: &dyn ConfigStore, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let found = store.all(prefix).expect("read");
    assert!(found.is_sorted_by_key(|entry| entry.key.clone()), "by key");
    found.into_iter().map(|entry| (entry.key, entry.value.to_vec())).collect()
}

fn conforms(reopen: Reopen<'_>) {
    let store = reopen(None);
    let put = |store: &dyn ConfigStore, key, value: &'static str| {
        store.put(key, Bytes::from_static(value.as_bytes())).expect("put")
    };
    let first = put(&*store, "campaign.a", "1");
    let second = put(&*store, "campaign.b", "");
    put(&*store, "other.a", "3");
    let last = put(&*store, "campaign.a", "4");
    assert!(first < second && second < last);
    let kept = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    };
    assert_eq!(values(&*store, "campaign."), kept(&[("campaign.a", "4"), ("campaign.b", "")]));
    assert_eq!(store.all("campaign.a").expect("read")[0].revision, last);
    store.remove("campaign.a").expect("removed");
    store.remove("campaign.a").expect("not there");
    let too_long = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
    assert_eq!(store.put("other.a", too_long.clone()), Err(ConfigError::TooLong));
    store.put("long", too_long.slice(1..)).expect("as long as may be");
    store.remove("long").expect("removed");
    let store = reopen(Some(store));
    assert_eq!(values(&*store, ""), kept(&[("campaign.b", ""), ("other.a", "3")]));
    let next = put(&*store, "campaign.c", "5");
    assert!(next > Revision(last.0 + 1), "revisions go on, also behind what was removed");
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("config.db")
    }

    fn open(&self) -> SqliteConfig {
        SqliteConfig::open(&self.file()).expect("opened")
    }

    /// Three values, shut, and then `change` done to the file.
    fn changed(change: &str) -> Self {
        let place = Self::new();
        let store = place.open();
        for key in ["a", "b", "c"] {
            store.put(key, Bytes::from_static(b"value")).expect("put");
        }
        drop(store);
        Connection::open(place.file()).expect("opened").execute_batch(change).expect("changed");
        place
    }
}

#[test]
fn memory_conforms() {
    conforms(&|store| store.unwrap_or_else(|| Box::new(MemoryConfig::default())));
}

#[test]
fn the_file_conforms() {
    let place = Place::new();
    conforms(&|store| {
        drop(store);
        Box::new(place.open())
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_file_holds_what_a_map_holds(
        steps in prop::collection::vec((0..4_u8, 0..5_u8, any::<u16>()), 1..20)
    ) {
        let place = Place::new();
        let (mut store, mut map) = (place.open(), BTreeMap::new());
        for (what, key, value) in steps {
            let key = format!("k{key}");
            match what {
                0 => {
                    drop(store);
                    store = place.open();
                }
                1 => {
                    store.remove(&key).expect("removed");
                    map.remove(&key);
                }
                _ => {
                    let value = value.to_le_bytes().to_vec();
                    store.put(&key, Bytes::from(value.clone())).expect("put");
                    map.insert(key, value);
                }
            }
            prop_assert_eq!(&values(&store, ""), &map);
        }
    }
}

#[test]
fn the_file_is_for_one_writer_and_any_reader() {
    let place = Place::new();
    let store = place.open();
    store.put("a", Bytes::from_static(b"1")).expect("put");
    let second = SqliteConfig::open(&place.file()).err();
    assert!(matches!(second, Some(StoreError::InUse { .. })), "{second:?}");
    assert_eq!(read_config(&place.file()).expect("beside it").len(), 1);
    drop(store);
    assert_eq!(values(&place.open(), "").len(), 1);
}

#[test]
fn what_the_file_cannot_take_changes_nothing() {
    let place = Place::new();
    let store = place.open();
    store.put("a", Bytes::from_static(b"1")).expect("put");
    let other = Connection::open(place.file()).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("taken");
    let refused = store.put("a", Bytes::from_static(b"2"));
    assert!(matches!(refused, Err(ConfigError::Refused(_))), "{refused:?}");
    assert_eq!(values(&store, "")["a"], b"1");
    other.execute_batch("ROLLBACK").expect("let go");
    store.put("a", Bytes::from_static(b"3")).expect("taken again");
    assert_eq!(values(&store, "")["a"], b"3");
}

#[test]
fn after_a_failure_of_unknown_outcome_nothing_is_taken() {
    let place = Place::new();
    let store = place.open();
    let other = Connection::open(place.file()).expect("opened");
    other.execute_batch("ALTER TABLE config RENAME TO gone").expect("renamed");
    let failed = store.put("a", Bytes::from_static(b"1"));
    assert!(matches!(failed, Err(ConfigError::Unknown(_))), "{failed:?}");
    other.execute_batch("ALTER TABLE gone RENAME TO config").expect("renamed back");
    let failed = store.remove("a");
    assert!(matches!(failed, Err(ConfigError::Unknown(_))), "{failed:?}");
    drop(store);
    place.open().put("a", Bytes::from_static(b"1")).expect("a restart helps");
}

#[test]
fn a_newer_schema_is_refused() {
    let place = Place::changed("PRAGMA user_version = 7");
    let error = SqliteConfig::open(&place.file()).err();
    assert!(matches!(error, Some(StoreError::Newer { version: 7, .. })), "{error:?}");
}

#[test]
fn damage_is_refused_and_repaired_without_forgetting_the_key() {
    let sound = Place::changed("");
    assert_eq!(repair_config(&sound.file()).expect("read"), None);
    let place = Place::changed("UPDATE config SET value = x'00' WHERE key = 'b'");
    let error = SqliteConfig::open(&place.file()).err().expect("refused").to_string();
    assert!(error.contains("damaged at position 2: b: its checksum is another"), "{error}");
    assert!(error.contains("outbid ledger repair"), "{error}");
    let repair = repair_config(&place.file()).expect("repaired").expect("something was wrong");
    assert_eq!((repair.kept, repair.emptied), (2, vec!["b".to_owned()]));
    assert!(read_config(&repair.kept_as).is_err(), "the old file is as it was");
    let repaired = values(&place.open(), "");
    let lengths: Vec<_> = repaired.values().map(Vec::len).collect();
    assert_eq!(lengths, [5, 0, 5]);
}
