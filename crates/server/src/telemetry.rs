//! Log lines and metrics of the process. Never writes personal data: values that hold any print masked by themselves.

use crate::config::Settings;
use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Upper edges of latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0];

/// The local voice's library quotes what it cannot read, which is what people say to each other. The call tells of it.
const QUOTING: &str = "misaki_rs=off";

/// Starts logging to standard error.
pub(crate) fn log(filter: &str, format: crate::config::LogFormat) -> Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!("`server.log`: {filter:?} is not a log filter; try `info` or `info,callwright_sip=debug`")
    })?;
    let filter = filter.add_directive(QUOTING.parse().context("a filter of our own")?);
    // A line that cannot be written is lost. To say so on standard error as well would panic: it is the same full disk.
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let outcome = match format {
        crate::config::LogFormat::Text => lines.try_init(),
        crate::config::LogFormat::Json => lines.json().try_init(),
    };
    outcome.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Starts counting; the handle renders the metrics page.
pub(crate) fn metrics() -> Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix(String::from("_seconds")), &LATENCY_BUCKETS)
        .context("latency buckets")?
        .install_recorder()
        .context("metrics cannot start")
}

/// Starts logging as the configuration says.
pub(crate) fn start(settings: &Settings) -> Result<()> {
    log(&settings.server.log, settings.server.log_format)
}
