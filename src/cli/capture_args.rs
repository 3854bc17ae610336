//! Arguments for capture paths, shared by all commands that measure them.

use cdc_bench_model::timeline::CapturePath;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct CaptureArgs {
    /// Capture paths: debezium, wal (our reader and producer), embedded (our reader, no Kafka), with commas; "both" is
    /// debezium,wal. The objectives of a run are for the first
    #[arg(
        long,
        value_name = "PATHS",
        default_value = "debezium",
        value_parser = paths
    )]
    capture: CapturePaths,
}

impl CaptureArgs {
    pub(super) fn paths(self) -> Vec<CapturePath> {
        self.capture.into_paths()
    }
}

/// At least one, without duplicates.
#[derive(Debug, Clone)]
pub(super) struct CapturePaths(Vec<CapturePath>);

impl CapturePaths {
    pub(super) fn into_paths(self) -> Vec<CapturePath> {
        self.0
    }
}

pub(super) fn paths(text: &str) -> Result<CapturePaths, String> {
    if text == "both" {
        return Ok(CapturePaths(vec![CapturePath::Debezium, CapturePath::Wal]));
    }
    let mut paths = Vec::new();
    for name in text.split(',') {
        let path: CapturePath = name.trim().parse().map_err(|e| format!("{e}"))?;
        if paths.contains(&path) {
            return Err(format!("{path} is named twice"));
        }
        paths.push(path);
    }
    Ok(CapturePaths(paths))
}
