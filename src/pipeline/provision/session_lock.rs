//! The locks that a command holds in the source database as long as it lives: advisory locks of a session, so that a lock that is
//! free means that its holder is dead, whatever has ended it and on whatever machine it was.

use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_stack::PostgresEndpoint;
use pgcdc::SlotName;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::source::connect_and_drive;

/// What the locks of runs and captures are told by.
pub(super) const OF_RUN: &str = "cdc-bench run";
/// What the lock of a capture's slot is told by.
pub(super) const OF_CAPTURE: &str = "cdc-bench capture";

/// The advisory locks that are held in this database, as a table `held (classid, objid)`: the key of a lock is two hashes, of
/// what it is told by and of a name.
pub(super) const HELD: &str = "held AS (SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// Whether a lock is in the table of [`HELD`]; both arguments are expressions of SQL.
pub(super) fn is_held(of: &str, name: &str) -> String {
    let key = |text: &str| format!("(hashtext({text})::int8 & 4294967295)::oid");
    format!(
        "EXISTS (SELECT FROM held WHERE classid = {} AND objid = {})",
        key(of),
        key(name)
    )
}

/// How long a session may take to come back after its server has been away.
pub(super) const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// Interval between attempts to come back, and to get a lock that another session holds.
const RETRY: Duration = Duration::from_millis(100);
/// A session whose machine is gone gives its locks up within a minute.
const KEEPALIVE: &str =
    "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// The setting of a session that tells whether another client shares it.
const MARK: &str = "cdc_bench.lock";

/// A lock: what it is told by, and a name.
#[derive(Debug, Clone)]
pub(crate) struct LockKey {
    of: &'static str,
    name: String,
}

impl LockKey {
    /// Of a run, or a capture, by its id.
    pub(crate) fn of_run(run: &RunId) -> Self {
        Self {
            of: OF_RUN,
            name: run.to_string(),
        }
    }

    /// Of the slot that a capture reads, or will create.
    pub(crate) fn of_capture(slot: &SlotName) -> Self {
        Self {
            of: OF_CAPTURE,
            name: slot.to_string(),
        }
    }

    async fn try_take(&self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        let question = "SELECT pg_try_advisory_lock(hashtext($1::text), hashtext($2::text))";
        let row = client.query_one(question, &[&self.of, &self.name]).await?;
        Ok(row.get(0))
    }
}

/// Locks that are held until this is dropped. After the connection was lost, they are taken again by a new one.
#[derive(Debug)]
pub(crate) struct SessionLock {
    is_shared: bool,
    _holder: AbortOnDropHandle<()>,
}

impl SessionLock {
    /// Takes the locks; one that another session holds is waited for as long as `limit`. `None`: it is still held. `other` is
    /// another connection to the same database.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub(crate) async fn take(
        endpoint: &PostgresEndpoint,
        other: &Client,
        keys: Vec<LockKey>,
        limit: Duration,
    ) -> Result<Option<Self>, Failure> {
        let first = Session::open(endpoint).await?;
        let began = Instant::now();
        for key in &keys {
            while !key.try_take(&first.client).await? {
                if began.elapsed() >= limit {
                    return Ok(None);
                }
                sleep(RETRY).await;
            }
        }
        let is_shared = first.is_shared_with(other).await?;
        if is_shared {
            // It would stay with whichever session of the pooler's has it.
            let unlock = "SELECT pg_advisory_unlock_all()";
            first.client.batch_execute(unlock).await?;
        }
        let holder = tokio::spawn(hold(endpoint.clone(), keys, first));
        Ok(Some(Self {
            is_shared,
            _holder: AbortOnDropHandle::new(holder),
        }))
    }

    /// Whether a pooler gives the session to other clients as well: then the locks say nothing of who holds them.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }
}

/// A connection, and the task that ends with it.
struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    async fn open(endpoint: &PostgresEndpoint) -> Result<Self, Failure> {
        let (client, driver) = connect_and_drive(endpoint).await?;
        client.batch_execute(KEEPALIVE).await?;
        Ok(Self { client, driver })
    }

    /// A pooler that shares sessions gives an idle one to the next client, with the settings of the one before; and this client
    /// another one.
    async fn is_shared_with(&self, other: &Client) -> Result<bool, Failure> {
        let mark = format!("{:016x}", rand::random::<u64>());
        let setting = "SELECT set_config($1, $2, false)";
        self.client.query_one(setting, &[&MARK, &mark]).await?;
        let has_mark = async |client: &Client| {
            let question = "SELECT current_setting($1, true)";
            let row = client.query_one(question, &[&MARK]).await?;
            let found: Option<String> = row.get(0);
            Ok::<_, Failure>(found.as_ref() == Some(&mark))
        };
        Ok(has_mark(other).await? || !has_mark(&self.client).await?)
    }
}

/// Holds the locks, in one session after the other.
async fn hold(endpoint: PostgresEndpoint, keys: Vec<LockKey>, mut session: Session) {
    loop {
        // However the task has ended, the connection is gone.
        let _ = (&mut session.driver).await;
        tracing::debug!("the session that holds the locks has ended; the next takes them");
        session = loop {
            sleep(RETRY).await;
            match Session::open(&endpoint).await {
                Ok(next) => break next,
                Err(failure) => tracing::trace!(%failure, "no session yet"),
            }
        };
        for key in &keys {
            // The server may not have seen yet that the session before is gone.
            while let Ok(false) = key.try_take(&session.client).await {
                sleep(RETRY).await;
            }
        }
    }
}
