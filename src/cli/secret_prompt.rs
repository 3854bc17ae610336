//! A secret typed on the terminal, which does not show it.

use std::io::{self, IsTerminal, Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

const CONTROL_C: u8 = 0x03;
const CONTROL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CONTROL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// Gives the terminal its settings back.
struct QuietTerminal {
    before: Termios,
}

impl QuietTerminal {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // Without ISIG, Ctrl-C is a byte here and cannot end us with the echo off.
        quiet
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for QuietTerminal {
    fn drop(&mut self) {
        // A terminal that is gone has no settings.
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.before);
    }
}

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret; `None` when nothing was typed.
///
/// # Errors
/// `Interrupted` for Ctrl-C, or when the terminal cannot be read.
pub(super) fn ask(question: &str) -> io::Result<Option<SecretString>> {
    let quiet = QuietTerminal::begin()?;
    write!(io::stderr(), "{question}: ")?;
    io::stderr().flush()?;
    let typed = read_line(io::stdin().lock());
    drop(quiet);
    writeln!(io::stderr())?;
    typed
}

/// A line of bytes as they are typed, with the editing of a terminal's line.
fn read_line(mut input: impl Read) -> io::Result<Option<SecretString>> {
    let mut line = Zeroizing::new(Vec::new());
    let mut byte = [0];
    loop {
        if input.read(&mut byte)? == 0 {
            break;
        }
        match byte[0] {
            b'\n' | b'\r' | CONTROL_D => break,
            CONTROL_C => return Err(io::ErrorKind::Interrupted.into()),
            CONTROL_U => line.clear(),
            BACKSPACE | DELETE => {
                // The whole character: bytes after its first begin with 10.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            other => line.push(other),
        }
    }
    let text = std::str::from_utf8(&line)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "what was typed is not UTF-8"))?;
    Ok((!text.is_empty()).then(|| text.to_owned().into()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_line_is_edited_as_on_a_terminal() {
        let read = |bytes: &[u8]| {
            let line = read_line(bytes).unwrap();
            line.map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(read(b"tiger\r").as_deref(), Some("tiger"));
        assert_eq!(read("tigé\x7fer\n".as_bytes()).as_deref(), Some("tiger"));
        assert_eq!(read(b"x\x7f\x7fwrong\x15right\n").as_deref(), Some("right"));
        assert_eq!(read(b"\n"), None);
        let interrupted = read_line(&b"abc\x03"[..]).unwrap_err();
        assert_eq!(interrupted.kind(), io::ErrorKind::Interrupted);
    }
}
