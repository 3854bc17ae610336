//! The command as a plain user runs it, on servers that it starts itself. Where the tests run as root, the others show how root's
//! PostgreSQL runs as another user.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::Test;
use super::commands::shared_cache;
use super::interrupts::{start, until_step_within};
use super::stack::command::{QUICK_JVMS, assert_complete, ended, small_run};
use super::stack::processes::{id, running, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[(
    "a_plain_user_can_run_it_and_servers_do_not_outlive_a_killed_run",
    killed_and_run_again,
)];

const NOBODY: u32 = 65_534;

/// A user with a home of his own, and a cache with the artifacts.
struct PlainUser {
    home: TempDir,
    results: TempDir,
}

impl PlainUser {
    fn new(stack: &TestStack) -> Self {
        use std::os::unix::fs::{PermissionsExt, chown};
        let user = Self {
            home: open_folder(),
            results: open_folder(),
        };
        std::fs::create_dir(user.state()).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_cdc-bench"), user.program()).unwrap();
        std::fs::set_permissions(user.program(), std::fs::Permissions::from_mode(0o755)).unwrap();
        if !nix::unistd::geteuid().is_root() {
            return user;
        }
        for path in [user.home.path(), &user.state(), user.results.path()] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        // An own copy of the jars and the classes, so that they are not fetched or written again; but the store's Python must be one
        // that every user may run, which root's own may not be.
        let cache = user.cache();
        std::fs::create_dir(&cache).unwrap();
        let ran = |command: &mut Command| assert!(command.status().unwrap().success());
        let shared = PathBuf::from(shared_cache(stack));
        let parts = ["artifacts", "classes"].map(|part| shared.join(part));
        let parts = parts.iter().filter(|part| part.exists());
        ran(Command::new("cp").arg("-Rp").args(parts).arg(&cache));
        ran(Command::new("chown")
            .args(["-R", &format!("{NOBODY}:{NOBODY}")])
            .arg(&cache));
        user
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    fn program(&self) -> PathBuf {
        self.home.path().join("cdc-bench")
    }

    /// A run of 100 events.
    fn run(&self) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.program());
        if nix::unistd::geteuid().is_root() {
            command
                .uid(NOBODY)
                .gid(NOBODY)
                .env("CDC_BENCH_CACHE_DIR", self.cache())
                .env(
                    "PATH",
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                );
        }
        command
            .env("HOME", self.home.path())
            .env("CDC_BENCH_STATE_DIR", self.state())
            .env(QUICK_JVMS.0, QUICK_JVMS.1)
            .current_dir(self.home.path());
        small_run(command, self.results.path(), &["--events", "100"])
    }
}

fn folders(state: &Path) -> usize {
    let entries = std::fs::read_dir(state).unwrap().flatten();
    entries.filter(|entry| entry.path().is_dir()).count()
}

fn killed_and_run_again(stack: &TestStack) {
    let user = PlainUser::new(stack);
    let mut first = start(user.run());
    // The store's Python environment is made and PostgreSQL is unpacked before.
    let limit = Duration::from_secs(300);
    until_step_within(limit, &mut first, user.results.path(), "servers");
    let here = user.state().display().to_string();
    until("the servers to have started", || {
        let servers = running(&here);
        let has = |name: &str| servers.iter().any(|line| line.contains(name));
        has("kafka.Kafka") && has("/postgres/data") && has("/store")
    });
    signal(id(&first), Signal::SIGKILL);
    first.wait().unwrap();
    until("the servers to be gone", || running(&here).is_empty());
    assert_eq!(folders(&user.state()), 1, "nobody could remove it");
    assert_complete(&ended(user.run()).json(), 100);
    assert_eq!(running(&here), [""; 0]);
    assert_eq!(
        folders(&user.state()),
        0,
        "swept, and the second run's removed"
    );
}
