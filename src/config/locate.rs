//! Where a key stands in a TOML text, so that what is wrong is reported with its line.

use toml::de::{DeTable, DeValue};

/// The line, from 1, that holds byte `offset` of `text`.
#[must_use]
pub fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}

/// The line of a key, given with its tables and dots between them: that of the innermost part that
/// is there; 0 where none is.
pub(super) fn line_of_key(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 0 };
    let (mut table, mut line) = (Some(document.get_ref()), 0);
    for part in key.split('.') {
        let mut entries = table.into_iter().flatten();
        let found = entries.find(|(name, _)| name.get_ref() == part);
        let Some((name, value)) = found else { break };
        line = line_of(text, name.span().start);
        table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    line
}
