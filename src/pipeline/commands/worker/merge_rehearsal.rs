//! The merge of a test without its load: stamps that are made up go through the real topics, joiners, recorders and results, so that
//! their cost and the coordinator's memory can be seen for more events than one machine carries. For a bench.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::report::{PathRecording, ResultFolder};
use cdc_bench_model::timeline::{
    CapturePath, Captured, Clock, ConsumerStamps, ForeignClocks, InKafka, Joiner, Stamp,
};
use cdc_bench_stack::Endpoints;
use tokio_util::sync::CancellationToken;

use crate::consumer::StageObserver;
use crate::pipeline::commands::worker::heartbeats::{Heartbeats, Standing, WorkedPath};
use crate::pipeline::commands::worker::recording::Recording;
use crate::pipeline::commands::worker::stamp_intake::StampIntake;
use crate::pipeline::distributed::control_record::{ControlRecord, WorkerPhase};
use crate::pipeline::distributed::control_topic::{ControlTopic, stamps_topic};
use crate::pipeline::distributed::coordinator::Coordinator;
use crate::pipeline::distributed::result_parts::WorkerResult;
use crate::pipeline::distributed::stamp_sender::StampSender;
use crate::pipeline::distributed::stamps::{StampEntry, Stamped};
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::{DistributedRequest, RunNames};
use crate::pipeline::run::observer::{PathObserver, SharedStamps, WarmUpStamps};

/// The path whose events these are taken for.
const PATH: CapturePath = CapturePath::Debezium;
/// Between two looks at how the test stands.
const TICK: Duration = Duration::from_millis(20);
/// Events that may be under way in a worker before it waits for their stamps.
const MOST_UNDER_WAY: u64 = 200_000;
/// Events between two looks at how many are.
const CHUNK: usize = 2_000;

/// An event with all stamps that it will have.
#[derive(Debug, Clone)]
pub struct RehearsedEvent {
    /// Its place in the load.
    pub seq: u64,
    /// Partition of the topic.
    pub partition: i32,
    /// Just before its INSERT.
    pub t0: Stamp,
    /// Acknowledged.
    pub ta: Stamp,
    /// Our reader has it.
    pub t1: Stamp,
    /// The consumer's.
    pub consumed: ConsumerStamps,
}

/// A worker of a rehearsal.
#[derive(Debug, Clone)]
pub struct RehearsedWorker<'a> {
    /// Name of the test.
    pub test: &'a str,
    /// From 0; it has the partitions with this remainder. Number 0 is the one that reads the WAL.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Partitions of the topics.
    pub partitions: i32,
    /// Folder for its events.
    pub results: &'a Path,
}

impl RehearsedWorker<'_> {
    fn name(&self) -> String {
        format!("w{}", self.number)
    }

    fn owns(&self, partition: i32) -> bool {
        usize::try_from(partition).is_ok_and(|partition| partition % self.of == self.number)
    }

    /// Takes its part of these events, of which every worker is given all.
    ///
    /// # Errors
    /// When a server does not answer, or the results cannot be written.
    pub async fn run(
        &self,
        endpoints: &Endpoints,
        events: impl Iterator<Item = RehearsedEvent>,
    ) -> Result<(), Failure> {
        let servers = ServerClients::connect(endpoints).await?;
        let kafka = &servers.kafka_config;
        let (name, clock) = (self.name(), Clock::start());
        let foreign = Arc::new(ForeignClocks::default());
        let shared = SharedStamps {
            sender: Arc::new(StampSender::new(self.partitions)),
            partitions: self.partitions,
        };
        let topic = stamps_topic(self.test);
        let sending = topic.clone();
        let delivery =
            shared
                .sender
                .deliver(kafka, sending, name.clone(), clock, Arc::clone(&foreign))?;
        let folder = ResultFolder::create(self.results, &name)?;
        let recording = Recording::start(&folder, &[PATH])?;
        let total = recording.total(PATH);
        let joiner = || Joiner::new(InKafka::ByBroker, Arc::clone(&foreign));
        let run = RunId::generate();
        let names = RunNames::for_run(&run, 1);
        let measured = names.measured.clone();
        let warm_up = WarmUpStamps::new(joiner(), |_| {});
        let handle = recording.handle(PATH);
        let observer = PathObserver::new(PATH, names, joiner(), warm_up, handle, None)
            .with_partitions(self.partitions)
            .with_shared(Some(shared.clone()));
        let observer = Arc::new(observer);
        let own: BTreeSet<_> = (0..self.partitions).filter(|of| self.owns(*of)).collect();
        let intake = [Arc::clone(&observer)].into_iter();
        let intake = StampIntake::start(kafka, &topic, &name, intake, &foreign)?;
        intake.follow(std::slice::from_ref(&own));
        let standing = Standing::new(&name);
        standing.set(|state| {
            state.paths = vec![WorkedPath {
                path: PATH,
                observer: Arc::clone(&observer),
                backlog: None,
                total: Arc::clone(&total),
                partitions: Mutex::new(own),
            }];
        });
        standing.reach(WorkerPhase::Ready);
        let control = ControlTopic::join(kafka, self.test)?;
        let heartbeats = Heartbeats::start(kafka, self.test, standing.clone())?;
        let mut under_way = 0_u64;
        let mut events = events.peekable();
        while events.peek().is_some() {
            for event in events.by_ref().take(CHUNK) {
                under_way += u64::from(self.owns(event.partition));
                self.follow(&event, &shared, (&observer, &measured));
            }
            while under_way.saturating_sub(lock(&total).count()) > MOST_UNDER_WAY {
                tokio::time::sleep(TICK).await;
            }
            tokio::task::yield_now().await;
        }
        standing.reach(WorkerPhase::Loaded);
        while !control.read(|state| state.collects) {
            tokio::time::sleep(TICK).await;
        }
        delivery.stop().await;
        intake.stop().await;
        observer.close();
        standing.set(|state| state.paths.clear());
        drop(observer);
        let recordings = recording.finish().await?;
        for part in (WorkerResult { recordings }).parts(&name)? {
            control.say(&ControlRecord::Result(part)).await?;
        }
        heartbeats.finish(None).await;
        control.leave().await;
        Ok(())
    }

    /// Sends and joins what this worker would.
    fn follow(
        &self,
        event: &RehearsedEvent,
        shared: &SharedStamps,
        (observer, run): (&PathObserver, &str),
    ) {
        let (id, seq) = (
            EventId(uuid::Uuid::from_u128(seq_bits(event.seq))),
            event.seq,
        );
        let event_type = EventType::UserCreated;
        if self.number == 0 {
            let captured = Captured {
                tc: event.ta,
                t1: event.t1,
                lsn: seq,
                commit_lsn: seq + 1,
                xid: 7,
            };
            let stamped = Stamped::Captured(PATH, captured);
            let entry = StampEntry { id, seq, stamped };
            shared.sender.add(event.partition, entry);
        }
        if self.owns(event.partition) {
            let stamped = Stamped::Inserted {
                event_type,
                ts: event.t0,
                t0: event.t0,
                ta: event.ta,
            };
            let entry = StampEntry { id, seq, stamped };
            shared.sender.add(event.partition, entry);
            observer.consumed(run, seq);
            observer.written(run, id, event_type, seq, event.consumed);
        }
    }
}

/// No two events have the same.
fn seq_bits(seq: u64) -> u128 {
    u128::from(seq) * 0x9e37_79b9_7f4a_7c15
}

/// Waits for the events of a rehearsal to come through its workers, and merges what they have recorded.
///
/// # Errors
/// When a server does not answer, or a worker fails.
pub async fn merge_rehearsed(
    endpoints: &Endpoints,
    test: &str,
    workers: usize,
    (events, partitions): (u64, i32),
) -> Result<PathRecording, Failure> {
    let servers = ServerClients::connect(endpoints).await?;
    let request = DistributedRequest {
        test: test.to_owned(),
        workers,
        min_load: 1,
        is_taken_up: false,
    };
    let run = RunId::generate();
    let coordinator = Coordinator::open(&servers, &run, &request, partitions).await?;
    let cancel = CancellationToken::new();
    while coordinator.counts(PATH).joined < events {
        coordinator.check().await?;
        tokio::time::sleep(TICK).await;
    }
    let merged = coordinator.collect(&[PATH], &cancel).await?;
    coordinator.end(None).await;
    let merged = merged.into_iter().next();
    merged.ok_or_else(|| Failure::usage(anyhow::anyhow!("no path was merged")))
}
