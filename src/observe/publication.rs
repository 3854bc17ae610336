//! A publication of the observed tables, made because the user has said so, and gone with the observation.

use cdc_bench_model::RunId;
use tokio_postgres::Client;

use super::discovery::{Pipeline, quoted};
use super::taps::wal::slot_name;
use crate::pipeline::{
    Failure, connect_postgres, drop_publication, left_by_observations, make_publication,
};

/// A publication that this observation has made.
pub struct MadePublication {
    name: String,
    /// Its session says that the publication is in use.
    client: Client,
}

impl MadePublication {
    /// Removes it. One that cannot be removed is said, with what removes it.
    pub async fn remove(self) {
        if let Err(error) = drop_publication(&self.client, &self.name).await {
            tracing::warn!(%error, "publication \"{}\" is left in the source database; \"cdc-bench cleanup\" removes it", self.name);
        }
    }
}

impl Pipeline {
    /// Makes the publication, where one is planned. Those that killed observations have left are removed, if a new one is to be
    /// made, or else named.
    ///
    /// # Errors
    /// When PostgreSQL refuses; nothing is left then.
    pub async fn make_publication(
        &mut self,
        id: &RunId,
    ) -> Result<Option<MadePublication>, Failure> {
        let client = connect_postgres(&self.postgres).await?;
        let left = left_by_observations(&client).await?;
        let names: Vec<_> = left.iter().map(|entry| &*entry.name).collect();
        let Some(planned) = self.planned_publication else {
            if !names.is_empty() {
                tracing::warn!(publications = ?names, "an observation that was killed has left this in the source database; \"cdc-bench cleanup\" removes it");
            }
            return Ok(None);
        };
        for name in names {
            tracing::warn!(
                "removing publication \"{name}\", which an observation that was killed has left"
            );
            drop_publication(&client, name).await?;
        }
        let name = slot_name(id);
        let tables: Vec<_> = self.tables.iter().map(quoted).collect();
        make_publication(&client, &name, &tables, planned.via_partition_root).await?;
        self.publication.clone_from(&name);
        Ok(Some(MadePublication { name, client }))
    }
}
