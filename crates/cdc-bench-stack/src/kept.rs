//! The kept stack, for several runs: a supervisor process owns its servers, in the foreground or detached.
//!
//! The supervisor holds the lock of the stack's folder for as long as it lives, and the kernel ends the servers with it:
//! a kept stack is either there with all its servers or not at all.

mod kept_stack;
mod record;
mod supervisor;

pub(crate) use kept_stack::Claim;
pub use kept_stack::KeptStack;
pub use supervisor::{run_kept_stack, start_kept_stack};
