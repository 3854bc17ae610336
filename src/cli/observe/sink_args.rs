//! Where `observe` looks for changes behind Kafka.

use crate::observe::{LinesSource, SinkChoice};

/// Where changes are looked for behind Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SinkArg {
    /// MONGODB_URI and --mongodb-database, by a change stream
    Mongodb,
    /// What your consumer itself says: see --lines
    Lines,
    /// Nowhere: what the group has committed is the end
    None,
}

/// The arguments for the sink.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SinkArgs {
    /// The sink [default: mongodb where MONGODB_URI is set and a collection has a table's name; lines with --lines]
    #[arg(long, value_enum)]
    sink: Option<SinkArg>,
    /// JSON lines in which your consumer says what it did with each record: a file that grows, - for standard input,
    /// unix:PATH for a socket that is made, or topic:NAME
    #[arg(long, value_name = "SOURCE")]
    lines: Option<LinesSource>,
}

impl SinkArgs {
    /// The sink that is asked for.
    ///
    /// # Errors
    /// When the arguments do not go together: what to do.
    pub(super) fn choice(&self) -> Result<SinkChoice, String> {
        match (self.sink, &self.lines) {
            (Some(SinkArg::Lines) | None, Some(source)) => Ok(SinkChoice::Lines(source.clone())),
            (Some(SinkArg::Lines), None) => Err(
                "--sink lines needs --lines: a PATH, - for standard input, unix:PATH or topic:NAME"
                    .to_owned(),
            ),
            (Some(_), Some(_)) => {
                Err("--lines goes with --sink lines; leave one of them out".to_owned())
            }
            (Some(SinkArg::Mongodb), None) => Ok(SinkChoice::MongoDb),
            (Some(SinkArg::None), None) => Ok(SinkChoice::None),
            (None, None) => Ok(SinkChoice::Found),
        }
    }
}
