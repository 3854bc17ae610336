//! What a command says: results to stdout, the rest to stderr. Whoever reads may have had enough, as `head` has; what is
//! left to say is then left unsaid, and the command ends as it would have.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use crate::pipeline::Failure;

/// Stdout.
pub(super) struct Output<W = io::Stdout> {
    out: W,
    is_read: bool,
}

impl Output {
    pub(super) fn new() -> Self {
        Self::onto(io::stdout())
    }
}

impl<W: Write> Output<W> {
    pub(super) fn onto(out: W) -> Self {
        Self { out, is_read: true }
    }

    /// Whether anybody reads still.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// A text as it stands.
    pub(super) fn text(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        if !self.is_read {
            return Ok(());
        }
        self.settle(|out| write!(out, "{text}"))
    }

    /// A line.
    pub(super) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        self.text(format_args!("{line}\n"))
    }

    /// What is held back goes out.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.settle(Write::flush)
    }

    fn settle(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> Result<(), Failure> {
        match write(&mut self.out) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_read = false;
                Ok(())
            }
            outcome => outcome.map_err(|error| {
                let error = anyhow::Error::new(error);
                Failure::usage(error.context("cannot write to stdout"))
            }),
        }
    }
}

/// A text on stdout.
pub(super) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    let mut output = Output::new();
    output.text(text)?;
    output.flush()
}

/// A line on stdout.
pub(super) fn print_line(line: impl fmt::Display) -> Result<(), Failure> {
    print(format_args!("{line}\n"))
}

/// A result on stdout, for programs.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print_line(serde_json::to_string_pretty(value).map_err(Failure::usage)?)
}

/// A line on stderr. Where that is gone there is nobody to tell.
pub(super) fn tell(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many writes, then fails with this.
    struct Ends(usize, ErrorKind);

    impl Write for Ends {
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
        let mut output = Output::onto(Ends(1, ErrorKind::BrokenPipe));
        output.text("first").unwrap();
        assert!(output.is_read());
        output.text("second").unwrap();
        assert!(!output.is_read());
        output.text("third").unwrap();
    }

    #[test]
    fn a_full_disk_is_one() {
        let mut output = Output::onto(Ends(0, ErrorKind::StorageFull));
        let failure = output.text("lost").unwrap_err().to_string();
        assert!(failure.contains("cannot write to stdout"), "{failure}");
    }
}
