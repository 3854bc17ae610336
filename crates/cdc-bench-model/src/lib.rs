//! What cdc-bench measures, and what it concludes: no client of any server is known here.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`event`] | the outbox row, the events it carries, their generator |
//! | [`timeline`] | capture paths, stamps, hops, clocks and their offsets, the joining of an event's stamps |
//! | [`observation`] | a pipeline of somebody else: its changes joined without an id of ours |
//! | [`analysis`] | quantiles, objectives, diagnosis, comparison |
//! | [`report`] | a result's files, read back, and as text, JSON, HTML, Markdown, JUnit, CSV |
//! | [`RunId`] | the name of a run |

pub mod analysis;
pub mod event;
pub mod observation;
pub mod report;
mod run_id;
pub mod timeline;

pub use run_id::RunId;
