//! What work takes: processor time and memory, of this process or another.

use std::time::Instant;

/// What one drain took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drain {
    pub seconds: f64,
    /// Processor time of the reading process.
    pub cpu: f64,
    /// Most memory above what it had before, bytes; of a program that is started for it, all it had.
    pub memory: u64,
}

/// Runs work in this process, which says when it was done; what it took.
pub fn measured(work: impl FnOnce() -> Instant) -> Drain {
    let before = Process::OWN.begin();
    let began = Instant::now();
    let ended = work();
    before.end((ended - began).as_secs_f64())
}

/// A process, by its folder in `/proc`.
#[derive(Debug, Clone)]
pub struct Process(std::borrow::Cow<'static, str>);

/// What a process had when work began.
pub struct Before {
    process: Process,
    cpu: f64,
    memory: u64,
}

impl Process {
    pub const OWN: Self = Self(std::borrow::Cow::Borrowed("self"));

    pub fn of(pid: u32) -> Self {
        Self(pid.to_string().into())
    }

    pub fn begin(&self) -> Before {
        // Forgets the most memory so far.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
        Before {
            process: self.clone(),
            cpu: self.cpu(),
            memory: self.memory("VmRSS:"),
        }
    }

    /// Processor time so far, seconds.
    pub fn cpu(&self) -> f64 {
        let text = self.file("stat");
        // After the name, which may hold anything but ends with the last bracket: utime and stime are the 12th and 13th.
        let ticks = text.rsplit(')').next().unwrap_or_default();
        let ticks = ticks.split_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }

    /// The most memory it has had, bytes; nothing once it has ended.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1_024
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap_or_default()
    }
}

impl Before {
    pub fn end(self, seconds: f64) -> Drain {
        Drain {
            seconds,
            cpu: self.process.cpu() - self.cpu,
            memory: self.process.peak().saturating_sub(self.memory),
        }
    }
}
