//! What an ONNX file may grow to, settled before the library sees it. Protocol buffers unpack into
//! a hundred times their size, and tract works out what is constant while it reads a graph, however
//! large. So the file is walked once for [`structure`], and its graph once for [`check`]: what it makes
//! of constants has [`CONSTANTS_MAX`] numbers at most, and no shape more than [`RANK_MAX`] sides.

use super::onnx::{OnnxError, short};
use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Most bytes of a file that are not weights: an unpacked message may take 300 for two of them.
const STRUCTURE_BYTES_MAX: usize = 2 << 20;
/// Most numbers that a graph makes of constants: half a gigabyte of 64-bit ones.
const CONSTANTS_MAX: u64 = 1 << 26;
/// Most sides of a shape, as in PyTorch. `Gather` adds those of both its inputs, so without a bound
/// forty of them would ask for a terabyte.
const RANK_MAX: u64 = 64;
/// Most tensors that have names.
const NAMES_MAX: usize = 4_096;

/// The messages on the way to weights, by `onnx.proto`.
#[derive(Clone, Copy)]
enum Part {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Weights,
}

impl Part {
    const fn of(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Tensor, 4 | 9 | 10) => Some(Self::Weights),
            _ => None,
        }
    }
}

/// Refuses what is cut short, and what would take far more memory than the file has bytes.
///
/// # Errors
/// For each of them.
pub(super) fn structure(bytes: &[u8]) -> Result<(), OnnxError> {
    let damaged = || OnnxError::Refused("it is cut short, or is no ONNX file".into());
    let besides = besides_weights(bytes, Part::Model).ok_or_else(damaged)?;
    if besides > STRUCTURE_BYTES_MAX {
        let reason =
            format!("it has {besides} bytes that are not weights, more than {STRUCTURE_BYTES_MAX}");
        return Err(OnnxError::TooLarge(reason));
    }
    Ok(())
}

/// Bytes of a message that are not weights; nothing where it is cut short or has what ONNX has not.
fn besides_weights(mut bytes: &[u8], part: Part) -> Option<usize> {
    let mut besides = 0;
    while !bytes.is_empty() {
        let before = bytes.len();
        let tag = varint(&mut bytes)?;
        let length = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        besides += before - bytes.len();
        let (field, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        besides += match part.of(tag >> 3).filter(|_| tag & 7 == 2) {
            None => length,
            Some(Part::Weights) => 0,
            Some(part) => besides_weights(field, part)?,
        };
    }
    Some(besides)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let end = bytes.iter().take(10).position(|byte| *byte < 0x80)?;
    let (digits, rest) = bytes.split_at(end + 1);
    *bytes = rest;
    Some(digits.iter().rev().fold(0, |value, digit| value << 7 | u64::from(digit & 0x7f)))
}

/// What a tensor has at most.
#[derive(Clone, Copy)]
struct Bound {
    /// Numbers, where a side of length 0 counts as 1: of tensors without numbers, sums have some.
    numbers: u64,
    /// Sides.
    rank: u64,
    /// Whether tract can work it out while it reads.
    is_constant: bool,
    /// Whether it surely has numbers, so that sides of another shape of it are no longer than they.
    is_filled: bool,
}

/// Holds a graph whose only free input is `input`, of `numbers` numbers, against the bounds.
///
/// # Errors
/// When it passes one, or uses what nothing has made before.
pub(super) fn check(graph: &GraphProto, input: &str, numbers: usize) -> Result<(), OnnxError> {
    let many = graph.initializer.len().max(graph.input.len());
    if many + graph.node.iter().map(|node| node.output.len()).sum::<usize>() > NAMES_MAX {
        return Err(OnnxError::TooLarge(format!("it has more than {NAMES_MAX} tensors")));
    }
    let asked = Bound { numbers: numbers as u64, rank: 2, is_constant: false, is_filled: true };
    let mut made = HashMap::from([(input, asked)]);
    for tensor in &graph.initializer {
        add(&mut made, &tensor.name, of_tensor(tensor)?)?;
    }
    let mut constants = 0u64;
    for node in &graph.node {
        let inputs = node.input.iter().filter(|name| !name.is_empty());
        let inputs = inputs.map(|name| {
            let early = || OnnxError::Shape(format!("it uses `{}` before it is made", short(name)));
            made.get(&**name).copied().ok_or_else(early)
        });
        let bound = of_node(node, &inputs.collect::<Result<Vec<Bound>, _>>()?)?;
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            constants = constants.saturating_add(u64::from(bound.is_constant) * bound.numbers);
            add(&mut made, output, bound)?;
        }
        if constants > CONSTANTS_MAX {
            let operator = &node.op_type;
            let reason =
                format!("its constants may grow beyond {CONSTANTS_MAX} numbers, in a `{operator}`");
            return Err(OnnxError::TooLarge(reason));
        }
    }
    Ok(())
}

/// Notes what a name stands for; none stands for two things, since the library would take the last.
fn add<'a>(
    made: &mut HashMap<&'a str, Bound>,
    name: &'a str,
    bound: Bound,
) -> Result<(), OnnxError> {
    if bound.rank > RANK_MAX {
        let reason = format!("`{}` has more than {RANK_MAX} sides", short(name));
        return Err(OnnxError::TooLarge(reason));
    }
    match made.insert(name, bound) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Shape(format!("it makes `{}` twice", short(name)))),
    }
}

fn of_tensor(tensor: &TensorProto) -> Result<Bound, OnnxError> {
    let mut sides = tensor.dims.iter().map(|side| u64::try_from(*side).ok());
    let numbers = sides.try_fold(1u64, |all, side| all.checked_mul(side?.max(1)));
    let refused = || OnnxError::Shape(format!("`{}` has an impossible shape", short(&tensor.name)));
    let numbers = numbers.filter(|numbers| *numbers <= i64::MAX as u64).ok_or_else(refused)?;
    let is_filled = !tensor.dims.contains(&0);
    if !is_filled && numbers > 1 {
        return Err(refused());
    }
    Ok(Bound { numbers, rank: tensor.dims.len() as u64, is_constant: true, is_filled })
}

fn of_constant(node: &NodeProto) -> Result<Bound, OnnxError> {
    let mut bound = Bound { numbers: 1, rank: 0, is_constant: true, is_filled: true };
    for attribute in &node.attribute {
        let listed =
            attribute.ints.len().max(attribute.floats.len()).max(attribute.strings.len()) as u64;
        let of = match &attribute.t {
            Some(tensor) => of_tensor(tensor)?,
            None => Bound { numbers: listed.max(1), rank: 1, ..bound },
        };
        bound.numbers = bound.numbers.max(of.numbers);
        bound.rank = bound.rank.max(of.rank);
        // An empty list and a single number look alike.
        bound.is_filled = of.is_filled && (attribute.t.is_some() || listed > 0);
    }
    Ok(bound)
}

fn of_node(node: &NodeProto, inputs: &[Bound]) -> Result<Bound, OnnxError> {
    let scalar = Bound { numbers: 1, rank: 0, is_constant: true, is_filled: true };
    let first = inputs.first().copied().unwrap_or(scalar);
    let second = inputs.get(1).copied().unwrap_or(scalar);
    let product = inputs.iter().fold(1u64, |all, one| all.saturating_mul(one.numbers));
    let rank = inputs.iter().map(|one| one.rank).max().unwrap_or(0);
    let is_constant = inputs.iter().all(|one| one.is_constant);
    let is_filled = inputs.iter().all(|one| one.is_filled);
    let (numbers, rank) = match &*node.op_type {
        "Constant" => return of_constant(node),
        "Shape" => {
            return Ok(Bound { numbers: first.rank.max(1), rank: 1, ..scalar });
        }
        "Reshape" if inputs.len() != 2 || !second.is_constant => {
            return Err(OnnxError::Shape("a shape within it depends on what is asked".into()));
        }
        "Reshape" if first.is_constant && !first.is_filled => {
            let reason = "it gives another shape to a constant that may be empty";
            return Err(OnnxError::Shape(reason.into()));
        }
        "Reshape" => (first.numbers, second.numbers),
        "Unsqueeze" => {
            let axes = node.attribute.iter().map(|one| one.ints.len() as u64).sum::<u64>();
            (first.numbers, first.rank + axes.max(second.numbers))
        }
        "Gather" => {
            let numbers = if first.rank <= 1 { second.numbers } else { product };
            (numbers, (first.rank + second.rank).saturating_sub(1))
        }
        "Concat" => (inputs.iter().fold(0u64, |all, one| all.saturating_add(one.numbers)), rank),
        "Flatten" => (first.numbers, 2),
        "Cast" | "ReduceMax" | "ReduceMean" | "ReduceSum" | "Slice" | "Split" | "Squeeze"
        | "Transpose" => (first.numbers, first.rank),
        // Element by element after broadcasting, or a matrix product: neither has more.
        _ => (product, rank),
    };
    let is_filled = is_filled && !matches!(&*node.op_type, "Slice" | "Split");
    Ok(Bound { numbers, rank, is_constant, is_filled })
}

#[cfg(test)]
#[path = "onnx_bounds_tests.rs"]
mod tests;
