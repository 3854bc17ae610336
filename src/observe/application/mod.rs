//! What the application says of its statements, in lines of its own: when each was sent, so that a change's way begins there.

mod incidents;
mod watch;

pub(super) use watch::ApplicationWatch;
