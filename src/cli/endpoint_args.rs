//! Endpoints of the servers, and other arguments shared by all commands. Strings are parsed here.

use cdc_bench_stack::{
    GivenEndpoints, PostgresEndpoint, StackKind, StoreEndpoint, login_of, takes_password,
    with_login,
};
use pgcdc::{LibpqEnvironment, ServerList};
use secrecy::SecretString;

use super::connect_args::ConnectArgs;
use super::connection_origins::WithFlags;
use super::kafka_args::KafkaArgs;
use super::postgres_args::PostgresArgs;
use super::secrets::{Prompt, secret};
use crate::pipeline::Failure;
use crate::settings::Settings;

/// Where the servers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StackArg {
    /// Started by us, stopped with the run
    Local,
    /// The same in containers, by docker compose
    Compose,
    /// The user's own
    External,
}

impl From<StackArg> for StackKind {
    fn from(arg: StackArg) -> Self {
        match arg {
            StackArg::Local => Self::Local,
            StackArg::Compose => Self::Compose,
            StackArg::External => Self::External,
        }
    }
}

/// Why `.env` was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvFileError(String);

/// Reads `.env` in the working directory, for variables that are not set.
///
/// # Errors
/// When it exists and cannot be read. The text of a line is not repeated: it may hold a password.
pub fn load_env_file() -> Result<(), EnvFileError> {
    match dotenvy::dotenv() {
        Err(dotenvy::Error::LineParse(_, at)) => Err(EnvFileError(format!(
            "a line of .env is malformed at character {at}"
        ))),
        Err(dotenvy::Error::Io(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EnvFileError(format!(".env: {error}")))
        }
        _ => Ok(()),
    }
}

/// Endpoints and what else is the same for every command.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "External servers (secrets: POSTGRES_PASSWORD; the store: MONGODB_URI, MONGODB_PASSWORD; each also as ..._FILE)"
)]
pub struct EndpointArgs {
    /// Where the servers come from; without it external if any endpoint is given, else local
    #[arg(long, global = true, value_enum)]
    stack: Option<StackArg>,
    #[command(flatten)]
    postgres: WithFlags<PostgresArgs>,
    /// Insert into this database of yours although its outbox has rows that are not ours
    #[arg(long, global = true, value_name = "DATABASE@HOST")]
    yes_load: Option<String>,
    /// Topic of the outbox [default: postgres.activity.event_outbox]
    #[arg(long, global = true, env = "KAFKA_TOPIC", value_name = "TOPIC")]
    kafka_topic: Option<String>,
    /// Consumer group [default: event-processor-group and the run id]
    #[arg(long, global = true, env = "KAFKA_GROUP_ID", value_name = "GROUP")]
    kafka_group_id: Option<String>,
    /// User of the store, if MONGODB_URI has none
    #[arg(long, global = true, env = "MONGODB_USERNAME", value_name = "USER")]
    mongodb_username: Option<String>,
    /// Database of the read model
    #[arg(
        long,
        global = true,
        env = "MONGODB_DATABASE",
        value_name = "NAME",
        default_value = "activity_read"
    )]
    mongodb_database: String,
    /// Most documents in one store write
    #[arg(long, global = true, env = "BATCH_SIZE", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_size: u32,
    /// Store writes that are in flight at the same time: one is answered while the next is on its way. More of them are
    /// smaller ones, which a store pays for
    #[arg(long, global = true, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    writes_in_flight: u16,
    /// How our consumer fetches, over what it sets itself: fetch.*, queued.*, max.partition.fetch.bytes (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = fetch_setting)]
    consumer_config: Vec<(String, String)>,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `KEY=VALUE` of a setting that controls how records are fetched. Which records are read, and how offsets are committed, is not
/// for the user to set.
fn fetch_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let fetches = key.starts_with("fetch.")
        || key.starts_with("queued.")
        || key == "max.partition.fetch.bytes";
    if fetches {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        Err(format!(
            "{key:?} does not decide how records are fetched: only fetch.*, queued.* and max.partition.fetch.bytes can be set"
        ))
    }
}

/// The store's connection string with the user and the password that are beside it.
fn store_uri(
    uri: SecretString,
    username: Option<String>,
    prompt: Prompt,
) -> Result<SecretString, Failure> {
    let username = username.filter(|user| !user.is_empty());
    let mut password = secret("MONGODB_PASSWORD")?;
    let (has_user, has_password) = login_of(&uri);
    let user_alone = (has_user || username.is_some()) && !has_password && password.is_none();
    if user_alone && takes_password(&uri) {
        let whose = "password of MongoDB's user";
        password = Some(prompt.ask("MONGODB_PASSWORD", whose)?);
    }
    with_login(&uri, username.as_deref(), password.as_ref()).map_err(Failure::usage)
}

impl EndpointArgs {
    /// Resolves the arguments. Whether the given endpoints suffice is checked by each command. Of several servers of PostgreSQL
    /// the first stands in the settings until one is chosen.
    ///
    /// # Errors
    /// When a secret's file cannot be read, or settings do not go together.
    pub(super) fn resolve(self, prompt: Prompt) -> Result<(Settings, Option<ServerList>), Failure> {
        let uri = secret("MONGODB_URI")?;
        let connect = self.connect.address()?;
        let kafka = self.kafka.with_file()?;
        let postgres = self.postgres.with_url()?;
        let any =
            postgres.is_given() || kafka.names_brokers() || connect.is_some() || uri.is_some();
        let stack = self.stack.map(StackKind::from);
        let stack = stack.unwrap_or(if any {
            StackKind::External
        } else {
            StackKind::Local
        });
        // What is set for the user's own brokers says nothing of those of a stack.
        let kafka = match stack {
            StackKind::External if kafka.names_brokers() => kafka.resolve(prompt)?,
            _ => kafka.without_security()?,
        };
        // A shell may have PGHOST set for anything: it names a server only for whoever asks for his own.
        let may_be_of_libpq = self.stack == Some(StackArg::External);
        let (mut given, mut servers) = (None, None);
        if stack == StackKind::External {
            servers = postgres.servers(&LibpqEnvironment::current(), may_be_of_libpq)?;
            let first = servers.as_ref().and_then(|list| list.servers.first());
            let connect = connect.map(|address| self.connect.resolve(&address, prompt));
            let store = uri.map(|uri| store_uri(uri, self.mongodb_username, prompt));
            given = Some(GivenEndpoints {
                postgres: first.cloned().map(PostgresEndpoint::from),
                postgres_lacks: "POSTGRES_HOST",
                kafka: kafka.endpoint(),
                connect: connect.transpose()?,
                store: store.transpose()?.map(|uri| StoreEndpoint {
                    uri,
                    database: self.mongodb_database,
                }),
            });
        }
        let settings = Settings {
            given,
            stack,
            kafka_properties: kafka.properties,
            yes_load: self.yes_load,
            topic_is_given: self.kafka_topic.is_some(),
            topic: self
                .kafka_topic
                .unwrap_or_else(|| "postgres.activity.event_outbox".to_owned()),
            group_is_given: self.kafka_group_id.is_some(),
            group: self
                .kafka_group_id
                .unwrap_or_else(|| "event-processor-group".to_owned()),
            batch_size: usize::try_from(self.batch_size).unwrap_or(usize::MAX),
            writes_in_flight: self.writes_in_flight.into(),
            fetch: self.consumer_config.into_iter().collect(),
        };
        Ok((settings, servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_how_the_consumer_fetches_is_the_users() {
        let set = fetch_setting("fetch.min.bytes=1024").unwrap();
        assert_eq!(set, ("fetch.min.bytes".to_owned(), "1024".to_owned()));
        for refused in ["enable.auto.commit=false", "group.id=x", "fetch.min.bytes"] {
            assert!(fetch_setting(refused).is_err(), "{refused}");
        }
    }
}
