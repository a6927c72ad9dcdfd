//! The fields that the view declares, read from its source.

use std::path::Path;

/// The files of `openrtb` with a `view!` in them.
const FILES: [&str; 3] = ["view.rs", "imp.rs", "native.rs"];

/// Each field that a `view!` declares: `Imp.bidfloor`, and each key that fills it, with `ext/` before
/// those that stand under `ext`.
pub fn declared() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openrtb");
    // A view in another file would be overlooked.
    for file in std::fs::read_dir(&root).expect("the room").map(|file| file.expect("a file")) {
        let name = file.file_name().into_string().expect("a name");
        if name.ends_with(".rs") && name != "object.rs" && !FILES.contains(&&*name) {
            let text = std::fs::read_to_string(file.path()).expect("a file");
            assert!(!text.contains("\nview! {"), "{name} declares a view that is not looked at");
        }
    }
    let all: Vec<_> = FILES.into_iter().flat_map(|file| declared_in(&root.join(file))).collect();
    assert!(all.len() > 150, "{} fields were found in the source", all.len());
    all
}

fn declared_in(path: &Path) -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(path).expect("the source of the view");
    let (mut found, mut name) = (Vec::new(), "");
    for line in text.lines().map(str::trim) {
        let line = line.strip_prefix("r#").unwrap_or(line);
        if let Some(rest) = line.strip_prefix("pub struct ") {
            name = rest.split(['<', ' ']).next().unwrap_or_default();
        }
        let (Some((field, _)), true) = (line.split_once(':'), line.contains(" b\"")) else {
            continue;
        };
        let Some((_, spellings)) = line.split_once(" = ") else { continue };
        let (plain, under_ext) = match spellings.split_once("ext ") {
            Some((plain, under_ext)) => (plain, under_ext),
            None => (spellings, ""),
        };
        let keys = |part: &str, before: &str| -> Vec<String> {
            let quoted = part.split('"').skip(1).step_by(2);
            quoted.map(|key| format!("{before}{key}")).collect()
        };
        let spellings = [keys(plain, ""), keys(under_ext, "ext/")].concat();
        found.push((format!("{name}.{field}"), spellings));
    }
    found
}
