//! The rules of the house that a machine can keep: directions of imports, sizes of files, documented
//! public items, banned calls, links of the pages, and that CI runs what the README says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room's level: it may import rooms of a lower level, and those of its own that stand in
/// [`PEERS`].
const LEVELS: &[(&str, u8)] = &[
    ("units", 0),
    ("base64", 0),
    ("clock", 0),
    ("hash", 0),
    ("rates", 0),
    ("openrtb", 0),
    ("latency", 0),
    ("privacy", 0),
    ("prefetch", 0),
    ("priority", 0),
    ("retired", 0),
    ("config", 1),
    ("consent", 1),
    ("catalog", 1),
    ("store", 1),
    ("exchange", 2),
    ("session", 2),
    ("prediction", 2),
    ("relevance", 2),
    ("strategy", 2),
    ("market", 2),
    ("budget", 2),
    ("notice", 3),
    ("auction", 3),
    ("replay", 4),
    ("evaluate", 4),
    ("server", 5),
    ("simulate", 5),
    ("cli", 6),
];

/// Imports between rooms of one level that are meant (importer, imported).
const PEERS: &[(&str, &str)] = &[
    ("openrtb", "units"),
    ("openrtb", "hash"),
    ("privacy", "units"),
    ("privacy", "hash"),
    ("privacy", "clock"),
    ("privacy", "priority"),
    ("privacy", "retired"),
    ("latency", "clock"),
    ("units", "hash"),
    ("hash", "units"),
    ("clock", "units"),
    ("rates", "units"),
    ("budget", "strategy"),
    ("session", "relevance"),
    ("config", "consent"),
    ("catalog", "store"),
];

/// The simulated exchange may share wire types with the engine and nothing else, so that the hidden
/// truth cannot leak into it.
const SIMULATE_MAY: &[&str] = &["openrtb", "units", "hash", "clock", "simulate"];

/// Lines of one file: what a reader holds in the head.
const LINES_MAX: usize = 600;
/// Bytes of one file: larger things are data, and belong elsewhere.
const BYTES_MAX: u64 = 200_000;

/// (what, where it may stand, why it is banned elsewhere)
const BANNED: &[(&str, &[&str], &str)] = &[
    ("todo!(", &[], "unfinished"),
    ("unimplemented!(", &[], "unfinished"),
    ("dbg!(", &[], "left over"),
    ("SystemTime::now", &["src/clock.rs"], "time is injected: clock::Civil"),
    ("Instant::now", &["src/clock.rs"], "time is injected: clock::Mono"),
    ("rand::rng(", &["src/cli/"], "randomness is seeded and passed in"),
    ("thread_rng", &["src/cli/"], "randomness is seeded and passed in"),
    ("unsafe {", &["src/prefetch.rs"], "one file has a reason of its own"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.expect("a readable folder").path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if entry.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&entry).expect("a readable file");
                found.push((relative(&entry), text));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

/// The room that a source file belongs to: its folder, or its own name at the top.
fn room_of(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    let room = inside.split('/').next()?.trim_end_matches(".rs");
    (!matches!(room, "lib" | "main")).then_some(room)
}

/// The text without its trailing test module, without comments.
fn code_of(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let kept = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    kept.collect::<Vec<_>>().join("\n")
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/") || file.starts_with("tests/")
}

/// Rooms that `code` names after `crate::`, alone or in braces.
fn imports(code: &str) -> Vec<String> {
    code.split("crate::").skip(1).flat_map(first_names).collect()
}

/// The first name of each path that `rest` begins with: of the one, or of all in its braces.
fn first_names(rest: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let (mut depth, mut is_first) = (0, true);
    for c in rest.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                names.push(String::new());
                is_first = true;
                continue;
            }
            c if is_first && (c.is_alphanumeric() || c == '_') => {
                names.last_mut().expect("one").push(c);
                continue;
            }
            c if c.is_whitespace() && depth > 0 => continue,
            _ => is_first = false,
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn imports_are_found_however_they_are_nested() {
    for (code, rooms) in [
        ("use crate::units::Micros;", vec!["units"]),
        (
            "use crate::{clock, units::{Micros, Nanos}, budget::Ledger};",
            vec!["clock", "units", "budget"],
        ),
        (
            "use crate::{\n    a::{b::{c}, d},\n    e,\n};\nlet f = crate::g(1, 2);",
            vec!["a", "e", "g"],
        ),
    ] {
        assert_eq!(imports(code), rooms, "{code}");
    }
}

#[test]
fn imports_point_up_the_levels() {
    let levels: BTreeMap<_, _> = LEVELS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let Some(room) = room_of(&file) else { continue };
        let Some(level) = levels.get(room) else {
            wrong.push(format!("{file}: room `{room}` has no level in tests/tidy.rs"));
            continue;
        };
        let code = if is_test_file(&file) { continue } else { code_of(&text) };
        for imported in imports(&code) {
            let Some(other) = levels.get(imported.as_str()) else { continue };
            let peer = PEERS.contains(&(room, imported.as_str()));
            if imported != room && (other > level || (other == level && !peer)) {
                wrong.push(format!("{file}: `{room}` must not import `{imported}`"));
            }
            if room == "simulate" && !SIMULATE_MAY.contains(&imported.as_str()) {
                wrong.push(format!("{file}: the simulator must not know `{imported}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_fit_in_a_head() {
    let mut wrong = Vec::new();
    let folders = ["src", "tests", "benches"];
    for (file, text) in folders.iter().flat_map(|folder| rust_files(folder)) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{file}: {lines} lines, more than {LINES_MAX}"));
        }
    }
    for folder in ["fixtures", "strategies", "src", "tests", "benches"] {
        let mut open: Vec<PathBuf> = vec![root().join(folder)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                let entries = fs::read_dir(&path).expect("a readable folder");
                open.extend(entries.map(|entry| entry.expect("an entry").path()));
            } else if path.metadata().is_ok_and(|facts| facts.len() > BYTES_MAX) {
                wrong.push(format!("{}: more than {BYTES_MAX} bytes", relative(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn public_items_are_documented() {
    let levels: BTreeMap<_, _> = LEVELS.iter().copied().collect();
    let kinds = ["fn ", "struct ", "enum ", "trait ", "const ", "type ", "async fn ", "const fn "];
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let level = room_of(&file).and_then(|room| levels.get(room)).copied().unwrap_or(9);
        if level > 3 || is_test_file(&file) {
            continue;
        }
        assert!(text.starts_with("//!"), "{file} does not open with what it promises");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let mut documented = false;
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            let public = line
                .strip_prefix("pub ")
                .is_some_and(|rest| kinds.iter().any(|kind| rest.starts_with(kind)));
            // Macros write their items' documentation where they are used.
            if public && !documented && !line.contains('$') {
                wrong.push(format!("{file}:{}: {line}", number + 1));
            }
            let attribute =
                line.starts_with("#[") || line.starts_with(')') || line.starts_with(']');
            documented = line.starts_with("///")
                || (documented && (attribute || !line.contains('{')) && !line.is_empty());
        }
    }
    assert!(wrong.is_empty(), "without a doc comment:\n{}", wrong.join("\n"));
}

#[test]
fn banned_calls_do_not_occur() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let code = if is_test_file(&file) { continue } else { code_of(&text) };
        for (what, allowed, why) in BANNED {
            let excused = allowed.iter().any(|place| file.starts_with(place));
            if !excused && code.contains(what) {
                wrong.push(format!("{file}: `{what}`: {why}"));
            }
        }
        if file.starts_with("src/budget/") && code.contains("f64") {
            wrong.push(format!("{file}: no float touches an account"));
        }
        let money_or_wire = ["src/budget/", "src/openrtb/", "src/consent/", "src/notice/"];
        if money_or_wire.iter().any(|room| file.starts_with(room)) && code.contains(".unwrap()") {
            wrong.push(format!("{file}: unwrap() where input arrives"));
        }
        wrong.extend(uncommented_bounds(&file, &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Constants named `…_MAX` whose line above is no comment.
fn uncommented_bounds(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let is_bound = |line: &str| {
        let name = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        name.strip_prefix("const ")
            .and_then(|rest| rest.split(':').next())
            .is_some_and(|name| name.ends_with("_MAX"))
    };
    let bare = lines
        .windows(2)
        .filter(|pair| is_bound(pair[1]) && !pair[0].trim_start().starts_with("//"));
    bare.map(|pair| format!("{file}: `{}` says no reason", pair[1].trim())).collect()
}

#[test]
fn ci_runs_what_the_readme_says() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let ci = fs::read_to_string(root().join(".ci/run")).expect("a CI script");
    for command in ["cargo test", "cargo run --release -- demo"] {
        assert!(readme.contains(command), "the README lost `{command}`");
        assert!(ci.contains(command), ".ci/run does not run `{command}`");
    }
}

/// The pages that a reader may follow a link from.
fn pages() -> Vec<PathBuf> {
    let root = root();
    let docs =
        fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("it").path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    let top = ["README.md", "ARCHITECTURE.md"].map(|name| root.join(name));
    docs.filter(is_page).chain(top).collect()
}

/// What `](` ... `)` encloses in a page, addresses of the web left out.
fn links(page: &str) -> Vec<&str> {
    let ends = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    ends.filter(|link| !link.contains("://")).collect()
}

/// The names by which headings of a page are linked to.
fn headings(page: &str) -> Vec<String> {
    let titles = page.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-';
    let name =
        |title: &str| title.trim_start_matches('#').trim().to_lowercase().replace(|c| !kept(c), "");
    titles.map(|title| name(title).replace(' ', "-")).collect()
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page");
        for link in links(&page) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            let is_there = target.exists()
                && (heading.is_empty()
                    || headings(&fs::read_to_string(&target).unwrap_or_default())
                        .iter()
                        .any(|name| name == heading));
            if !is_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
