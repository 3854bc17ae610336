//! A sink that stores positions with its data, in a process of its own that can be killed: this program, started again.

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pgcdc::{Event, Lsn, Reader, ReaderConfig, Server};

use super::reader::permanent;
use super::stack::TestStack;

/// Variable with its file. If it is set, this process is a sink.
const FILE: &str = "CDC_BENCH_TEST_SINK";
/// Variable with the number of lines after which it reports, and does nothing more.
const PAUSE: &str = "CDC_BENCH_TEST_SINK_PAUSE";

/// A process that reads publication `p` into a file, up to this many lines.
pub fn process(stack: &TestStack, file: &Path, lines: Option<u64>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.envs(&stack.env).env(FILE, file);
    if let Some(lines) = lines {
        command.env(PAUSE, lines.to_string());
    }
    command
}

/// The rows of complete transactions, in the order written.
pub fn rows(file: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let rows = text[..whole(&text)].lines();
    rows.filter_map(|line| line.parse().ok()).collect()
}

/// Length of the complete transactions, in bytes.
fn whole(text: &str) -> usize {
    let Some(last) = text.rfind("commit ") else {
        return 0;
    };
    match text[last..].find('\n') {
        Some(end) => last + end + 1,
        None => whole(&text[..last]),
    }
}

/// Runs as a sink if this process was started as one; else returns.
pub fn run_if_asked() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // The slot may still be in use by the process that was killed.
        let reader = loop {
            match read_into(Path::new(&path)).await {
                Ok(reader) => break reader,
                Err(error) => assert!(!error.is_permanent(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        reader.ended().await;
        panic!("{:?}", reader.error());
    });
}

async fn read_into(path: &Path) -> Result<pgcdc::ReaderHandle, pgcdc::ReaderError> {
    let variable = |name: &str| std::env::var(name).unwrap();
    let server = Server::new(
        variable("POSTGRES_HOST"),
        variable("POSTGRES_PORT").parse().unwrap(),
        variable("POSTGRES_USER"),
        variable("POSTGRES_PASSWORD"),
        variable("POSTGRES_DB"),
    );
    let mut sink = Sink::open(path);
    let mut config = ReaderConfig::new(server, permanent(), ["p"]);
    config.start_after = sink.position;
    config.status_interval = Duration::from_millis(20);
    Reader::spawn(config, move |event| {
        match event {
            Event::Change(change) => {
                let id: u64 = change.get::<&str>("id").unwrap().unwrap().parse().unwrap();
                sink.line(&id.to_string());
            }
            Event::Commit(commit) => sink.line(&format!("commit {}", commit.end_lsn)),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .await
}

struct Sink {
    file: File,
    position: Option<Lsn>,
    left: Option<u64>,
}

impl Sink {
    /// Opens the file, and cuts off a transaction without an end.
    fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let text = &text[..whole(&text)];
        let position = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("commit "));
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.set_len(u64::try_from(text.len()).unwrap()).unwrap();
        Self {
            file,
            position: position.map(|lsn| lsn.parse().unwrap()),
            left: std::env::var(PAUSE)
                .ok()
                .map(|lines| lines.parse().unwrap()),
        }
    }

    fn line(&mut self, text: &str) {
        self.file.write_all(format!("{text}\n").as_bytes()).unwrap();
        if text.starts_with("commit") {
            self.file.sync_data().unwrap();
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                println!("written");
                loop {
                    std::thread::park();
                }
            }
        }
    }
}
