//! Where PostgreSQL is, and who we are there: flags over a connection string over `POSTGRES_*`, and then what libpq takes from
//! its environment.

use pgcdc::{ConnectionParameters, InvalidServer, LibpqEnvironment, ServerList};
use secrecy::{ExposeSecret, SecretString};

use super::connection_origins::Origins;
use super::secrets::secret;
use super::tls_args::TlsArgs;
use crate::pipeline::Failure;

/// Database of the outbox, where none is named.
const DATABASE: &str = "activity_db";
/// Our role, where none is named.
const USER: &str = "postgres";

/// The arguments for PostgreSQL.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PostgresArgs {
    /// PostgreSQL as psql takes it, without a password: postgresql://user@host/database or "host=... dbname=..." [env: POSTGRES_URL, which may hold one]
    #[arg(long = "postgres", global = true, value_name = "URL")]
    url: Option<String>,
    /// PostgreSQL's host, or the folder of its Unix socket
    #[arg(
        long = "postgres-host",
        global = true,
        env = "POSTGRES_HOST",
        value_name = "HOST"
    )]
    host: Option<String>,
    /// PostgreSQL's port [default: 5432]
    #[arg(
        long = "postgres-port",
        global = true,
        env = "POSTGRES_PORT",
        value_name = "PORT"
    )]
    port: Option<u16>,
    /// Database of the outbox [default: activity_db]
    #[arg(
        long = "postgres-db",
        global = true,
        env = "POSTGRES_DB",
        value_name = "NAME"
    )]
    database: Option<String>,
    /// Role that may replicate and create [default: postgres]
    #[arg(
        long = "postgres-user",
        global = true,
        env = "POSTGRES_USER",
        value_name = "ROLE"
    )]
    user: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// What names PostgreSQL, as it was given.
pub(super) struct GivenPostgres {
    args: PostgresArgs,
    /// `POSTGRES_URL`.
    url: Option<SecretString>,
}

impl PostgresArgs {
    /// Reads the connection string of the environment.
    pub(super) fn with_url(self) -> Result<GivenPostgres, Failure> {
        let url = secret("POSTGRES_URL")?;
        Ok(GivenPostgres { args: self, url })
    }
}

impl GivenPostgres {
    /// Whether a server is named by us: without libpq's variables, which a shell may have set for anything.
    pub(super) fn is_given(&self) -> bool {
        self.args.host.is_some() || self.args.url.is_some() || self.url.is_some()
    }

    /// The servers that are named; `None` when none is. `PGHOST` and its like count only with `may_be_of_libpq`.
    ///
    /// # Errors
    /// When a connection string is malformed, a flag holds a password, or a file cannot be read.
    pub(super) fn servers(
        self,
        around: &LibpqEnvironment,
        may_be_of_libpq: bool,
    ) -> Result<Option<ServerList>, Failure> {
        let is_named = self.is_given() || (may_be_of_libpq && around.names_a_server());
        if !is_named {
            return Ok(None);
        }
        let password = secret("POSTGRES_PASSWORD")?;
        let list = self.layers(around, password.as_ref())?.servers();
        list.map(Some).map_err(Failure::usage)
    }

    /// Every parameter, from where it is named first.
    fn layers(
        self,
        around: &LibpqEnvironment,
        password: Option<&SecretString>,
    ) -> Result<ConnectionParameters, Failure> {
        // Without a connection string, TLS is not tried unless it is asked for.
        let is_plain = self.args.host.is_some() && self.args.url.is_none() && self.url.is_none();
        let PostgresArgs { url, .. } = &self.args;
        let shown = url.as_deref().map(str::parse::<ConnectionParameters>);
        let shown = shown.transpose().map_err(Failure::usage)?;
        let shown = shown.unwrap_or_default();
        if shown.hold_secrets() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--postgres holds a password, and every user of this machine can list arguments: leave it out, and set POSTGRES_PASSWORD, POSTGRES_PASSWORD_FILE, POSTGRES_URL or a line in ~/.pgpass"
            )));
        }
        let url = self.url.as_ref().map(|url| url.expose_secret().parse());
        let url: Option<ConnectionParameters> = url
            .transpose()
            .map_err(|error| Failure::usage(error).context("POSTGRES_URL"))?;
        let args = self.args;
        let mut origins = Origins::default();
        let taken = (|| {
            origins.take("host", args.host, "POSTGRES_HOST")?;
            let port = args.port.map(|port| port.to_string());
            origins.take("port", port, "POSTGRES_PORT")?;
            origins.take("dbname", args.database, "POSTGRES_DB")?;
            origins.take("user", args.user, "POSTGRES_USER")?;
            if let Some(password) = password {
                let password = password.expose_secret();
                origins.variables.set("password", password)?;
            }
            let mut tls = Origins::default();
            args.tls.put(&mut tls)?;
            origins.flags = std::mem::take(&mut origins.flags).or(tls.flags);
            let given = origins.flags.or(shown).or(url.unwrap_or_default());
            let complete = around.complete(given.or(origins.variables))?;
            let mut defaults = ConnectionParameters::default();
            defaults.set("dbname", DATABASE)?;
            defaults.set("user", USER)?;
            if is_plain {
                defaults.set("sslmode", "disable")?;
            }
            Ok(complete.or(defaults))
        })();
        taken.map_err(|error: InvalidServer| Failure::usage(error))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pgcdc::{Server, SslMode};

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        postgres: PostgresArgs,
    }

    fn given(args: &[&str], url: Option<&str>) -> GivenPostgres {
        let args = [&["test"], args].concat();
        GivenPostgres {
            args: Command::try_parse_from(args).unwrap().postgres,
            url: url.map(Into::into),
        }
    }

    fn server(args: &[&str], url: Option<&str>, variables: &[(&str, &str)]) -> Server {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let around = LibpqEnvironment::new(find, None);
        let layers = given(args, url).layers(&around, Some(&"of-variable".into()));
        layers.unwrap().servers().unwrap().servers.remove(0)
    }

    #[test]
    fn a_host_alone_is_as_it_was() {
        let server = server(&["--postgres-host", "db"], None, &[]);
        assert_eq!((&*server.host, server.port), ("db", 5432));
        assert_eq!((&*server.user, &*server.database), (USER, DATABASE));
        assert_eq!(server.tls.mode, SslMode::Disable);
        assert_eq!(server.password.unwrap().expose_secret(), "of-variable");
    }

    #[test]
    fn flags_win_over_connection_strings_over_variables_of_libpq() {
        let url = Some("postgresql://of-url:secret@of-url:7/of-url?sslmode=verify-full");
        let libpq = [
            ("PGHOST", "of-libpq"),
            ("PGSSLMODE", "disable"),
            ("PGAPPNAME", "mine"),
        ];
        let of = server(&["--postgres-host", "of-flag"], url, &libpq);
        assert_eq!((&*of.host, of.port, &*of.user), ("of-flag", 7, "of-url"));
        assert_eq!(of.tls.mode, SslMode::VerifyFull);
        assert_eq!(of.password.unwrap().expose_secret(), "secret");
        assert_eq!(of.application_name.as_deref(), Some("mine"));
        let of = server(&["--postgres", "host=of-argument"], url, &libpq);
        assert_eq!((&*of.host, &*of.database), ("of-argument", "of-url"));
        let of = server(&[], Some("dbname=shop"), &libpq);
        assert_eq!((&*of.host, &*of.database), ("of-libpq", "shop"));
        assert_eq!(of.tls.mode, SslMode::Disable);
        let of = server(&[], Some("host=db"), &[]);
        assert_eq!(of.tls.mode, SslMode::Prefer);
    }

    #[test]
    fn an_argument_holds_no_password() {
        for url in ["postgresql://me:s3cret@db/d", "host=db password=s3cret"] {
            let refused = given(&["--postgres", url], None);
            let refused = refused.layers(&LibpqEnvironment::default(), None);
            let words = format!("{:#}", refused.unwrap_err());
            assert!(words.contains("POSTGRES_PASSWORD_FILE"), "{words}");
            assert!(!words.contains("s3cret"), "{words}");
        }
    }

    #[test]
    fn libpqs_variables_name_a_server_only_where_the_users_servers_are_asked_for() {
        let around =
            LibpqEnvironment::new(|name| (name == "PGHOST").then(|| "db".to_owned()), None);
        let found = |may: bool| given(&[], None).servers(&around, may).unwrap();
        assert!(found(false).is_none());
        assert_eq!(found(true).unwrap().servers[0].host, "db");
    }
}
