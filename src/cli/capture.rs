//! `capture`: the WAL reader as a tool.

use std::io::{BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::output::print_error_line;
use super::progress::Terminal;
use super::topic_args::MOST_PARTITIONS;
use crate::pipeline::{
    CAPTURE_STEP, CaptureRequest, CaptureSource, Destination, Failure, LineFormat, Preparation,
    TopicRequest, TopicRule, check_topic_prefix, exit, run_capture,
};
use crate::settings::Settings;
use cdc_bench_stack::StepProgress;
use pgcdc::{
    FileCheckpoint, Lsn, Origins, ReaderConfig, Server, Slot, SlotName, SnapshotConfig,
    SnapshotResume, TablePattern, current_lsn,
};
use pgcdc_debezium::{Decimals, EnvelopeConfig};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CaptureFormat {
    /// Debezium's events, a value a line
    Debezium,
    /// The same with topic and key, and tombstones
    DebeziumRecords,
    /// One plain object a change
    Flat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CaptureOutput {
    /// Lines
    Stdout,
    /// Kafka at KAFKA_BOOTSTRAP_SERVERS: a topic a table, PREFIX.SCHEMA.TABLE, made where there is none
    Kafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DecimalHandling {
    /// Bytes in Base64, and a scale
    Precise,
    /// JSON numbers
    Double,
    /// Texts
    String,
}

/// What an interrupted snapshot begins again with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ResumeUnit {
    /// Tables that are not complete: every row once
    Table,
    /// Parts of a table: a row may come again, and changes that it has already come after it
    Chunk,
}

/// Where to start or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamBound {
    /// The current end of the server's WAL.
    Now,
    /// A snapshot of the existing rows first.
    Snapshot,
    /// The position of the slot, or of the checkpoint.
    Resume,
    /// A given position.
    At(Lsn),
}

fn parse_start(text: &str) -> Result<StreamBound, String> {
    match text {
        "now" => Ok(StreamBound::Now),
        "snapshot" => Ok(StreamBound::Snapshot),
        "resume" => Ok(StreamBound::Resume),
        lsn => lsn
            .parse()
            .map(StreamBound::At)
            .map_err(|e| format!("expected now, snapshot, resume or a position: {e}")),
    }
}

fn parse_stop(text: &str) -> Result<StreamBound, String> {
    match text {
        "now" => Ok(StreamBound::Now),
        lsn => lsn
            .parse()
            .map(StreamBound::At)
            .map_err(|e| format!("expected now or a position: {e}")),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tables to capture, spelled as in psql: lower case, or in quotation marks ('"Order Items"'); or those that match a pattern now
    /// ('shop.order_*', with * and ?). A partitioned table comes as a whole, under its own name; a table without replica identity
    /// with its inserts and truncates only
    #[arg(
        value_name = "[SCHEMA.]TABLE",
        required_unless_present = "publication",
        conflicts_with = "publication"
    )]
    tables: Vec<TablePattern>,
    /// Publication to capture (repeatable) [default: one of the tables, made; removed again unless there is a slot, and else by
    /// cleanup]
    #[arg(long, value_name = "NAME")]
    publication: Vec<String>,
    /// Replication slot, made when it is not there, and kept: the next capture goes on where this one ended
    /// [default: one that is gone with this command]
    #[arg(long, value_name = "NAME", value_parser = |name: &str| SlotName::new(name).map_err(|e| e.to_string()))]
    slot: Option<SlotName>,
    /// now, snapshot (the rows that are there, then every change), resume (where the slot was left), or a position such as
    /// 16/B374D848. A snapshot with a slot takes a checkpoint, and copies no table twice
    #[arg(long, value_name = "PLACE", default_value = "resume", value_parser = parse_start)]
    from: StreamBound,
    /// Connections that a snapshot copies over at once: tables, and parts of a large one
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    snapshot_connections: u16,
    /// What a snapshot that was interrupted begins again with; with chunk it suits readers that keep the last event of a key
    #[arg(
        long,
        value_enum,
        value_name = "UNIT",
        default_value = "table",
        requires = "checkpoint"
    )]
    snapshot_resume: ResumeUnit,
    /// Stop at now, or a position [default: go on until Ctrl-C]
    #[arg(long, value_name = "PLACE", value_parser = parse_stop)]
    until: Option<StreamBound>,
    /// Stop at the end of the transaction, or of the table's initial copy, in which this many changes are reached: what was
    /// written is acknowledged. Without a slot, a copy stops at the row
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Where changes go
    #[arg(long, value_enum, default_value = "stdout")]
    output: CaptureOutput,
    /// How a change is written in a line; in Kafka it is a record of Debezium's
    #[arg(long, value_enum, default_value = "debezium")]
    format: CaptureFormat,
    /// First part of topics' names, and source.name, in Debezium's formats
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    topic_prefix: String,
    /// Partitions of the topics that it makes with --output kafka; a row's key says which it is in [default: 1]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(1..=MOST_PARTITIONS))]
    partitions: Option<i32>,
    /// How numeric is written in Debezium's formats (decimal.handling.mode)
    #[arg(long, value_enum, default_value = "precise")]
    decimal_handling: DecimalHandling,
    /// Say of each event which transaction it belongs to, and write a record for each transaction's beginning and end where
    /// there are topics (provide.transaction.metadata)
    #[arg(long)]
    transaction_metadata: bool,
    /// File that keeps the position besides the slot, and which tables a snapshot has copied; it wins over the slot's
    #[arg(long, value_name = "FILE", requires = "slot")]
    checkpoint: Option<PathBuf>,
    /// Write a message into the WAL this often, so that the slot moves on though its tables are idle
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    heartbeat: Option<u64>,
    /// End with an error when the slot holds back more WAL than this, MB
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    max_retained_wal: Option<u64>,
    /// Leave out what was replicated to this server from another
    #[arg(long)]
    local_origin: bool,
    /// Ask that the slot be there on a standby after a failover (PostgreSQL 17)
    #[arg(long, requires = "slot")]
    failover: bool,
}

pub(super) async fn run(
    args: Args,
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    check(&args)?;
    let servers = cdc_bench_stack::running_endpoints(&settings.servers())?;
    let postgres = servers.postgres()?;
    let kafka = match args.output {
        CaptureOutput::Stdout => None,
        CaptureOutput::Kafka => Some(servers.kafka()?.client_config()),
    };
    if std::io::stderr().is_terminal() {
        progress.begin(CAPTURE_STEP);
        progress.update(CAPTURE_STEP, "connecting to the servers");
    }
    let server = postgres.server();
    let source = CaptureSource {
        postgres,
        tables: args.tables.clone(),
        publications: args.publication.clone(),
        slot: args.slot.clone(),
        checkpoint: args.checkpoint.clone(),
        has_snapshot: args.from == StreamBound::Snapshot,
    };
    let topics = kafka.clone().map(|kafka| TopicRequest {
        kafka,
        prefix: args.topic_prefix.clone(),
        has_transactions: args.transaction_metadata,
        partitions: args.partitions.unwrap_or(1),
    });
    let rule = match (args.output, args.format) {
        (CaptureOutput::Kafka, _) => Some(TopicRule::Kafka),
        (_, CaptureFormat::DebeziumRecords) => Some(TopicRule::Lines),
        _ => None,
    };
    let rule = rule.map(|rule| (rule, &*args.topic_prefix));
    let mut preparation = Preparation::look(source, topics, rule).await?;
    for warning in preparation.warnings() {
        print_error_line(format_args!("warning: {warning}"));
    }
    let request = request(&args, &server, &preparation, kafka).await?;
    let end = run_capture(&mut preparation, request, progress, cancel).await;
    preparation.remove(end.is_refused).await;
    progress.clear();
    let captured = end.outcome?;
    if std::io::stderr().is_terminal() {
        print_error_line(format_args!(
            "{} changes in {} transactions, up to {}",
            captured.copied_rows + captured.changes,
            captured.transactions,
            captured.last_lsn
        ));
    }
    Ok(ExitCode::from(if cancel.is_cancelled() {
        exit::INTERRUPTED
    } else {
        0
    }))
}

/// Refuses arguments that do not go together.
fn check(args: &Args) -> Result<(), Failure> {
    let usage = |text: String| Failure::usage(anyhow::anyhow!(text));
    if args.from == StreamBound::Snapshot && args.slot.is_some() && args.checkpoint.is_none() {
        return Err(usage(
            "--from snapshot with --slot needs --checkpoint FILE, which keeps what tables are copied: without it, a capture that is cut off could not be told from one that is whole".to_owned(),
        ));
    }
    if args.partitions.is_some() && args.output != CaptureOutput::Kafka {
        return Err(usage(
            "--partitions is for the topics of --output kafka".to_owned(),
        ));
    }
    if args.output == CaptureOutput::Kafka && args.format == CaptureFormat::Flat {
        return Err(usage(
            "--format flat is for lines: records in Kafka are Debezium's events".to_owned(),
        ));
    }
    if args.output == CaptureOutput::Kafka || args.format == CaptureFormat::DebeziumRecords {
        check_topic_prefix(&args.topic_prefix)?;
    }
    Ok(())
}

async fn request(
    args: &Args,
    server: &Server,
    preparation: &Preparation,
    kafka: Option<rdkafka::ClientConfig>,
) -> Result<CaptureRequest, Failure> {
    let slot = match &args.slot {
        Some(name) => Slot::Permanent {
            name: name.clone(),
            failover: args.failover,
        },
        None => Slot::Temporary(preparation.slot().clone()),
    };
    let mut reader = ReaderConfig::new(server.clone(), slot, preparation.publications());
    reader.start_after = match args.from {
        StreamBound::At(lsn) => Some(lsn),
        // A slot that does not exist yet starts at the current end by itself.
        StreamBound::Now if !preparation.is_new_slot() => Some(current_lsn(server).await?),
        StreamBound::Now | StreamBound::Resume | StreamBound::Snapshot => None,
    };
    if args.from == StreamBound::Snapshot {
        let connections = usize::from(args.snapshot_connections);
        reader.snapshot = Some(SnapshotConfig {
            connections,
            resume: match args.snapshot_resume {
                ResumeUnit::Table => SnapshotResume::ByTable,
                ResumeUnit::Chunk => SnapshotResume::ByChunk,
            },
            ..SnapshotConfig::default()
        });
    }
    if let Some(file) = &args.checkpoint {
        reader.checkpoint = Some(Box::new(FileCheckpoint::at(file)));
    }
    reader.heartbeat = args.heartbeat.map(Duration::from_secs);
    reader.max_retained_wal = args.max_retained_wal.map(|mb| mb * 1_000_000);
    if args.local_origin {
        reader.origins = Origins::Local;
    }
    let envelopes = EnvelopeConfig {
        decimals: match args.decimal_handling {
            DecimalHandling::Precise => Decimals::Precise,
            DecimalHandling::Double => Decimals::Double,
            DecimalHandling::String => Decimals::Text,
        },
        transactions: args.transaction_metadata,
        ..EnvelopeConfig::new(&args.topic_prefix, &server.database)
    };
    let to = match kafka {
        Some(kafka) => Destination::Kafka(envelopes, kafka),
        None => {
            let format = match args.format {
                CaptureFormat::Debezium => LineFormat::Debezium(envelopes),
                CaptureFormat::DebeziumRecords => LineFormat::DebeziumRecords(envelopes),
                CaptureFormat::Flat => LineFormat::Flat,
            };
            let out = BufWriter::with_capacity(1 << 16, std::io::stdout());
            Destination::Lines(format, Box::new(out))
        }
    };
    Ok(CaptureRequest {
        reader,
        to,
        until: match args.until {
            Some(StreamBound::At(lsn)) => Some(lsn),
            Some(_) => Some(current_lsn(server).await?),
            None => None,
        },
        max: args.max,
    })
}
