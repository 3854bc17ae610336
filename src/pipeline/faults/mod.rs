//! Faults that a run is asked to make: what is done to which process or link, when, and for how long.

mod check;
mod fault;
mod grammar;

pub use check::{ImpossibleFault, check_faults};
pub use fault::{
    Fault, FaultAction, FaultTarget, LinkAction, LinkTarget, Moment, ProcessAction, ProcessTarget,
};
pub use grammar::ParseFaultError;
