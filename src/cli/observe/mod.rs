//! `observe`: a pipeline that already runs, read-only.

mod canary_args;
mod display;
mod evidence_args;
mod seconds;
mod service_args;
mod sink_args;
mod sink_key_arg;
mod sink_postgres_args;
mod source_args;

use std::process::ExitCode;
use std::time::Duration;

use cdc_bench_model::report::render_observation;
use tokio_util::sync::CancellationToken;

use self::canary_args::ObserveCanaryArgs;
use self::display::ObservationDisplay;
use self::evidence_args::ObserveEvidenceArgs;
use self::seconds::seconds;
use self::service_args::ServiceArgs;
use self::sink_args::SinkArgs;
use self::sink_key_arg::sink_key_of;
use self::source_args::ObserveSourceArgs;
use super::output::{print, print_json, print_line};
use super::progress::Terminal;
use super::registry_args::RegistryArgs;
use super::results_args::{ResultsArgs, discard_result};
use super::secrets::Prompt;
use crate::observe::{
    CollectionOf, GroupChoice, LatencyObjective, ObserveRequest, PipelineRequest, SinkKeyOf,
    discover, observe, plan,
};
use crate::pipeline::{Failure, exit};
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print what is found, what would be tapped and with which rights, and do nothing
    #[arg(long)]
    plan: bool,
    /// How long, such as 600, 10m or 1h [default: until Ctrl-C]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// The connector, where Connect has several of Debezium's for PostgreSQL
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// The publication that is read [default: the connector's]
    #[arg(long, value_name = "NAME")]
    publication: Option<String>,
    /// A table to observe (repeatable) [default: those of the publication that the connector captures]
    #[arg(long = "table", value_name = "[SCHEMA.]TABLE")]
    tables: Vec<String>,
    /// A topic to read (repeatable) [default: by the connector's routing]
    #[arg(long = "topic", value_name = "NAME")]
    topics: Vec<String>,
    /// The consumer group whose committed offsets are polled [default: the one that reads the topics]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Poll no group
    #[arg(long, conflicts_with = "group")]
    no_group: bool,
    #[command(flatten)]
    sink: SinkArgs,
    /// A collection or table of the sink whose name is not its table's (repeatable)
    #[arg(long = "sink-collection", value_name = "TABLE=TARGET", value_parser = collection_of)]
    collections: Vec<CollectionOf>,
    /// Where a table's key is in the sink's rows, if it is not their key (repeatable): of MongoDB a path such as order.id, of PostgreSQL
    /// a column, of Kafka a path such as value.order.id; a key of several columns has as many, with commas
    #[arg(long = "sink-key", value_name = "[TABLE=]PATH", value_parser = sink_key_of)]
    sink_keys: Vec<SinkKeyOf>,
    /// Interval of the polls of the group's offsets, ms: half of it is the error of what ends with them
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    poll_interval: u64,
    /// Longest wait for the changes that are under way at the end, seconds [default: 30, and 4 after Ctrl-C]
    #[arg(long, value_name = "SECONDS")]
    drain_timeout: Option<u64>,
    /// Most WAL that our slot may hold back, MiB; beyond it the tap is closed
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    max_retained_wal: u64,
    /// Room that is left free on the disk of the results, MiB: the observation ends before it takes that
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(..=1_073_741_824))]
    min_free_disk: u64,
    /// Most changes in flight that are followed; beyond it a sample is, by a hash of the LSN
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    max_in_flight: u32,
    /// Objective: median of the total, ms [default: none]
    #[arg(long, value_name = "MS")]
    max_p50: Option<f64>,
    /// Objective: 95th percentile of the total, ms [default: none]
    #[arg(long, value_name = "MS")]
    max_p95: Option<f64>,
    /// Objective: 99th percentile of the total, ms [default: none]
    #[arg(long, value_name = "MS")]
    max_p99: Option<f64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ObserveSourceArgs,
    #[command(flatten)]
    canary: ObserveCanaryArgs,
    #[command(flatten)]
    evidence: ObserveEvidenceArgs,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// `TABLE=COLLECTION`.
fn collection_of(text: &str) -> Result<CollectionOf, String> {
    match text.split_once('=') {
        Some((table, collection)) if !table.is_empty() && !collection.is_empty() => {
            Ok(CollectionOf {
                table: table.to_owned(),
                collection: collection.to_owned(),
            })
        }
        _ => Err("expected TABLE=TARGET".to_owned()),
    }
}

/// Longest wait for changes under way at the end of the time, and after Ctrl-C: every command ends within ten seconds of it that
/// was not told to wait longer.
const DRAIN: Duration = Duration::from_secs(30);
const DRAIN_AFTER_CTRL_C: Duration = Duration::from_secs(4);

impl Args {
    /// How long the user lets it wait for changes under way, if he says so.
    pub(super) fn said_drain(&self) -> Option<Duration> {
        self.drain_timeout.map(Duration::from_secs)
    }

    async fn pipeline(&self) -> Result<PipelineRequest, Failure> {
        let sink = self.sink.choice().await?;
        Ok(PipelineRequest {
            connector: self.connector.clone(),
            publication: self.publication.clone(),
            make_publication: self.source.make_publication,
            tables: self.tables.clone(),
            topics: self.topics.clone(),
            canary: self.canary.target(),
            group: match &self.group {
                Some(name) => GroupChoice::Named(name.clone()),
                None if self.no_group => GroupChoice::None,
                None => GroupChoice::Found,
            },
            sink,
            source_lines: self.source.lines_source.clone(),
            collections: self.collections.clone(),
            sink_keys: self.sink_keys.clone(),
        })
    }

    fn objectives(&self) -> Vec<LatencyObjective> {
        let asked = [
            ("p50_ms", 0.50, self.max_p50),
            ("p95_ms", 0.95, self.max_p95),
            ("p99_ms", 0.99, self.max_p99),
        ];
        let objective = |(name, quantile, limit_ms): (&'static str, f64, Option<f64>)| {
            Some(LatencyObjective {
                name,
                quantile,
                limit_ms: limit_ms?,
            })
        };
        asked.into_iter().filter_map(objective).collect()
    }
}

pub(super) async fn run(
    args: Args,
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let given = cdc_bench_stack::running_endpoints(&settings.servers())?;
    let mut pipeline = discover(&args.pipeline().await?, &given).await?;
    let prompt = Prompt::at_terminal();
    let registry = args.registry.clone().resolve(pipeline.registry(), prompt)?;
    if let Some(endpoint) = registry {
        pipeline = pipeline.with_registry(endpoint)?;
    }
    if args.plan {
        print(plan(&pipeline))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (metrics, endpoint) = args.service.listen(progress).await?.unzip();
    let (id, folder) = args.results.create()?;
    let wants_screen = args.service.screen.wants_screen() && !args.json;
    let display = ObservationDisplay::start(progress, &id, &folder, wants_screen, args.json);
    let request = ObserveRequest {
        id,
        folder: folder.clone(),
        duration: args.duration,
        drain: args.said_drain().unwrap_or(DRAIN),
        drain_once_asked: args.said_drain().unwrap_or(DRAIN_AFTER_CTRL_C),
        poll_interval: Duration::from_millis(args.poll_interval),
        canary_interval: args.canary.interval(),
        connect_metrics: args.evidence.connect_metrics.clone(),
        max_retained_wal: args.max_retained_wal << 20,
        free_disk: args.min_free_disk << 20,
        limit: usize::try_from(args.max_in_flight).unwrap_or(usize::MAX),
        objectives: args.objectives(),
        periods: args.service.periods(&args.results),
        metrics,
    };
    let made = pipeline.make_publications(&request.id).await;
    let made = made.map_err(|failure| discard_result(&folder, failure))?;
    let observed = observe(request, pipeline, &display, cancel).await;
    drop((display, endpoint));
    made.remove().await;
    progress.clear();
    let observed = observed.map_err(|failure| discard_result(&folder, failure))?;
    let report = &observed.report;
    if args.json && args.service.periods(&args.results).is_some() {
        // A line a report, as the ones before.
        print_line(serde_json::to_string(report).map_err(Failure::usage)?)?;
    } else if args.json {
        print_json(report)?;
    } else {
        print(render_observation(report))?;
        print_line(format_args!("\n{}", observed.folder.path().display()))?;
    }
    if let Some(reason) = observed.failed {
        let error = anyhow::anyhow!("the observation ended early: {reason}");
        return Err(Failure::server(error));
    }
    Ok(ExitCode::from(if observed.is_missing {
        exit::DATA
    } else if observed.is_missed {
        exit::OBJECTIVE_MISSED
    } else {
        0
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_seconds_or_has_its_unit() {
        for (text, expected) in [("600", 600), ("90s", 90), ("10m", 600), ("1h", 3_600)] {
            assert_eq!(seconds(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        for wrong in ["", "m", "0", "1d", "-5", "1.5h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
