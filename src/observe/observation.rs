//! An observation: the taps opened, watched until it is over, closed; the result.

use std::time::Instant;

use async_channel::Sender;
use cdc_bench_model::observation::{ObservationJoiner, RecordPosition};
use cdc_bench_model::report::ObservationReport;
use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::StepProgress;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::discovery::Pipeline;
use super::outcome::{Times, named, report};
use super::request::ObserveRequest;
use super::taps::sighting::{QUEUE, Sighting};
use super::taps::wal::WalTap;
use super::taps::{offsets, sink, topics};
use super::watch::{STEP, Watch};
use crate::broker::{OffsetPoller, TopicTail};
use crate::pipeline::Failure;

/// What an observation has found.
pub struct Observation {
    /// The report.
    pub report: ObservationReport,
    /// Why it ended early, if a tap could not go on.
    pub failed: Option<String>,
}

/// The taps at work.
struct Taps {
    stop_wal: CancellationToken,
    wal: JoinHandle<()>,
    tail: TopicTail,
    poller: OffsetPoller,
    stop_sink: CancellationToken,
    sink: Option<JoinHandle<()>>,
    /// When they were open.
    opened: jiff::Timestamp,
}

/// Observes until the time is over or `cancel` says so.
///
/// # Errors
/// When a tap cannot be opened: a server is missing or refuses. Nothing is left then.
pub async fn observe(
    request: ObserveRequest,
    mut pipeline: Pipeline,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<Observation, Failure> {
    let clock = Clock::start();
    let described = named(&pipeline, &request);
    let (sender, sightings) = async_channel::bounded(QUEUE);
    let mut watch = Watch::new(&request, &pipeline, clock, sightings).await?;
    progress.begin(STEP);
    let taps = Taps::open(&request, &mut pipeline, clock, sender, &mut watch.joiner).await?;
    let began = Instant::now();
    watch.follow(request.duration, progress, cancel).await?;
    let duration = began.elapsed();
    taps.stop_wal.cancel();
    watch.drain(request.drain, progress).await?;
    let started_at = taps.opened;
    taps.stop().await;
    if let Err(failure) = watch.clocks.measure(true, &mut watch.joiner).await {
        tracing::warn!(%failure, "the clocks could not be measured again");
    }
    progress.end(STEP, "");
    let times = Times {
        started_at,
        finished_at: jiff::Timestamp::now(),
        duration_s: (duration.as_secs_f64() * 1e3).round() / 1e3,
    };
    let Watch {
        joiner,
        recording,
        clocks,
        incidents,
        failed,
        ..
    } = watch;
    let report = report(
        (&request.id, &request),
        described,
        &recording,
        joiner.counts(),
        &clocks,
        (times, incidents),
    );
    Ok(Observation { report, failed })
}

impl Taps {
    /// Opens the taps from the pipeline's end to its beginning, so that no change is seen at one and missed at a later one.
    async fn open(
        request: &ObserveRequest,
        pipeline: &mut Pipeline,
        clock: Clock,
        sightings: Sender<Sighting>,
        joiner: &mut ObservationJoiner,
    ) -> Result<Self, Failure> {
        let stop_sink = CancellationToken::new();
        let mut following = None;
        if let Some(found) = pipeline.sink.take() {
            let changes = sink::open(&found).await?;
            let sender = sightings.clone();
            let stop = stop_sink.clone();
            following = Some(tokio::spawn(sink::follow(
                found, changes, clock, sender, stop,
            )));
        }
        let interval = request.poll_interval;
        let poller = offsets::open(pipeline, interval, clock, sightings.clone()).await?;
        let tail = topics::open(pipeline, &request.id, clock, sightings.clone()).await?;
        for from in tail.positions() {
            joiner.starts(RecordPosition {
                topic: from.topic,
                partition: from.partition,
                offset: from.offset,
            });
        }
        let wal = WalTap::new(pipeline, &request.id, request.max_retained_wal, clock);
        let reader = wal.open(sightings.clone()).await?;
        let stop_wal = CancellationToken::new();
        let wal = tokio::spawn(wal.keep_reading(reader, sightings, stop_wal.clone()));
        Ok(Self {
            stop_wal,
            wal,
            tail,
            poller,
            stop_sink,
            sink: following,
            opened: jiff::Timestamp::now(),
        })
    }

    async fn stop(self) {
        self.stop_sink.cancel();
        for task in [Some(self.wal), self.sink].into_iter().flatten() {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a tap did not stop cleanly");
            }
        }
        tokio::join!(self.tail.stop(), self.poller.stop());
    }
}
