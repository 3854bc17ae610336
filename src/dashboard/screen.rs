//! The terminal: taken for a while, given back as it was, whatever ends us.

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

use super::keys::Wish;
use super::{Theme, View, draw};
use crate::live::Snapshot;
use crate::load::LoadControl;

/// From one picture to the next.
const TICK: Duration = Duration::from_millis(100);

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the keys may do to the run.
pub struct Reins {
    /// By which the load is steered; `None` for who only looks on.
    pub pace: Option<LoadControl>,
    /// Ends the run, or the looking on.
    pub quit: Box<dyn Fn() + Send>,
}

/// Pictures of a run on the alternate screen of stderr's terminal, ten a second, drawn on a thread of its own.
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

/// Gives the terminal back, if it is taken. Whoever ends the process without unwinding calls this before.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = disable_raw_mode();
        let _ = execute!(io::stderr(), LeaveAlternateScreen, cursor::Show);
    }
}

impl Screen {
    /// Takes the terminal. `latest` says how the run stands; `None` once there is nothing more to see.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn open(
        mut latest: impl FnMut() -> Option<Snapshot> + Send + 'static,
        reins: Reins,
    ) -> io::Result<Self> {
        restore_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        let opened = enable_raw_mode()
            .and_then(|()| execute!(io::stderr(), EnterAlternateScreen, cursor::Hide))
            .and_then(|()| {
                // Whole pictures go out at once.
                let out = BufWriter::with_capacity(1 << 16, io::stderr());
                Terminal::new(CrosstermBackend::new(out))
            });
        let terminal = opened.inspect_err(|_| restore())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let mut drawn = Drawn {
            terminal,
            view: View {
                steers: reins.pace.is_some(),
                ..View::default()
            },
            reins,
            zone: TimeZone::system(),
            theme: Theme::of_environment(),
        };
        let thread = std::thread::Builder::new()
            .name("dashboard".to_owned())
            .spawn(move || {
                while !stopping.load(Ordering::Relaxed) && TAKEN.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    let Some(snapshot) = latest() else { break };
                    // A terminal that is gone ends the pictures, not the run.
                    if drawn.picture(&snapshot).is_err() || drawn.keys(began, &snapshot).is_err() {
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
            // If it panicked, the terminal is given back by now.
            let _ = thread.join();
        }
        restore();
    }
}

struct Drawn {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
    view: View,
    reins: Reins,
    zone: TimeZone,
    theme: Theme,
}

impl Drawn {
    /// One picture, shown as a whole by terminals that know how.
    fn picture(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let (view, zone, theme) = (&self.view, &self.zone, self.theme);
        self.terminal
            .draw(|frame| draw(frame, snapshot, view, zone, theme))?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }

    /// Takes keys in until the next picture is due; at once after one, so that it is seen.
    fn keys(&mut self, began: Instant, snapshot: &Snapshot) -> io::Result<()> {
        while is_told(TICK.saturating_sub(began.elapsed()))? {
            match event::read()? {
                Event::Key(key) => {
                    let wish = self.view.press(key, snapshot.figures.paths.len());
                    if let Some(wish) = wish {
                        self.grant(wish);
                    }
                }
                Event::Resize(..) => {}
                _ => continue,
            }
            return Ok(());
        }
        Ok(())
    }

    fn grant(&self, wish: Wish) {
        let pace = self.reins.pace.as_ref();
        match (wish, pace) {
            (Wish::Quit, _) => (self.reins.quit)(),
            (Wish::Pause, Some(pace)) => pace.toggle_pause(),
            (Wish::Faster, Some(pace)) => pace.set_rate(pace.rate().step_up()),
            (Wish::Slower, Some(pace)) => pace.set_rate(pace.rate().step_down()),
            (_, None) => {}
        }
    }
}

/// Whether a key was pressed, or the size has changed, within this time. A terminal that is gone is an error, and is not
/// left to crossterm: it would read the end of it for ever.
fn is_told(within: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    // What came with an earlier key is there already.
    for timeout in [Duration::ZERO, within] {
        let mut keys = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut keys, timeout) {
            // A signal may be that of a new size.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if keys[0].revents().is_some_and(|told| told.intersects(gone)) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if event::poll(Duration::ZERO)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A panic's words belong on the screen that stays.
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
