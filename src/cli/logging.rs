//! Logging: everything from `LOG_LEVEL` up into the run's `run.log`, warnings to the terminal.
//!
//! Under load, a log line per event would cost more than the event. So the level drops: above [`BUSY`] lines in a second only
//! warnings pass until the second is over, above [`FLOODED`] only errors. Errors always pass. Dropped lines are counted, and
//! the log ends with their number.
//!
//! While servers are being stopped, Kafka's client reports lost connections, as expected: they go to the log only.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Lines per second above which only warnings and errors pass.
const BUSY: u64 = 500;
/// Lines per second above which only errors pass.
const FLOODED: u64 = 2_000;

/// Drops the level as the number of lines grows.
struct LoadAware {
    ceiling: LevelFilter,
    started: Instant,
    second: AtomicU64,
    lines: AtomicU64,
    dropped: Arc<AtomicU64>,
}

impl LoadAware {
    fn new(ceiling: LevelFilter, dropped: Arc<AtomicU64>) -> Self {
        Self {
            ceiling,
            started: Instant::now(),
            second: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            dropped,
        }
    }

    /// Whether a line of this level passes in this second since the start of the program.
    fn passes(&self, level: Level, second: u64) -> bool {
        if level > self.ceiling {
            return false;
        }
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        let lines = self.lines.fetch_add(1, Ordering::Relaxed);
        let limit = match lines {
            0..BUSY => self.ceiling,
            BUSY..FLOODED => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        };
        let passes = level <= limit;
        if !passes {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        passes
    }
}

impl<S: Subscriber> Filter<S> for LoadAware {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &tracing::Event<'_>, _: &Context<'_, S>) -> bool {
        self.passes(*event.metadata().level(), self.started.elapsed().as_secs())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.ceiling)
    }
}

/// Whether servers are being stopped, or the user has asked to stop.
static IS_SHUTTING_DOWN: AtomicBool = AtomicBool::new(false);

/// From now on, what Kafka's client reports goes to the log only.
pub(crate) fn begin_shutdown() {
    IS_SHUTTING_DOWN.store(true, Ordering::Relaxed);
}

/// Targets of Kafka's client, in C and in Rust.
const KAFKA_CLIENT: [&str; 2] = ["librdkafka", "rdkafka"];

/// Passes lines of Kafka's client only as long as the broker is expected to be up.
struct KafkaUntilShutdown(&'static AtomicBool);

impl<S: Subscriber> Filter<S> for KafkaUntilShutdown {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &tracing::Event<'_>, _: &Context<'_, S>) -> bool {
        let target = event.metadata().target();
        let krate = target.split("::").next().unwrap_or(target);
        !(KAFKA_CLIENT.contains(&krate) && self.0.load(Ordering::Relaxed))
    }
}

/// The log file of a run. Lines are buffered until there is one.
#[derive(Default)]
struct LogFile {
    file: Option<File>,
    early: Vec<u8>,
}

/// Capacity of that buffer, bytes.
const EARLY_CAPACITY: usize = 1 << 20;

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write_all(line)?,
            None if self.early.len() + line.len() <= EARLY_CAPACITY => {
                self.early.extend_from_slice(line)
            }
            None => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

static LOG: OnceLock<(Arc<Mutex<LogFile>>, Arc<AtomicU64>)> = OnceLock::new();

/// A writer into the shared log.
struct LogWriter(Arc<Mutex<LogFile>>);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .flush()
    }
}

/// Sets up logging; once per process.
pub(crate) fn start(level: LevelFilter, terminal: impl Fn(&str) + Send + Sync + 'static) {
    let log = Arc::new(Mutex::new(LogFile::default()));
    let dropped = Arc::new(AtomicU64::new(0));
    if LOG.set((Arc::clone(&log), Arc::clone(&dropped))).is_err() {
        return;
    }
    // librdkafka and the MongoDB driver are verbose below warnings.
    let our_targets = |ceiling: LevelFilter| {
        tracing_subscriber::filter::Targets::new()
            .with_default(ceiling.min(LevelFilter::WARN))
            .with_target("cdc_bench", ceiling)
            .with_target("librdkafka", LevelFilter::ERROR.min(ceiling))
            .with_target("rdkafka", LevelFilter::ERROR.min(ceiling))
    };
    let file = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || LogWriter(Arc::clone(&log)));
    let terminal = Arc::new(terminal);
    let screen = tracing_subscriber::fmt::layer()
        .with_ansi(console::colors_enabled_stderr())
        .without_time()
        .with_target(false)
        .with_writer(move || ScreenWriter {
            terminal: Arc::clone(&terminal),
            line: Vec::new(),
        });
    let registered = tracing_subscriber::registry()
        .with(
            file.with_filter(LoadAware::new(level, dropped))
                .with_filter(our_targets(level)),
        )
        .with(
            screen
                .with_filter(KafkaUntilShutdown(&IS_SHUTTING_DOWN))
                .with_filter(
                    // It logs each error that it returns, and returned errors are printed once, by us.
                    our_targets(level.min(LevelFilter::WARN))
                        .with_target("pgwire_replication", LevelFilter::OFF),
                ),
        )
        .try_init();
    if let Err(error) = registered {
        tracing::debug!(%error, "logging was set up already");
    }
}

/// Writes the log into `file` from now on, buffered lines first.
pub(crate) fn into_file(mut file: File) -> std::io::Result<()> {
    let Some((log, _)) = LOG.get() else {
        return Ok(());
    };
    let mut log = log
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    file.write_all(&std::mem::take(&mut log.early))?;
    log.file = Some(file);
    Ok(())
}

/// Writes how many lines were dropped, and closes the file.
pub(crate) fn finish() {
    let Some((log, dropped)) = LOG.get() else {
        return;
    };
    let count = dropped.swap(0, Ordering::Relaxed);
    let mut log = log
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(mut file) = log.file.take() {
        if count > 0 {
            // A log that cannot be written to cannot report that either.
            let _ = writeln!(
                file,
                "{count} lines below an error were left out while the load was high"
            );
        }
        let _ = file.flush();
    }
}

/// Collects one line and passes it to the terminal at once, so that it does not tear the progress bars.
struct ScreenWriter<F: Fn(&str)> {
    terminal: Arc<F>,
    line: Vec<u8>,
}

impl<F: Fn(&str)> Write for ScreenWriter<F> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<F: Fn(&str)> Drop for ScreenWriter<F> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            (self.terminal)(String::from_utf8_lossy(&self.line).trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kafkas_client_are_not_on_the_terminal_once_servers_are_stopped() {
        static SHUTTING_DOWN: AtomicBool = AtomicBool::new(false);
        let printed = Arc::new(Mutex::new(Vec::new()));
        let screen = {
            let printed = Arc::clone(&printed);
            move |line: &str| printed.lock().unwrap().push(line.to_owned())
        };
        let screen = Arc::new(screen);
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || ScreenWriter {
                terminal: Arc::clone(&screen),
                line: Vec::new(),
            })
            .with_filter(KafkaUntilShutdown(&SHUTTING_DOWN));
        let log_lines = || {
            tracing::error!(target: "librdkafka", "connect failed");
            tracing::error!(target: "rdkafka::client", "all brokers down");
            tracing::error!(target: "cdc_bench::pipeline", "clean-up failed");
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            log_lines();
            SHUTTING_DOWN.store(true, Ordering::Relaxed);
            log_lines();
        });
        assert_eq!(
            *printed.lock().unwrap(),
            [
                "ERROR connect failed",
                "ERROR all brokers down",
                "ERROR clean-up failed",
                "ERROR clean-up failed"
            ]
        );
    }

    #[test]
    fn the_level_drops_under_load_and_errors_always_pass() {
        let dropped = Arc::new(AtomicU64::new(0));
        let filter = LoadAware::new(LevelFilter::DEBUG, Arc::clone(&dropped));
        assert!(!filter.passes(Level::TRACE, 0));
        let passed = (0..BUSY).filter(|_| filter.passes(Level::DEBUG, 0)).count();
        assert_eq!(passed, 500);
        assert!(!filter.passes(Level::INFO, 0));
        assert!(filter.passes(Level::WARN, 0));
        let warnings = (0..FLOODED)
            .filter(|_| filter.passes(Level::WARN, 0))
            .count();
        assert!(warnings < 1_500, "{warnings}");
        assert!(!filter.passes(Level::WARN, 0));
        assert!(filter.passes(Level::ERROR, 0));
        assert!(dropped.load(Ordering::Relaxed) > 0);
        assert!(filter.passes(Level::DEBUG, 1), "a new second begins anew");
    }
}
