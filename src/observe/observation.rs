//! An observation: the taps opened, watched until it is over, closed; the result.

use async_channel::Sender;
use cdc_bench_model::observation::RecordPosition;
use cdc_bench_model::report::{ObservationReport, ResultFolder};
use cdc_bench_model::timeline::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::canary::CanarySender;
use super::discovery::Pipeline;
use super::progress::ObserveProgress;
use super::request::ObserveRequest;
use super::taps::following::Following;
use super::taps::reading::ReadTap;
use super::taps::sighting::{QUEUE, Sighting};
use super::taps::wal::WalTap;
use super::taps::{offsets, sink, source_lines, topics};
use super::watch::{STEP, Watch};
use crate::broker::{OffsetPoller, TopicTail};
use crate::pipeline::{Failure, Patience};

/// What an observation has found.
pub struct Observation {
    /// The report, or that of the last period.
    pub report: ObservationReport,
    /// The folder that it is in.
    pub folder: ResultFolder,
    /// Whether anything was missing, in any period.
    pub is_missing: bool,
    /// Whether an objective was missed, or something missing, in any period.
    pub is_missed: bool,
    /// Why it ended early, if a tap could not go on.
    pub failed: Option<String>,
}

/// The taps at work.
struct Taps {
    stop_wal: CancellationToken,
    wal: JoinHandle<()>,
    tail: TopicTail,
    poller: OffsetPoller,
    sink: Option<Following>,
    source_lines: Option<Following>,
    /// When they were open.
    opened: jiff::Timestamp,
}

/// Observes until the time is over or `cancel` says so, and writes what was found.
///
/// # Errors
/// When a tap cannot be opened: a server is missing or refuses. Nothing is left then. When a file cannot be written.
pub async fn observe(
    request: ObserveRequest,
    mut pipeline: Pipeline,
    progress: &dyn ObserveProgress,
    cancel: &CancellationToken,
) -> Result<Observation, Failure> {
    let clock = Clock::start();
    let (sender, sightings) = async_channel::bounded(QUEUE);
    let mut watch = Watch::new(&request, &pipeline, clock, sightings).await?;
    progress.begin(STEP);
    let taps = Taps::open(&request, &mut pipeline, clock, sender, &mut watch).await?;
    let sender = match (&pipeline.canary, watch.canary_sent()) {
        (Some(canary), Some(sent)) => {
            let (endpoint, interval) = (&pipeline.postgres, request.canary_interval);
            Some(CanarySender::start(canary, endpoint, interval, clock, sent).await?)
        }
        _ => None,
    };
    let followed = match watch.begin(taps.opened) {
        Ok(()) => watch.follow(progress, cancel).await,
        failed => failed,
    };
    let patience = Patience::for_an_answer(cancel);
    let stopped = async {
        let rows = match sender {
            Some(sender) => sender.stop().await,
            None => None,
        };
        watch.stop_looking().await;
        rows
    };
    let rows = patience.within(stopped).await.flatten();
    taps.stop_wal.cancel();
    let drained = match followed {
        Ok(()) => watch.drain(&request, progress, cancel).await,
        failed => failed,
    };
    if let Some(rows) = rows
        && patience.within(rows.remove()).await.is_none()
    {
        tracing::warn!(
            "PostgreSQL answers nothing, and the canary's last rows stay in its table; the next observation removes them"
        );
    }
    if patience.within(taps.stop()).await.is_none() {
        tracing::warn!(
            "a tap was not closed in time; its slot and connections go with this program"
        );
    }
    drained?;
    let asked = async {
        watch.measure_clocks(true).await;
        watch.stop_asking().await;
    };
    if patience.within(asked).await.is_none() {
        tracing::warn!("a server answers nothing, and the clocks were not measured once more");
    }
    progress.end(STEP, "");
    let (report, folder, found) = watch.finish().await?;
    Ok(Observation {
        report,
        folder,
        is_missing: found.missing,
        is_missed: found.missed,
        failed: watch.failed,
    })
}

impl Taps {
    /// Opens the taps from the pipeline's end to its beginning, so that no change is seen at one and missed at a later one.
    async fn open(
        request: &ObserveRequest,
        pipeline: &mut Pipeline,
        clock: Clock,
        sightings: Sender<Sighting>,
        watch: &mut Watch,
    ) -> Result<Self, Failure> {
        let mut following = None;
        if let Some(found) = pipeline.sink.take() {
            let sender = sightings.clone();
            following = Some(sink::open(found, pipeline, request, clock, sender).await?);
        }
        let interval = request.poll_interval;
        let poller = offsets::open(pipeline, interval, clock, sightings.clone()).await?;
        let read = watch.tallies.shared();
        let tail = topics::open(pipeline, &request.id, clock, sightings.clone(), read).await?;
        for from in tail.positions() {
            watch.joiner.read_up_to(RecordPosition {
                topic: from.topic,
                partition: from.partition,
                offset: from.offset,
            });
        }
        let sender = sightings.clone();
        let source_lines = source_lines::open(pipeline, &request.id, clock, sender).await?;
        let wal = WalTap::new(pipeline, &request.id, request.max_retained_wal, clock);
        let reader = wal.open(sightings.clone()).await?;
        let stop_wal = CancellationToken::new();
        let stopped = stop_wal.clone();
        let wal = tokio::spawn(async move {
            let tap = ReadTap {
                name: "wal",
                resumed: |reason| Sighting::Resumed("wal", reason),
            };
            let open = || wal.open(sightings.clone());
            tap.keep_reading(reader, open, &sightings, stopped).await;
        });
        Ok(Self {
            stop_wal,
            wal,
            tail,
            poller,
            sink: following,
            source_lines,
            opened: jiff::Timestamp::now(),
        })
    }

    async fn stop(self) {
        for following in [self.sink, self.source_lines].into_iter().flatten() {
            following.stop().await;
        }
        if let Err(error) = self.wal.await {
            tracing::warn!(%error, "the tap of the WAL did not stop cleanly");
        }
        tokio::join!(self.tail.stop(), self.poller.stop());
    }
}
