//! How long is waited for a server that does not answer: less once the user has asked to stop.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for work that grows with what there is, as with the documents of a collection that is dropped.
const LIMIT_OF_LARGE_WORK: Duration = Duration::from_secs(600);

/// Longest wait for an answer once the user has asked to stop: he waits for all servers together, and ten seconds at most.
const ANSWER_ONCE_ASKED: Duration = Duration::from_millis(1_500);

/// And for work of a server that does answer.
const WORK_ONCE_ASKED: Duration = Duration::from_secs(4);

/// Waits long while nobody is in a hurry, and for a moment once the user has asked to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a> {
    asked: &'a CancellationToken,
    limit: Duration,
    limit_once_asked: Duration,
}

impl<'a> Patience<'a> {
    /// For an answer. Until this token is cancelled, nobody is in a hurry.
    pub(crate) fn for_an_answer(asked: &'a CancellationToken) -> Self {
        Self {
            asked,
            limit: LIMIT,
            limit_once_asked: ANSWER_ONCE_ASKED,
        }
    }

    /// For work of a server that does answer.
    pub(crate) fn for_work(asked: &'a CancellationToken) -> Self {
        Self {
            limit_once_asked: WORK_ONCE_ASKED,
            ..Self::for_an_answer(asked)
        }
    }

    /// The same for work that grows with what there is.
    pub(crate) fn for_large_work(self) -> Self {
        Self {
            limit: LIMIT_OF_LARGE_WORK,
            ..self
        }
    }

    /// Without a limit until the user asks to stop, and with this one from then on.
    pub(crate) fn for_ever_until(asked: &'a CancellationToken, limit_once_asked: Duration) -> Self {
        Self {
            asked,
            limit: Duration::MAX,
            limit_once_asked,
        }
    }

    /// What the work returns, or `None` when that took too long.
    pub(crate) async fn within<T>(self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.out() => None,
        }
    }

    /// Whether the user has asked to stop.
    pub(crate) fn is_short(self) -> bool {
        self.asked.is_cancelled()
    }

    async fn out(self) {
        tokio::select! {
            () = self.asked.cancelled() => {}
            () = sleep(self.limit - self.limit_once_asked) => {}
        }
        sleep(self.limit_once_asked).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_ends_a_moment_after_the_user_has_asked_to_stop() {
        let asked = CancellationToken::new();
        let long = Patience {
            limit_once_asked: Duration::from_millis(20),
            ..Patience::for_an_answer(&asked)
        };
        let short = Patience {
            limit: Duration::from_millis(30),
            ..long
        };
        let began = Instant::now();
        assert_eq!(short.within(pending::<()>()).await, None);
        assert!(began.elapsed() >= short.limit);

        let asking = async { asked.cancel() };
        // It would be a minute otherwise.
        let (answer, ()) = tokio::join!(long.within(pending::<()>()), asking);
        assert_eq!(answer, None);
        assert!(began.elapsed() < LIMIT);
        assert!(long.is_short());
        assert_eq!(long.within(async { 7 }).await, Some(7));
    }
}
