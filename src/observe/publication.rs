//! Publications of the observed tables, and of the sink's, made because the user has said so, and gone with the observation.

use cdc_bench_model::RunId;
use cdc_bench_stack::PostgresEndpoint;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::discovery::{Pipeline, PlannedPublication, Sink, VIA_ROOT, quoted};
use super::taps::wal::slot_name;
use crate::pipeline::{
    Failure, connect_postgres, drop_publication, left_by_observations, make_publication,
};

/// The name of the slot of an observation's sink, and of the publication that is made there.
pub(super) fn sink_slot_name(id: &RunId) -> String {
    format!("{}_sink", slot_name(id))
}

/// The publications that this observation has made.
#[derive(Default)]
pub struct MadePublications(Vec<MadePublication>);

struct MadePublication {
    name: String,
    database: Database,
    /// Its session says that the publication is in use.
    client: Client,
}

/// Whose database a publication is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    Source,
    Sink,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Self::Source => "the source database",
            Self::Sink => "the sink's database",
        }
    }

    /// What removes a publication that was left there.
    fn removal(self, publication: &str) -> String {
        match self {
            Self::Source => "\"cdc-bench cleanup\" removes it".to_owned(),
            Self::Sink => format!(
                "this removes it there: DROP PUBLICATION {}",
                escape_identifier(publication)
            ),
        }
    }

    /// Removes the publications that killed observations have left, if a new one is to be made, or else names them.
    async fn tidy(self, client: &Client, is_making: bool) -> Result<(), Failure> {
        for left in left_by_observations(client).await? {
            let (name, database) = (&*left.name, self.name());
            if is_making {
                tracing::warn!(
                    "removing publication \"{name}\", which an observation that was killed has left in {database}"
                );
                drop_publication(client, name).await?;
            } else {
                tracing::warn!(
                    "an observation that was killed has left publication \"{name}\" in {database}; {}",
                    self.removal(name)
                );
            }
        }
        Ok(())
    }
}

impl MadePublications {
    /// Removes them. One that cannot be removed is said, with what removes it.
    pub async fn remove(self) {
        for made in self.0 {
            if let Err(error) = drop_publication(&made.client, &made.name).await {
                tracing::warn!(%error, "publication \"{}\" is left in {}; {}", made.name, made.database.name(), made.database.removal(&made.name));
            }
        }
    }
}

impl Pipeline {
    /// Makes the publications that are planned. Those that killed observations have left are removed, if a new one is to be
    /// made, or else named.
    ///
    /// # Errors
    /// When PostgreSQL refuses; nothing is left then.
    pub async fn make_publications(&mut self, id: &RunId) -> Result<MadePublications, Failure> {
        let mut made = MadePublications::default();
        made.0.extend(self.make_in_source(id).await?);
        match self.make_in_sink(id).await {
            Ok(in_sink) => made.0.extend(in_sink),
            Err(failure) => {
                made.remove().await;
                return Err(failure.context("the sink (--sink postgres)"));
            }
        }
        Ok(made)
    }

    async fn make_in_source(&mut self, id: &RunId) -> Result<Option<MadePublication>, Failure> {
        let tables: Vec<_> = self.tables.iter().map(quoted).collect();
        let planned = self.planned_publication.map(|planned| Planned {
            name: slot_name(id),
            tables,
            planned,
        });
        let made = make(&self.postgres, Database::Source, planned).await?;
        if let Some(made) = &made {
            self.publication.clone_from(&made.name);
        }
        Ok(made)
    }

    async fn make_in_sink(&mut self, id: &RunId) -> Result<Option<MadePublication>, Failure> {
        let Some(Sink::Postgres(sink)) = &mut self.sink else {
            return Ok(None);
        };
        let planned = sink.is_planned.then(|| Planned {
            name: sink_slot_name(id),
            tables: sink.quoted_tables(),
            planned: VIA_ROOT,
        });
        let made = make(&sink.endpoint, Database::Sink, planned).await?;
        if let Some(made) = &made {
            sink.publication.clone_from(&made.name);
        }
        Ok(made)
    }
}

/// A publication that is to be made.
struct Planned {
    name: String,
    /// As SQL has them.
    tables: Vec<String>,
    planned: PlannedPublication,
}

async fn make(
    endpoint: &PostgresEndpoint,
    database: Database,
    planned: Option<Planned>,
) -> Result<Option<MadePublication>, Failure> {
    let client = connect_postgres(endpoint).await?;
    database.tidy(&client, planned.is_some()).await?;
    let Some(Planned {
        name,
        tables,
        planned,
    }) = planned
    else {
        return Ok(None);
    };
    make_publication(&client, &name, &tables, planned.via_partition_root).await?;
    Ok(Some(MadePublication {
        name,
        database,
        client,
    }))
}
