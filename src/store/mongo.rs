//! A connection to the store: which server it is, and its collections and writes in the files below.

mod collections;
mod credentials;
mod other_protocol;
mod servers_seen;
mod status;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, Tls};
use mongodb::{Client, Collection, Database};
use secrecy::ExposeSecret;

use self::credentials::without_credentials;
use self::other_protocol::{answers_plain, wants_tls};
use self::servers_seen::ServersSeen;
pub use self::status::{DefaultWriteConcern, ServerLoad, SetMember, SetStatus};
pub use self::watch::{DocumentChange, DocumentChanges, StreamPosition};
use super::{COLLECTION, StoreError, WriteConcernChoice};
use cdc_bench_stack::StoreEndpoint;

/// Longest wait for a server to be available.
const SELECTION_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a TCP connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The same for a server that may be busy with what it is asked.
const PATIENT_LIMIT: Duration = Duration::from_secs(100);
/// Longest wait for the servers' names of `mongodb+srv://`.
const LOOKUP_LIMIT: Duration = Duration::from_secs(8);

const OTHER_WRITE_CONCERN: &str =
    "its write concern is none of w=majority, w=1&journal=true and w=1&journal=false";

/// Which server it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoreIdentity {
    /// `MongoDB` or `SecantusDB`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is a real `mongod`.
    pub is_mongodb: bool,
}

/// A connection to the read model's database.
#[derive(Debug, Clone)]
pub struct MongoStore {
    options: Arc<ClientOptions>,
    database: Database,
    collection: String,
    write_concern: WriteConcernChoice,
    /// Host and port of every server in the connection string, for messages.
    server: String,
    login: LoginKinds,
    seen: ServersSeen,
}

/// What we have to log in with.
#[derive(Debug, Clone, Copy)]
struct LoginKinds {
    has_credential: bool,
    has_certificate: bool,
}

impl MongoStore {
    /// Connects and logs in. The write concern is that of the connection string's `w` and `journal`.
    ///
    /// # Errors
    /// [`StoreError::BadUri`], [`StoreError::Unreachable`], [`StoreError::AuthFailed`].
    pub async fn connect(endpoint: &StoreEndpoint) -> Result<Self, StoreError> {
        Self::connect_within(endpoint, CONNECT_LIMIT).await
    }

    /// The same for questions that may keep a server busy, such as a sort of everything: the driver gives up every connection of a server
    /// that does not greet in time, and this one gives it longer.
    ///
    /// # Errors
    /// As [`MongoStore::connect`].
    pub async fn connect_patiently(endpoint: &StoreEndpoint) -> Result<Self, StoreError> {
        Self::connect_within(endpoint, PATIENT_LIMIT).await
    }

    async fn connect_within(endpoint: &StoreEndpoint, limit: Duration) -> Result<Self, StoreError> {
        let uri = endpoint.uri.expose_secret();
        let mut options = parse(uri).await?;
        let write_concern = WriteConcernChoice::from_options(options.write_concern.as_ref())
            .ok_or_else(|| StoreError::BadUri {
                cause: OTHER_WRITE_CONCERN.to_owned(),
            })?;
        // Whatever readPreference asks for: a secondary may lag, and what it has not got yet would be taken for lost.
        options.selection_criteria = None;
        options.read_concern = Some(write_concern.read_concern());
        options
            .server_selection_timeout
            .get_or_insert(SELECTION_LIMIT);
        options.connect_timeout.get_or_insert(limit);
        options.app_name.get_or_insert("cdc-bench".to_owned());
        let is_tls = matches!(&options.tls, Some(Tls::Enabled(_)));
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let server = hosts.join(",");
        let seen = ServersSeen::default();
        options.sdam_event_handler = Some(seen.handler());
        let login = LoginKinds {
            has_credential: options.credential.is_some(),
            has_certificate: matches!(
                &options.tls,
                Some(Tls::Enabled(tls)) if tls.cert_key_file_path.is_some()
            ),
        };
        let asked = options.clone();
        let client = Client::with_options(options).map_err(|error| StoreError::BadUri {
            cause: without_credentials(&error.kind.to_string(), uri),
        })?;
        let store = Self {
            options: Arc::new(asked.clone()),
            database: client.database(&endpoint.database),
            collection: COLLECTION.to_owned(),
            write_concern,
            server,
            login,
            seen,
        };
        match store.ping().await {
            Ok(()) => Ok(store),
            Err(error @ StoreError::Unreachable { .. }) => {
                let other = if is_tls {
                    answers_plain(asked).await
                } else {
                    wants_tls(&asked.hosts).await
                };
                Err(other.unwrap_or(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The same store by connections of its own, which the runtime that calls this is to wait for.
    ///
    /// # Errors
    /// When the driver does not take the options that it has taken before.
    pub fn with_own_connections(&self) -> Result<Self, StoreError> {
        let seen = ServersSeen::default();
        let mut options = ClientOptions::clone(&self.options);
        options.sdam_event_handler = Some(seen.handler());
        let client =
            Client::with_options(options).map_err(|error| self.failed(&error, "connect"))?;
        Ok(Self {
            database: client.database(self.database.name()),
            seen,
            ..self.clone()
        })
    }

    /// The same connection for documents in another collection.
    #[must_use]
    pub fn with_collection(&self, collection: &str) -> Self {
        Self {
            collection: collection.to_owned(),
            ..self.clone()
        }
    }

    /// The collection that the documents are in.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Host and port of every server in the connection string.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The write concern of all writes.
    #[must_use]
    pub fn write_concern(&self) -> WriteConcernChoice {
        self.write_concern
    }

    /// Asks whether it is there.
    ///
    /// # Errors
    /// [`StoreError`] when it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.run(doc! { "ping": 1 }, "answer").await.map(drop)
    }

    /// Which server it is, by its `buildInfo`.
    ///
    /// # Errors
    /// [`StoreError`] when it does not answer.
    pub async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        let info = self.run(doc! { "buildInfo": 1 }, "say what it is").await?;
        let text = |name: &str| info.get_str(name).ok().map(ToOwned::to_owned);
        let secantus = text("secantusVersion");
        let is_mongodb = secantus.is_none();
        let version = secantus.or_else(|| text("version")).unwrap_or_default();
        Ok(StoreIdentity {
            name: if is_mongodb { "MongoDB" } else { "SecantusDB" }.to_owned(),
            version,
            is_mongodb,
        })
    }

    /// The documents, for reading.
    pub(super) fn events(&self) -> Collection<RawDocumentBuf> {
        self.database.collection(&self.collection)
    }

    pub(super) fn failed(&self, error: &mongodb::error::Error, doing: &str) -> StoreError {
        match StoreError::of(error, &self.server, doing) {
            // The driver's text is its view of all servers; its errors one by one say more.
            unreachable @ StoreError::Unreachable { .. } => self
                .seen
                .why_none(&self.server, self.login.has_certificate)
                .unwrap_or(unreachable),
            other => self.or_login_wanted(other),
        }
    }

    /// A user who is nobody may do nothing: then it is the login that lacks, and not a right.
    fn or_login_wanted(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::NotPermitted { server, cause, .. } if !self.login.has_credential => {
                StoreError::LoginWanted { server, cause }
            }
            other => other,
        }
    }

    fn refused(&self, code: i32, message: &str, doing: &str) -> StoreError {
        let refusal = StoreError::of_code(code, message, self.server.clone(), doing.to_owned());
        self.or_login_wanted(refusal)
    }

    async fn run(&self, command: Document, doing: &str) -> Result<Document, StoreError> {
        let answer = self.database.run_command(command).await;
        answer.map_err(|error| self.failed(&error, doing))
    }
}

/// The options of a connection string; the hosts of `mongodb+srv://` are looked up.
async fn parse(uri: &str) -> Result<ClientOptions, StoreError> {
    // What follows the login; it is empty where there is no scheme.
    let hosts = || {
        let (_, rest) = uri.split_once("://").unwrap_or_default();
        let hosts = rest.split(['/', '?']).next().unwrap_or_default();
        let hosts = hosts.rsplit('@').next().unwrap_or_default();
        hosts.to_owned()
    };
    let parsed = tokio::time::timeout(LOOKUP_LIMIT, ClientOptions::parse(uri));
    match parsed.await {
        Ok(Ok(options)) => Ok(options),
        Ok(Err(error)) => Err(match error.kind.as_ref() {
            ErrorKind::DnsResolve { message, .. } => StoreError::Unreachable {
                server: hosts(),
                cause: message.clone(),
            },
            kind => StoreError::BadUri {
                cause: without_credentials(&kind.to_string(), uri),
            },
        }),
        Err(_) => Err(StoreError::Unreachable {
            server: hosts(),
            cause: format!("no answer of DNS within {} s", LOOKUP_LIMIT.as_secs()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bad_connection_string_is_an_error_with_a_way_out() {
        let endpoint = StoreEndpoint {
            uri: "mongodb://me:s3c/ret@host:1/".to_owned().into(),
            database: "activity_read".to_owned(),
        };
        let connected = MongoStore::connect(&endpoint).await;
        let text = connected.unwrap_err().to_string();
        assert!(text.contains("MONGODB_URI"), "{text}");
        assert!(!text.contains("s3c"), "{text}");
    }

    #[tokio::test]
    async fn an_option_that_the_driver_does_not_know_is_named() {
        let connected = |uri: &str| {
            let endpoint = StoreEndpoint {
                uri: uri.to_owned().into(),
                database: "activity_read".to_owned(),
            };
            async move {
                MongoStore::connect(&endpoint)
                    .await
                    .unwrap_err()
                    .to_string()
            }
        };
        let text = connected("mongodb://me:hidden@h:1/?readPreferense=primary").await;
        assert!(
            text.contains("readpreferense") && text.contains("readpreference"),
            "{text}"
        );
        assert!(!text.contains("hidden"), "{text}");
        let text = connected("mongodb://me:hid?den@h:1/").await;
        assert!(
            text.contains("percent-encoded") && !text.contains("den@"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn hosts_that_dns_does_not_know_are_named() {
        let endpoint = StoreEndpoint {
            uri: "mongodb+srv://me:hidden@db.invalid/?authSource=admin"
                .to_owned()
                .into(),
            database: "activity_read".to_owned(),
        };
        let error = MongoStore::connect(&endpoint).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unreachable { server, .. } if server == "db.invalid"),
            "{error}"
        );
        assert!(!error.to_string().contains("hidden"), "{error}");
    }

    #[test]
    fn reads_see_what_was_acknowledged() {
        use mongodb::options::ReadConcern;
        let read = |choice: WriteConcernChoice| choice.read_concern();
        assert_eq!(
            read(WriteConcernChoice::MajorityJournaled),
            ReadConcern::majority()
        );
        assert_eq!(read(WriteConcernChoice::Acknowledged), ReadConcern::local());
    }

    #[tokio::test]
    async fn a_connection_string_sets_the_write_concern() {
        use WriteConcernChoice::{Acknowledged, Journaled, MajorityJournaled};
        for (options, meant) in [
            ("", Some(MajorityJournaled)),
            ("?w=majority", Some(MajorityJournaled)),
            ("?journal=true", Some(MajorityJournaled)),
            ("?wTimeoutMS=5", Some(MajorityJournaled)),
            ("?w=1&journal=true", Some(Journaled)),
            ("?w=1", Some(Acknowledged)),
            ("?w=1&journal=false", Some(Acknowledged)),
            ("?w=majority&journal=false", None),
            ("?w=0", None),
            ("?w=2", None),
            ("?w=nearby", None),
        ] {
            let uri = format!("mongodb://h:1/{options}");
            let parsed = ClientOptions::parse(&uri).await.unwrap();
            let asked = WriteConcernChoice::from_options(parsed.write_concern.as_ref());
            assert_eq!(asked, meant, "{options}");
        }
    }
}
