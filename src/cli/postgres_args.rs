//! Where PostgreSQL is, and who we are there: flags over a connection string over `POSTGRES_*`, and then what libpq takes from
//! its environment.

use pgcdc::{ConnectionParameters, InvalidServer, LibpqEnvironment, ServerList};
use secrecy::{ExposeSecret, SecretString};

use super::connection_origins::{Origins, WithFlags};
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
    port: Option<String>,
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
    args: WithFlags<PostgresArgs>,
    /// `POSTGRES_URL`.
    url: Option<SecretString>,
}

impl WithFlags<PostgresArgs> {
    /// Reads the connection string of the environment.
    pub(super) fn with_url(mut self) -> Result<GivenPostgres, Failure> {
        for given in [&mut self.args.host, &mut self.args.url] {
            given.take_if(|text| text.is_empty());
        }
        let url = secret("POSTGRES_URL")?;
        Ok(GivenPostgres { args: self, url })
    }
}

/// Parameters that ask for TLS, or may do so in a service's file.
const ASKING_FOR_TLS: [&str; 4] = ["sslrootcert", "sslcert", "sslkey", "service"];

/// The port that was given. Kubernetes sets the variable to an address for a service of the name "postgres".
fn port(text: Option<String>) -> Result<Option<String>, Failure> {
    let text = text.filter(|text| !text.is_empty());
    match text.as_deref().map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(text),
        Some(_) => Err(Failure::usage(anyhow::anyhow!(
            "POSTGRES_PORT (--postgres-port) is {:?}, and a port is a number from 1 to 65535",
            text.unwrap_or_default()
        ))),
    }
}

impl GivenPostgres {
    /// Whether a server is named by us: without libpq's variables, which a shell may have set for anything.
    pub(super) fn is_given(&self) -> bool {
        let args = &self.args.args;
        args.host.is_some() || args.url.is_some() || self.url.is_some()
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
        let (args, is_flag) = self.args.into_parts();
        let is_host_alone = args.host.is_some() && args.url.is_none() && self.url.is_none();
        let shown = args.url.as_deref().map(str::parse::<ConnectionParameters>);
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
        let port = port(args.port)?;
        let mut origins = Origins::default();
        let taken = (|| {
            origins.take("host", args.host, is_flag("host"))?;
            origins.take("port", port, is_flag("port"))?;
            origins.take("dbname", args.database, is_flag("database"))?;
            origins.take("user", args.user, is_flag("user"))?;
            if let Some(password) = password {
                let password = password.expose_secret();
                origins.variables.set("password", password)?;
            }
            let mut tls = Origins::default();
            args.tls.put(&mut tls, &is_flag)?;
            // Of a host alone, TLS is not tried unless something asks for it.
            let asks_for_tls = |keyword: &&str| {
                let of_flag = tls.flags.get(keyword).is_some();
                of_flag || around.variables().get(keyword).is_some()
            };
            let is_plain = is_host_alone && !ASKING_FOR_TLS.iter().any(asks_for_tls);
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
        postgres: WithFlags<PostgresArgs>,
    }

    fn given(args: &[&str], url: Option<&str>) -> GivenPostgres {
        let args = [&["test"], args].concat();
        let postgres = Command::try_parse_from(args).unwrap().postgres;
        GivenPostgres {
            url: url.map(Into::into),
            ..postgres.with_url().unwrap()
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
    fn a_flag_is_told_from_a_variable_by_where_it_comes_from() {
        let arg = |arg: clap::Arg| match arg.get_id().as_str() {
            // As a variable would, whatever the flag says.
            "host" => arg.default_value("of-variable"),
            _ => arg,
        };
        let parsed = |args: &[&str]| {
            let command = <Command as clap::CommandFactory>::command().mut_args(arg);
            let mut matches = command.get_matches_from([&["test"], args].concat());
            let command = <Command as clap::FromArgMatches>::from_arg_matches_mut(&mut matches);
            let given = GivenPostgres {
                url: Some("postgresql://of-url/d".into()),
                ..command.unwrap().postgres.with_url().unwrap()
            };
            let layers = given.layers(&LibpqEnvironment::default(), None).unwrap();
            layers.get("host").unwrap().to_owned()
        };
        assert_eq!(parsed(&[]), "of-url");
        assert_eq!(parsed(&["--postgres-host", "of-variable"]), "of-variable");
    }

    #[test]
    fn a_host_alone_is_without_tls_unless_something_asks_for_it() {
        let host = ["--postgres-host", "db"];
        let system = [("PGSSLROOTCERT", "system")];
        assert_eq!(server(&host, None, &system).tls.mode, SslMode::VerifyFull);
        let file = [("PGSSLROOTCERT", "/ca.pem")];
        assert_eq!(server(&host, None, &file).tls.mode, SslMode::Prefer);
        let flag = [&host[..], &["--postgres-sslrootcert", "system"]].concat();
        assert_eq!(server(&flag, None, &[]).tls.mode, SslMode::VerifyFull);
        let both = [("PGSSLROOTCERT", "/ca.pem"), ("PGSSLMODE", "disable")];
        assert_eq!(server(&host, None, &both).tls.mode, SslMode::Disable);
    }

    #[test]
    fn an_empty_value_names_nothing_and_a_wrong_one_is_an_error_where_a_server_is() {
        let none = given(&["--postgres-host", "", "--postgres", ""], None);
        assert!(!none.is_given());
        for args in [
            ["--postgres-port", "tcp://10.0.0.1:5432"],
            ["--postgres-sslmode", "bogus"],
        ] {
            let around = LibpqEnvironment::default();
            let unused = given(&args, None).servers(&around, false);
            assert!(unused.unwrap().is_none());
            let used = given(&[&["--postgres-host", "db"], &args[..]].concat(), None);
            let error = used.servers(&around, false).unwrap_err();
            let words = format!("{error:#}");
            assert!(words.contains(args[1]), "{words}");
            assert_eq!(error.exit_code(), 2);
        }
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
