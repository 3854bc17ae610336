//! Output of a command: results to stdout, the rest to stderr. If the reader has closed the pipe, as `head` does, the rest is
//! not written, and the command ends as it would have.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::pipeline::Failure;

/// A writer to stdout that tolerates a closed pipe.
pub(super) struct StdoutWriter<W = io::Stdout> {
    out: W,
    is_open: bool,
}

impl StdoutWriter {
    pub(super) fn new() -> Self {
        Self::over(io::stdout())
    }
}

impl<W: Write> StdoutWriter<W> {
    pub(super) fn over(out: W) -> Self {
        Self { out, is_open: true }
    }

    /// Whether the pipe is still open.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Writes a text unchanged.
    pub(super) fn text(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        if !self.is_open {
            return Ok(());
        }
        self.write_out(|out| write!(out, "{text}"))
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        self.text(format_args!("{line}\n"))
    }

    /// Flushes buffered output.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.write_out(Write::flush)
    }

    fn write_out(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> Result<(), Failure> {
        match write(&mut self.out) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_open = false;
                Ok(())
            }
            outcome => outcome.map_err(|error| {
                let error = anyhow::Error::new(error);
                Failure::usage(error.context("cannot write to stdout"))
            }),
        }
    }
}

/// Prints a text to stdout.
pub(super) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    let mut output = StdoutWriter::new();
    output.text(text)?;
    output.flush()
}

/// Prints a line to stdout.
pub(super) fn print_line(line: impl fmt::Display) -> Result<(), Failure> {
    print(format_args!("{line}\n"))
}

/// Prints a result to stdout as JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print_line(serde_json::to_string_pretty(value).map_err(Failure::usage)?)
}

/// Prints a line to stderr that nobody misses: not when whoever reads it is behind, for the work must not wait for him.
pub(super) fn print_passing_line(line: impl fmt::Display) {
    if takes_more(io::stderr()) {
        print_error_line(line);
    }
}

/// Whether a line can be written there without a wait.
fn takes_more(out: impl AsFd) -> bool {
    let mut asked = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Prints a line to stderr. If stderr is closed, there is nowhere to report that.
pub(super) fn print_error_line(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_takes_lines_until_it_is_full() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut lines = 0;
        while takes_more(&writer) {
            writer.write_all(&[b'.'; 256]).unwrap();
            lines += 1;
        }
        assert!(lines > 1);
        drop(reader);
    }

    /// Accepts this many writes, then fails with this error.
    struct FailingWriter(usize, ErrorKind);

    impl Write for FailingWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(self.1)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_had_enough_is_no_failure() {
        let mut output = StdoutWriter::over(FailingWriter(1, ErrorKind::BrokenPipe));
        output.text("first").unwrap();
        assert!(output.is_open());
        output.text("second").unwrap();
        assert!(!output.is_open());
        output.text("third").unwrap();
    }

    #[test]
    fn a_full_disk_is_one() {
        let mut output = StdoutWriter::over(FailingWriter(0, ErrorKind::StorageFull));
        let failure = output.text("lost").unwrap_err().to_string();
        assert!(failure.contains("cannot write to stdout"), "{failure}");
    }
}
