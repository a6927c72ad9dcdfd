//! The imported model of `[prediction.onnx]`: read when the engine starts, and told of in the metrics.

use crate::auction::{RERANK_BOUNDS_US, Reranker};
use crate::config::Config;
use crate::prediction::{ONNX_COLUMNS, OnnxAsked, OnnxModel};
use anyhow::Context as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::Arc;

/// The model that the configuration names, tried and ready; `None` where it names none.
///
/// # Errors
/// When it cannot be used: an engine that was to re-rank does not start without.
pub fn open(config: &Config) -> anyhow::Result<Option<Arc<Reranker>>> {
    let Some(onnx) = &config.prediction.onnx else { return Ok(None) };
    let asked = OnnxAsked {
        input: onnx.input.clone(),
        output: onnx.output.clone(),
        columns: ONNX_COLUMNS,
        vocabulary: onnx.vocabulary,
        batch: onnx.top,
        budget_us: onnx.budget_us,
    };
    let model = OnnxModel::read(&onnx.file, asked);
    let model = model.with_context(|| format!("prediction.onnx: {}", onnx.file.display()))?;
    Ok(Some(Arc::new(Reranker::new(model, onnx.top, onnx.budget_us))))
}

/// What became of re-ranking, read when somebody looks.
pub struct RerankMetrics(pub Option<Arc<Reranker>>);

impl fmt::Debug for RerankMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RerankMetrics")
    }
}

impl Collector for RerankMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(reranker) = &self.0 else { return Ok(()) };
        let help = "Requests whose best candidates an imported model was to rank";
        let mut family = encoder.encode_descriptor("reranks", help, None, MetricType::Counter)?;
        for (outcome, count) in reranker.outcomes() {
            let labels = [("outcome", outcome)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let (nanos, classes) = reranker.took();
        let bounds = RERANK_BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6);
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(classes).collect();
        let (help, seconds) = ("Time that re-ranking a request took", Some(&Unit::Seconds));
        let mut family =
            encoder.encode_descriptor("rerank", help, seconds, MetricType::Histogram)?;
        let (sum, count) = (nanos as f64 / 1e9, classes.iter().sum());
        family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
