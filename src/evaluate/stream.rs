//! A stream of behaviour events: who did what in which category, and when.

use super::error::{Error, Tolerance};
use super::input::Position;
use super::table::{Dialect, Table, shown};
use crate::hash;
use crate::relevance::sequence::Visit;
use crate::units::CategoryId;
use rustc_hash::FxHashMap;
use std::path::Path;

/// Events of the longest stream: at 24 bytes each, 2.4 GB.
pub const EVENTS_MAX: usize = 100_000_000;

/// What the columns of a table of events are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventColumns {
    /// Names of all columns in order, where the file has no header.
    pub headless: Option<Vec<String>>,
    /// Who.
    pub user: String,
    /// In which category.
    pub category: String,
    /// When, in Unix seconds or milliseconds.
    pub time: String,
    /// Which item; none where it is empty.
    pub item: String,
    /// What kind of event; views where it is empty.
    pub kind: String,
}

/// One event, with users and categories by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// Who, from 0 in the order of the file.
    pub user: u32,
    /// In which category, by its position in [`Stream::categories`].
    pub category: u32,
    /// A stable hash of the item; 0 for none.
    pub item: u32,
    /// The session's number for its kind.
    pub kind: u8,
    /// Unix seconds.
    pub at_s: u32,
}

impl StreamEvent {
    /// The event as a sequence model reads it that knows the category by `place`.
    #[must_use]
    pub const fn visit(&self, place: usize) -> Visit {
        Visit { category: place, item: self.item, kind: self.kind, at_s: self.at_s }
    }
}

/// Events in the order of time; of one second, in that of the file.
#[derive(Debug, Default)]
pub struct Stream {
    /// The events.
    pub events: Vec<StreamEvent>,
    /// Ids of the categories.
    pub categories: Vec<CategoryId>,
    /// How many users there are.
    pub users: usize,
    /// Events outside of the time that was asked for.
    pub outside: u64,
}

impl Stream {
    /// Reads the events of `from_s..until_s`; `row` hears how far it is.
    ///
    /// # Errors
    /// [`Error`]; lines that cannot be used, unless tolerated.
    pub fn read(
        path: &Path,
        columns: &EventColumns,
        (from_s, until_s): (u32, u32),
        tolerance: &mut Tolerance,
        mut row: impl FnMut(&Position),
    ) -> Result<Self, Error> {
        let dialect = Dialect { has_header: columns.headless.is_none(), ..Dialect::of(path) };
        let mut table = Table::open(path, dialect)?;
        let places = Places::find(&table, columns)?;
        let mut stream = Self::default();
        let (mut users, mut categories) = (FxHashMap::default(), FxHashMap::default());
        while let Some(read) = table.advance() {
            let read = read.and_then(|()| places.read(&table));
            if let Some(raw) = tolerance.take(read)? {
                if (from_s..until_s).contains(&raw.at_s) {
                    let next = users.len() as u32;
                    let user = *users.entry(raw.user).or_insert(next);
                    let next = categories.len() as u32;
                    let category = *categories.entry(raw.category).or_insert_with(|| {
                        stream.categories.push(raw.category);
                        next
                    });
                    let Raw { item, kind, at_s, .. } = raw;
                    stream.events.push(StreamEvent { user, category, item, kind, at_s });
                } else {
                    stream.outside += 1;
                }
            }
            if stream.events.len() > EVENTS_MAX {
                return Err(table.wrong(format!("more than {EVENTS_MAX} events")));
            }
            row(table.position());
        }
        stream.users = users.len();
        stream.events.sort_by_key(|event| event.at_s);
        Ok(stream)
    }

    /// The number of the first event past this part of them, `[0, 1]`.
    #[must_use]
    pub fn part(&self, part: f64) -> usize {
        (self.events.len() as f64 * part.clamp(0.0, 1.0)) as usize
    }
}

/// One line, before numbers are given out.
struct Raw {
    user: u64,
    category: CategoryId,
    item: u32,
    kind: u8,
    at_s: u32,
}

/// Where the columns stand.
struct Places {
    user: usize,
    category: usize,
    time: usize,
    item: Option<usize>,
    kind: Option<usize>,
}

impl Places {
    fn find(table: &Table, columns: &EventColumns) -> Result<Self, Error> {
        let find = |name: &str| match &columns.headless {
            Some(names) => names.iter().position(|one| one == name).ok_or_else(|| {
                Error::shape(table.name(), format!("`{name}` is none of its columns"))
            }),
            None => table.column(name),
        };
        let optional = |name: &str| (!name.is_empty()).then(|| find(name)).transpose();
        Ok(Self {
            user: find(&columns.user)?,
            category: find(&columns.category)?,
            time: find(&columns.time)?,
            item: optional(&columns.item)?,
            kind: optional(&columns.kind)?,
        })
    }

    fn read(&self, table: &Table) -> Result<Raw, Error> {
        let text = |column: usize, what: &str| {
            let cell = std::str::from_utf8(table.cell(column)).ok().filter(|cell| !cell.is_empty());
            cell.ok_or_else(|| table.wrong(format!("its {what} is empty or not UTF-8")))
        };
        let time = text(self.time, "time")?;
        let at_s = time.parse::<u64>().ok().and_then(seconds);
        let at_s =
            at_s.ok_or_else(|| table.wrong(format!("its time `{}` is no Unix time", shown(time))))?;
        let kind = self.kind.map(|column| text(column, "kind")).transpose()?;
        let kind = kind.map_or(Some(0), kind_of).ok_or_else(|| {
            let kind = shown(kind.unwrap_or_default());
            table.wrong(format!(
                "its kind `{kind}` is none of view, search, click, add_to_cart, purchase"
            ))
        })?;
        Ok(Raw {
            user: hash::stable(text(self.user, "user")?.as_bytes()),
            category: CategoryId::of(text(self.category, "category")?),
            // 0 stands for none.
            item: self.item.map_or(0, |column| match table.cell(column) {
                [] => 0,
                item => (hash::stable(item) as u32).max(1),
            }),
            kind,
            at_s,
        })
    }
}

/// Unix seconds from seconds, or from milliseconds where the number is too large for seconds.
fn seconds(time: u64) -> Option<u32> {
    u32::try_from(time).or_else(|_| u32::try_from(time / 1_000)).ok()
}

/// The session's number for a kind of event, by our names and those of shops' data sets.
fn kind_of(name: &str) -> Option<u8> {
    use crate::session::Behaviour;
    Some(match name {
        "view" | "pv" => Behaviour::View,
        "search" => Behaviour::Search,
        "click" | "fav" => Behaviour::Click,
        "add_to_cart" | "cart" => Behaviour::AddToCart,
        "purchase" | "buy" => Behaviour::Purchase,
        _ => return None,
    } as u8)
}
