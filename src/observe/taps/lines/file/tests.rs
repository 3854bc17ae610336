use std::io::Write as _;

use async_channel::Receiver;
use cdc_bench_model::timeline::Clock;

use super::*;

struct Followed {
    folder: tempfile::TempDir,
    sightings: Receiver<Sighting>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Followed {
    fn new(before: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        if let Some(before) = before {
            std::fs::write(&path, before).unwrap();
        }
        let (sender, sightings) = async_channel::bounded(1_000);
        let topics = ["t".to_owned()].into_iter();
        let reports = LineReports::new(topics, Clock::start(), sender);
        let stop = CancellationToken::new();
        let (file, stopped) = (GrowingFile::open(path).unwrap(), stop.clone());
        let thread = std::thread::spawn(move || file.follow(&reports, &stopped));
        Self {
            folder,
            sightings,
            stop,
            thread: Some(thread),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lines")
    }

    /// The offset of the next line, or what else is said.
    fn next(&self) -> String {
        match self.sightings.recv_blocking().unwrap() {
            Sighting::Consumed(line) => line.position.offset.to_string(),
            Sighting::Resumed(_, what) => what,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn line(offset: i64) -> String {
    format!(
        "{{\"topic\":\"t\",\"partition\":0,\"offset\":{offset},\"written_at\":1732800000123456}}\n"
    )
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_is_followed_from_its_end_and_begun_anew_when_it_is_rotated_or_truncated() {
    let followed = Followed::new(Some(&line(1)));
    let path = followed.path();
    // In two pieces.
    let second = line(2);
    append(&path, &second[..20]);
    std::thread::sleep(PAUSE * 3);
    append(&path, &second[20..]);
    assert_eq!(followed.next(), "2");
    // Rotated, while its writer has it open still.
    let rotated = followed.folder.path().join("lines.1");
    std::fs::rename(&path, &rotated).unwrap();
    append(&rotated, &line(3));
    assert_eq!(followed.next(), "3");
    append(&path, &line(4));
    assert!(followed.next().contains("rotated"));
    assert_eq!(followed.next(), "4");
    append(&rotated, &line(5));
    assert_eq!(followed.next(), "5");
    // Truncated in place.
    std::fs::write(&path, "").unwrap();
    assert!(followed.next().contains("truncated"));
    append(&path, &line(6));
    assert_eq!(followed.next(), "6");
}

#[test]
fn a_line_that_had_begun_before_is_passed_over() {
    let begun = line(1);
    let followed = Followed::new(Some(&begun[..30]));
    append(&followed.path(), &begun[30..]);
    append(&followed.path(), &line(2));
    assert_eq!(followed.next(), "2");
}

#[test]
fn a_file_that_appears_later_and_a_pipe_are_read() {
    let followed = Followed::new(None);
    append(&followed.path(), &line(1));
    assert!(followed.next().contains("appeared"));
    assert_eq!(followed.next(), "1");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (sender, sightings) = async_channel::bounded(10);
    let reports = LineReports::new(["t".to_owned()].into_iter(), Clock::start(), sender);
    let stop = CancellationToken::new();
    let (file, stopped) = (GrowingFile::open(path.clone()).unwrap(), stop.clone());
    let thread = std::thread::spawn(move || file.follow(&reports, &stopped));
    // One writer after the other.
    for offset in [1, 2] {
        append(&path, &line(offset));
        let seen = sightings.recv_blocking().unwrap();
        let Sighting::Consumed(seen) = seen else {
            panic!("{seen:?}");
        };
        assert_eq!(seen.position.offset, offset);
    }
    stop.cancel();
    thread.join().unwrap();
}
