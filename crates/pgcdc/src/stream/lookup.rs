//! Looks up in the catalogue what a table's description in the stream does not carry.

use std::rc::Rc;

use crate::ReaderError;
use crate::catalogue::{Catalogue, CatalogueColumn};
use crate::config::ReaderConfig;
use crate::pgoutput::{self, Message, RelationMessage};
use crate::relation::Relations;

/// Looks up tables and types, if [`ReaderConfig::describe`] asks for it.
pub(super) struct CatalogueLookup {
    config: Rc<ReaderConfig>,
    catalogue: Catalogue,
}

impl CatalogueLookup {
    pub(super) fn new(config: Rc<ReaderConfig>) -> Self {
        Self {
            config,
            catalogue: Catalogue::default(),
        }
    }

    pub(super) fn catalogue(&mut self) -> &mut Catalogue {
        &mut self.catalogue
    }

    /// Whether this message of the stream needs a lookup: a table's description.
    pub(super) fn is_needed(&self, message: &[u8]) -> bool {
        self.config.describe && message.first() == Some(&b'R')
    }

    /// The columns of the table that the message describes; user-defined types of them are added to `relations`. `None` for
    /// a table that was dropped since.
    pub(super) async fn columns(
        &mut self,
        message: &[u8],
        relations: &mut Relations,
    ) -> Result<Option<Vec<CatalogueColumn>>, ReaderError> {
        // Delivery reports a message that cannot be decoded.
        let Ok(Message::Relation(description)) = pgoutput::decode(message) else {
            return Ok(None);
        };
        self.add_types(&description, relations).await?;
        let server = &self.config.server;
        let columns = self.catalogue.columns(server, description.oid).await?;
        Ok((!columns.is_empty()).then_some(columns))
    }

    /// Adds the user-defined types of the database to `relations`, if the description has one that is not known.
    pub(super) async fn add_types(
        &mut self,
        description: &RelationMessage<'_>,
        relations: &mut Relations,
    ) -> Result<(), ReaderError> {
        if self.config.describe && relations.lacks_a_type_of(description) {
            let types = self.catalogue.types(&self.config.server).await?;
            relations.types_mut().add(&types);
        }
        Ok(())
    }
}
