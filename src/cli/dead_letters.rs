//! `dead-letters list, show, replay`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::output::{print, print_json, print_line};
use super::progress::Terminal;
use crate::consumer::{Bytes, DeadLetter};
use crate::pipeline::{
    Failure, Listed, Place, ReplayRequest, ReplayTo, Replayed, Whence, exit, list, replay, show,
};
use crate::settings::Settings;
use cdc_bench_stack::GivenEndpoints;

pub(super) const EXAMPLES: &str = "\
Examples:
  cdc-bench dead-letters list                        how many of each reason, and the first of them
  cdc-bench dead-letters show 0:4711                 one of them, whole
  cdc-bench dead-letters replay                      into the store; what fails again stays

A record that cannot be written is a dead letter: in dead-letters.jsonl, and in a topic where one is named.";

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  cdc-bench dead-letters list --reason missing_field
  cdc-bench dead-letters list --dead-letters cdc-bench-results/20261124-101500-7f3a9c/dead-letters.jsonl
  cdc-bench dead-letters list --dead-letter-topic shop.dead-letters --json

Of a topic, those that no replay has handled; of Kafka Connect's dead letter queues all that its headers say.";

pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  cdc-bench dead-letters show 0:4711                 by partition and offset of the record that it was
  cdc-bench dead-letters show postgres.activity.event_outbox:0:4711 --dead-letter-topic shop.dead-letters --json";

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  cdc-bench dead-letters replay                      into the store, by the stage that could not write them
  cdc-bench dead-letters replay --reason refused_by_store
  cdc-bench dead-letters replay --dead-letter-topic shop.dead-letters --to-topic
                                                     back to the topic that each is from
  cdc-bench dead-letters replay --to-topic postgres.activity.event_outbox

An event is written once, however often it is replayed. What fails again stays, with one more attempt.
Exit codes: 0 all are handled; 1 some are left; 2 usage; 3 a server is missing or refused; 130 interrupted.";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// How many there are of each reason, and the first of them
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// One dead letter, whole: why, from where, headers, key and value
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Write them again, into the store or back to a topic
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
}

#[derive(Debug, clap::Args)]
struct WhenceArgs {
    /// The file that they are in
    #[arg(
        long,
        value_name = "FILE",
        default_value = "dead-letters.jsonl",
        conflicts_with = "dead_letter_topic"
    )]
    dead_letters: PathBuf,
    /// The topic that they are in
    #[arg(long, value_name = "TOPIC")]
    dead_letter_topic: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    whence: WhenceArgs,
    /// Those of this reason alone
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// How many to list; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Where it is from: PARTITION:OFFSET, or TOPIC:PARTITION:OFFSET
    #[arg(value_name = "PLACE")]
    place: Place,
    #[command(flatten)]
    whence: WhenceArgs,
    /// Print it as JSON, as its file has it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    whence: WhenceArgs,
    /// Those of this reason alone
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// To this topic instead of the store; without a name, to the topic that each is from
    #[arg(long, value_name = "TOPIC", num_args = 0..=1)]
    to_topic: Option<Option<String>>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl WhenceArgs {
    fn whence(self, given: Option<&GivenEndpoints>) -> Result<Whence, Failure> {
        Ok(match (self.dead_letter_topic, given) {
            (Some(name), Some(given)) => Whence::Topic {
                name,
                kafka: Box::new(given.kafka()?),
            },
            _ => Whence::File(self.dead_letters),
        })
    }

    fn is_topic(&self) -> bool {
        self.dead_letter_topic.is_some()
    }
}

/// Runs one of them. A file is read without any server.
pub(super) async fn run(
    action: Action,
    settings: impl AsyncFn() -> Result<Settings, Failure>,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let needs_servers = match &action {
        Action::List(args) => args.whence.is_topic(),
        Action::Show(args) => args.whence.is_topic(),
        Action::Replay(_) => true,
    };
    let servers = if needs_servers {
        let settings = settings().await?;
        let given = cdc_bench_stack::running_endpoints(&settings.servers())?;
        Some((settings, given))
    } else {
        None
    };
    let given = servers.as_ref().map(|(_, given)| given);
    match (action, &servers) {
        (Action::List(args), _) => print_list(args, given).await,
        (Action::Show(args), _) => print_one(args, given).await,
        (Action::Replay(args), Some((settings, given))) => {
            run_replay(args, settings, given, progress, cancel).await
        }
        (Action::Replay(_), None) => Err(Failure::usage(anyhow::anyhow!("no servers are given"))),
    }
}

async fn print_list(args: ListArgs, given: Option<&GivenEndpoints>) -> Result<ExitCode, Failure> {
    let whence = args.whence.whence(given)?;
    let listed = list(&whence, args.reason.as_deref(), args.limit).await?;
    if args.json {
        print_json(&listed)?;
    } else {
        print(render_list(&listed))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_one(args: ShowArgs, given: Option<&GivenEndpoints>) -> Result<ExitCode, Failure> {
    let whence = args.whence.whence(given)?;
    let found = show(&whence, args.place).await?;
    let dead_letter = found.ok_or_else(|| {
        let advice =
            "no dead letter is from there; \"cdc-bench dead-letters list\" has their places";
        Failure::usage(anyhow::anyhow!(advice))
    })?;
    if args.json {
        print_json(&dead_letter)?;
    } else {
        print(render_one(&dead_letter))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_replay(
    args: ReplayArgs,
    settings: &Settings,
    given: &GivenEndpoints,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let request = ReplayRequest {
        whence: args.whence.whence(Some(given))?,
        to: match args.to_topic {
            None => ReplayTo::Store,
            Some(None) => ReplayTo::SourceTopic,
            Some(Some(topic)) => ReplayTo::Topic(topic),
        },
        reason: args.reason,
    };
    let replayed = replay(request, settings, given, progress, cancel).await?;
    progress.clear();
    if args.json {
        print_json(&replayed)?;
    } else {
        print_line(render_replayed(&replayed))?;
    }
    Ok(ExitCode::from(if replayed.left() > 0 {
        exit::OBJECTIVE_MISSED
    } else {
        0
    }))
}

/// Counts by reason, the most frequent first.
pub(super) fn counted(by_reason: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = by_reason.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1));
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    counts.join(", ")
}

fn render_list(listed: &Listed) -> String {
    use std::fmt::Write as _;
    let mut text = match listed.dead_letters {
        0 => "no dead letters\n".to_owned(),
        count => format!("{count} dead letters: {}\n", counted(&listed.by_reason)),
    };
    // Writing to a string cannot fail.
    for one in &listed.first {
        let id = one.id.map(|id| format!(", event {id}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{}:{}:{}  {}  attempts {}, first seen {}{id}\n    {}",
            one.topic,
            one.partition,
            one.offset,
            one.reason,
            one.attempts,
            one.first_seen,
            one.message
        );
    }
    let shown = u64::try_from(listed.first.len()).unwrap_or(u64::MAX);
    if shown < listed.dead_letters {
        let more = listed.dead_letters - shown;
        let _ = writeln!(text, "and {more} more (--limit)");
    }
    if listed.unreadable > 0 {
        let _ = writeln!(text, "{} besides are no dead letters", listed.unreadable);
    }
    text
}

fn render_one(one: &DeadLetter) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("reason", one.reason.to_string());
    line("message", one.message.clone());
    line("topic", one.topic.clone());
    line("partition", one.partition.to_string());
    line("offset", one.offset.to_string());
    if let Some(id) = one.id {
        line("event", id.to_string());
    }
    if let Some(code) = one.store_code {
        line("store code", code.to_string());
    }
    line("attempts", one.attempts.to_string());
    line("first seen", one.first_seen.to_string());
    for (name, value) in &one.headers {
        line("header", format!("{name}: {}", pretty(value.as_ref())));
    }
    line("key", pretty(one.key.as_ref()));
    match one.omitted_bytes {
        Some(bytes) => line(
            "value",
            format!("({bytes} bytes, too many for this topic; the file has them)"),
        ),
        None => line("value", pretty(one.value.as_ref())),
    }
    text
}

/// Indented where it is JSON, as it is where it is another text, else in hexadecimal digits.
fn pretty(bytes: Option<&Bytes>) -> String {
    let Some(Bytes(bytes)) = bytes else {
        return "(none)".to_owned();
    };
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes)
        && let Ok(indented) = serde_json::to_string_pretty(&json)
    {
        return indented;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("(not UTF-8) {}", digits.join(" "))
        }
    }
}

fn render_replayed(replayed: &Replayed) -> String {
    let mut text = format!("{} handled", replayed.handled);
    if replayed.failed_again > 0 {
        let failed = counted(&replayed.failed_by_reason);
        text += &format!(", {} failed again ({failed})", replayed.failed_again);
    }
    if replayed.not_replayed > 0 {
        text += &format!(", {} not replayed", replayed.not_replayed);
    }
    if replayed.unreadable > 0 {
        text += &format!(", {} no dead letters", replayed.unreadable);
    }
    match replayed.left() {
        0 => text + "; none are left",
        left => text + &format!("; {left} are left"),
    }
}
