//! Readers against good, odd and hostile text: what each line becomes, and where each fault is said to
//! be.

use super::{Error, Example, Examples, FeatureMap, Tolerance};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;
use std::path::PathBuf;

struct Text {
    folder: tempfile::TempDir,
}

impl Text {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }
}

/// All examples of a file of this name and text.
fn read(
    name: &str,
    bytes: &[u8],
    map: Option<&str>,
    is_lenient: bool,
) -> Result<(Vec<Example>, Tolerance), Error> {
    let text = Text::new();
    let path = text.write(name, bytes);
    let mut tolerance = Tolerance::new(is_lenient);
    let declared = map.map(|map| FeatureMap::parse("map", map)).transpose()?;
    let map = Examples::map_of(&path, declared)?;
    let mut examples = Examples::open(&path, &map, &mut tolerance)?;
    let (mut all, mut example) = (Vec::new(), Example::default());
    while let Some(read) = examples.advance(&mut example) {
        if tolerance.take(read)?.is_some() {
            all.push(example.clone());
        }
    }
    Ok((all, tolerance))
}

fn good(name: &str, text: &str, map: Option<&str>) -> Vec<Example> {
    read(name, text.as_bytes(), map, false).expect("readable").0
}

/// What is said of a file that cannot be used.
fn fault(name: &str, text: &str, map: Option<&str>) -> String {
    let error = read(name, text.as_bytes(), map, false).expect_err(text).to_string();
    // Without the folder, which differs each time.
    error.rsplit('/').next().unwrap_or_default().to_owned()
}

fn fields(example: &Example) -> Vec<u16> {
    example.features.iter().map(|feature| feature.field).collect()
}

const TABLE: &str = r#"
    format = "csv"
    weight = "w"
    [label]
    column = "y"
    positive = ["1", "yes"]
    [time]
    column = "t"
    format = "%Y-%m-%d %H:%M"
    [[field]]
    kind = "category"
    columns = ["a"]
    [[field]]
    kind = "number"
    columns = ["n"]
    [[field]]
    kind = "list"
    separator = ";"
    columns = ["l"]
    [[field]]
    kind = "hour"
    [[field]]
    kind = "weekday"
    [[cross]]
    of = ["a", "l"]
"#;

#[test]
fn a_table_becomes_what_its_map_says() {
    let text = "y,w,t,a,n,l\n\
        1,2.5,2017-11-07 9:30,\"x,\"\"y\",7,p;q\n\
        no,1,2017-11-07 09:59,z,7.9,\n\
        yes,1,2017-11-14 9:00,z,,p\n\
        0,1,2017-11-08 9:00,z,0,p\n\
        0,1,2017-11-08 9:00,z,-0.0,p\n\
        0,1,2017-11-08 9:00,z,-1,p\n\
        0,1,2017-11-08 9:00,z,1,p\n";
    let all = good("data.csv", text, Some(TABLE));
    assert_eq!(all.len(), 7);
    let is_positive: Vec<_> = all.iter().map(|each| each.is_positive).collect();
    assert_eq!(is_positive, [true, false, true, false, false, false, false]);
    assert_eq!((all[0].weight, all[1].weight), (2.5, 1.0));
    assert_eq!(fields(&all[0]), [0, 1, 2, 2, 3, 4, 5, 5], "two tokens, and two of the cross");
    assert_eq!(fields(&all[1]), [0, 1, 3, 4], "an empty list has nothing");
    let id = |row: usize, field: u16| {
        all[row].features.iter().find(|feature| feature.field == field).expect("there").id
    };
    assert_eq!(id(0, 1), id(1, 1), "7 and 7.9 are of one bucket: log2 of 8 and 8.9");
    assert_ne!(id(0, 1), id(6, 1), "7 and 1 are two octaves apart");
    assert_ne!(id(1, 1), id(2, 1), "no number is a category of its own");
    assert_eq!(id(3, 1), id(4, 1), "both zeros are one");
    assert_ne!(id(3, 1), id(5, 1), "0 and -1 are not");
    assert_ne!(id(2, 1), id(3, 1));
    assert_eq!(id(0, 3), id(1, 3), "the same hour");
    assert_eq!(id(0, 4), id(2, 4), "a week later is the same weekday");
    assert_ne!(id(0, 4), id(3, 4));
    assert_eq!(all[0].time.map(|time| time.0), Some(1_510_047_000_000));
    // The same values elsewhere have other ids.
    assert_ne!(id(2, 0), id(2, 2));
}

#[test]
fn faults_of_tables_have_a_line_and_a_reason() {
    let head = "y,w,t,a,n,l\n";
    let row = "1,1,2017-11-07 9:30,a,7,p\n";
    for (text, said) in [
        (format!("{head}{row}1,1\n"), "line 3: 2 cells, where the first record has 6"),
        (format!("{head},1,2017-11-07 9:30,a,7,p\n"), "line 2: no label"),
        (format!("{head}1,x,2017-11-07 9:30,a,7,p\n"), "line 2: weight `x` is not a number"),
        (format!("{head}1,-1,2017-11-07 9:30,a,7,p\n"), "line 2: weight -1 is below 0"),
        (format!("{head}1,1,2017-11-07 9:30,a,nan,p\n"), "line 2: n `nan` is not a number"),
        (format!("{head}1,1,2017-11-07 9:30,a,1e999,p\n"), "line 2: n `1e999` is not a number"),
        (format!("{head}1,1,yesterday,a,7,p\n"), "line 2: time `yesterday` is not of the form"),
        ("y,w,t,a,n\n".to_owned(), "no column `l`"),
        ("y,w,t,a,n,l,l\n".to_owned(), "two columns are called `l`"),
    ] {
        let fault = fault("data.csv", &text, Some(TABLE));
        assert!(fault.contains(said), "{fault}\nis not\n{said}");
    }
}

#[test]
fn a_record_has_as_many_cells_as_its_map_names() {
    let map = "format = \"csv\"\nheader = false\ncolumns = [\"y\", \"a\"]\n\
               [label]\ncolumn = \"y\"\n[[field]]\nkind = \"category\"\ncolumns = [\"a\"]\n";
    assert_eq!(good("data.csv", "1,x\n0,y\n", Some(map)).len(), 2);
    let fault = fault("data.csv", "1\n0\n", Some(map));
    assert!(fault.contains("line 1: 1 cells, where the map names 2"), "{fault}");
}

#[test]
fn lenient_reading_counts_and_goes_on() {
    let text = "y,w,t,a,n,l\n1,1,x,a,7,p\n1,1\n0,1,2017-11-07 9:30,a,7,p\n";
    let (all, tolerance) = read("d.csv", text.as_bytes(), Some(TABLE), true).expect("readable");
    assert_eq!((all.len(), tolerance.skipped()), (1, 2));
    assert!(tolerance.first().is_some_and(|first| first.contains("line 2")), "{tolerance:?}");
}

#[test]
fn what_never_ends_is_refused_and_not_held() {
    let open = format!("y,w,t,a,n,l\n1,1,2017-11-07 9:30,\"{}", "a".repeat(3 << 20));
    // Lenient too: nobody knows where the next record would begin.
    for is_lenient in [false, true] {
        let said = read("d.csv", open.as_bytes(), Some(TABLE), is_lenient).expect_err("open");
        assert!(said.to_string().contains("more than 1048576 bytes"), "{said}");
    }
    let long = format!("1 |a {}", "b".repeat(3 << 20));
    assert!(fault("d.vw", &long, None).contains("more than 1048576 bytes"));
    let many = format!("1 |a {}", "b ".repeat(5_000));
    assert!(fault("d.vw", &many, None).contains("line 1: more than 4096 features"));
    // Far more bytes come out of a packed file than lie on disk.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..8 {
        packed.write_all(&[b'b'; 1 << 20]).expect("packed");
    }
    let packed = packed.finish().expect("packed");
    assert!(packed.len() < 20_000);
    let said = read("d.vw.gz", &packed, None, true).expect_err("a bomb").to_string();
    assert!(said.contains("more than 1048576 bytes"), "{said}");
}

#[test]
fn packed_files_are_unpacked_and_damaged_ones_refused() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"1 |a x\n-1 |a y\n").expect("packed");
    let packed = packed.finish().expect("packed");
    let twice = [packed.clone(), packed.clone()].concat();
    assert_eq!(read("d.vw.gz", &twice, None, false).expect("two members").0.len(), 4);
    assert!(read("d.vw.gz", &packed[..packed.len() - 6], None, true).is_err(), "cut off");
    assert!(read("d.vw.gz", b"1 |a x\n", None, true).is_err(), "not packed at all");
}

#[test]
fn vw_text_is_read_as_vw_reads_it() {
    let text = "1 |site news |ad:2 shoes:0.25 red\n\
        -1 0.5 'tag|ad shoes |site news sports\n\
        0 2 tag|other x |site news\n\
        1 1 0.3 |ad shoes:0 |ad blue\n";
    let all = good("d.vw", text, None);
    let positive: Vec<_> = all.iter().map(|each| each.is_positive).collect();
    assert_eq!(positive, [true, false, false, true]);
    let weights: Vec<_> = all.iter().map(|each| each.weight).collect();
    assert_eq!(weights, [1.0, 0.5, 2.0, 1.0]);
    let values = |row: usize| all[row].features.iter().map(|each| each.value).collect::<Vec<_>>();
    assert_eq!(values(0), [1.0, 0.5, 1.0 + 2.0_f32.ln()], "a value above 1 counts its logarithm");
    assert_eq!(fields(&all[1]), [0, 0, 1], "by field, as the first line numbers them");
    assert_eq!(fields(&all[2]), [0, 2]);
    assert_eq!(values(3), [1.0], "a feature of 0 is none");
    assert_eq!(all[0].features[1].id, all[1].features[2].id, "shoes are shoes");
    for (text, said) in [
        ("|a x\n", "line 1: no label"),
        ("2 |a x\n", "line 1: label 2 is none of 1, 0 and -1"),
        ("1 |a x\nx |a x\n", "line 2: label `x` is not a number"),
        ("1 -3 |a x\n", "line 1: importance -3 is below 0"),
        ("1 |a x:y\n", "line 1: a feature's value `y` is not a number"),
        ("1 |a:y x\n", "line 1: a namespace's weight `y` is not a number"),
        ("1 |a x:inf\n", "is not a number"),
    ] {
        let fault = fault("d.vw", text, None);
        assert!(fault.contains(said), "{fault}\nis not\n{said}");
    }
}

#[test]
fn libsvm_and_libffm_text_have_fields() {
    let all = good("d.libsvm", "1 0:1 3:0.5 # note\n-1 2:1\n\n0 1:1\n", None);
    assert_eq!(all.len(), 3);
    assert_eq!(fields(&all[0]), [0, 3]);
    assert_eq!(all[0].features[1].value, 0.5);
    let all = good("d.ffm", "1 1:77:1 0:3000000000:1\n", None);
    assert_eq!(fields(&all[0]), [0, 1]);
    let all = good("wide.svm", "1 5:1 1000:1\n", None);
    assert!(fields(&all[0]).iter().all(|field| usize::from(*field) < FeatureMap::FIELDS_MAX));
    for (text, said) in [
        ("1 0:1\n1 a:1\n", "line 2: `a` is not an index"),
        ("1 -1:1\n", "line 1: `-1` is not an index"),
        ("1 1\n", "line 1: `1` is not index:value"),
        ("1 1:2:3:4\n", "line 1: "),
        ("3 1:2\n", "line 1: label 3"),
    ] {
        let fault = fault("d.libsvm", text, None);
        assert!(fault.contains(said), "{fault}\nis not\n{said}");
    }
}

#[test]
fn rows_can_be_put_into_the_order_of_time() {
    let map = "format = \"csv\"\n[label]\ncolumn = \"y\"\n[time]\ncolumn = \"t\"\nformat = \"unix\"\n\
        sort = true\n[[field]]\nkind = \"category\"\ncolumns = [\"a\"]\n";
    let all = good("d.csv", "y,t,a\n1,30,x\n0,10,y\n1,20,z\n0,20,x\n", Some(map));
    let times: Vec<_> = all.iter().map(|each| each.time.expect("a time").0).collect();
    assert_eq!(times, [10_000, 20_000, 20_000, 30_000]);
    let labels: Vec<_> = all.iter().map(|each| each.is_positive).collect();
    assert_eq!(labels, [false, true, false, true], "the file's order where time is the same");
    assert_eq!(all[3].features, all[2].features);
}

#[test]
fn wrong_maps_are_refused_with_a_reason() {
    let good = "format = \"csv\"\n[label]\ncolumn = \"y\"\n";
    let field = "[[field]]\nkind = \"category\"\ncolumns = [\"a\"]\n";
    assert!(FeatureMap::parse("m", &format!("{good}{field}")).is_ok());
    for (text, said) in [
        (good.to_owned(), "no [[field]]"),
        (format!("format = \"csv\"\n{field}"), "no [label]"),
        (format!("{good}{field}{field}"), "`a` is a field twice"),
        (format!("{good}{field}spearator = \";\"\n"), "unknown field `spearator`"),
        (format!("columns = [\"a\"]\n{good}{field}"), "no header"),
        (format!("{good}{field}[[field]]\nkind = \"hour\"\n"), "need a [time]"),
        (format!("{good}{field}[[cross]]\nof = [\"a\", \"b\"]\n"), "a cross of `b`"),
        (
            format!("{good}{field}[[field]]\nkind = \"list\"\nseparator = \";\"\ncolumns = []\n"),
            "without columns",
        ),
        (
            format!("{good}[[field]]\nkind = \"number\"\nstep = 0.0\ncolumns = [\"n\"]\n"),
            "a step is above 0",
        ),
        (
            format!("{good}[[field]]\nkind = \"list\"\nseparator = \"\"\ncolumns = [\"n\"]\n"),
            "a separator is not empty",
        ),
        ("format = \"vw\"\n[label]\ncolumn = \"y\"\n".to_owned(), "of tables alone"),
    ] {
        let fault = FeatureMap::parse("m", &text).expect_err(&text).to_string();
        assert!(fault.contains(said), "{fault}\nis not\n{said}");
    }
    let many: Vec<_> = (0..65).map(|number| format!("\"c{number}\"")).collect();
    let wide = format!("{good}[[field]]\nkind = \"category\"\ncolumns = [{}]\n", many.join(","));
    let fault = FeatureMap::parse("m", &wide).expect_err("too wide").to_string();
    assert!(fault.contains("65 fields, more than 64"), "{fault}");
    assert!(self::fault("d.csv", "a\n", None).contains("need a declared feature map"));
    // Kept beside a model, a map says the same when it is read again.
    let map = FeatureMap::parse("m", TABLE).expect("a map");
    assert_eq!(FeatureMap::parse("m", &map.to_toml()).expect("the same"), map);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for name in ["d.vw", "d.libsvm", "d.ffm", "d.vw.gz"] {
            let _ = read(name, &bytes, None, true);
        }
        let _ = read("d.csv", &bytes, Some(TABLE), true);
        let headed = [b"y,w,t,a,n,l\n", &bytes[..]].concat();
        let _ = read("d.csv", &headed, Some(TABLE), true);
    }

    #[test]
    fn nearly_good_lines_make_no_reader_panic(text in "[01 :|'a.e\\-\n]{0,80}") {
        for name in ["d.vw", "d.libsvm"] {
            if let Ok((all, _)) = read(name, text.as_bytes(), None, true) {
                for example in all {
                    prop_assert!(example.features.iter().all(|each| each.value.is_finite()));
                    prop_assert!(example.weight >= 0.0);
                    prop_assert!(fields(&example).is_sorted());
                }
            }
        }
    }
}
