//! What a server keeps to itself when something goes wrong.
//!
//! A panic's message may quote what was parsed, which is somebody's request; a core dump holds all of
//! memory, keys and sessions included; and libraries that are asked for their finest log lines write
//! down headers. So a panic says where it was and no more, no core is dumped, and of other crates only
//! warnings are logged, whatever `OUTBID_LOG` says. What is written to the state folder is money, keys and
//! what single users did: what is made there is its owner's alone.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::panic::Location;
use tracing::{Level, Metadata};

/// Bytes of a core: Linux takes 1 for "none", also where cores are piped to a program, which 0 allows.
const CORE_BYTES: u64 = 1;

/// Keeps memory out of logs and files from here on.
pub fn keep() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("outbid: {}", said(info.location(), std::thread::current().name()));
    }));
    close_files();
    let maximum = getrlimit(Resource::Core).maximum.map_or(CORE_BYTES, |now| now.min(CORE_BYTES));
    let none = Rlimit { current: Some(maximum), maximum: Some(maximum) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may dump memory to a file: forbid it (ulimit -c 0)");
    }
}

/// Has files and folders that are made from here on belong to their owner alone.
pub fn close_files() {
    umask(Mode::RWXG | Mode::RWXO);
}

fn said(location: Option<&Location<'_>>, thread: Option<&str>) -> String {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!("thread {} panicked at {place}", thread.unwrap_or("without a name"))
}

/// Whether a line may be logged at all.
pub fn may_be_logged(line: &Metadata<'_>) -> bool {
    line.target().starts_with("outbid") || *line.level() <= Level::WARN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_where_it_was_and_no_more() {
        let text = said(Some(Location::caller()), Some("worker"));
        assert!(text.starts_with("thread worker panicked at src/cli/discretion.rs:"), "{text}");
        assert_eq!(said(None, None), "thread without a name panicked at an unknown place");
    }
}
