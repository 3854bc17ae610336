//! A process with its descendants. PostgreSQL's backends are in process groups of their own, so a signal to the server's group does
//! not reach them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The id of a process as signals take it.
pub(crate) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

/// Sends a signal to a process, then to its descendants: a parent that stands still makes no further child meanwhile.
pub(crate) fn signal_tree(root: u32, signal: Signal) {
    for process in tree(root) {
        // It may be gone already.
        let _ = kill(pid(process), signal);
    }
}

/// The process and its descendants, parents first; the process alone where there is no proc(5).
fn tree(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent = |entry: std::fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((process, parent_in(&stat)?))
    };
    entries.filter_map(parent).collect()
}

/// The parent in `/proc/PID/stat`. The command's name, in parentheses, may itself hold spaces and parentheses.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 (cut"), None);
    }

    #[test]
    fn a_child_in_a_session_of_its_own_belongs_to_the_tree() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "setsid sleep 600 & wait"])
            .spawn()
            .unwrap();
        let began = std::time::Instant::now();
        while tree(shell.id()).len() < 2 {
            assert!(began.elapsed().as_secs() < 10, "{:?}", tree(shell.id()));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let all = tree(shell.id());
        signal_tree(shell.id(), Signal::SIGKILL);
        shell.wait().unwrap();
        while all.iter().any(|process| kill(pid(*process), None).is_ok()) {
            assert!(began.elapsed().as_secs() < 20, "{all:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
