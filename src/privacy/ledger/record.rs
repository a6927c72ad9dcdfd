//! The records of the privacy ledger, as bytes.
//!
//! A record is one byte of version and a [`postcard`] of [`Entry`]. Nothing in it names a user: what
//! the bounder must remember is sealed under the day's key, which is destroyed after the day.

use serde::{Deserialize, Serialize};

/// Version of the format.
const VERSION: u8 = 1;
/// Most bytes of a record's list: with its head it stays under the 64 KiB that a log takes.
pub(in crate::privacy) const CHUNK_BYTES: usize = 48 * 1024;
/// Most bytes of a record that is read: what a log can hold.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// One record and who wrote it when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the start of the process that wrote it; never falls.
    pub owner: u32,
    /// The UTC day, since 1970, that it belongs to.
    pub day: i32,
    /// Which run of mechanisms within the day, from 1; a restart begins another.
    pub segment: u16,
    /// Which interval of the day, from 0.
    pub tick: u16,
    /// What it says.
    pub record: Record,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The whole day is charged. Durable before anything of the day is drawn.
    DayCharged(DayCharged),
    /// What earlier days' releases add up to at the beginning of this one, in part.
    Carried(Vec<Carried>),
    /// Slots that were given to campaigns.
    Slots(Vec<(u32, u64)>),
    /// What the bounder admitted since the last release, sealed under the day's key.
    Bounds(Vec<u8>),
    /// Released integers of these slots, slot by slot, kind by kind, context by context.
    Values {
        /// The slots.
        slots: Vec<u32>,
        /// Their integers, all slots' together.
        values: Vec<i64>,
    },
    /// What another part of the day's budget released, in the words of that part.
    Other {
        /// [`Part`](crate::privacy::Part)'s place in its list.
        part: u8,
        /// What it released.
        bytes: Vec<u8>,
    },
    /// The interval is released: what stands before it since the last of these may be shown.
    Committed(Committed),
}

/// The cost of a day, and what is needed to read its releases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DayCharged {
    /// What is spent.
    pub cost: DayCost,
    /// Digest of the plan; another plan begins on another day.
    pub plan: u64,
    /// Releases a day.
    pub steps: u16,
    /// Variance of one draw of each kind.
    pub noise: Vec<f64>,
    /// Whether the days' mechanism is the tree.
    pub is_tree: bool,
    /// What a unit of spend is worth, in nanos.
    pub spend_unit_nanos: u64,
    /// Half-life of earlier days' sums, in milliseconds.
    pub half_life_ms: i64,
    /// Digest of the day's key.
    pub key: u64,
    /// What earlier days cost, the oldest first.
    pub history: Vec<DayCost>,
}

/// What one day cost every user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DayCost {
    /// The UTC day, since 1970.
    pub day: i32,
    /// Rho in units of 1e-12, in the order of [`Part::ALL`](crate::privacy::Part::ALL).
    pub picos: Vec<u64>,
    /// Delta at which the day's epsilon is stated.
    pub delta: f64,
    /// The part of it that the thresholds of segments use.
    pub segments_delta: f64,
}

/// A campaign's decayed sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// The campaign's id.
    pub campaign: u64,
    /// The last day on which it was declared.
    pub declared: i32,
    /// Value and variance, context by context, kind by kind.
    pub sums: Vec<(f64, f64)>,
}

/// The end of an interval's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// How many records stand before it since the commit before.
    pub records: u32,
    /// Their [`Digest`].
    pub digest: u64,
    /// Whether the day has as many users as are counted.
    pub is_full: bool,
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotARecord {
    /// A later version wrote it.
    #[error("format version {0} is not known")]
    Version(u8),
    /// It is cut short, or no record at all.
    #[error("it cannot be read")]
    Damaged,
}

impl Entry {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Writing to a vector of types of ours cannot fail; an empty record would be refused by
        // whoever reads it.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`NotARecord`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotARecord> {
        match bytes.split_first() {
            Some((&VERSION, rest)) if bytes.len() <= RECORD_BYTES_MAX => {
                let (entry, left) =
                    postcard::take_from_bytes(rest).map_err(|_| NotARecord::Damaged)?;
                if left.is_empty() { Ok(entry) } else { Err(NotARecord::Damaged) }
            }
            Some((&version, _)) if version != VERSION => Err(NotARecord::Version(version)),
            _ => Err(NotARecord::Damaged),
        }
    }
}

/// The digest of some bytes: the first eight of their SHA-256.
#[must_use]
pub(in crate::privacy) fn digest_of(bytes: &[u8]) -> u64 {
    first_eight(&ring::digest::digest(&ring::digest::SHA256, bytes))
}

fn first_eight(digest: &ring::digest::Digest) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    u64::from_le_bytes(first)
}

/// Counts and digests an interval's records.
#[derive(Clone)]
pub(in crate::privacy) struct Digest {
    context: ring::digest::Context,
    records: u32,
}

impl Default for Digest {
    fn default() -> Self {
        Self { context: ring::digest::Context::new(&ring::digest::SHA256), records: 0 }
    }
}

impl Digest {
    /// Takes in the next record, and where it ends.
    pub fn add(&mut self, bytes: &[u8]) {
        self.context.update(&(bytes.len() as u64).to_le_bytes());
        self.context.update(bytes);
        self.records = self.records.saturating_add(1);
    }

    /// The end of the interval.
    pub fn commit(&self, is_full: bool) -> Committed {
        let digest = first_eight(&self.context.clone().finish());
        Committed { records: self.records, digest, is_full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(record: Record) -> Entry {
        Entry { owner: 7, day: 20_000, segment: 1, tick: 3, record }
    }

    #[test]
    fn records_come_back_and_nothing_else_does() {
        let bytes =
            entry(Record::Values { slots: vec![1, 2], values: vec![-5, i64::MAX] }).encode();
        assert_eq!(Entry::decode(&bytes).unwrap().encode(), bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..cut]), Err(NotARecord::Damaged), "{cut}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Entry::decode(&longer), Err(NotARecord::Damaged));
        let mut later = bytes;
        later[0] = 2;
        assert_eq!(Entry::decode(&later), Err(NotARecord::Version(2)));
    }

    #[test]
    fn a_digest_knows_count_order_and_content() {
        let of = |parts: &[&[u8]]| {
            let mut digest = Digest::default();
            parts.iter().for_each(|part| digest.add(part));
            digest.commit(false)
        };
        let all = [of(&[b"ab", b"c"]), of(&[b"a", b"bc"]), of(&[b"c", b"ab"]), of(&[b"ab"])];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other.digest != one.digest));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(entry) = Entry::decode(&bytes) {
                let again = entry.encode();
                prop_assert_eq!(Entry::decode(&again).unwrap().encode(), again);
            }
        }
    }
}
