//! A click model that somebody else trained, as an ONNX file: the second opinion on the few candidates
//! that ours finds best.
//!
//! It takes one tensor of 64-bit integers, a row for each candidate and a column for each feature, each
//! id below the vocabulary, and gives one 32-bit float a row, the logit. What it promises:
//! * **No file makes it panic.** tract may, on a strange graph or on strange numbers; that is caught,
//!   and is an error like any other. A file cannot name other files.
//! * **Sizes are known before anything runs.** The batch is fixed, so all shapes are; a model that wants
//!   more than [`ELEMENTS_MAX`] numbers is refused. Only operators of [`OPERATORS`] are taken: none of
//!   them loops, or makes a tensor of a size that numbers say. What reading takes is bounded before
//!   (`onnx_bounds`).
//! * **What it answers is finite**, or there is no answer.

use super::features::{AdIds, CONTEXT_FIELDS};
use super::onnx_bounds;
use crate::clock::Mono;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

/// Largest file: a million ids with 64 numbers each.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Most operators of a graph; a deep click network has some fifty.
const OPERATORS_MAX: usize = 512;
/// Most numbers of all tensors between operators: 16 MB, and for the latency's sake.
const ELEMENTS_MAX: usize = 1 << 22;
/// Most characters that are told of what a file says or the library says of it.
const REASON_CHARS_MAX: usize = 300;
/// Columns that the engine fills: the fields of the request and its user, then the ids of the ad, 0 where
/// it has less content than it might.
pub const ONNX_COLUMNS: usize = CONTEXT_FIELDS + size_of::<AdIds>() / size_of::<u32>();
/// Most candidates of a batch.
pub const ONNX_BATCH_MAX: usize = 64;
/// Runs of the probe, of which the quickest is held against the budget: others may share the core.
const PROBES: usize = 16;
/// What graphs may consist of.
const OPERATORS: &[&str] = &[
    "Add",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Dropout",
    "Elu",
    "Exp",
    "Flatten",
    "Gather",
    "Gelu",
    "Gemm",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "MatMul",
    "Mul",
    "Neg",
    "Pow",
    "PRelu",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Why a model was refused, or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is too large, or its graph.
    #[error("{0}")]
    TooLarge(String),
    /// It is none that can be asked as we ask.
    #[error("{0}")]
    Shape(String),
    /// An operator that is not taken.
    #[error("it has an operator `{0}`, which is not one of those that are taken")]
    Operator(String),
    /// The library refused it.
    #[error("{0}")]
    Refused(String),
    /// The library panicked over it.
    #[error("it makes the library panic")]
    Panicked,
    /// An answer was no number.
    #[error("its answer is not a finite number")]
    NotFinite,
    /// It is slower than it may be.
    #[error("a batch of {batch} takes {us} us, and it may take {budget_us}")]
    Slow {
        /// Candidates.
        batch: usize,
        /// What the quickest probe took.
        us: u64,
        /// What it may take.
        budget_us: u64,
    },
}

/// How a model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxAsked {
    /// The name of its input.
    pub input: String,
    /// The name of its output.
    pub output: String,
    /// Columns of the input.
    pub columns: usize,
    /// Ids lie below this: each of ours is taken modulo it. From 2 to 2^31.
    pub vocabulary: u32,
    /// Rows of a batch, 1 to [`ONNX_BATCH_MAX`]. What is missing is filled with zeros.
    pub batch: usize,
    /// Microseconds that a batch may take.
    pub budget_us: u64,
}

/// A model that is ready to be asked.
pub struct OnnxModel {
    plan: Arc<TypedRunnableModel>,
    asked: OnnxAsked,
}

impl OnnxModel {
    /// The model in a file, tried on a batch of low and high ids.
    ///
    /// # Errors
    /// When the file cannot be read or is none that can be asked so, when an answer to the probe is
    /// not finite, or takes longer than the budget.
    pub fn read(file: &Path, asked: OnnxAsked) -> Result<Self, OnnxError> {
        let size = std::fs::metadata(file)?.len();
        if size > FILE_BYTES_MAX {
            let reason = format!("it has {size} bytes, more than {FILE_BYTES_MAX}");
            return Err(OnnxError::TooLarge(reason));
        }
        // What is a pipe or grows meanwhile has no size that could be believed.
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Self::parse(&bytes, asked)
    }

    /// As [`OnnxModel::read`], of a file's bytes.
    ///
    /// # Errors
    /// The same.
    pub fn parse(bytes: &[u8], asked: OnnxAsked) -> Result<Self, OnnxError> {
        let is_askable = (1..=ONNX_BATCH_MAX).contains(&asked.batch)
            && (1..=1_024).contains(&asked.columns)
            && (2..=1 << 31).contains(&asked.vocabulary);
        if !is_askable {
            return Err(OnnxError::Shape(
                "its batch, columns or vocabulary are out of range".into(),
            ));
        }
        let plan = caught(|| plan(bytes, &asked))?;
        let model = Self { plan, asked };
        model.probe()?;
        Ok(model)
    }

    /// The logits of candidates, one to one, in `logits`, whose earlier contents do not matter. `ids`
    /// has `columns` ids for each.
    ///
    /// # Errors
    /// When the model fails or an answer is not finite; what is then in `logits` means nothing.
    pub fn logits(&self, ids: &[u32], logits: &mut Vec<f32>) -> Result<(), OnnxError> {
        logits.clear();
        let OnnxAsked { columns, batch, vocabulary, .. } = self.asked;
        for rows in ids.chunks(batch * columns) {
            let mut input: Vec<i64> = rows.iter().map(|id| i64::from(id % vocabulary)).collect();
            input.resize(batch * columns, 0);
            let count = rows.len() / columns;
            caught(|| self.run(&input, count, logits).map_err(refused))?;
        }
        let is_finite = logits.iter().all(|logit| logit.is_finite());
        if is_finite { Ok(()) } else { Err(OnnxError::NotFinite) }
    }

    fn run(&self, input: &[i64], count: usize, logits: &mut Vec<f32>) -> TractResult<()> {
        let input = Tensor::from_shape(&[self.asked.batch, self.asked.columns], input)?;
        let output = self.plan.run(tvec!(input.into_tvalue()))?;
        let answers = output.first().map(|answers| answers.try_as_plain_ram()).transpose()?;
        let answers = answers.map(|answers| answers.as_slice::<f32>()).transpose()?;
        logits.extend(answers.unwrap_or_default().iter().take(count));
        Ok(())
    }

    /// Asks about the lowest and highest ids, and takes the time.
    fn probe(&self) -> Result<(), OnnxError> {
        let OnnxAsked { columns, batch, vocabulary, budget_us, .. } = self.asked;
        let id = |at: usize| match at / columns % 3 {
            0 => 0,
            1 => vocabulary - 1,
            _ => (at as u32).wrapping_mul(0x9e37_79b9) % vocabulary,
        };
        // Three rows of kinds at least, also where batches are smaller.
        let ids: Vec<u32> = (0..columns * batch.max(3)).map(id).collect();
        let mut logits = Vec::new();
        self.logits(&ids, &mut logits)?;
        if logits.len() != batch.max(3) {
            return Err(OnnxError::Shape("it does not answer each candidate".into()));
        }
        let timed = (0..PROBES).map(|_| {
            let start = Mono::now();
            let answered =
                self.logits(&ids[..columns * batch.min(ids.len() / columns)], &mut logits);
            answered.map(|()| Mono::now().nanos_since(start) / 1_000)
        });
        let times = timed.collect::<Result<Vec<u64>, _>>()?;
        let us = times.into_iter().min().unwrap_or(0);
        if us > budget_us { Err(OnnxError::Slow { batch, us, budget_us }) } else { Ok(()) }
    }
}

/// What a panic makes an error of.
fn caught<T>(ask: impl FnOnce() -> Result<T, OnnxError>) -> Result<T, OnnxError> {
    // Nothing of ours is left half done: what the call wrote is thrown away with its error.
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or(Err(OnnxError::Panicked))
}

fn refused(error: TractError) -> OnnxError {
    OnnxError::Refused(short(&format!("{error:#}")))
}

/// The beginning of what a file may have made as long as it likes.
pub(super) fn short(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}

/// What runs a batch of the model in `bytes`.
fn plan(bytes: &[u8], asked: &OnnxAsked) -> Result<Arc<TypedRunnableModel>, OnnxError> {
    onnx_bounds::structure(bytes)?;
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let mut proto = onnx.proto_model_for_read(&mut { bytes }).map_err(refused)?;
    check(&proto, asked)?;
    // Ours is set below; names of free sides are expressions that the library would parse.
    for input in proto.graph.iter_mut().flat_map(|graph| &mut graph.input) {
        if let Some(Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.shape = None;
        }
    }
    let mut model = onnx.model_for_proto_model(&proto).map_err(refused)?;
    let inputs = model.input_outlets().map_err(refused)?.to_vec();
    let [input] = inputs[..] else {
        let reason = format!("it has {} inputs, and one is asked", inputs.len());
        return Err(OnnxError::Shape(reason));
    };
    let name = &model.node(input.node).name;
    if *name != asked.input {
        let reason = format!("its input is `{}`, and not `{}`", short(name), asked.input);
        return Err(OnnxError::Shape(reason));
    }
    let declared = model.input_fact(0).map_err(refused)?.datum_type.concretize();
    if declared != Some(i64::datum_type()) {
        return Err(OnnxError::Shape("its input is not of 64-bit integers".into()));
    }
    model.select_outputs_by_name([&asked.output]).map_err(refused)?;
    let fact = InferenceFact::dt_shape(i64::datum_type(), [asked.batch, asked.columns]);
    let typed = model.with_input_fact(0, fact).and_then(InferenceModelExt::into_typed);
    let typed = typed.map_err(refused)?;
    check_shapes(&typed, asked)?;
    let optimized = typed.into_optimized().map_err(refused)?;
    optimized.into_runnable().map_err(refused)
}

/// Holds a graph against what is taken, before the library builds it.
fn check(proto: &ModelProto, asked: &OnnxAsked) -> Result<(), OnnxError> {
    let shape = |reason: &str| Err(OnnxError::Shape(reason.to_owned()));
    let Some(graph) = &proto.graph else { return shape("it has no graph") };
    if !proto.functions.is_empty() {
        return shape("it has functions of its own");
    }
    if graph.node.len() > OPERATORS_MAX {
        let reason = format!("it has {} operators, more than {OPERATORS_MAX}", graph.node.len());
        return Err(OnnxError::TooLarge(reason));
    }
    for node in &graph.node {
        if !OPERATORS.contains(&node.op_type.as_str()) || !matches!(&*node.domain, "" | "ai.onnx") {
            return Err(OnnxError::Operator(short(&node.op_type)));
        }
        if node.attribute.iter().any(|one| one.g.is_some() || !one.graphs.is_empty()) {
            return shape("it has a graph within a graph");
        }
    }
    if has_external_data(graph) {
        return shape("it keeps weights in other files: export it as one");
    }
    if !graph.input.iter().any(|input| input.name == asked.input) {
        let reason = format!("it has no input `{}`", asked.input);
        return Err(OnnxError::Shape(reason));
    }
    if let Some(columns) = declared_columns(graph, &asked.input)
        && columns != asked.columns as i64
    {
        let reason = format!("its input has {columns} columns, and {} are asked", asked.columns);
        return Err(OnnxError::Shape(reason));
    }
    let is_made = graph.node.iter().any(|node| node.output.contains(&asked.output));
    if !is_made || !graph.output.iter().any(|output| output.name == asked.output) {
        let reason = format!("it has no output `{}`", asked.output);
        return Err(OnnxError::Shape(reason));
    }
    onnx_bounds::check(graph, &asked.input, asked.batch * asked.columns)
}

/// How many columns the input says that it has, where it says so.
fn declared_columns(graph: &GraphProto, input: &str) -> Option<i64> {
    let input = graph.input.iter().find(|one| one.name == input)?;
    let Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    match tensor.shape.as_ref()?.dim.get(1)?.value.as_ref()? {
        Dimension::DimValue(columns) => Some(*columns),
        Dimension::DimParam(_) => None,
    }
}

fn has_external_data(graph: &GraphProto) -> bool {
    let of_nodes =
        graph.node.iter().flat_map(|node| &node.attribute).filter_map(|one| one.t.as_ref());
    let mut tensors = graph.initializer.iter().chain(of_nodes);
    tensors.any(|tensor| tensor.data_location.unwrap_or(0) != 0 || !tensor.external_data.is_empty())
}

/// All shapes are known, together not too large, and there is one answer a row.
fn check_shapes(model: &TypedModel, asked: &OnnxAsked) -> Result<(), OnnxError> {
    let mut elements = 0usize;
    let made = model.nodes().iter().filter(|node| !node.inputs.is_empty());
    for fact in made.flat_map(|node| &node.outputs) {
        let Some(shape) = fact.fact.shape.as_concrete() else {
            return Err(OnnxError::Shape("a shape within it depends on what is asked".into()));
        };
        if shape.contains(&0) {
            return Err(OnnxError::Shape("a tensor within it is empty".into()));
        }
        let all = shape.iter().try_fold(1usize, |all, side| all.checked_mul(*side));
        elements = elements.saturating_add(all.unwrap_or(usize::MAX));
        if elements > ELEMENTS_MAX {
            let reason = format!(
                "tensors within it have more than {ELEMENTS_MAX} numbers, one of them of the shape {shape:?}"
            );
            return Err(OnnxError::TooLarge(short(&reason)));
        }
    }
    let output = model.output_fact(0).map_err(refused)?;
    let shape = output.shape.as_concrete().unwrap_or_default();
    let is_one_a_row = shape == [asked.batch] || shape == [asked.batch, 1];
    if !is_one_a_row || output.datum_type != f32::datum_type() {
        let reason = format!(
            "its output is {:?} of {shape:?}, and not 32-bit floats of [{}, 1]",
            output.datum_type, asked.batch
        );
        return Err(OnnxError::Shape(reason));
    }
    Ok(())
}

#[cfg(test)]
#[path = "../../tests/common/onnx.rs"]
pub(crate) mod sample;

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
