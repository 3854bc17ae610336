//! `worker`: a part of the work of a test that is spread over machines.

mod heartbeats;
pub(crate) mod merge_rehearsal;
mod name;
mod ntp;
mod recording;
pub(crate) mod request;
mod share_load;
mod stamp_intake;
mod taking_part;
pub(crate) mod taking_up;
pub(crate) mod work;
