//! Where `observe` looks for changes behind Kafka.

use super::sink_postgres_args::SinkPostgresArgs;
use crate::observe::{LinesSource, SinkChoice, TopicOf};
use crate::pipeline::Failure;

/// Where changes are looked for behind Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SinkArg {
    /// MONGODB_URI and --mongodb-database, by a change stream
    Mongodb,
    /// Tables in PostgreSQL, by a temporary slot there: see --sink-postgres
    Postgres,
    /// Topics downstream: see --sink-topic
    Kafka,
    /// What your consumer itself says: see --lines
    Lines,
    /// Nowhere: what the group has committed is the end
    None,
}

/// The arguments for the sink.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SinkArgs {
    /// The sink [default: mongodb where MONGODB_URI is set and a collection has a table's name; lines with --lines;
    /// postgres with --sink-postgres; kafka with --sink-topic]
    #[arg(long, value_enum)]
    sink: Option<SinkArg>,
    /// JSON lines in which your consumer says what it did with each record: a file that grows, - for standard input,
    /// unix:PATH for a socket that is made, or topic:NAME
    #[arg(long, value_name = "SOURCE")]
    lines: Option<LinesSource>,
    /// A topic downstream that has a table's rows (repeatable); TABLE may be left out where one is observed
    #[arg(long = "sink-topic", value_name = "[TABLE=]TOPIC", value_parser = topic_of)]
    sink_topics: Vec<TopicOf>,
    #[command(flatten)]
    postgres: SinkPostgresArgs,
}

/// `TABLE=TOPIC`, or the topic alone.
fn topic_of(text: &str) -> Result<TopicOf, String> {
    let (table, topic) = match text.split_once('=') {
        Some((table, topic)) => (Some(table), topic),
        None => (None, text),
    };
    if topic.is_empty() || table == Some("") {
        return Err("expected TABLE=TOPIC, or TOPIC".to_owned());
    }
    Ok(TopicOf {
        table: table.map(str::to_owned),
        topic: topic.to_owned(),
    })
}

impl SinkArgs {
    /// The sink that is asked for.
    ///
    /// # Errors
    /// When the arguments do not go together: what to do.
    pub(super) async fn choice(&self) -> Result<SinkChoice, Failure> {
        let refused = |text: String| Err(Failure::usage(anyhow::anyhow!(text)));
        let sink = match (self.sink, &self.lines) {
            (None, Some(_)) => Some(SinkArg::Lines),
            (None, None) if !self.sink_topics.is_empty() => Some(SinkArg::Kafka),
            (None, None) if self.postgres.names_a_server() => Some(SinkArg::Postgres),
            (given, _) => given,
        };
        if sink != Some(SinkArg::Lines) && self.lines.is_some() {
            return refused("--lines goes with --sink lines; leave one of them out".to_owned());
        }
        if let Some(flag) = self
            .postgres
            .given()
            .filter(|_| sink != Some(SinkArg::Postgres))
        {
            return refused(format!(
                "{flag} goes with --sink postgres; leave one of them out"
            ));
        }
        if sink != Some(SinkArg::Kafka) && !self.sink_topics.is_empty() {
            return refused(
                "--sink-topic goes with --sink kafka; leave one of them out".to_owned(),
            );
        }
        match (sink, &self.lines) {
            (Some(SinkArg::Lines), Some(source)) => Ok(SinkChoice::Lines(source.clone())),
            (Some(SinkArg::Lines), None) => refused(
                "--sink lines needs --lines: a PATH, - for standard input, unix:PATH or topic:NAME"
                    .to_owned(),
            ),
            (Some(SinkArg::Postgres), _) => {
                let request = self.postgres.resolve().await?;
                Ok(SinkChoice::Postgres(Box::new(request)))
            }
            (Some(SinkArg::Kafka), _) => Ok(SinkChoice::Kafka(self.sink_topics.clone())),
            (Some(SinkArg::Mongodb), _) => Ok(SinkChoice::MongoDb),
            (Some(SinkArg::None), _) => Ok(SinkChoice::None),
            (None, _) => Ok(SinkChoice::Found),
        }
    }
}
