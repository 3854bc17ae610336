//! Whether the servers answer: each is asked a small question every second, beside its tap, for a tap of an idle pipeline is silent
//! anyhow.
//!
//! | module | what it is |
//! | --- | --- |
//! | `pulses` | those of all, by tap, and what has changed |
//! | `pings` | who asks |

mod pings;
mod pulses;

pub(super) use pings::Pings;
pub(super) use pulses::{PulseChange, Pulses};
