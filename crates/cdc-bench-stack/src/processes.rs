//! Processes: servers as children that are kept running, and other people's clients that run to their end.

mod child;
mod class_archive;
mod client;
mod supervision;

pub(crate) use child::{Child, ServerSpec, detach_from_terminal, kill_group, pid, tail};
pub(crate) use class_archive::ClassArchive;
pub(crate) use client::{OutputStream, watch};
pub use supervision::ServerStatus;
pub(crate) use supervision::Supervision;
