//! Processes: their signals, their children, and those that run.

use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub fn id(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

pub fn signal(pid: i32, signal: Signal) {
    // It may have ended already.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// A process and all of its children.
pub fn tree(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        at += 1;
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace();
        found.extend(children.map(|pid| pid.parse::<i32>().unwrap()));
    }
    found
}

pub fn signal_all(processes: &[i32], how: Signal) {
    processes.iter().for_each(|pid| signal(*pid, how));
}

/// Processes whose command line holds `text`.
pub fn running(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    found
}
