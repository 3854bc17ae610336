//! The terminal: taken over for a while, and restored however the process ends.

use std::io::{self, BufWriter, IsTerminal, Stderr, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue};

use super::keys::KeyAction;
use super::{Theme, View, draw};
use crate::live::Snapshot;
use crate::load::LoadControl;

/// Time between two frames.
const TICK: Duration = Duration::from_millis(100);

/// Whether the terminal is taken over.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the keys control.
pub struct ScreenControls {
    /// Control of the load; `None` for an observer.
    pub control: Option<LoadControl>,
    /// Ends the run, or the observation.
    pub quit: Box<dyn Fn() + Send>,
}

/// A run on the alternate screen of stderr's terminal, drawn ten times a second on a thread of its own.
pub struct Screen {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Whether there is a terminal to draw on, and keys.
#[must_use]
pub fn fits() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && io::stdin().is_terminal() && !is_dumb
}

/// Restores the terminal, if it is taken over. Call this before the process ends without unwinding.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = disable_raw_mode();
        let _ = execute!(io::stderr(), LeaveAlternateScreen, cursor::Show);
    }
}

impl Screen {
    /// Takes over the terminal. `latest` returns the state of the run; `None` ends the drawing.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn open(
        mut latest: impl FnMut() -> Option<Snapshot> + Send + 'static,
        controls: ScreenControls,
    ) -> io::Result<Self> {
        restore_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        let opened = enable_raw_mode()
            .and_then(|()| execute!(io::stderr(), EnterAlternateScreen, cursor::Hide))
            .and_then(|()| {
                // Each frame is written at once.
                let out = BufWriter::with_capacity(1 << 16, io::stderr());
                Terminal::new(CrosstermBackend::new(out))
            });
        let terminal = opened.inspect_err(|_| restore())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let mut drawn = TerminalView {
            terminal,
            view: View {
                steers: controls.control.is_some(),
                ..View::default()
            },
            controls,
            zone: TimeZone::system(),
            theme: Theme::of_environment(),
        };
        let thread = std::thread::Builder::new()
            .name("dashboard".to_owned())
            .spawn(move || {
                while !stopping.load(Ordering::Relaxed) && TAKEN.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    let Some(snapshot) = latest() else { break };
                    // A terminal that is gone ends the drawing, not the run.
                    if drawn.frame(&snapshot).is_err() || drawn.keys(began, &snapshot).is_err() {
                        break;
                    }
                }
            })
            .inspect_err(|_| restore())?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Whether it still draws.
    #[must_use]
    pub fn is_drawing(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it panicked, the terminal is restored by now.
            let _ = thread.join();
        }
        restore();
    }
}

struct TerminalView {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
    view: View,
    controls: ScreenControls,
    zone: TimeZone,
    theme: Theme,
}

impl TerminalView {
    /// Draws one frame, shown as a whole by terminals that support it.
    fn frame(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let (view, zone, theme) = (&self.view, &self.zone, self.theme);
        self.terminal
            .draw(|frame| draw(frame, snapshot, view, zone, theme))?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }

    /// Applies keys until the next frame is due, or until the first one, so that its effect is shown at once.
    fn keys(&mut self, began: Instant, snapshot: &Snapshot) -> io::Result<()> {
        while wait_for_input(TICK.saturating_sub(began.elapsed()))? {
            match event::read()? {
                Event::Key(key) => {
                    let action = self.view.press(key, snapshot.figures.paths.len());
                    if let Some(action) = action {
                        self.apply(action);
                    }
                }
                Event::Resize(..) => {}
                _ => continue,
            }
            return Ok(());
        }
        Ok(())
    }

    fn apply(&self, action: KeyAction) {
        let control = self.controls.control.as_ref();
        match (action, control) {
            (KeyAction::Quit, _) => (self.controls.quit)(),
            (KeyAction::Pause, Some(control)) => control.toggle_pause(),
            (KeyAction::Faster, Some(control)) => control.set_rate(control.rate().step_up()),
            (KeyAction::Begin, Some(control)) => control.begin_now(),
            (KeyAction::Slower, Some(control)) => control.set_rate(control.rate().step_down()),
            (_, None) => {}
        }
    }
}

/// Whether a key was pressed, or the size has changed, within this time. A terminal that is gone is an error here, because
/// crossterm would read its end of file for ever.
fn wait_for_input(within: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    // Input that came with an earlier key is already buffered.
    for timeout in [Duration::ZERO, within] {
        let mut keys = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut keys, timeout) {
            // The signal may be that of a new size.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if keys[0]
            .revents()
            .is_some_and(|events| events.intersects(gone))
        {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if event::poll(Duration::ZERO)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A panic's message belongs on the normal screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let then = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            then(panic);
        }));
    });
}
