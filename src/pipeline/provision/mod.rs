//! The resources of a run on servers: found or created, named, registered, and removed again.

pub(crate) mod captures;
pub(crate) mod clean_up;
pub(crate) mod collection;
pub(crate) mod connector;
pub(crate) mod dead_letter_topic;
pub(crate) mod existing_connector;
pub(crate) mod group;
pub(crate) mod load_permission;
pub(crate) mod names;
pub(crate) mod observations;
pub(crate) mod orphan_notice;
pub(crate) mod orphan_removal;
pub(crate) mod orphans;
pub(crate) mod orphans_in_use;
pub(crate) mod patience;
pub(crate) mod planned_connector;
pub(crate) mod removal;
pub(crate) mod resource_kind;
pub(crate) mod resource_registry;
pub(crate) mod rights;
pub(crate) mod route;
pub(crate) mod servers;
pub(crate) mod session_lock;
pub(crate) mod source;
pub(crate) mod topic;
