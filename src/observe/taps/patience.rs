//! Patience with a registry that is away for a moment: a record that is not read is a change that does not come.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::observe::records::RecordError;

/// How long the first record waits whose schema the registry does not give. Those after it do not wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long after it, another one waits.
const UNTIL_PATIENT_AGAIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// Since when the registry is away.
#[derive(Debug, Default)]
pub(super) struct Patience {
    away_since: Cell<Option<Instant>>,
}

impl Patience {
    /// Tries until the registry answers, or has been waited for.
    ///
    /// # Errors
    /// The last one.
    pub(super) fn decode<T>(
        &self,
        once: impl Fn() -> Result<T, RecordError>,
    ) -> Result<T, RecordError> {
        loop {
            let decoded = once();
            if !decoded.as_ref().is_err_and(RecordError::may_pass) {
                return decoded;
            }
            let since = self.away_since.get();
            let since = since.filter(|since| since.elapsed() < UNTIL_PATIENT_AGAIN);
            let since = since.unwrap_or_else(Instant::now);
            self.away_since.set(Some(since));
            if since.elapsed() >= PATIENCE {
                return decoded;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
