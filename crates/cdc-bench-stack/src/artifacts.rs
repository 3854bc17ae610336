//! The servers' files: fetched by the user's own `mvn` and `pip`, which know their registries, mirrors and proxies, and
//! checked against our list of SHA-256 sums.

mod download;
mod jars;
mod manifest;
mod maven;
mod postgres;
mod provide;
mod store;

pub(crate) use manifest::{APT, DEBEZIUM, version};
pub(crate) use provide::{Artifacts, inspect_all, provide, provide_debezium};
pub use provide::{fetch, fetch_debezium};
pub(crate) use store::{StoreProgram, installed_store};
