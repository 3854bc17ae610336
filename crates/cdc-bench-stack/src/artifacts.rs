//! The servers' files: fetched by the user's own `mvn` and `pip`, which know their registries, mirrors and proxies, and
//! checked against sums of ours.

mod jars;
mod postgres;
mod store;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use self::jars::{folder_of, inspect, provide_set, sums};
use self::postgres::{postgres_folder, unpack_postgres};
use self::store::provide_store;
use super::cache::Cache;
use super::client::{Teller, in_background};
use super::download::Downloads;
use super::inspect::SetState;
use super::{Progress, StackError};

pub(super) use self::store::{StoreProgram, store_at_hand};

const SUMS: &str = include_str!("../artifacts/artifacts.sha256");
/// The same files' sizes, bytes.
const SIZES: &str = include_str!("../artifacts/artifacts.bytes");
const REQUIREMENTS: &str = include_str!("../artifacts/requirements.txt");
const POMS: [(&str, &str); 3] = [
    ("kafka", include_str!("../artifacts/maven/kafka.xml")),
    ("debezium", include_str!("../artifacts/maven/debezium.xml")),
    ("postgres", include_str!("../artifacts/maven/postgres.xml")),
];
/// Connect's `plugin.path` within the cache.
const PLUGINS: &str = "artifacts/plugins";

/// Debezium's name, as it is shown.
pub(super) const DEBEZIUM: &str = "Debezium";

/// What to type where something is missing, on Debian.
pub(super) const APT: &str =
    "on Debian: apt-get install openjdk-17-jre-headless maven python3-venv";

/// Versions, out of the poms themselves.
pub(super) mod version {
    use super::{POMS, REQUIREMENTS};

    /// Apache Kafka's.
    pub(crate) fn kafka() -> &'static str {
        between(POMS[0].1, "<kafka.version>", "<")
    }

    /// Debezium's.
    pub(crate) fn debezium() -> &'static str {
        between(POMS[1].1, "<debezium.version>", "<")
    }

    /// PostgreSQL's.
    pub(crate) fn postgres() -> &'static str {
        between(POMS[2].1, "<postgres.version>", "<")
    }

    /// SecantusDB's.
    pub(crate) fn secantusdb() -> &'static str {
        between(REQUIREMENTS, "secantusdb==", " ")
    }

    fn between(text: &'static str, before: &str, after: &str) -> &'static str {
        text.split_once(before)
            .and_then(|(_, rest)| rest.split_once(after))
            .map_or("unknown", |(version, _)| version)
    }
}

/// Everything a local stack is made of, on disk and checked.
#[derive(Debug, Clone)]
pub(super) struct Artifacts {
    /// Jars of the broker and of Connect.
    pub(super) kafka: PathBuf,
    /// Connect's `plugin.path`, holding Debezium's jars.
    pub(super) plugins: PathBuf,
    /// PostgreSQL's `bin`.
    pub(super) postgres_bin: PathBuf,
    /// The document store.
    pub(super) store: StoreProgram,
}

/// Makes sure that everything is there, and is what it must be; fetches what is not.
pub(super) async fn provide(
    cache: &Cache,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Artifacts, StackError> {
    let (here, stop) = (cache.clone(), cancel.clone());
    let store = provided(progress, move |teller| {
        // Nothing to write where all is there: a cache may belong to somebody else.
        if let Some(store) = complete(&here)? {
            return Ok((false, store));
        }
        let _lock = lock(&here, teller)?;
        let downloads = Downloads::new(teller);
        std::thread::scope(|scope| {
            let sets = POMS.map(|(set, pom)| {
                let (cache, downloads, stop) = (&here, &downloads, &stop);
                scope.spawn(move || provide_set(cache, set, pom, downloads, stop))
            });
            let store = provide_store(&here, &downloads, &stop);
            let fetched: Result<Vec<bool>, StackError> = sets
                .into_iter()
                .map(|set| set.join().unwrap_or(Err(StackError::Cancelled)))
                .collect();
            let (fetched, store) = (fetched?.contains(&true), store?);
            unpack_postgres(&here, teller)?;
            Ok((fetched, store))
        })
    });
    Ok(Artifacts {
        store: store.await?,
        kafka: cache.path("artifacts/kafka"),
        plugins: cache.path(PLUGINS),
        postgres_bin: postgres_folder(cache).join("bin"),
    })
}

/// Makes sure that Debezium's jars are there; Connect's `plugin.path`.
pub(super) async fn provide_debezium(
    cache: &Cache,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<PathBuf, StackError> {
    let (here, stop) = (cache.clone(), cancel.clone());
    let work = provided(progress, move |teller| {
        let (set, pom) = POMS[1];
        if inspect(&folder_of(&here, set), &sums(set)?).is_empty() {
            return Ok((false, ()));
        }
        let _lock = lock(&here, teller)?;
        let downloads = Downloads::new(teller);
        provide_set(&here, set, pom, &downloads, &stop).map(|fetched| (fetched, ()))
    });
    work.await?;
    Ok(cache.path(PLUGINS))
}

fn lock(cache: &Cache, teller: &Teller) -> Result<std::fs::File, StackError> {
    let name = "artifacts.lock";
    let file = cache.lock_file(name)?;
    if file.try_lock().is_err() {
        teller.say("another cdc-bench is fetching them; waiting for it");
        file.lock()
            .map_err(StackError::io("lock", cache.path(name)))?;
    }
    Ok(file)
}

/// Looks, and fetches, in the background; says whether something had to be fetched.
async fn provided<T: Send + 'static>(
    progress: &dyn Progress,
    work: impl FnOnce(&Teller) -> Result<(bool, T), StackError> + Send + 'static,
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

/// The store's program when every file of every set is there and right.
fn complete(cache: &Cache) -> Result<Option<StoreProgram>, StackError> {
    let right = std::thread::scope(|scope| {
        let sets = POMS.map(|(set, _)| {
            scope.spawn(move || Ok(inspect(&folder_of(cache, set), &sums(set)?).is_empty()))
        });
        sets.into_iter()
            .map(|set| set.join().unwrap_or(Ok(false)))
            .collect::<Result<Vec<bool>, StackError>>()
    })?;
    let unpacked = postgres_folder(cache).join("bin/postgres").exists();
    Ok(store_at_hand(cache).filter(|_| unpacked && !right.contains(&false)))
}

/// Fetches what is missing, and starts nothing.
///
/// # Errors
/// When it cannot be had.
pub async fn fetch(
    cache: &Cache,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), StackError> {
    provide(cache, progress, cancel).await.map(drop)
}

/// Fetches Debezium's jars where they are missing; the folder that Connect's `plugin.path` names.
///
/// # Errors
/// When they cannot be had.
pub async fn fetch_debezium(
    cache: &Cache,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<PathBuf, StackError> {
    provide_debezium(cache, progress, cancel).await
}

/// How each set stands.
pub(super) fn inspect_all(cache: &Cache) -> Vec<SetState> {
    let versions = [version::kafka(), version::debezium(), version::postgres()];
    let names = ["Kafka", DEBEZIUM, "PostgreSQL"];
    let sets = POMS.iter().zip(versions).zip(names);
    sets.filter_map(|(((set, _), version), name)| {
        let sums = sums(set).ok()?;
        let folder = folder_of(cache, set);
        Some(SetState {
            name,
            version,
            files: sums.len(),
            wrong: inspect(&folder, &sums),
            folder,
        })
    })
    .collect()
}

fn remove(folder: &Path) -> Result<(), StackError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StackError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// A program on PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(executable)
}

#[cfg(test)]
mod tests {
    use super::jars::sizes;
    use super::*;

    #[test]
    fn every_file_has_a_size() {
        let files = |text: &'static str| -> Vec<_> {
            text.lines()
                .map(|line| line.split_once("  ").unwrap().1)
                .collect()
        };
        assert_eq!(files(SIZES), files(SUMS));
        assert_eq!(sizes("kafka").values().sum::<u64>(), 55_714_216);
        assert_eq!(sizes("postgres").len(), 1, "one platform's");
    }

    #[test]
    fn every_set_has_its_sums() {
        assert_eq!(sums("kafka").unwrap().len(), 91);
        assert_eq!(sums("debezium").unwrap().len(), 21);
        assert_eq!(sums("postgres").unwrap().len(), 1, "one platform's");
        assert!(sums("kafka").unwrap().values().all(|sum| sum.len() == 64));
        assert_eq!(
            (
                version::kafka(),
                version::debezium(),
                version::postgres(),
                version::secantusdb()
            ),
            ("4.3.0", "3.6.0.Final", "18.3.0", "0.7.0b3")
        );
    }
}
