//! `outbid evaluate ctr --onnx`: a model of somebody else's beside ours, and what it was asked.

use crate::cli::ctr_model::{NamedModel, Pass};
use crate::evaluate::{Imported, Model, Tolerance, ids_of};
use crate::prediction::OnnxAsked;
use anyhow::Context as _;
use serde_json::Value;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// What is imported.
#[derive(clap::Args)]
pub struct Onnx {
    /// Judge this ONNX model beside ours: a column of 64-bit ids for each field, a logit for each row.
    #[arg(long)]
    onnx: Option<PathBuf>,
    /// The name of its input.
    #[arg(long, default_value = "ids", requires = "onnx")]
    onnx_input: String,
    /// The name of its output.
    #[arg(long, default_value = "logit", requires = "onnx")]
    onnx_output: String,
    /// Ids are taken modulo this: the rows of its embedding table.
    #[arg(long, default_value_t = 1 << 16)]
    vocabulary: u32,
    /// Write the label and the ids of each example into this file, as CSV, to train such a model on.
    #[arg(long)]
    ids: Option<PathBuf>,
}

impl Onnx {
    /// The model, where there is one.
    pub fn read(&self, columns: usize) -> anyhow::Result<Option<NamedModel>> {
        let Some(file) = &self.onnx else { return Ok(None) };
        let asked = OnnxAsked {
            input: self.onnx_input.clone(),
            output: self.onnx_output.clone(),
            columns,
            vocabulary: self.vocabulary,
            batch: 1,
            // What it takes is what is asked here.
            budget_us: u64::MAX,
        };
        let model = Imported::read(file, &asked).with_context(|| file.display().to_string())?;
        Ok(Some(("onnx".to_owned(), Model::Imported(Box::new(model)))))
    }

    /// Writes what the model would be asked about each example of `from`.
    pub fn write_ids(
        &self,
        pass: &Pass<'_>,
        from: &Path,
        tolerance: &mut Tolerance,
    ) -> anyhow::Result<()> {
        let Some(file) = &self.ids else { return Ok(()) };
        anyhow::ensure!(self.vocabulary > 1, "--vocabulary is at least 2");
        let shown = || file.display().to_string();
        let mut rows = BufWriter::new(std::fs::File::create(file).with_context(shown)?);
        let names = pass.map.names().join(",");
        let mut written = writeln!(rows, "label,{names}");
        pass.read(from, tolerance, &mut |example| {
            let ids = ids_of(example, pass.map.width()).into_iter();
            let ids = ids.map(|id| format!(",{}", id % self.vocabulary)).collect::<String>();
            let line = format!("{}{ids}", u8::from(example.is_positive));
            if written.is_ok() {
                written = writeln!(rows, "{line}");
            }
        })?;
        written.and_then(|()| rows.flush()).with_context(shown)
    }
}

/// What is told of an imported model besides its quality; nothing of ours.
pub fn figures(model: &Model) -> Value {
    let Model::Imported(model) = model else { return Value::Null };
    let latency = model.latency().ok();
    serde_json::json!({ "failed": model.failed(), "latency_us": latency })
}

/// Prints the same.
pub fn show(model: &Model) {
    let Model::Imported(model) = model else { return };
    match model.latency() {
        Ok(latency) => {
            for (batch, taken) in [("one candidate", latency.one), ("ten", latency.ten)] {
                match taken {
                    Some([median, most]) => {
                        println!("onnx: {median:.1} us for {batch} (p99 {most:.1})");
                    }
                    None => println!("onnx: too few rows to time {batch}"),
                }
            }
        }
        Err(error) => println!("onnx: {error}"),
    }
    if model.failed() > 0 {
        println!("onnx: no answer for {} examples, which count as 0.5", model.failed());
    }
}
