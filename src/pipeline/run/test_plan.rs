//! What the coordinator of a test tells its workers of the run, and how a worker takes its routes from it.

use std::collections::BTreeSet;

use cdc_bench_model::event::Shard;
use cdc_bench_model::timeline::Nanos;

use crate::pipeline::distributed::control_record::{PlannedRoute, TestPlan};
use crate::pipeline::distributed::control_topic::stamps_topic;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::route::{Route, RouteSource};
use crate::pipeline::request::parameters::RunParameters;
use crate::pipeline::run::context::{ActivePath, RunContext};
use crate::store::MongoStore;

/// From the order to load until the first event is due: so long may a worker take to hear it.
const LEAD: Nanos = Nanos::from_millis(3_000);

impl RunContext<'_> {
    /// The plan of this run's test, once its routes are prepared.
    pub(crate) fn test_plan(
        &self,
        workers: BTreeSet<String>,
        clock_topic: &str,
        paths: &[ActivePath],
    ) -> Result<TestPlan, Failure> {
        let impossible = || {
            Failure::usage(anyhow::anyhow!(
                "a run with faults, whose paths take turns, or without Kafka is not spread over workers"
            ))
        };
        let parameters = RunParameters::of(self.request, jiff::Timestamp::now());
        let test = self.request.distributed.as_ref().ok_or_else(impossible)?;
        let routes: Option<Vec<_>> = paths.iter().map(|path| planned(&path.route)).collect();
        let routes = routes.ok_or_else(impossible)?;
        let partitions = routes.first().map_or(0, |route| route.kafka.partitions);
        if let Some(other) = routes.iter().find(|of| of.kafka.partitions != partitions) {
            return Err(Failure::usage(anyhow::anyhow!(
                "topic {} has {} partitions, and the first path's has {partitions}: workers share both by the same partitions",
                other.kafka.topic,
                other.kafka.partitions
            )));
        }
        Ok(TestPlan {
            parameters: parameters.ok_or_else(impossible)?,
            routes,
            stamps_topic: stamps_topic(&test.test),
            clock_topic: clock_topic.to_owned(),
            connect_shares_clock: self.stack.has_one_clock(),
            partitions,
            workers,
        })
    }

    /// When the first event of all is due: on PostgreSQL's clock, which every worker knows.
    pub(crate) fn common_start(&self) -> cdc_bench_model::timeline::Stamp {
        let now = self.clock.now();
        let fix = self.clocks.foreign.corrections();
        now + LEAD + fix.postgres.offset_at(now)
    }
}

fn planned(route: &Route) -> Option<PlannedRoute> {
    // A run of several shards is not spread.
    let [source] = &route.sources[..] else {
        return None;
    };
    Some(PlannedRoute {
        path: route.path,
        publication: source.publication.clone(),
        slot: source.slot.clone(),
        observer_slot: source.observer_slot.clone(),
        kafka: source.kafka.clone()?,
        collection: route.store.collection().to_owned(),
        connector: source.connector.clone(),
        connector_is_ours: source.connector_is_ours,
    })
}

impl Route {
    /// A route that another process has prepared.
    pub(crate) fn planned(plan: PlannedRoute, store: &MongoStore) -> Self {
        let source = RouteSource {
            shard: Shard::FIRST,
            publication: plan.publication,
            slot: plan.slot,
            observer_slot: plan.observer_slot,
            observer_slot_is_permanent: true,
            kafka: Some(plan.kafka),
            connector: plan.connector,
            connector_is_ours: plan.connector_is_ours,
        };
        Self {
            path: plan.path,
            sources: vec![source],
            store: store.with_collection(&plan.collection),
        }
    }
}
