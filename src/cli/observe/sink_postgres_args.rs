//! PostgreSQL as the sink of an observed pipeline: by a connection string of its own, since `POSTGRES_*` and libpq's variables name
//! the source.

use cdc_bench_stack::PostgresEndpoint;
use pgcdc::{ConnectionParameters, LibpqEnvironment, ServerList};
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::secrets::secret;
use crate::observe::{PostgresSinkRequest, SinkPublication};
use crate::pipeline::Failure;

/// Variables of libpq that say how any server is reached, and not which one.
const OF_ANY_SERVER: [&str; 5] = [
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGSSLROOTCERT",
    "PGCONNECT_TIMEOUT",
];

/// The arguments for the sink's PostgreSQL.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct SinkPostgresArgs {
    /// The sink's PostgreSQL as psql takes it, without a password: postgresql://user@host/database or "host=... dbname=..."
    /// [env: SINK_POSTGRES_URL, which may hold one, or SINK_POSTGRES_PASSWORD]
    #[arg(long, value_name = "URL")]
    sink_postgres: Option<String>,
    /// The publication there that has the sink's tables
    #[arg(long, value_name = "NAME")]
    sink_publication: Option<String>,
    /// Make a publication of the sink's tables there, and remove it at the end; needs their ownership, and CREATE on the database
    #[arg(long, conflicts_with = "sink_publication")]
    make_sink_publication: bool,
}

impl SinkPostgresArgs {
    /// Whether a flag names the sink's server.
    pub(super) fn names_a_server(&self) -> bool {
        self.sink_postgres.is_some()
    }

    /// One of the flags that are given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.sink_postgres.is_some(), "--sink-postgres"),
            (self.sink_publication.is_some(), "--sink-publication"),
            (self.make_sink_publication, "--make-sink-publication"),
        ];
        let mut given = flags.into_iter().filter(|(is_given, _)| *is_given);
        given.next().map(|(_, flag)| flag)
    }

    /// The sink that is named: of several servers, the first that will do.
    ///
    /// # Errors
    /// When none is, when a connection string is malformed, or when the flag holds a password.
    pub(super) async fn resolve(&self) -> Result<PostgresSinkRequest, Failure> {
        let (url, password) = (
            secret("SINK_POSTGRES_URL")?,
            secret("SINK_POSTGRES_PASSWORD")?,
        );
        let around = LibpqEnvironment::new(
            |name| {
                let is_of_any = OF_ANY_SERVER.contains(&name);
                is_of_any.then(|| std::env::var(name).ok()).flatten()
            },
            std::env::home_dir(),
        );
        let list = self.servers(url.as_ref(), password.as_ref(), &around)?;
        for warning in &list.warnings {
            tracing::warn!("{warning}");
        }
        let chosen = list.choose().await.map_err(|error| {
            Failure::server(anyhow::anyhow!(
                "the sink: {error}; give the address of one that is, or another target_session_attrs"
            ))
        })?;
        let named = self.sink_publication.clone().map(SinkPublication::Named);
        let to_make = || {
            let is_asked = self.make_sink_publication;
            is_asked.then_some(SinkPublication::ToMake)
        };
        Ok(PostgresSinkRequest {
            endpoint: PostgresEndpoint::from(chosen),
            publication: named.or_else(to_make),
        })
    }

    fn servers(
        &self,
        url: Option<&SecretString>,
        password: Option<&SecretString>,
        around: &LibpqEnvironment,
    ) -> Result<ServerList, Failure> {
        let refused = |text: &str| Err(Failure::usage(anyhow::anyhow!(text.to_owned())));
        let shown = self
            .sink_postgres
            .as_deref()
            .map(str::parse::<ConnectionParameters>);
        let shown = shown.transpose().map_err(Failure::usage)?;
        let shown = shown.unwrap_or_default();
        if shown.hold_secrets() {
            return refused(
                "--sink-postgres holds a password, and every user of this machine can list arguments: leave it out, and set SINK_POSTGRES_PASSWORD, SINK_POSTGRES_PASSWORD_FILE, SINK_POSTGRES_URL or a line in ~/.pgpass",
            );
        }
        let url = url.map(|url| url.expose_secret().parse::<ConnectionParameters>());
        let url = url
            .transpose()
            .map_err(|error| Failure::usage(error).context("SINK_POSTGRES_URL"))?;
        let mut given = shown.or(url.unwrap_or_default());
        let names_a_server = ["host", "hostaddr", "service"];
        if names_a_server.iter().all(|name| given.get(name).is_none()) {
            return refused(
                "--sink postgres needs the sink's server: --sink-postgres postgresql://user@host/database, or SINK_POSTGRES_URL",
            );
        }
        if given.get("dbname").is_none() && given.get("service").is_none() {
            return refused(
                "the address of the sink (--sink-postgres, SINK_POSTGRES_URL) names no database: postgresql://user@host/database",
            );
        }
        if let Some(password) = password {
            let set = given.set("password", password.expose_secret());
            set.map_err(Failure::usage)?;
        }
        let complete = around.complete(given).map_err(Failure::usage)?;
        complete.servers().map_err(Failure::usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(flag: Option<&str>, url: Option<&str>) -> Result<ServerList, Failure> {
        let args = SinkPostgresArgs {
            sink_postgres: flag.map(str::to_owned),
            ..SinkPostgresArgs::default()
        };
        let url = url.map(SecretString::from);
        args.servers(
            url.as_ref(),
            Some(&"secret".into()),
            &LibpqEnvironment::default(),
        )
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_the_password_is_of_its_own_variable() {
        let list = servers(
            Some("postgresql://me@flag/read?sslmode=verify-full"),
            Some("postgresql://you@variable/other"),
        );
        let server = list.unwrap().servers.remove(0);
        assert_eq!((&*server.host, &*server.database), ("flag", "read"));
        assert_eq!(&*server.user, "me");
        assert_eq!(server.tls.mode, pgcdc::SslMode::VerifyFull);
        assert_eq!(server.password.unwrap().expose_secret(), "secret");
    }

    #[test]
    fn what_names_no_database_or_shows_a_password_is_refused() {
        for (flag, says) in [
            (None, "SINK_POSTGRES_URL"),
            (Some("dbname=read"), "SINK_POSTGRES_URL"),
            (Some("host=db"), "names no database"),
            (
                Some("postgresql://me:s3cret@db/read"),
                "SINK_POSTGRES_PASSWORD_FILE",
            ),
        ] {
            let failure = servers(flag, None).unwrap_err();
            let words = format!("{failure:#}");
            assert!(words.contains(says) && !words.contains("s3cret"), "{words}");
            assert_eq!(failure.exit_code(), 2);
        }
    }
}
