//! The canary: changes of our own, into a table that the user has made for it or as messages of the WAL, whose sending is known.
//!
//! | module | what it is |
//! | --- | --- |
//! | `sent` | what was sent, and when |
//! | `sender` | sends, and removes the rows |
//! | `watch` | what became of them, apart from the user's changes |

mod sender;
mod sent;
mod watch;

pub(super) use sender::CanarySender;
pub(super) use sent::{MESSAGE_PREFIX, Sent, change_names, key_of};
pub(super) use watch::CanaryWatch;
