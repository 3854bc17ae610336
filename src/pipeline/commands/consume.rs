//! `consume`: writes the records of a topic into the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::{HopStatistics, SignedHistogram};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{Clock, ConsumerStamps, Nanos, Stamp};
use cdc_bench_stack::GivenEndpoints;
use tokio_util::sync::CancellationToken;

use crate::broker::{
    Admin, BrokerError, KafkaSource, KafkaSourceConfig, MemberSession, fetch_settings,
};
use crate::consumer::{DeadLetter, DeadLetters, ReasonCounts, StageObserver};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::lock::lock;
use crate::pipeline::progress::{LoadState, RunProgress};
use crate::pipeline::provision::dead_letter_topic::{
    PublishedDeadLetters, ensure_dead_letter_topic,
};
use crate::pipeline::provision::group::check_consumers_group;
use crate::pipeline::run::progress_tracker::RateMeter;
use crate::pipeline::run::stage_setup::{Bounded, StageParts, stage_config};
use crate::records::Topics;
use crate::settings::Settings;
use crate::store::MongoStore;

/// Interval between progress updates.
const TICK: Duration = Duration::from_millis(100);

/// Parameters of `consume`.
#[derive(Debug, Clone)]
pub struct ConsumeRequest {
    /// Stop after this many records.
    pub max: Option<u64>,
    /// Stop when no record has arrived for this long.
    pub idle: Option<Duration>,
    /// Write the events of this run only.
    pub run: Option<RunId>,
    /// File for dead letters.
    pub dead_letters: PathBuf,
    /// Topic for dead letters, beside the file.
    pub dead_letter_topic: Option<String>,
}

/// Result of `consume`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Consumed {
    /// Topic.
    pub topic: String,
    /// Group.
    pub group: String,
    /// Events received and decoded.
    pub consumed: u64,
    /// Events acknowledged by the store.
    pub written: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// The same by reason.
    pub dead_letters_by_reason: BTreeMap<String, u64>,
    /// Events written per second, from the first record to the last acknowledgement.
    pub per_s: Option<f64>,
    /// Received to write issued, microseconds.
    pub transform: HopStatistics,
    /// Write issued to acknowledged, microseconds.
    pub write: HopStatistics,
    /// Timestamp of the record to received, microseconds; the timestamp's clock is not corrected.
    pub lag_uncorrected: HopStatistics,
}

/// Counts the events, and measures their spans.
#[derive(Default)]
struct ConsumeObserver {
    run: Option<String>,
    consumed: AtomicU64,
    written: AtomicU64,
    dead_letters: AtomicU64,
    reasons: ReasonCounts,
    spans: Mutex<ConsumeSpans>,
}

/// ConsumeSpans of the written events.
#[derive(Default)]
struct ConsumeSpans {
    transform: SignedHistogram,
    write: SignedHistogram,
    lag: SignedHistogram,
    processing: SignedHistogram,
    first: Option<Stamp>,
    last: Option<Stamp>,
}

impl StageObserver for ConsumeObserver {
    fn wants(&self, run_id: &str) -> bool {
        self.run.as_deref().is_none_or(|run| run == run_id)
    }

    fn consumed(&self, _: &str, _: u64) {
        self.consumed.fetch_add(1, Ordering::Relaxed);
    }

    fn written(&self, _: &str, _: EventId, _: EventType, _: u64, stamps: ConsumerStamps) {
        self.written.fetch_add(1, Ordering::Relaxed);
        let mut spans = lock(&self.spans);
        spans.transform.record(stamps.t4 - stamps.t3);
        spans.write.record(stamps.t5 - stamps.t4);
        spans.processing.record(stamps.t5 - stamps.t3);
        if let Some(t2) = stamps.t2 {
            spans.lag.record(stamps.t3 - t2);
        }
        spans.first.get_or_insert(stamps.t3);
        spans.last = Some(stamps.t5);
    }

    fn dead_letter(&self, dead_letter: &DeadLetter) {
        self.reasons.add(&dead_letter.reason);
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes the records of the topic into the store until stopped.
///
/// # Errors
/// When a server is unreachable, or the store is away too long. A requested stop is not an error.
pub async fn consume(
    request: ConsumeRequest,
    settings: &Settings,
    given: &GivenEndpoints,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Consumed, Failure> {
    let (endpoint, store) = (given.kafka()?, given.store()?);
    let kafka = endpoint.client_config();
    let step = "set-up";
    progress.begin(step);
    progress.update(step, "connecting to the servers");
    let admin = Admin::connect(&kafka).await?;
    let topic = settings.topic.clone();
    admin
        .topic(&topic)
        .await?
        .ok_or_else(|| BrokerError::NoTopic {
            topic: topic.clone(),
            bootstrap: kafka
                .get("bootstrap.servers")
                .unwrap_or_default()
                .to_owned(),
        })?;
    check_consumers_group(&admin, &settings.group).await?;
    let dead_letter_topic = match &request.dead_letter_topic {
        Some(name) => {
            ensure_dead_letter_topic(&admin, name, &topic).await?;
            Some(PublishedDeadLetters::to_topic(name, &endpoint) as Arc<_>)
        }
        None => None,
    };
    let store = MongoStore::connect(&store).await?;
    store.check_writable().await?;
    store.ensure_indexes().await?;
    let clock = Clock::start();
    let config = KafkaSourceConfig {
        topics: Topics::one(&*topic),
        group: settings.group.clone(),
        from_end: false,
        fetch: fetch_settings(&settings.fetch),
        session: MemberSession::Short,
    };
    progress.update(step, "joining the consumer group");
    let records = KafkaSource::subscribe(&kafka, config, clock).await?;
    progress.end(step, &format!("topic {topic}, group {}", settings.group));
    let observer = Arc::new(ConsumeObserver {
        run: request.run.map(|run| run.to_string()),
        ..ConsumeObserver::default()
    });
    let parts = StageParts {
        store,
        observer: Arc::clone(&observer) as Arc<_>,
        dead_letters: DeadLetters::at(request.dead_letters).with_topic(dead_letter_topic),
        config: stage_config(Topics::one(&*topic), settings),
        clock,
    };
    let records = Bounded::new(records, request.max, request.idle);
    let mut work = parts.spawn(records, cancel.clone(), || {})?;
    let mut rate = RateMeter::default();
    let began = Instant::now();
    let (source, end) = loop {
        tokio::select! {
            done = &mut work => break done.map_err(|panicked| {
                Failure::new(exit::DATA, panicked).context("the consumer stopped")
            })?,
            () = tokio::time::sleep(TICK) => {}
        }
        let written = observer.written.load(Ordering::Relaxed);
        let quantiles = {
            let spans = lock(&observer.spans);
            (written > 0).then(|| {
                (
                    spans.processing.quantile(0.5),
                    spans.processing.quantile(0.99),
                )
            })
        };
        progress.load(&LoadState {
            phase: "consume",
            target: request.max,
            inserted: observer.consumed.load(Ordering::Relaxed),
            written,
            written_per_s: rate.read(written),
            p50: quantiles.map(|(p50, _)| p50),
            p99: quantiles.map(|(_, p99)| p99),
            errors: observer.dead_letters.load(Ordering::Relaxed),
        });
    };
    progress.load_over();
    source.into_inner().close().await;
    end?;
    tracing::info!(took_ms = began.elapsed().as_millis(), "consumer ended");
    let (consumed, written) = (
        observer.consumed.load(Ordering::Relaxed),
        observer.written.load(Ordering::Relaxed),
    );
    let spans = lock(&observer.spans);
    Ok(Consumed {
        topic,
        group: settings.group.clone(),
        consumed,
        written,
        dead_letters: observer.dead_letters.load(Ordering::Relaxed),
        dead_letters_by_reason: observer.reasons.by_reason(),
        per_s: per_second(written, spans.first, spans.last),
        transform: spans.transform.statistics(Some(Nanos(0))),
        write: spans.write.statistics(Some(Nanos(0))),
        lag_uncorrected: spans.lag.statistics(None),
    })
}

#[allow(clippy::cast_precision_loss)] // a display value
fn per_second(count: u64, first: Option<Stamp>, last: Option<Stamp>) -> Option<f64> {
    let span = last? - first?;
    (span.0 > 0).then(|| count as f64 * 1e9 / span.0 as f64)
}
