//! Processes: servers as supervised child processes, and external command-line clients (mvn, pip, docker) that run to
//! completion.

mod child;
mod class_archive;
mod client;
mod gc_log;
mod outage;
mod process_name;
mod supervision;
mod tree;

pub(crate) use child::{Child, ServerSpec, detach_from_terminal, tail};
pub(crate) use class_archive::ClassArchive;
pub(crate) use client::{OutputStream, watch};
pub use gc_log::GcPause;
pub(crate) use gc_log::gc_log;
pub use outage::OutageKind;
pub(crate) use process_name::process_name;
pub use process_name::server_of;
pub use supervision::ServerProcess;
pub(crate) use supervision::Supervision;
pub(crate) use tree::pid;
