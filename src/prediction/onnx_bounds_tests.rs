use crate::prediction::onnx::sample::{
    FLOAT, INT64, Message, additive, model, node, number, numbers, tensor, value,
};
use crate::prediction::{OnnxAsked, OnnxModel};

fn asked() -> OnnxAsked {
    OnnxAsked {
        input: "ids".into(),
        output: "logit".into(),
        columns: 3,
        vocabulary: 8,
        batch: 4,
        // Nothing here is about time.
        budget_us: u64::MAX,
    }
}

/// What is said of a file.
fn said(bytes: &[u8]) -> String {
    let refused = OnnxModel::parse(bytes, asked()).err();
    refused.map_or("nothing".to_owned(), |error| error.to_string())
}

fn integers(name: &str, dims: &[u64], values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = dims.iter().fold(Message::default(), |tensor, side| tensor.int(1, *side));
    head.int(2, INT64).text(8, name).bytes(9, &raw)
}

/// A graph that is sound but for `nodes` and a part, which nothing uses: the library works out constants all
/// the same. `a` has 9,000 numbers in a row, `b` in a column, `i` has as many ids.
fn with(nodes: &[Message], part: Option<&Message>) -> Vec<u8> {
    let long = vec![0.5; 9_000];
    let mut parts = vec![
        tensor("weights", &[8], &[0.5; 8]),
        tensor("a", &[1, 9_000], &long),
        tensor("b", &[9_000, 1], &long),
        integers("i", &[9_000], &[0; 9_000]),
        integers("zero", &[1], &[0]),
        integers("sides", &[2], &[0, 1 << 40]),
    ];
    parts.extend(part.cloned());
    let sound = [
        node("Gather", &["weights", "ids"], "found", &[]),
        node("ReduceSum", &["found"], "logit", &[numbers("axes", &[1]), number("keepdims", 0)]),
    ];
    let nodes = [nodes, &sound].concat();
    model(&nodes, &parts, &value("ids", INT64, Some(3)), &value("logit", FLOAT, None))
}

/// One operator over and over, each time on what it made before, twice.
fn again(operator: &str, first: &str, times: usize) -> Vec<Message> {
    let one = |time: usize| {
        let from = if time == 0 { first.to_owned() } else { format!("x{time}") };
        let axis = if operator == "Concat" { vec![number("axis", 0)] } else { Vec::new() };
        node(operator, &[&from, &from], &format!("x{}", time + 1), &axis)
    };
    (0..times).map(one).collect()
}

/// Files of some kilobytes that would ask for gigabytes, or for more than there is.
#[test]
fn bombs_are_refused_before_they_are_read() {
    let grow = "its constants may grow beyond 67108864 numbers";
    let axes: Vec<u64> = (0..65).collect();
    assert_eq!(said(&with(&[node("Neg", &["a"], "x", &[])], None)), "nothing");
    // Nothing along one side, and a sum over that side is as long as the other.
    let none = integers("none", &[1 << 40, 0], &[]);
    assert!(said(&with(&[], Some(&none))).contains("`none` has an impossible shape"));
    for (nodes, expected) in [
        (vec![node("Add", &["a", "b"], "x", &[])], grow),
        (vec![node("MatMul", &["b", "a"], "x", &[])], grow),
        (vec![node("Gather", &["a", "i"], "x", &[])], grow),
        (again("Concat", "a", 40), grow),
        (again("Gather", "ids", 40), "has more than 64 sides"),
        (vec![node("Unsqueeze", &["ids"], "x", &[numbers("axes", &axes)])], "more than 64 sides"),
        (vec![node("Reshape", &["a", "i"], "x", &[])], "more than 64 sides"),
        (vec![node("Reshape", &["a", "ids"], "x", &[])], "depends on what is asked"),
        (
            vec![
                node("Slice", &["a", "zero", "zero"], "none", &[]),
                node("Reshape", &["none", "sides"], "x", &[]),
            ],
            "a constant that may be empty",
        ),
        (vec![node("Neg", &["late"], "x", &[])], "it uses `late` before it is made"),
        (vec![node("Neg", &["a"], "b", &[])], "it makes `b` twice"),
    ] {
        let said = said(&with(&nodes, None));
        assert!(said.contains(expected), "{said}, and not {expected}");
    }
}

/// What unpacks into far more than it is: a node of two bytes takes a hundred times that.
#[test]
fn what_unpacks_into_too_much_is_refused() {
    let nodes = Message([0x0a, 0x00].repeat(1 << 20));
    let bomb = Message::default().message(7, &nodes).0;
    assert!(said(&bomb).contains("bytes that are not weights"), "{}", said(&bomb));
    // Weights are none of that.
    let large = OnnxAsked { vocabulary: 1 << 20, ..asked() };
    let file = additive(3, &vec![0.25; 1 << 20]);
    assert!(OnnxModel::parse(&file, large).is_ok());
}

#[test]
fn a_file_that_is_cut_short_says_so() {
    let file = additive(3, &[0.5; 8]);
    // The last four bytes say which edition of the operators is meant.
    for length in 0..file.len() - 4 {
        let said = said(&file[..length]);
        assert!(said.contains("cut short") || said == "it has no graph", "{length}: {said}");
    }
}

/// As PyTorch writes `rows.view(rows.size(0), -1)`, with what it notes of shapes besides.
#[test]
fn shapes_worked_out_from_the_batch_are_taken() {
    let nodes = [
        node("Gather", &["table", "ids"], "rows", &[]),
        node("Shape", &["rows"], "shape", &[]),
        node("Gather", &["shape", "first"], "n", &[number("axis", 0)]),
        node("Unsqueeze", &["n"], "ns", &[numbers("axes", &[0])]),
        node("Concat", &["ns", "rest"], "flat_shape", &[number("axis", 0)]),
        node("Reshape", &["rows", "flat_shape"], "flat", &[]),
        node("MatMul", &["flat", "out"], "logit", &[]),
    ];
    let parts = [
        tensor("table", &[8, 2], &(0..16).map(|at| at as f32).collect::<Vec<_>>()),
        integers("first", &[], &[0]),
        integers("rest", &[1], &[-1]),
        tensor("out", &[6, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    ];
    // A name of a side is an expression to the library, which climbs down into it.
    let free = Message::default().text(2, &"(".repeat(100_000));
    let shape = Message::default().message(1, &free).message(1, &Message::default().int(1, 3));
    let kind = Message::default().int(1, INT64).message(2, &shape);
    let ids = Message::default().text(1, "ids").message(2, &Message::default().message(1, &kind));
    let head = nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
    let graph = parts.iter().fold(head, |graph, part| graph.message(5, part));
    let graph = graph.message(11, &ids).message(12, &value("logit", FLOAT, Some(1)));
    let graph = graph.message(13, &value("flat", FLOAT, Some(77)));
    let opset = Message::default().int(2, 11);
    let file = Message::default().int(1, 6).message(7, &graph).message(8, &opset).0;
    let model = OnnxModel::parse(&file, asked()).expect("a model");
    let mut logits = Vec::new();
    model.logits(&[1, 7, 4], &mut logits).expect("an answer");
    let flat = [2.0, 3.0, 14.0, 15.0, 8.0, 9.0].iter().zip(1..).map(|(x, w)| x * w as f32);
    assert_eq!(logits, [flat.sum::<f32>()]);
}
