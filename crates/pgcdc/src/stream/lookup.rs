//! Looks up in the catalogue what a table's description in the stream does not carry.

use std::collections::HashMap;
use std::rc::Rc;

use crate::delivery::{Delivery, Flow};
use crate::event::Event;
use crate::pgoutput::{self, Message, RelationMessage};
use crate::reader::config::ReaderConfig;
use crate::table::relation::Relations;
use crate::types::catalogue::{Catalogue, CatalogueTable};
use crate::{ReaderError, Xid};

/// Looks up tables and types, if [`ReaderConfig::describe`] asks for it.
pub(super) struct CatalogueLookup {
    config: Rc<ReaderConfig>,
    catalogue: Catalogue,
    /// Tables that a transaction changed after the one that was read when they were looked up: that transaction, and the
    /// stream's description. They are looked up again for the transactions after it.
    outdated: HashMap<u32, (Xid, Vec<u8>)>,
}

impl CatalogueLookup {
    pub(super) fn new(config: Rc<ReaderConfig>) -> Self {
        Self {
            config,
            catalogue: Catalogue::default(),
            outdated: HashMap::new(),
        }
    }

    pub(super) fn catalogue(&mut self) -> &mut Catalogue {
        &mut self.catalogue
    }

    /// Whether this message of a transaction needs a lookup: a table's description, or a change of a table whose description
    /// is outdated.
    pub(super) fn is_needed(&self, message: &[u8], transaction: Option<Xid>) -> bool {
        self.config.describe
            && (message.first() == Some(&b'R') || self.outdated_by(message, transaction).is_some())
    }

    /// The table that the message changes, if its description is outdated.
    fn outdated_by(&self, message: &[u8], transaction: Option<Xid>) -> Option<u32> {
        if self.outdated.is_empty() || !matches!(message.first(), Some(b'I' | b'U' | b'D')) {
            return None;
        }
        let oid = u32::from_be_bytes(*message.get(1..)?.first_chunk()?);
        let (changed_by, _) = self.outdated.get(&oid)?;
        // Half of the circle of transaction ids is later.
        let distance = transaction?.0.wrapping_sub(changed_by.0);
        (distance > 0 && distance < 1 << 31).then_some(oid)
    }

    /// Looks up what a message needs before it is delivered: the columns of the table that it describes, and user-defined types
    /// of them.
    pub(super) async fn look_up<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        message: &[u8],
        delivery: &mut Delivery<H>,
    ) -> Result<(), ReaderError> {
        let transaction = delivery.transaction();
        let outdated = self.outdated_by(message, transaction);
        let outdated = outdated.and_then(|oid| self.outdated.remove(&oid));
        let is_again = outdated.is_some();
        let message = outdated.map_or_else(|| message.to_vec(), |(_, described)| described);
        // Delivery reports a message that cannot be decoded.
        let Ok(Message::Relation(description)) = pgoutput::decode(&message) else {
            return Ok(());
        };
        let found = self
            .table(&description, transaction, &mut delivery.relations)
            .await?;
        match found.changed_by {
            Some(xid) => drop(
                self.outdated
                    .insert(description.oid, (xid, message.clone())),
            ),
            None => drop(self.outdated.remove(&description.oid)),
        }
        let columns = (!found.columns.is_empty()).then_some(found.columns);
        if is_again {
            delivery.describe(&description, columns.as_deref());
        } else {
            delivery.next_columns = columns;
        }
        Ok(())
    }

    /// The table of a description, in the catalogue as of a transaction.
    async fn table(
        &mut self,
        description: &RelationMessage<'_>,
        transaction: Option<Xid>,
        relations: &mut Relations,
    ) -> Result<CatalogueTable, ReaderError> {
        self.add_types(description, relations).await?;
        let (server, oid) = (&self.config.server, description.oid);
        let found = self.catalogue.table(server, oid, transaction).await?;
        let (schema, table) = (description.schema, description.name);
        if found.columns.is_empty() {
            tracing::warn!(
                schema,
                table,
                oid,
                "the table is no longer there: its events have the key of the replica identity, and no defaults"
            );
        } else if let Some(xid) = found.changed_by {
            tracing::warn!(
                schema, table, %xid,
                "the table was changed after the transaction that is read: what was changed of key, defaults and NOT NULL is \
                 left out of the events before"
            );
        }
        Ok(found)
    }

    /// Adds the types of a description to `relations`, if it has one that is not known.
    pub(super) async fn add_types(
        &mut self,
        description: &RelationMessage<'_>,
        relations: &mut Relations,
    ) -> Result<(), ReaderError> {
        if !self.config.describe {
            return Ok(());
        }
        let server = &self.config.server;
        let oids = || description.columns.iter().map(|column| column.type_oid);
        // Before types that refer to it.
        if relations.types().lacks_money(oids()) {
            let decimals = self.catalogue.money_decimals(server).await?;
            relations.types_mut().set_money(decimals);
        }
        let lacking: Vec<_> = oids().filter(|oid| relations.types().lacks(*oid)).collect();
        if !lacking.is_empty() {
            let types = self.catalogue.types(server, &lacking).await?;
            relations.types_mut().add(&types, &lacking);
        }
        Ok(())
    }
}
