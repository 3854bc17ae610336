//! The servers' files: fetched by the user's own `mvn` and `pip`, which know their registries, mirrors and proxies, and
//! checked against our list of SHA-256 sums.

use std::path::PathBuf;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::download::Downloads;
use super::jars::{folder_of, inspect, provide_set};
use super::manifest::{DEBEZIUM, PLUGINS, POMS, sums, version};
use super::postgres::{postgres_folder, unpack_postgres};
use super::store::{StoreProgram, installed_store, provide_store};
use crate::background::{ProgressReporter, in_background};
use crate::cache::Cache;
use crate::error::StackError;
use crate::progress::StepProgress;

/// Everything a local stack is made of, on disk and checked.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    /// Jars of the broker and of Connect.
    pub(crate) kafka: PathBuf,
    /// Connect's `plugin.path`, holding Debezium's jars.
    pub(crate) plugins: PathBuf,
    /// PostgreSQL's `bin`.
    pub(crate) postgres_bin: PathBuf,
    /// The document store.
    pub(crate) store: StoreProgram,
}

/// Verifies all artifacts and fetches what is missing or wrong.
pub(crate) async fn provide(
    cache: &Cache,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<Artifacts, StackError> {
    let (here, stop) = (cache.clone(), cancel.child_token());
    let store = provided(progress, move |reporter| {
        // A complete cache is not written to: it may belong to another user.
        if let Some(store) = complete(&here)? {
            return Ok((false, store));
        }
        let _lock = lock(&here, reporter)?;
        let downloads = Downloads::new(reporter);
        let (fetched, store) = std::thread::scope(|scope| {
            let sets = POMS.map(|(set, pom)| {
                let (cache, downloads, stop) = (&here, &downloads, &stop);
                scope.spawn(move || or_stop(provide_set(cache, set, pom, downloads, stop), stop))
            });
            let store = or_stop(provide_store(&here, &downloads, &stop), &stop);
            let fetched = sets.map(|set| set.join().unwrap_or(Err(StackError::Cancelled)));
            match (any_fetched(fetched), store) {
                (Ok(fetched), Ok(store)) => Ok((fetched, store)),
                (Err(StackError::Cancelled), Err(error))
                | (Err(error), _)
                | (Ok(_), Err(error)) => Err(error),
            }
        })?;
        unpack_postgres(&here, reporter)?;
        Ok((fetched, store))
    });
    Ok(Artifacts {
        store: store.await?,
        kafka: cache.path("artifacts/kafka"),
        plugins: cache.path(PLUGINS),
        postgres_bin: postgres_folder(cache).join("bin"),
    })
}

/// Verifies or fetches Debezium's jars. Returns Connect's `plugin.path`.
pub(crate) async fn provide_debezium(
    cache: &Cache,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<PathBuf, StackError> {
    let (here, stop) = (cache.clone(), cancel.clone());
    let work = provided(progress, move |reporter| {
        let (set, pom) = POMS[1];
        if inspect(&folder_of(&here, set), &sums(set)?).is_empty() {
            return Ok((false, ()));
        }
        let _lock = lock(&here, reporter)?;
        let downloads = Downloads::new(reporter);
        provide_set(&here, set, pom, &downloads, &stop).map(|fetched| (fetched, ()))
    });
    work.await?;
    Ok(cache.path(PLUGINS))
}

/// The outcome of one part. When it has failed, the others are stopped: what is to be done is said at once.
fn or_stop<T>(outcome: Result<T, StackError>, stop: &CancellationToken) -> Result<T, StackError> {
    if outcome.is_err() {
        stop.cancel();
    }
    outcome
}

/// Whether any set was fetched, or the failure for which the others were stopped.
fn any_fetched(
    sets: impl IntoIterator<Item = Result<bool, StackError>>,
) -> Result<bool, StackError> {
    sets.into_iter()
        .reduce(|one, other| match (one, other) {
            (Ok(one), Ok(other)) => Ok(one || other),
            (Err(StackError::Cancelled), Err(error)) | (Err(error), _) | (_, Err(error)) => {
                Err(error)
            }
        })
        .unwrap_or(Ok(false))
}

fn lock(cache: &Cache, reporter: &ProgressReporter) -> Result<std::fs::File, StackError> {
    let name = "artifacts.lock";
    let file = cache.lock_file(name)?;
    if file.try_lock().is_err() {
        reporter.detail("another cdc-bench is fetching them; waiting for it");
        file.lock()
            .map_err(StackError::io("lock", cache.path(name)))?;
    }
    Ok(file)
}

/// Runs the verification and fetching in the background, as one step.
async fn provided<T: Send + 'static>(
    progress: &dyn StepProgress,
    work: impl FnOnce(&ProgressReporter) -> Result<(bool, T), StackError> + Send + 'static,
) -> Result<T, StackError> {
    let step = "artifacts";
    progress.begin(step);
    let began = Instant::now();
    let (fetched, outcome) = in_background(progress, step, work).await?;
    progress.end(
        step,
        if fetched {
            "fetched and checked"
        } else {
            "checked"
        },
    );
    tracing::info!(took_ms = began.elapsed().as_millis(), fetched, "artifacts");
    Ok(outcome)
}

/// The store's program, if every file of every set is there and matches its sum.
fn complete(cache: &Cache) -> Result<Option<StoreProgram>, StackError> {
    let verified = std::thread::scope(|scope| {
        let sets = POMS.map(|(set, _)| {
            scope.spawn(move || Ok(inspect(&folder_of(cache, set), &sums(set)?).is_empty()))
        });
        sets.into_iter()
            .map(|set| set.join().unwrap_or(Ok(false)))
            .collect::<Result<Vec<bool>, StackError>>()
    })?;
    let unpacked = postgres_folder(cache).join("bin/postgres").exists();
    Ok(installed_store(cache).filter(|_| unpacked && !verified.contains(&false)))
}

/// Fetches missing artifacts and starts nothing.
///
/// # Errors
/// When an artifact cannot be fetched or does not match its sum.
pub async fn fetch(
    cache: &Cache,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<(), StackError> {
    provide(cache, progress, cancel).await.map(drop)
}

/// Fetches Debezium's jars if they are missing. Returns the folder for Connect's `plugin.path`.
///
/// # Errors
/// When they cannot be fetched or do not match their sums.
pub async fn fetch_debezium(
    cache: &Cache,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<PathBuf, StackError> {
    provide_debezium(cache, progress, cancel).await
}

/// The state of each set.
pub(crate) fn inspect_all(cache: &Cache) -> Vec<ArtifactSetState> {
    let versions = [version::kafka(), version::debezium(), version::postgres()];
    let names = ["Kafka", DEBEZIUM, "PostgreSQL"];
    let sets = POMS.iter().zip(versions).zip(names);
    sets.filter_map(|(((set, _), version), name)| {
        let sums = sums(set).ok()?;
        let folder = folder_of(cache, set);
        Some(ArtifactSetState {
            name,
            version,
            files: sums.len(),
            problems: inspect(&folder, &sums),
            folder,
        })
    })
    .collect()
}

/// The state of one set of artifacts.
#[derive(Debug)]
pub(crate) struct ArtifactSetState {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) files: usize,
    pub(crate) problems: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_is_told_and_not_that_others_were_stopped_for_it() {
        let stopped = || Err(StackError::Cancelled);
        let failed = || {
            Err(StackError::MissingPrerequisite {
                what: "Maven (mvn)".to_owned(),
                advice: String::new(),
            })
        };
        for sets in [
            [stopped(), failed(), Ok(true)],
            [Ok(true), stopped(), failed()],
            [failed(), stopped(), stopped()],
        ] {
            assert!(matches!(
                any_fetched(sets),
                Err(StackError::MissingPrerequisite { .. })
            ));
        }
        assert!(matches!(
            any_fetched([Ok(true), stopped(), Ok(false)]),
            Err(StackError::Cancelled)
        ));
        assert!(any_fetched([Ok(false), Ok(true)]).is_ok_and(|fetched| fetched));
        assert!(any_fetched([Ok(false), Ok(false)]).is_ok_and(|fetched| !fetched));
    }
}
