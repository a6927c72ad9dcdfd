use super::sample::{FLOAT, INT64, Message, additive, model, node, number, numbers, tensor, value};
use super::*;

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

fn weights() -> Vec<f32> {
    (0..8).map(|id| id as f32 * 0.25 - 1.0).collect()
}

#[test]
fn a_model_answers_each_candidate() {
    let model = OnnxModel::parse(&additive(3, &weights()), asked()).expect("a model");
    // More candidates than a batch has, and ids beyond the vocabulary.
    let ids: Vec<u32> = (0..30u32).map(|number| number.wrapping_mul(0x1234_5677) + 1).collect();
    let mut logits = vec![7.0; 3];
    model.logits(&ids, &mut logits).expect("answers");
    let expected = ids.chunks(3).map(|row| row.iter().map(|id| weights()[*id as usize % 8]).sum());
    assert_eq!(logits, expected.collect::<Vec<f32>>());
    model.logits(&[], &mut logits).expect("nothing is asked");
    assert!(logits.is_empty());
}

#[test]
fn layers_are_what_they_say() {
    let nodes = [
        node("Gather", &["e", "ids"], "rows", &[]),
        node("Flatten", &["rows"], "flat", &[number("axis", 1)]),
        node("Gemm", &["flat", "w", "b"], "hidden", &[]),
        node("Relu", &["hidden"], "bent", &[]),
        node("MatMul", &["bent", "o"], "logit", &[]),
    ];
    let e: Vec<f32> = (0..16).map(|at| at as f32 / 8.0 - 1.0).collect();
    let w: Vec<f32> = (0..12).map(|at| (at % 5) as f32 / 4.0 - 0.5).collect();
    let parts = [
        tensor("e", &[8, 2], &e),
        tensor("w", &[6, 2], &w),
        tensor("b", &[2], &[0.5, -0.5]),
        tensor("o", &[2, 1], &[1.5, -2.0]),
    ];
    let (input, output) = (value("ids", INT64, Some(3)), value("logit", FLOAT, Some(1)));
    let model =
        OnnxModel::parse(&model(&nodes, &parts, &input, &output), asked()).expect("a model");
    let mut logits = Vec::new();
    model.logits(&[1, 7, 4], &mut logits).expect("an answer");
    let flat: Vec<f32> = [1, 7, 4].iter().flat_map(|id| [e[id * 2], e[id * 2 + 1]]).collect();
    let hidden = |unit: usize| {
        let sum: f32 = flat.iter().zip(w.chunks(2)).map(|(x, w)| x * w[unit]).sum();
        (sum + [0.5, -0.5][unit]).max(0.0)
    };
    let expected = 1.5 * hidden(0) - 2.0 * hidden(1);
    assert!((logits[0] - expected).abs() < 1e-5, "{logits:?} {expected}");
}

/// What is wrong with a file, and what is said of it.
#[test]
fn wrong_files_are_refused_with_a_reason() {
    let sound = additive(3, &weights());
    let say = |bytes: &[u8], asked: OnnxAsked| {
        OnnxModel::parse(bytes, asked).err().map_or("nothing".to_owned(), |error| error.to_string())
    };
    let (input, output) = (value("ids", INT64, Some(3)), value("logit", FLOAT, None));
    let sum =
        node("ReduceSum", &["found"], "logit", &[numbers("axes", &[1]), number("keepdims", 0)]);
    let gather = node("Gather", &["weights", "ids"], "found", &[]);
    let part = tensor("weights", &[8], &weights());
    let with = |nodes: &[Message], part: &Message| {
        model(nodes, std::slice::from_ref(part), &input, &output)
    };
    let external = {
        let place = Message::default().text(1, "location").text(2, "../../etc/passwd");
        Message::default().int(1, 8).int(2, FLOAT).text(8, "weights").message(13, &place).int(14, 1)
    };
    let inner = Message::default().text(1, "body").message(6, &Message::default()).int(20, 5);
    let floats = model(
        &[gather.clone(), sum.clone()],
        std::slice::from_ref(&part),
        &value("ids", FLOAT, Some(3)),
        &output,
    );
    let grown: Vec<Message> = (0..24)
        .map(|step| {
            let (from, to) = (format!("x{step}"), format!("x{}", step + 1));
            let from = if step == 0 { "found" } else { &from };
            node("Concat", &[from, from], &to, &[number("axis", 1)])
        })
        .collect();
    let grown = [
        std::slice::from_ref(&gather),
        &grown[..],
        &[node("ReduceSum", &["x24"], "logit", &[numbers("axes", &[1]), number("keepdims", 0)])],
    ]
    .concat();
    let many = vec![node("Identity", &["ids"], "same", &[]); OPERATORS_MAX + 1];
    for (bytes, expected) in [
        (with(&[gather.clone(), sum.clone()], &part), "nothing"),
        (Vec::new(), "it has no graph"),
        (b"no model at all".to_vec(), "no ONNX file"),
        (sound[..sound.len() / 2].to_vec(), "it is cut short"),
        (with(&[node("Loop", &["ids"], "logit", &[])], &part), "an operator `Loop`"),
        (with(&[node("Expand", &["ids"], "logit", &[])], &part), "an operator `Expand`"),
        (with(&[node("Identity", &["ids"], "logit", &[inner])], &part), "a graph within a graph"),
        (with(&[gather.clone(), sum.clone()], &external), "weights in other files"),
        (with(&many, &part), "513 operators"),
        (with(std::slice::from_ref(&gather), &part), "it has no output"),
        (
            with(&[gather.clone(), node("Identity", &["found"], "logit", &[])], &part),
            "its output is",
        ),
        (with(&[gather.clone(), sum.clone()], &tensor("weights", &[1 << 40], &[1.0])), ""),
        (with(&[gather.clone(), sum.clone()], &tensor("weights", &[4], &[1.0; 4])), ""),
        (
            with(&[gather.clone(), sum.clone()], &tensor("weights", &[8], &[f32::NAN; 8])),
            "not a finite",
        ),
        (with(&grown, &part), "tensors within it have more than 4194304 numbers"),
        (floats, "not of 64-bit integers"),
        (
            model(&[gather, sum], &[part], &value("other", INT64, Some(3)), &output),
            "no input `ids`",
        ),
        (additive(5, &weights()), "its input has 5 columns"),
    ] {
        let said = say(&bytes, asked());
        assert!(
            said.contains(expected) && (expected == "nothing") == (said == "nothing"),
            "{said}"
        );
    }
    assert!(
        say(&sound, OnnxAsked { vocabulary: 9, ..asked() }).contains("panic"),
        "an id too high"
    );
    assert!(say(&sound, OnnxAsked { input: "x".into(), ..asked() }).contains("no input `x`"));
    assert!(say(&sound, OnnxAsked { batch: 0, ..asked() }).contains("out of range"));
    assert!(say(&sound, OnnxAsked { batch: 65, ..asked() }).contains("out of range"));
    assert!(say(&sound, OnnxAsked { vocabulary: 1, ..asked() }).contains("out of range"));
    assert!(say(&sound, OnnxAsked { output: "p".into(), ..asked() }).contains("no output `p`"));
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clicks.onnx");
    assert!(matches!(OnnxModel::read(&file, asked()), Err(OnnxError::Io(_))));
    std::fs::write(&file, additive(3, &weights())).expect("written");
    assert!(OnnxModel::read(&file, asked()).is_ok());
}

/// Whatever is damaged: an error, or a model whose answers are numbers.
#[test]
fn damage_makes_no_panic() {
    let sound = additive(3, &weights());
    for at in 0..sound.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= flip;
            if let Ok(model) = OnnxModel::parse(&bytes, asked()) {
                let mut logits = Vec::new();
                model.logits(&[0; 3], &mut logits).expect("the probe went well");
                assert!(logits.iter().all(|logit| logit.is_finite()));
            }
        }
    }
}
