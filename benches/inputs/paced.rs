//! Work at a rate, and the processor time that it takes.

use std::time::{Duration, Instant};

use crate::filled::cpu;

/// How long and how often contenders work, and how fast.
#[derive(clap::Args)]
pub struct Paced {
    /// Events a second.
    #[arg(long, default_value_t = 167)]
    pub rate: u32,
    /// How long each works in a round.
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    /// Times that they take their turns.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

impl Paced {
    /// Works for each event when it is due, for so many at once; `finish` is part of the work. Microseconds of processor time an event.
    pub fn measure(&self, burst: u32, mut work: impl FnMut(u32), finish: impl FnOnce()) -> f64 {
        let events = self.rate * self.seconds;
        let (before, began) = (cpu(), Instant::now());
        for number in 0..events {
            let first = number - number % burst;
            let due = began + Duration::from_secs(1) * first / self.rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            work(number);
        }
        finish();
        (cpu() - before) / f64::from(events) * 1e6
    }
}
