//! `demo`: demonstrates the pipeline, in acts of rising load on one stack, with one report on all of them.

mod act;
mod narrator;

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use tokio_util::sync::CancellationToken;

use super::capture_args::CaptureArgs;
use super::cluster_args::ClusterArgs;
use super::connector_args::ConnectorArgs;
use super::output::{print, print_line};
use super::progress::Terminal;
use super::results_args::{ResultsArgs, discard_result};
use super::run_display::RunDisplay;
use super::screen_args::ScreenArgs;
use crate::load::LoadProfile;
use crate::pipeline::{
    ConnectorRequest, Failure, FinishedRun, Limits, RunRequest, WarmUp, exit, run_on,
};
use crate::settings::Settings;
use act::Act;
use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::event::Shards;
use cdc_bench_model::report::{
    ActReport, DEMO_SCHEMA, DemoReport, FaultReport, Report, ResultFolder, Stored, Verdict,
    demo_page, page, render_demo,
};
use cdc_bench_model::timeline::{Hop, Nanos};
use cdc_bench_stack::{Stack, StackKind, StackRequest};
use narrator::{NarratedEvent, Narrator};

/// Warm-up events before each act.
const WARM_UP: u64 = 100;
/// Poll interval while waiting for Enter, milliseconds.
const POLL_MS: u16 = 50;
/// Longest time without a processed event: a killed server needs some time to come back.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// These acts alone, with commas
    #[arg(long, value_name = "ACTS", value_enum, value_delimiter = ',', default_values_t = LoadProfile::ALL)]
    acts: Vec<LoadProfile>,
    /// So many times as fast, such as 10x: for rehearsals
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = speed)]
    speed: u32,
    /// Wait for Enter before and after each act
    #[arg(long)]
    pause: bool,
    /// One act more: this server is killed while events go on, and comes back (local stack)
    #[arg(
        long,
        value_name = "SERVER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "connect",
        value_parser = ["postgres", "kafka", "connect", "store"]
    )]
    with_fault: Option<String>,
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    ours: ConnectorArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
    #[command(flatten)]
    screen: ScreenArgs,
    /// Print the report over all acts as JSON, and nothing else, to stdout
    #[arg(long)]
    json: bool,
}

/// `10x` or `10`.
fn speed(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('x').unwrap_or(text);
    match number.parse() {
        Ok(speed @ 1..=100) => Ok(speed),
        _ => Err("expected 1x to 100x".to_owned()),
    }
}

/// What all acts share.
struct Performance<'a> {
    args: &'a Args,
    connector: &'a ConnectorRequest,
    id: &'a RunId,
    settings: &'a Settings,
    stack: &'a Stack,
    terminal: &'a Terminal,
    cancel: &'a CancellationToken,
}

pub(super) async fn run(
    args: Args,
    settings: Settings,
    terminal: &Terminal,
    cancel: CancellationToken,
) -> Result<ExitCode, Failure> {
    let is_local = settings.endpoints()?.is_none() && settings.stack == StackKind::Local;
    if args.with_fault.is_some() && !is_local {
        return Err(Failure::usage(anyhow::anyhow!(
            "--with-fault kills a server: it takes a local stack, and none of yours"
        )));
    }
    if args.pause && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(anyhow::anyhow!(
            "--pause waits for Enter, and there is no terminal to press it on"
        )));
    }
    let connector = args.ours.clone().request()?;
    let cluster = args.cluster.request_of(settings.stack)?;
    let (id, folder) = args.results.create()?;
    let servers = StackRequest {
        cluster,
        ..settings.servers()
    };
    let stack = Stack::bring_up(&servers, terminal, &cancel).await;
    let stack = stack.map_err(|error| discard_result(&folder, error.into()))?;
    let stack = stack.for_several_runs();
    let performance = Performance {
        args: &args,
        connector: &connector,
        id: &id,
        settings: &settings,
        stack: &stack,
        terminal,
        cancel: &cancel,
    };
    let performed = performance.perform_all().await;
    stack.stop(terminal);
    terminal.clear();
    let demo = performed?;
    let json = serde_json::to_string_pretty(&demo).map_err(Failure::usage)?;
    folder.write("demo.json", json.as_bytes())?;
    let html = demo_page(&demo).map_err(Failure::usage)?;
    folder.write("demo.html", html.as_bytes())?;
    if args.json {
        print_line(json)?;
    } else {
        print(render_demo(&demo))?;
        print_line(format_args!("\n{}", folder.path().display()))?;
    }
    Ok(match demo.verdict {
        Verdict::Pass => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::from(exit::DATA),
    })
}

impl Performance<'_> {
    async fn perform_all(&self) -> Result<DemoReport, Failure> {
        let args = self.args;
        let mut acts: Vec<_> = args
            .acts
            .iter()
            .map(|load| Act::new(*load, args.speed))
            .collect();
        acts.extend(
            args.with_fault
                .iter()
                .map(|server| Act::with_fault(server, args.speed)),
        );
        let mut reports = Vec::new();
        for (number, act) in (1_u32..).zip(&acts) {
            self.terminal.say(&format!(
                "\n{} {} of {}: {}, {} events at {} a second\n  {}",
                console::style("Act").for_stderr().bold(),
                number,
                acts.len(),
                console::style(act.name).for_stderr().bold(),
                act.events,
                act.rate,
                act.purpose,
            ));
            self.wait_for_enter().await?;
            let report = self.perform_act(number, act).await?;
            let act_report = ActReport::of(act.name, act.purpose, act.fault.as_deref(), &report);
            self.terminal.say(&format!("  {}", act_report.result()));
            for told in report.faults.iter().flat_map(FaultReport::told) {
                self.terminal.say(&format!("  {told}"));
            }
            self.wait_for_enter().await?;
            reports.push(act_report);
        }
        Ok(DemoReport {
            schema: DEMO_SCHEMA.to_owned(),
            id: self.id.to_string(),
            stack: self.stack.kind().to_string(),
            speed: args.speed,
            verdict: if reports.iter().all(|act| act.is_clean) {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            acts: reports,
        })
    }

    /// Performs one act: a run with a result of its own.
    async fn perform_act(&self, number: u32, act: &Act) -> Result<Report, Failure> {
        let id = RunId::parse(&format!("{}-{number}", self.id))
            .map_err(|reason| Failure::usage(anyhow::anyhow!(reason)))?;
        let folder = ResultFolder::create(&self.args.results.results_dir, id.as_str())?;
        let request = RunRequest {
            id,
            settings: self.settings.clone(),
            limit: act.limit(),
            rate: act.rate,
            insert_batch: 1,
            connections: 4,
            warmup: WarmUp::fixed(WARM_UP),
            seed: 42,
            hot_share: 0.0,
            paths: self.args.capture.clone().paths(),
            rounds: None,
            connector: self.connector.clone(),
            partitions: None,
            shards: Shards::ONE,
            cluster: self.args.cluster.request(),
            transform_delay: None,
            faults: act.faults().map_err(Failure::usage)?,
            observer: true,
            targets: Targets {
                throughput_per_s: None,
                ..Targets::default()
            },
            drain_timeout: DRAIN_TIMEOUT,
            limits: Limits::by_default(self.stack.kind()),
            folder: folder.clone(),
            metrics: None,
            traces: None,
            resumption: None,
            distributed: None,
        };
        let display = RunDisplay::start(
            self.terminal,
            (&request.id, self.stack.kind(), Some(act.rate)),
            &folder,
            self.args.screen.wants_screen() && !act.is_detailed,
        );
        let narrator = Narrator::new(act, &display, self.terminal);
        let outcome = run_on(&request, self.stack, &narrator, self.cancel).await;
        let printed = narrator.printed_events();
        if let Ok(FinishedRun { stored, .. }) = &outcome {
            let html = page(stored).map_err(Failure::usage)?;
            folder.write("report.html", html.as_bytes())?;
            if act.is_detailed {
                print_remaining_events(&narrator, stored, printed)?;
            }
        }
        display.finish_run(outcome.as_ref().map(|finished| &finished.stored.report));
        let FinishedRun { stored, completed } =
            outcome.inspect_err(|_| folder.discard_if_empty())?;
        completed.map(|()| stored.report)
    }

    async fn wait_for_enter(&self) -> Result<(), Failure> {
        if !self.args.pause {
            return Ok(());
        }
        self.terminal.say("  (Enter goes on)");
        let cancel = self.cancel.clone();
        let pressed = tokio::task::spawn_blocking(move || read_enter(&cancel));
        match pressed.await.map_err(Failure::usage)? {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::interrupted()),
            Err(error) => Err(Failure::usage(error)),
        }
    }
}

/// Waits for Enter; false if cancelled first.
fn read_enter(cancel: &CancellationToken) -> std::io::Result<bool> {
    let stdin = std::io::stdin();
    while !cancel.is_cancelled() {
        // A terminal delivers whole lines only.
        let mut wanted = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, POLL_MS) {
            // Nothing yet, or a signal: perhaps to stop.
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return stdin.read_line(&mut String::new()).map(|_| true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Prints the events of the first path that were stored after the last figures, in order.
fn print_remaining_events(
    narrator: &Narrator<'_>,
    stored: &Stored,
    printed: u64,
) -> Result<(), Failure> {
    let Some(events) = stored.events().map_err(Failure::usage)? else {
        return Ok(());
    };
    let first = stored.report.run.paths.first().map(|path| path.as_str());
    let mut skipped = 0;
    for event in events {
        let event = event.map_err(Failure::usage)?;
        if Some(event.path.as_str()) != first {
            continue;
        }
        if skipped < printed {
            skipped += 1;
            continue;
        }
        let slowest = Hop::PIPELINE
            .into_iter()
            .filter_map(|hop| Some((hop, event.hops.get(hop)?)))
            .max_by_key(|(_, span)| *span);
        narrator.print_event(&NarratedEvent {
            event_type: event.event_type,
            created: event.stamps.t0,
            total: event.stamps.t5 - event.stamps.t0,
            slowest: slowest.unwrap_or((Hop::Total, Nanos(0))),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_factor() {
        assert_eq!((speed("10x"), speed("3")), (Ok(10), Ok(3)));
        assert!(
            ["0", "0x", "-1", "x", "1.5x", "101x"]
                .iter()
                .all(|text| speed(text).is_err())
        );
    }
}
