//! Narrates an act while it is in progress: each event if there are few, and the outage of a server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::tz::TimeZone;

use super::act::{Act, FAULT_PERCENT};
use crate::cli::progress::Terminal;
use crate::cli::run_display::RunDisplay;
use crate::live::{Figures, Phase};
use crate::load::LoadControl;
use crate::pipeline::{LoadState, RunProgress};
use cdc_bench_model::event::EventType;
use cdc_bench_model::timeline::{Hop, Nanos, Stamp};
use cdc_bench_stack::{Download, StepProgress};

/// Narrates the run of an act, and passes its progress on.
pub(super) struct Narrator<'a> {
    pub(super) display: &'a RunDisplay<'a>,
    pub(super) terminal: &'a Terminal,
    pub(super) act: &'a Act,
    state: Mutex<NarratorState>,
}

#[derive(Default)]
struct NarratorState {
    events: u64,
    store: Option<String>,
    fault: Fault,
}

/// State of the injected fault.
#[derive(Default, Clone, Copy)]
enum Fault {
    #[default]
    Pending,
    Killed(Instant),
    /// It does not answer any more.
    Away(Instant),
    Over,
}

/// An event to print.
pub(super) struct NarratedEvent {
    pub(super) event_type: EventType,
    pub(super) created: Stamp,
    pub(super) total: Nanos,
    pub(super) slowest: (Hop, Nanos),
}

impl<'a> Narrator<'a> {
    pub(super) fn new(act: &'a Act, display: &'a RunDisplay<'a>, terminal: &'a Terminal) -> Self {
        Self {
            display,
            terminal,
            act,
            state: Mutex::default(),
        }
    }

    /// Number of events printed.
    pub(super) fn printed_events(&self) -> u64 {
        self.state().events
    }

    /// Prints an event.
    pub(super) fn print_event(&self, event: &NarratedEvent) {
        let mut state = self.state();
        state.events += 1;
        let at = jiff::Timestamp::from_nanosecond(i128::from(event.created.0)).unwrap_or_default();
        let at = at.to_zoned_datetime(TimeZone::system());
        let (hop, took) = event.slowest;
        self.terminal.say(&format!(
            "  {:<17}  created at {}, in {} at T0 + {:.1} ms  ({} took {:.1} of it)",
            event.event_type.as_str(),
            at.strftime("%H:%M:%S%.3f"),
            state.store.as_deref().unwrap_or("the store"),
            event.total.as_millis_f64(),
            hop.as_str(),
            took.as_millis_f64(),
        ));
    }

    fn print_new_events(&self, figures: &Figures) {
        let Some(path) = figures.paths.first() else {
            return;
        };
        let count = path.total.map_or(0, |total| total.count);
        let new = usize::try_from(count.saturating_sub(self.printed_events())).unwrap_or(0);
        for event in path.last.iter().take(new).rev() {
            self.print_event(&NarratedEvent {
                event_type: event.event_type,
                created: event.created,
                total: Nanos::from_micros(event.total_us),
                slowest: (event.slowest, Nanos::from_micros(event.slowest_us)),
            });
        }
    }

    /// Says that the server is killed, which the run itself does, and when it is back.
    fn tell_of_fault(&self, server: &str, figures: &Figures) {
        let load = &figures.load;
        let under_way = load.inserted.saturating_sub(load.written + load.errors);
        let answers = figures
            .servers
            .iter()
            .find(|known| known.name == server)
            .is_none_or(|known| known.trouble.is_none());
        let mut state = self.state();
        state.fault = match state.fault {
            Fault::Pending
                if figures.phase == Phase::Load
                    && load.inserted * 100 >= self.act.events * FAULT_PERCENT =>
            {
                self.terminal
                    .say(&format!("  {server} is killed; the load goes on"));
                Fault::Killed(Instant::now())
            }
            Fault::Killed(at) if !answers => Fault::Away(at),
            Fault::Away(at) if answers => {
                self.terminal.say(&format!(
                    "  {server} answers again after {:.1} s; {under_way} events have waited",
                    at.elapsed().as_secs_f64()
                ));
                Fault::Over
            }
            other => other,
        };
    }

    fn state(&self) -> MutexGuard<'_, NarratorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepProgress for Narrator<'_> {
    fn begin(&self, step: &str) {
        self.display.begin(step);
    }

    fn update(&self, step: &str, detail: &str) {
        self.display.update(step, detail);
    }

    fn download(&self, step: &str, download: &Download) {
        self.display.download(step, download);
    }

    fn end(&self, step: &str, detail: &str) {
        self.display.end(step, detail);
    }
}

impl RunProgress for Narrator<'_> {
    fn load(&self, state: &LoadState) {
        if !self.act.is_detailed {
            self.display.load(state);
        }
    }

    fn load_over(&self) {
        self.display.load_over();
    }

    fn figures(&self, figures: Figures) {
        let store = figures.servers.iter().find(|known| known.name == "store");
        if let Some(product) = store.and_then(|store| store.product.clone()) {
            self.state().store.get_or_insert(product);
        }
        if self.act.is_detailed {
            self.print_new_events(&figures);
        }
        if let Some(server) = &self.act.fault {
            self.tell_of_fault(server, &figures);
        }
        self.display.figures(figures);
    }

    fn pace(&self) -> Option<LoadControl> {
        self.display.pace()
    }
}
