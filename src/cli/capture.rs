//! `capture`: the WAL reader as a tool.

use std::io::{BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::output::print_error_line;
use super::progress::Terminal;
use crate::broker::Admin;
use crate::pipeline::{
    CAPTURE_STEP, CaptureRequest, Destination, Failure, LineFormat, exit, run_capture,
};
use crate::settings::Settings;
use cdc_bench_stack::StepProgress;
use pgcdc::{
    FileCheckpoint, Lsn, Origins, ReaderConfig, ReaderError, ReaderStats, Server, Slot, SlotName,
    SnapshotConfig, TableName, current_lsn, drop_publication, ensure_publication, list_slots,
    published_tables,
};
use pgcdc_debezium::{Decimals, EnvelopeConfig};

/// Prefix of the publication that is created for a capture that names none.
const PUBLICATION: &str = "cdc_bench_capture";

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

fn parse_table(text: &str) -> Result<TableName, String> {
    let (schema, name) = text.split_once('.').unwrap_or(("public", text));
    if schema.is_empty() || name.is_empty() {
        return Err("expected TABLE or SCHEMA.TABLE".to_owned());
    }
    Ok(TableName::new(schema, name))
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tables to capture
    #[arg(value_name = "[SCHEMA.]TABLE", value_parser = parse_table, required_unless_present = "publication", conflicts_with = "publication")]
    tables: Vec<TableName>,
    /// Publication to capture (repeatable) [default: one of the tables, made; removed again unless there is a slot]
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
    /// Tables that a snapshot copies at once
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    snapshot_connections: u16,
    /// Stop at now, or a position [default: go on until Ctrl-C]
    #[arg(long, value_name = "PLACE", value_parser = parse_stop)]
    until: Option<StreamBound>,
    /// Stop after this many changes
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
    if args.from == StreamBound::Snapshot && args.slot.is_some() && args.checkpoint.is_none() {
        return Err(Failure::usage(anyhow::anyhow!(
            "--from snapshot with --slot needs --checkpoint FILE, which keeps what tables are copied: without it, a capture that is cut off could not be told from one that is whole"
        )));
    }
    if args.output == CaptureOutput::Kafka && args.format == CaptureFormat::Flat {
        return Err(Failure::usage(anyhow::anyhow!(
            "--format flat is for lines: records in Kafka are Debezium's events"
        )));
    }
    let servers = cdc_bench_stack::running_endpoints(&settings.servers())?;
    let server = servers.postgres()?.server();
    let kafka = match args.output {
        CaptureOutput::Stdout => None,
        CaptureOutput::Kafka => Some(servers.kafka()?.client_config()),
    };
    let own_publication = match &args.slot {
        Some(slot) => format!("{PUBLICATION}_{slot}"),
        None => format!("{PUBLICATION}_{}", std::process::id()),
    };
    if std::io::stderr().is_terminal() {
        progress.begin(CAPTURE_STEP);
        progress.update(CAPTURE_STEP, "connecting to the servers");
    }
    let mut publications = args.publication.clone();
    if publications.is_empty() {
        ensure_publication(&server, &own_publication, &args.tables).await?;
        publications.push(own_publication.clone());
    }
    let outcome = capture(&args, &server, publications, kafka, progress, cancel).await;
    // With a slot of its own it can be continued, and needs its publication then.
    if args.publication.is_empty() && args.slot.is_none() {
        drop_publication(&server, &own_publication).await?;
    }
    progress.clear();
    let captured = outcome?;
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

async fn capture(
    args: &Args,
    server: &Server,
    publications: Vec<String>,
    kafka: Option<rdkafka::ClientConfig>,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ReaderStats, Failure> {
    let slot = match &args.slot {
        Some(name) => Slot::Permanent {
            name: name.clone(),
            failover: args.failover,
        },
        None => {
            let name = format!("cdc_bench_capture_{}", std::process::id());
            Slot::Temporary(SlotName::new(&name).map_err(ReaderError::from)?)
        }
    };
    let mut reader = ReaderConfig::new(server.clone(), slot, &publications);
    reader.start_after = match args.from {
        StreamBound::Resume | StreamBound::Snapshot => None,
        StreamBound::At(lsn) => Some(lsn),
        // A slot that does not exist yet starts at the current end by itself.
        StreamBound::Now => match &args.slot {
            Some(name) if slot_exists(server, name).await? => Some(current_lsn(server).await?),
            _ => None,
        },
    };
    if args.from == StreamBound::Snapshot {
        let connections = usize::from(args.snapshot_connections);
        reader.snapshot = Some(SnapshotConfig { connections });
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
        Some(kafka) => {
            let tables = published_tables(server, &publications).await?;
            create_topics(&kafka, &envelopes, &tables).await?;
            Destination::Kafka(envelopes, kafka)
        }
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
    let request = CaptureRequest {
        reader,
        to,
        until: match args.until {
            Some(StreamBound::At(lsn)) => Some(lsn),
            Some(_) => Some(current_lsn(server).await?),
            None => None,
        },
        max: args.max,
    };
    run_capture(request, progress, cancel).await
}

/// Creates the topics that do not exist.
async fn create_topics(
    kafka: &rdkafka::ClientConfig,
    envelopes: &EnvelopeConfig,
    tables: &[TableName],
) -> Result<(), Failure> {
    let admin = Admin::connect(kafka).await?;
    let tables = tables.iter().map(ToString::to_string);
    let transactions = envelopes.transactions.then(|| "transaction".to_owned());
    for name in tables.chain(transactions) {
        let topic = format!("{}.{name}", envelopes.name);
        if admin.topic(&topic).await?.is_none() {
            admin.create_topic(&topic).await?;
        }
    }
    Ok(())
}

async fn slot_exists(server: &Server, name: &SlotName) -> Result<bool, ReaderError> {
    let slots = list_slots(server).await?;
    Ok(slots.iter().any(|slot| slot.name == name.as_str()))
}
