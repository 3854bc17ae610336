//! Makes the faults of a run while its events are under way, ends them, and notes what can be seen meanwhile.

use std::time::{Duration, Instant};

use cdc_bench_model::timeline::{CapturePath, Nanos, Stamp, Tally};

use crate::load::Limit;
use crate::pipeline::failure::Failure;
use crate::pipeline::faults::{
    Fault, FaultAction, FaultTarget, LinkAction, Moment, ProcessAction, ProcessTarget,
};
use crate::pipeline::monitor::server_monitor::ServerStatus;
use crate::pipeline::run::cluster_process::process_to_take;
use crate::pipeline::run::context::{ActivePath, RunContext};
use crate::pipeline::run::links::Links;
use crate::pipeline::run::progress_tracker::StallTimer;
use crate::pipeline::run::workers::{Here, WorkerSetup};

/// For how long nothing comes through, although events wait, before that is noticed.
const STALL: Duration = Duration::from_secs(1);
/// Longest wait at the end of a run for servers that were taken away.
const RETURN_LIMIT: Duration = Duration::from_secs(90);
const RETURN_POLL: Duration = Duration::from_millis(100);

/// A fault that was made.
#[derive(Debug, Clone)]
pub(crate) struct MadeFault {
    pub(crate) fault: Fault,
    /// The process of a server that it took away, such as `kafka-2`.
    pub(crate) process: Option<String>,
    pub(crate) began: Stamp,
    /// When what it took away was let go on or started again; that may take a while to be ready.
    pub(crate) ended: Option<Stamp>,
    /// Connections that it broke or kept from coming about, of a link that was cut or reset; until the run is over those before it.
    pub(crate) connections_broken: Option<u64>,
    /// In the order of the run's paths.
    pub(crate) paths: Vec<FaultedPath>,
}

/// What was seen of a path from a fault to the next one.
#[derive(Debug, Clone)]
pub(crate) struct FaultedPath {
    pub(crate) path: CapturePath,
    /// The counts when the fault was made.
    pub(crate) before: Tally,
    /// When it could be noticed: a server the path needs answered nothing or refused, or nothing came through for a second although
    /// events waited.
    pub(crate) noticed: Option<Stamp>,
    /// Whether what can be noticed goes back to before the fault.
    was_troubled: bool,
    /// Most WAL that its slot has held back, bytes, if it is known.
    pub(crate) wal_held: Option<u64>,
}

/// The faults of a trial.
pub(crate) struct FaultRunner<'a> {
    context: RunContext<'a>,
    began: Option<Instant>,
    planned: Vec<Fault>,
    made: Vec<MadeFault>,
    /// By path.
    stalls: Vec<StallTimer>,
    /// Whether something is to be noticed now, by path.
    troubled: Vec<bool>,
}

impl<'a> FaultRunner<'a> {
    pub(crate) fn new(context: RunContext<'a>, paths: usize) -> Self {
        Self {
            context,
            began: None,
            planned: context.request.faults.clone(),
            made: Vec::new(),
            stalls: (0..paths).map(|_| StallTimer::new()).collect(),
            troubled: vec![false; paths],
        }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.planned.is_empty() && self.made.is_empty()
    }

    /// The faults that were made so far, and those that were not.
    pub(crate) fn into_outcome(mut self) -> (Vec<MadeFault>, Vec<Fault>) {
        let links = self.context.links;
        // A link breaks no connection but by its faults: what comes before its next one is this one's.
        let mut next: Vec<(FaultTarget, u64)> = Vec::new();
        for made in self.made.iter_mut().rev() {
            let target = made.fault.target();
            if let Some(before) = made.connections_broken {
                let known = next.iter().rfind(|(of, _)| *of == target);
                let after = known.map(|(_, broken)| *broken);
                let after = after.or_else(|| broken_before(&made.fault, links));
                made.connections_broken = after.map(|after| after - before);
                next.push((target, before));
            }
        }
        (self.made, self.planned)
    }

    /// Makes the faults that are due, and ends those whose time is over.
    pub(crate) async fn step(
        &mut self,
        paths: &mut [ActivePath],
        limit: Limit,
        status: &ServerStatus,
    ) -> Result<(), Failure> {
        if self.is_idle() {
            return Ok(());
        }
        let elapsed = self.began.get_or_insert_with(Instant::now).elapsed();
        let inserted = paths.iter().map(|path| path.observer.tally().inserted);
        let inserted = inserted.min().unwrap_or(0);
        let is_due = |fault: &mut Fault| is_due(fault.moment, limit, elapsed, inserted);
        let due: Vec<_> = self.planned.extract_if(.., is_due).collect();
        for fault in due {
            self.make(fault, paths).await?;
        }
        self.end_those_over(paths).await?;
        self.look(paths, status);
        Ok(())
    }

    /// Whether a fault goes on.
    pub(crate) fn is_under_way(&self) -> bool {
        self.made.iter().any(|made| made.ended.is_none())
    }

    async fn make(&mut self, fault: Fault, paths: &mut [ActivePath]) -> Result<(), Failure> {
        let context = self.context;
        let troubled = paths.iter().zip(&self.troubled);
        let before = troubled.map(|(path, is_troubled)| FaultedPath {
            path: path.route.path,
            before: path.observer.tally(),
            noticed: None,
            was_troubled: *is_troubled,
            wal_held: None,
        });
        let before = before.collect();
        tracing::warn!(%fault, "making a fault");
        context.progress.update("load", &format!("fault: {fault}"));
        let began = context.clock.now();
        let connections_broken = broken_before(&fault, context.links);
        let mut taken = None;
        match fault.action {
            FaultAction::Process(action, process) if !process.is_ours() => {
                let name = process_to_take(context, process, paths).await;
                let kind = action.outage();
                context.stack.take_away(&name, kind, fault.length)?;
                taken = Some(name);
            }
            FaultAction::Process(action, process) => {
                for path in paths {
                    take_worker_away(path, process, action).await?;
                }
            }
            FaultAction::Link(action, link) => context.links.spoil(action, link),
        }
        self.made.push(MadeFault {
            fault,
            process: taken,
            began,
            ended: None,
            connections_broken,
            paths: before,
        });
        Ok(())
    }

    async fn end_those_over(&mut self, paths: &mut [ActivePath]) -> Result<(), Failure> {
        let context = self.context;
        let mut mended = Vec::new();
        for made in self.made.iter_mut().filter(|made| made.ended.is_none()) {
            let is_over = context.clock.now() - made.began >= Nanos::from(made.fault.length);
            match made.fault.target() {
                FaultTarget::Process(process) if !process.is_ours() => {
                    let taken = made.process.as_ref();
                    if taken.is_some_and(|name| context.stack.is_away(name)) {
                        continue;
                    }
                }
                FaultTarget::Process(_) if is_over => {
                    for path in &mut *paths {
                        let setup = WorkerSetup {
                            request: context.request,
                            servers: context.servers,
                            links: context.links,
                            route: &path.route,
                            observer: &path.observer,
                            here: Here::All,
                            dead_letters: &path.dead_letters,
                            clock: context.clock,
                            session: context.member_session(),
                        };
                        path.workers.bring_back(setup).await?;
                    }
                }
                FaultTarget::Link(link) if is_over => mended.push(link),
                _ => continue,
            }
            made.ended = Some(context.clock.now());
            tracing::warn!(fault = %made.fault, "the fault is over");
        }
        for link in mended {
            // Another fault of the same link may go on.
            let still = |made: &&MadeFault| {
                made.ended.is_none() && made.fault.target() == FaultTarget::Link(link)
            };
            match self.made.iter().rfind(still).map(|made| made.fault.action) {
                Some(FaultAction::Link(action, _)) => context.links.spoil(action, link),
                _ => context.links.mend(link),
            }
        }
        Ok(())
    }

    /// Notes what can be seen of the last fault.
    fn look(&mut self, paths: &[ActivePath], status: &ServerStatus) {
        let now = self.context.clock.now();
        let looked = paths.iter().zip(&mut self.stalls).map(|(path, stall)| {
            let tally = path.observer.tally();
            let quiet = stall.quiet_for(tally.written);
            let is_stalled = tally.inserted > tally.written && quiet >= STALL;
            is_stalled || status.trouble_of(path.route.path)
        });
        self.troubled = looked.collect();
        let Some(last) = self.made.last_mut() else {
            return;
        };
        let asked_since = status.asked_at.is_some_and(|asked| asked >= last.began);
        for (path, is_troubled) in last.paths.iter_mut().zip(&self.troubled) {
            path.was_troubled &= is_troubled;
            if *is_troubled && !path.was_troubled {
                path.noticed.get_or_insert(now);
            }
            let held = status.wal_held(path.path).filter(|_| asked_since);
            path.wal_held = path.wal_held.max(held);
        }
    }

    /// Waits until every server that was taken away answers again.
    pub(crate) async fn wait_for_servers(&self) -> Result<(), Failure> {
        let is_of_server = |made: &MadeFault| matches!(made.fault.target(), FaultTarget::Process(process) if !process.is_ours());
        if !self.made.iter().any(is_of_server) {
            return Ok(());
        }
        let (stack, progress) = (self.context.stack, self.context.progress);
        let began = Instant::now();
        loop {
            let silent = stack.answers().await;
            let silent: Vec<_> = silent
                .into_iter()
                .filter_map(|(name, answer)| Some((name, answer.err()?)))
                .collect();
            let Some((name, reason)) = silent.first() else {
                return Ok(());
            };
            if began.elapsed() > RETURN_LIMIT {
                return Err(Failure::server(anyhow::anyhow!(
                    "{name} does not answer {} s after the last fault: {reason}; its log is in the stack's folder (\"cdc-bench stack logs\")",
                    RETURN_LIMIT.as_secs()
                )));
            }
            progress.update("load", &format!("waiting for {name}: {reason}"));
            tokio::time::sleep(RETURN_POLL).await;
        }
    }
}

/// Connections that were broken so far of the link that a fault cuts or resets.
fn broken_before(fault: &Fault, links: &Links) -> Option<u64> {
    match fault.action {
        FaultAction::Link(LinkAction::Cut | LinkAction::Reset, link) => links.broken(link),
        FaultAction::Link(..) | FaultAction::Process(..) => None,
    }
}

async fn take_worker_away(
    path: &mut ActivePath,
    process: ProcessTarget,
    action: ProcessAction,
) -> Result<(), Failure> {
    match process {
        ProcessTarget::Consumer => path.workers.take_consumer_away(action, &path.route).await,
        _ => path.workers.take_reader_away(action, &path.route).await,
    }
}

#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn is_due(moment: Moment, limit: Limit, elapsed: Duration, inserted: u64) -> bool {
    match (moment, limit) {
        (Moment::After(time), _) => elapsed >= time,
        (Moment::Percent(percent), Limit::Events(count)) => {
            inserted as f64 >= count as f64 * percent / 100.0
        }
        (Moment::Percent(percent), Limit::Duration(length)) => {
            elapsed >= length.mul_f64(percent / 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_share_of_the_load() {
        let second = Duration::from_secs;
        let events = Limit::Events(1_000);
        let after = Moment::After(second(9));
        assert!(!is_due(after, events, second(8), 1_000));
        assert!(is_due(after, events, second(9), 0));
        let third = Moment::Percent(30.0);
        assert!(!is_due(third, events, second(60), 299));
        assert!(is_due(third, events, second(0), 300));
        let minute = Limit::Duration(second(60));
        assert!(!is_due(third, minute, second(17), 1_000));
        assert!(is_due(third, minute, second(18), 0));
        assert!(is_due(Moment::Percent(0.0), events, second(0), 0));
    }
}
