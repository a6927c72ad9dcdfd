//! ONNX files written by hand, byte by byte: protocol buffers of the few messages that a click model
//! needs (onnx.proto3 of the ONNX project has their numbers).

/// What a tensor is made of, by ONNX's numbers.
pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;

/// A message, field by field.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(mut self, mut value: u64) -> Self {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    pub fn int(self, field: u64, value: u64) -> Self {
        self.varint(field << 3).varint(value)
    }

    pub fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend(value);
        message
    }

    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }
}

/// A tensor of floats.
pub fn tensor(name: &str, dims: &[u64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = dims.iter().fold(Message::default(), |tensor, side| tensor.int(1, *side));
    head.int(2, FLOAT).text(8, name).bytes(9, &raw)
}

/// An attribute that is one number.
pub fn number(name: &str, value: u64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

/// An attribute that is a list of numbers.
pub fn numbers(name: &str, values: &[u64]) -> Message {
    let head = Message::default().text(1, name);
    values.iter().fold(head, |list, value| list.int(8, *value)).int(20, 7)
}

/// An operator.
pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let head = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    let head = head.text(2, output).text(4, operator);
    attributes.iter().fold(head, |node, attribute| node.message(5, attribute))
}

/// An input or an output of the graph, `[n, columns]`, or `[n]` where there is no number of columns.
pub fn value(name: &str, kind: u64, columns: Option<u64>) -> Message {
    let free = Message::default().text(2, "n");
    let shape = Message::default().message(1, &free);
    let shape = columns
        .iter()
        .fold(shape, |shape, columns| shape.message(1, &Message::default().int(1, *columns)));
    let kind = Message::default().int(1, kind).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &kind))
}

/// A whole file.
pub fn model(nodes: &[Message], weights: &[Message], input: &Message, output: &Message) -> Vec<u8> {
    let head = Message::default().text(2, "clicks");
    let graph = nodes.iter().fold(head, |graph, node| graph.message(1, node));
    let graph = weights.iter().fold(graph, |graph, weight| graph.message(5, weight));
    let graph = graph.message(11, input).message(12, output);
    let opset = Message::default().int(2, 11);
    Message::default().int(1, 6).message(7, &graph).message(8, &opset).0
}

/// A model whose logit is the sum of one weight for each id: `[n, columns]` into `weights`, summed.
pub fn additive(columns: u64, weights: &[f32]) -> Vec<u8> {
    by_column(&vec![1.0; columns as usize], weights)
}

/// The same, where each column's weight counts so much.
pub fn by_column(factors: &[f32], weights: &[f32]) -> Vec<u8> {
    let nodes = [
        node("Gather", &["weights", "ids"], "found", &[]),
        node("Mul", &["found", "factors"], "scaled", &[]),
        node("ReduceSum", &["scaled"], "logit", &[numbers("axes", &[1]), number("keepdims", 0)]),
    ];
    let columns = factors.len() as u64;
    let parts = [
        tensor("weights", &[weights.len() as u64], weights),
        tensor("factors", &[columns], factors),
    ];
    let (input, output) = (value("ids", INT64, Some(columns)), value("logit", FLOAT, None));
    model(&nodes, &parts, &input, &output)
}
