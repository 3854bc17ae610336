//! What a capture needs on the servers: everything is looked at before anything is created, and a start that is refused leaves
//! nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_stack::PostgresEndpoint;
use pgcdc::{
    PublicationError, PublicationPlan, PublicationRequest, ReaderError, Server, SlotName,
    TableName, TablePattern, drop_publication, published_tables,
};
use rdkafka::ClientConfig;
use tokio_postgres::Client;

use super::names::{publication_names, random_slot_name};
use super::registration::CaptureRegistration;
use super::topics::{TableTopics, TopicMaker, TopicRule};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::captures::publication_comment;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::session_lock::{LockKey, SessionLock};
use crate::pipeline::provision::source::{connect_postgres, drop_slot, existing_slots};

/// Longest wait for another to leave a slot.
const SLOT_LIMIT: Duration = Duration::from_secs(5);

/// What is captured, and where to.
#[derive(Debug, Clone)]
pub struct CaptureSource {
    /// The server.
    pub postgres: PostgresEndpoint,
    /// The tables; or none, and publications.
    pub tables: Vec<TablePattern>,
    /// The publications that are there.
    pub publications: Vec<String>,
    /// The slot to go on from later.
    pub slot: Option<SlotName>,
    /// The checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Whether rows are copied first.
    pub has_snapshot: bool,
}

/// Topics of a capture into Kafka.
#[derive(Debug, Clone)]
pub struct TopicRequest {
    /// Configuration of Kafka's clients.
    pub kafka: ClientConfig,
    /// First part of topics' names.
    pub prefix: String,
    /// Whether there is a topic of transactions.
    pub has_transactions: bool,
    /// Partitions of the topics that are made.
    pub partitions: i32,
}

/// What there is on the servers, and what will be created.
pub struct Preparation {
    source: CaptureSource,
    server: Server,
    client: Client,
    slot: SlotName,
    is_new_slot: bool,
    plan: Option<PublicationPlan>,
    topics: Option<PlannedTopics>,
    created: Created,
    /// The capture's own name in the registry.
    id: RunId,
    registration: Option<Arc<CaptureRegistration>>,
    /// Held until the capture has ended: that it lives, and that the slot is its.
    _lock: SessionLock,
}

/// Topics of the tables that there are.
struct PlannedTopics {
    names: TableTopics,
    topics: Vec<String>,
    maker: TopicMaker,
}

/// What this start has created.
#[derive(Default)]
struct Created {
    publications: Vec<String>,
    topics: Vec<String>,
    is_checkpoint_new: bool,
}

impl Preparation {
    /// Looks at slot, tables, rights and topics. Creates nothing.
    ///
    /// # Errors
    /// When the capture could not start, or would harm.
    pub async fn look(
        source: CaptureSource,
        topics: Option<TopicRequest>,
        rule: Option<(TopicRule, &str)>,
    ) -> Result<Self, Failure> {
        let server = source.postgres.server();
        let client = connect_postgres(&source.postgres).await?;
        let slot = match &source.slot {
            Some(name) => name.clone(),
            None => random_slot_name().map_err(ReaderError::from)?,
        };
        let id = RunId::generate();
        let lock = lock(&source.postgres, &client, &slot, &id).await?;
        let is_new_slot = existing_slots(&client, &[slot.as_str()]).await? == 0;
        let plan = if source.publications.is_empty() {
            let request = publication_request(&source, &slot, is_new_slot);
            let plan = PublicationPlan::look(&server, request).await;
            Some(plan.map_err(|error| with_advice(&error))?)
        } else {
            None
        };
        if is_new_slot {
            require_free_slot(&client, &server).await?;
        }
        let tables = match &plan {
            Some(plan) => plan.tables().to_vec(),
            None => published_tables(&server, &source.publications).await?,
        };
        if source.has_snapshot {
            require_select(&client, &tables).await?;
        }
        let topics = plan_topics(&tables, topics, rule).await?;
        let checkpoint = source.checkpoint.as_ref();
        Ok(Self {
            created: Created {
                is_checkpoint_new: checkpoint.is_some_and(|file| !file.exists()),
                ..Created::default()
            },
            source,
            server,
            client,
            slot,
            is_new_slot,
            plan,
            topics,
            id,
            registration: None,
            _lock: lock,
        })
    }

    /// The slot's name; a random one, if none was given.
    #[must_use]
    pub fn slot(&self) -> &SlotName {
        &self.slot
    }

    /// Whether the slot is to be created.
    #[must_use]
    pub fn is_new_slot(&self) -> bool {
        self.is_new_slot
    }

    /// The publications to read.
    #[must_use]
    pub fn publications(&self) -> &[String] {
        match &self.plan {
            Some(plan) => plan.names(),
            None => &self.source.publications,
        }
    }

    /// What the user should know, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.plan.iter().flat_map(PublicationPlan::warnings);
        warnings.map(ToString::to_string).collect()
    }

    /// Creates topics and publications. The reader creates the slot.
    ///
    /// # Errors
    /// When a server refuses: then [`Preparation::remove`] removes what was created until then.
    pub async fn create(&mut self) -> Result<(), Failure> {
        self.register().await;
        if let Some(planned) = &mut self.topics {
            planned.maker.register_by(self.registration.clone());
            self.created.topics = planned.maker.create(&planned.topics).await?;
        }
        let Some(plan) = &self.plan else {
            return Ok(());
        };
        match plan.create().await {
            Ok(created) => self.created.publications = created,
            Err(error) => {
                // Another capture with this slot may have created them in between.
                let request = publication_request(&self.source, &self.slot, self.is_new_slot);
                match PublicationPlan::look(&self.server, request).await {
                    Ok(again) if again.is_in_place() => self.plan = Some(again),
                    _ => return Err(with_advice(&error)),
                }
            }
        }
        Ok(())
    }

    /// Registers what carries no mark of ours: topics, and a slot beside publications of the user's.
    async fn register(&mut self) {
        let is_unmarked = self.plan.is_none() && self.is_new_slot && self.source.slot.is_some();
        if self.topics.is_none() && !is_unmarked {
            return;
        }
        let begun = CaptureRegistration::begin(&self.source.postgres, &self.client, &self.id).await;
        if let Some(registration) = &begun
            && is_unmarked
        {
            registration.slot(&self.slot).await;
        }
        self.registration = begun.map(Arc::new);
    }

    /// The topics, for the outlet.
    pub(super) fn take_topics(&mut self) -> Option<(TableTopics, TopicMaker)> {
        let planned = self.topics.take()?;
        Some((planned.names, planned.maker))
    }

    /// Removes what is not needed any more: the publications of a capture without a slot; everything that this start has
    /// created, if it was refused. Nothing else.
    pub async fn remove(self, is_refused: bool) {
        let mut is_all_gone = true;
        if is_refused && let Some(planned) = &self.topics {
            is_all_gone = planned.maker.delete(&self.created.topics).await;
        }
        if let Some(registration) = &self.registration
            && is_all_gone
        {
            registration.end().await;
        }
        if self.source.slot.is_some() && !is_refused {
            return;
        }
        if is_refused && self.is_new_slot && self.source.slot.is_some() {
            match drop_slot(&self.client, self.slot.as_str(), SLOT_LIMIT).await {
                Ok(()) => {
                    if let Some(registration) = &self.registration {
                        let kind = ResourceKind::Slot;
                        registration.forget(kind, self.slot.as_str()).await;
                        registration.end().await;
                    }
                    self.remove_checkpoint();
                }
                Err(error) => {
                    tracing::warn!(%error, slot = %self.slot, "the slot is left");
                }
            }
        }
        for publication in &self.created.publications {
            if let Err(error) = drop_publication(&self.server, publication).await {
                tracing::warn!(%error, publication, "the publication is left; \"cdc-bench cleanup\" removes it");
            }
        }
    }

    /// The checkpoint of a slot that is gone, if it was not there before.
    fn remove_checkpoint(&self) {
        if let Some(file) = &self.source.checkpoint
            && self.created.is_checkpoint_new
            && let Err(error) = std::fs::remove_file(file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %file.display(), "the checkpoint is left");
        }
    }
}

fn publication_request(
    source: &CaptureSource,
    slot: &SlotName,
    is_new_slot: bool,
) -> PublicationRequest {
    let names = publication_names(slot);
    PublicationRequest {
        name: names.whole,
        inserts_name: names.inserts,
        tables: source.tables.clone(),
        comment: Some(publication_comment(slot, is_new_slot)),
    }
}

/// The failure for a publication that cannot be, with what the command line offers.
fn with_advice(error: &PublicationError) -> Failure {
    let advice = match error {
        PublicationError::NotOwner { .. } | PublicationError::NoCreate { .. } => {
            "; or have a publication created by who may, and name it: --publication NAME".to_owned()
        }
        PublicationError::Standby { .. } => ", and name it: --publication NAME".to_owned(),
        PublicationError::OtherTables { publication, .. } => format!(
            "; name the same tables as before, or another --slot; or take what it has: --publication {publication}; or drop it while nothing captures from it: DROP PUBLICATION {publication}"
        ),
        _ => String::new(),
    };
    Failure::server(anyhow::anyhow!("{error}{advice}"))
}

async fn plan_topics(
    tables: &[TableName],
    request: Option<TopicRequest>,
    rule: Option<(TopicRule, &str)>,
) -> Result<Option<PlannedTopics>, Failure> {
    let Some((rule, prefix)) = rule else {
        return Ok(None);
    };
    let mut names = TableTopics::new(prefix, rule);
    let topics: Result<Vec<_>, _> = tables.iter().map(|table| names.add(table)).collect();
    let mut topics = topics?;
    let Some(request) = request else {
        return Ok(None);
    };
    if request.has_transactions {
        topics.push(format!("{}.transaction", request.prefix));
    }
    Ok(Some(PlannedTopics {
        names,
        topics,
        maker: TopicMaker::connect(&request.kafka, request.partitions).await?,
    }))
}

/// Takes the locks that a capture holds until it ends. That of its slot, because of two that start at once each would take what the
/// other creates for its own; the session of one that was killed may hold it for a moment more.
async fn lock(
    postgres: &PostgresEndpoint,
    client: &Client,
    slot: &SlotName,
    id: &RunId,
) -> Result<SessionLock, Failure> {
    let keys = vec![LockKey::of_capture(slot), LockKey::of_run(id)];
    let taken = SessionLock::take(postgres, client, keys, SLOT_LIMIT).await?;
    taken.ok_or_else(|| {
        Failure::server(anyhow::anyhow!(
            "another capture with slot \"{slot}\" is running: stop it, or name another --slot"
        ))
    })
}

async fn require_free_slot(client: &Client, server: &Server) -> Result<(), Failure> {
    let question = "SELECT count(*)::text || ' of ' || current_setting('max_replication_slots'), \
                    count(*) >= current_setting('max_replication_slots')::int FROM pg_replication_slots";
    let row = client.query_one(question, &[]).await?;
    if row.get(1) {
        return Err(Failure::server(ReaderError::NoFreeSlot {
            server: server.address(),
            reason: format!("{} are in use", row.get::<_, String>(0)),
        }));
    }
    Ok(())
}

async fn require_select(client: &Client, tables: &[TableName]) -> Result<(), Failure> {
    let question = "SELECT current_user::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1::text AND c.relname = $2::text AND NOT has_any_column_privilege(c.oid, 'SELECT')";
    for table in tables {
        let refused = client
            .query_opt(question, &[&table.schema, &table.name])
            .await?;
        if let Some(row) = refused {
            let (user, table) = (row.get::<_, String>(0), table.to_sql());
            return Err(Failure::server(anyhow::anyhow!(
                "user \"{user}\" may not read the rows of {table} for --from snapshot: GRANT SELECT ON {table} TO \"{user}\""
            )));
        }
    }
    Ok(())
}
