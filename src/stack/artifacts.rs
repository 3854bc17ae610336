//! The servers' files: fetched by the user's own `mvn` and `pip`, which know their registries, mirrors and proxies, and
//! checked against sums of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::client::{Voice, in_background, watch};
use super::inspect::SetState;
use super::{Progress, StackError};

const SUMS: &str = include_str!("../../stack/artifacts.sha256");
const REQUIREMENTS: &str = include_str!("../../stack/requirements.txt");
const POMS: [(&str, &str); 3] = [
    ("kafka", include_str!("../../stack/maven/kafka.xml")),
    ("debezium", include_str!("../../stack/maven/debezium.xml")),
    ("postgres", include_str!("../../stack/maven/postgres.xml")),
];
/// Pinned as the artifacts are: what another version copies may differ.
const COPY_GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

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

/// The document store's program.
#[derive(Debug, Clone)]
pub(super) enum StoreProgram {
    /// MongoDB's own, found on PATH.
    Mongod(PathBuf),
    /// SecantusDB's, in a venv of its own.
    Secantus(PathBuf),
}

/// The platform's name in PostgreSQL's artifact.
fn platform() -> Result<&'static str, StackError> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-amd64"),
        ("linux", "aarch64") => Ok("linux-arm64v8"),
        ("macos", "x86_64") => Ok("darwin-amd64"),
        ("macos", "aarch64") => Ok("darwin-arm64v8"),
        (os, arch) => Err(StackError::MissingPrerequisite {
            what: format!("a PostgreSQL build for {os} on {arch}"),
            advice: "use --stack external or --stack compose".to_owned(),
        }),
    }
}

/// The sums of one set: file name -> SHA-256 in hexadecimal.
fn sums(set: &str) -> Result<BTreeMap<&'static str, &'static str>, StackError> {
    let platform = platform()?;
    let mine = |file: &str| set != "postgres" || file.contains(&format!("-{platform}-"));
    let entry = |line: &'static str| {
        let (sum, path) = line.split_once("  ")?;
        let (of, file) = path.split_once('/')?;
        (of == set && mine(file)).then_some((file, sum))
    };
    Ok(SUMS.lines().filter_map(entry).collect())
}

/// What is wrong with a folder of jars; nothing when it holds exactly what it must.
fn inspect(folder: &Path, sums: &BTreeMap<&str, &str>) -> Vec<String> {
    let present: BTreeSet<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .collect();
    let mut wrong = Vec::new();
    for (file, sum) in sums {
        if !present.contains(*file) {
            wrong.push(format!("{file} is missing"));
        } else if sha256(&folder.join(file)).as_deref() != Some(sum) {
            wrong.push(format!("{file} does not match its SHA-256"));
        }
    }
    // Java would load a stranger too.
    wrong.extend(
        present
            .iter()
            .filter(|file| !sums.contains_key(file.as_str()))
            .map(|file| format!("{file} does not belong there")),
    );
    wrong
}

fn sha256(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Some(
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

/// Makes sure that everything is there, and is what it must be; fetches what is not.
pub(super) async fn provide(
    cache: &Cache,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Artifacts, StackError> {
    let (here, stop) = (cache.clone(), cancel.clone());
    let store = provided(progress, move |tell| {
        // Nothing to write where all is there: a cache may belong to somebody else.
        if let Some(store) = complete(&here)? {
            return Ok((false, store));
        }
        let _lock = lock(&here)?;
        std::thread::scope(|scope| {
            let sets = POMS.map(|(set, pom)| {
                let (cache, stop) = (&here, &stop);
                scope.spawn(move || provide_set(cache, set, pom, tell, stop))
            });
            let store = provide_store(&here, tell, &stop);
            let fetched: Result<Vec<bool>, StackError> = sets
                .into_iter()
                .map(|set| set.join().unwrap_or(Err(StackError::Cancelled)))
                .collect();
            let (fetched, store) = (fetched?.contains(&true), store?);
            unpack_postgres(&here)?;
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
    let work = provided(progress, move |tell| {
        let (set, pom) = POMS[1];
        if inspect(&folder_of(&here, set), &sums(set)?).is_empty() {
            return Ok((false, ()));
        }
        let _lock = lock(&here)?;
        provide_set(&here, set, pom, tell, &stop).map(|fetched| (fetched, ()))
    });
    work.await?;
    Ok(cache.path(PLUGINS))
}

fn lock(cache: &Cache) -> Result<std::fs::File, StackError> {
    let name = "artifacts.lock";
    let file = cache.lock_file(name)?;
    file.lock()
        .map_err(StackError::io("lock", cache.path(name)))?;
    Ok(file)
}

/// Looks, and fetches, in the background; says whether something had to be fetched.
async fn provided<T: Send + 'static>(
    progress: &dyn Progress,
    work: impl FnOnce(&(dyn Fn(&str) + Sync)) -> Result<(bool, T), StackError> + Send + 'static,
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

/// Where a set lies: Connect isolates plugins by folder, so Debezium's jars have one within the plugin path.
fn folder_of(cache: &Cache, set: &str) -> PathBuf {
    cache.path(&if set == "debezium" {
        format!("{PLUGINS}/{set}")
    } else {
        format!("artifacts/{set}")
    })
}

/// True when something had to be fetched.
fn provide_set(
    cache: &Cache,
    set: &str,
    pom: &str,
    tell: &dyn Fn(&str),
    stop: &CancellationToken,
) -> Result<bool, StackError> {
    let sums = sums(set)?;
    let folder = folder_of(cache, set);
    let existed = folder.exists();
    let wrong = inspect(&folder, &sums);
    if wrong.is_empty() {
        return Ok(false);
    }
    if existed {
        tracing::warn!(
            "{}: {}; fetching it again",
            folder.display(),
            wrong.join(", ")
        );
    }
    tell(&format!("{set}: {} files", sums.len()));
    let fresh = cache.path(&format!("artifacts/.fetch-{set}"));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).map_err(StackError::io("make", &fresh))?;
    // Beside the folder, not in it: the folder is to hold its jars and nothing else.
    let pom_path = cache.path(&format!("artifacts/.{set}.xml"));
    std::fs::write(&pom_path, pom).map_err(StackError::io("write", &pom_path))?;
    let fetched = maven(
        &pom_path,
        &fresh,
        |line| tell(&format!("{set}: {line}")),
        stop,
    );
    let context = |error: StackError| match error {
        StackError::Artifact { artifact, reason } if existed => StackError::Artifact {
            artifact,
            reason: format!("{}; and {reason}", wrong.join(", ")),
        },
        StackError::MissingPrerequisite { what, advice } if existed => StackError::Artifact {
            artifact: format!("{set} (cached)"),
            reason: format!(
                "{}; it cannot be fetched again: {what} is missing: {advice}",
                wrong.join(", ")
            ),
        },
        other => other,
    };
    fetched.map_err(context)?;
    let wrong = inspect(&fresh, &sums);
    if !wrong.is_empty() {
        return Err(StackError::Artifact {
            artifact: set.to_owned(),
            reason: format!(
                "what Maven fetched is not what was pinned: {}; check its mirror, and remove the files from its local repository (~/.m2)",
                wrong.join(", ")
            ),
        });
    }
    remove(&folder)?;
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(StackError::io("make", parent))?;
    }
    std::fs::rename(&fresh, &folder).map_err(StackError::io("put in place", &folder))?;
    Ok(true)
}

fn remove(folder: &Path) -> Result<(), StackError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StackError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn maven(
    pom: &Path,
    output: &Path,
    tell: impl Fn(&str),
    stop: &CancellationToken,
) -> Result<(), StackError> {
    let mut command = Command::new("mvn");
    command.args(["-B", "-C", "-f"]).arg(pom).arg(COPY_GOAL);
    command
        .arg(format!("-DoutputDirectory={}", output.display()))
        .arg(format!("-Dpostgres.platform={}", platform()?));
    let missing = || StackError::MissingPrerequisite {
        what: "Maven (mvn)".to_owned(),
        advice: APT.to_owned(),
    };
    let mut errors = Vec::new();
    let ok = watch(command, Voice::Stdout, missing, stop, |line| {
        // "Downloaded from central: <address>/x.jar (1.2 MB at 3.4 MB/s)"
        if let Some(file) = line
            .strip_prefix("Downloaded from ")
            .and_then(|rest| rest.rsplit('/').nth(1).and(Some(rest)))
        {
            let file = file
                .split(" (")
                .next()
                .and_then(|address| address.rsplit('/').next())
                .unwrap_or(file);
            tell(file);
        } else if let Some(error) = line.strip_prefix("[ERROR] ") {
            errors.push(error.to_owned());
        }
    })?;
    if ok {
        return Ok(());
    }
    errors.truncate(3);
    Err(StackError::Artifact {
        artifact: "mvn".to_owned(),
        reason: format!("could not fetch the servers: {}", errors.join(" ")),
    })
}

/// SecantusDB's program in its venv.
const SECANTUS: &str = "bin/secantusd-py";
/// Made last in a venv.
const WHOLE: &str = ".whole";

/// Named by its content: another list of requirements is another venv.
fn venv_of(cache: &Cache) -> PathBuf {
    let tag: String = Sha256::digest(REQUIREMENTS)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    cache.path(&format!("secantusdb-{}-{tag}", version::secantusdb()))
}

/// A `mongod` on PATH, or a venv that is whole.
pub(super) fn store_at_hand(cache: &Cache) -> Option<StoreProgram> {
    if let Some(mongod) = on_path("mongod") {
        return Some(StoreProgram::Mongod(mongod));
    }
    let venv = venv_of(cache);
    let program = venv.join(SECANTUS);
    (venv.join(WHOLE).exists() && program.exists()).then_some(StoreProgram::Secantus(program))
}

/// A `mongod` on PATH; else SecantusDB in a venv.
fn provide_store(
    cache: &Cache,
    tell: &dyn Fn(&str),
    stop: &CancellationToken,
) -> Result<StoreProgram, StackError> {
    if let Some(store) = store_at_hand(cache) {
        return Ok(store);
    }
    let venv = venv_of(cache);
    let program = venv.join(SECANTUS);
    tell("document store: SecantusDB");
    remove(&venv)?;
    let missing = || StackError::MissingPrerequisite {
        what: "Python 3.11 or later with venv".to_owned(),
        advice: APT.to_owned(),
    };
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    if !watch(make, Voice::Stdout, missing, stop, |_| {})? {
        remove(&venv)?;
        return Err(missing());
    }
    let list = cache.path("requirements.txt");
    std::fs::write(&list, REQUIREMENTS).map_err(StackError::io("write", &list))?;
    let mut install = Command::new(venv.join("bin/python"));
    install
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--require-hashes",
            "--only-binary=:all:",
            "-r",
        ])
        .arg(&list);
    let mut last = String::new();
    let installed = watch(install, Voice::Stdout, missing, stop, |line| {
        if let Some(package) = line.strip_prefix("Collecting ") {
            tell(&format!(
                "document store: {}",
                package.split_whitespace().next().unwrap_or(package)
            ));
        }
        line.clone_into(&mut last);
    })?;
    if !installed {
        remove(&venv)?;
        return Err(StackError::Artifact {
            artifact: "pip".to_owned(),
            reason: format!("could not install SecantusDB: {last}"),
        });
    }
    let whole = venv.join(WHOLE);
    std::fs::write(&whole, "").map_err(StackError::io("write", &whole))?;
    Ok(StoreProgram::Secantus(program))
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

fn postgres_folder(cache: &Cache) -> PathBuf {
    cache.path(&format!("postgresql-{}", version::postgres()))
}

/// Unpacks PostgreSQL once. Called with the artifacts' lock held.
fn unpack_postgres(cache: &Cache) -> Result<(), StackError> {
    let folder = postgres_folder(cache);
    if folder.join("bin/postgres").exists() {
        return Ok(());
    }
    let fresh = cache.path(".unpack-postgresql");
    remove(&fresh)?;
    let sums = sums("postgres")?;
    let jar = sums
        .keys()
        .next()
        .map(|jar| cache.path("artifacts/postgres").join(jar))
        .unwrap_or_default();
    unpack(&jar, &fresh).map_err(|reason| StackError::Artifact {
        artifact: jar.display().to_string(),
        reason,
    })?;
    remove(&folder)?;
    std::fs::rename(&fresh, &folder).map_err(StackError::io("put in place", &folder))
}

/// A jar that holds one `.txz`.
fn unpack(jar: &Path, into: &Path) -> Result<(), String> {
    let file = std::fs::File::open(jar).map_err(|e| e.to_string())?;
    let mut jar = zip::ZipArchive::new(file).map_err(|e| e.to_string())?;
    let index = (0..jar.len())
        .find(|&index| {
            jar.by_index(index)
                .is_ok_and(|entry| entry.name().is_ok_and(|name| name.ends_with(".txz")))
        })
        .ok_or("it holds no .txz")?;
    let packed = jar.by_index(index).map_err(|e| e.to_string())?;
    let tar = lzma_rust2::XzReader::new(packed, true);
    let mut archive = tar::Archive::new(tar);
    archive.set_preserve_ownerships(false);
    archive.unpack(into).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_damaged_a_missing_and_a_foreign_file_are_each_named() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.jar", "a");
        write("b.jar", "not b");
        write("x.jar", "");
        let digest = |text: &str| {
            Sha256::digest(text)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        };
        let (a, b) = (digest("a"), digest("b"));
        let sums = BTreeMap::from([
            ("a.jar", a.as_str()),
            ("b.jar", b.as_str()),
            ("c.jar", b.as_str()),
        ]);
        assert_eq!(
            inspect(folder.path(), &sums),
            [
                "b.jar does not match its SHA-256",
                "c.jar is missing",
                "x.jar does not belong there"
            ]
        );
    }
}
