//! A task that has an OS thread, and a runtime on it, for itself.
//!
//! Work on one event at a time is mostly waiting. On a runtime of several threads each thing that comes wakes a second thread, which
//! looks for work and finds none; here it wakes one.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for tasks that a library has begun and that outlive the task: those of the store's client give back what they have.
const LEFT_OVERS: Duration = Duration::from_millis(500);
/// Between two looks at them.
const POLL: Duration = Duration::from_millis(1);

/// Runs a task on a thread of this name. To be awaited and aborted as one of the caller's own runtime.
///
/// # Errors
/// When there is no thread or no runtime to be had.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    task: impl Future<Output = T> + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    // Spawned, and not blocked on: what wakes the future that is blocked on goes through the kernel, also from its own thread.
    let handle = runtime.spawn(async move {
        let _guard = guard;
        task.await
    });
    let left = runtime.metrics();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(async {
                ended.cancelled().await;
                let left_over = async {
                    while left.num_alive_tasks() > 0 {
                        tokio::time::sleep(POLL).await;
                    }
                };
                // What does not end by itself ends with the runtime.
                let _ = tokio::time::timeout(LEFT_OVERS, left_over).await;
            });
        })?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_has_its_thread_and_what_it_began_ends_before_that_does() {
        let (begun, ends) = tokio::sync::oneshot::channel();
        let task = spawn("own", async move {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                begun.send(()).unwrap();
            });
            std::thread::current().name().map(ToOwned::to_owned)
        });
        assert_eq!(task.unwrap().await.unwrap().as_deref(), Some("own"));
        ends.await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_is_aborted_is_dropped() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let task = spawn("own", async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        let task = task.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_is_its_outcome() {
        let task = spawn("own", async { panic!("expected") });
        assert!(task.unwrap().await.unwrap_err().is_panic());
    }
}
