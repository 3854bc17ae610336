//! What is told of an observation while it goes on, and its reports.

use std::time::Instant;

use cdc_bench_model::RunId;
use cdc_bench_model::report::{ObservationReport, ResultFolder, Verdict};
use cdc_bench_model::timeline::Nanos;

use super::{Found, Watch};
use crate::live::{Figures, Phase};
use crate::observe::evidence::conclude;
use crate::observe::outcome::{self, Times};
use crate::observe::period::{self, Period};
use crate::observe::progress::ObserveProgress;
use crate::observe::request::ReportPeriods;
use crate::observe::result::store;
use crate::pipeline::Failure;

impl Watch {
    /// Writes the report of the period that is over, and begins the next.
    pub(super) async fn next_period(
        &mut self,
        periods: ReportPeriods,
        progress: &dyn ObserveProgress,
    ) -> Result<(), Failure> {
        self.stored().await?;
        self.stop_looking().await;
        let report = self.close_period()?;
        self.look_again().await;
        let over = self.period.folder.clone();
        let id = RunId::generate();
        let next = ResultFolder::create(&periods.results, id.as_str())?;
        self.period = Period::new(id, next.clone(), &self.described, self.joiner.counts());
        self.begin(jiff::Timestamp::now())?;
        self.clocks.begin_anew();
        progress.period_over(&report, &over, &next);
        let described = self.described.clone();
        // The page takes its time, and the taps are not to wait for it.
        self.storing = Some(tokio::task::spawn_blocking(move || {
            store(&report, &over)?;
            // The period that has begun is not one of those that are kept.
            let keep = periods.keep.saturating_add(1);
            period::remove_old(&periods.results, &described, keep);
            Ok(())
        }));
        Ok(())
    }

    /// Waits for the report before to be written.
    async fn stored(&mut self) -> Result<(), Failure> {
        match self.storing.take() {
            // A panic was reported by the panic hook.
            Some(storing) => storing.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    /// The last report, in its folder, and what was found in all.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(in crate::observe) async fn finish(
        &mut self,
    ) -> Result<(ObservationReport, ResultFolder, Found), Failure> {
        self.stored().await?;
        let report = self.close_period()?;
        let folder = self.period.folder.clone();
        store(&report, &folder)?;
        Ok((report, folder, self.found))
    }

    fn close_period(&mut self) -> Result<ObservationReport, Failure> {
        let period = &mut self.period;
        let times = Times {
            started_at: period.started_at,
            finished_at: jiff::Timestamp::now(),
            duration_s: (period.elapsed().as_secs_f64() * 1e3).round() / 1e3,
        };
        let mut report = outcome::report(
            (&period.id, &self.request),
            self.described.clone(),
            &period.recording,
            period.counts(&self.joiner.counts()),
            &self.clocks,
            (times, std::mem::take(&mut self.incidents)),
        );
        period.recording.finish()?;
        if let Some(canary) = &mut self.canary {
            let by_broker = outcome::is_by_broker(&self.described);
            let interval = Nanos::from(self.request.canary_interval);
            canary.watch.report(&mut report, interval, |hop| {
                self.clocks.bound(hop, by_broker, canary.end)
            });
        }
        if let Some(application) = &mut self.application {
            let (told, clock) = application.report();
            report.application = Some(told);
            report.clocks.extend(clock);
        }
        conclude(
            &mut report,
            self.evidence.collected.take(),
            self.tallies.take(),
        );
        self.found.missing |= report.has_missing();
        self.found.missed |= report.verdict == Verdict::Fail;
        Ok(report)
    }

    /// Tells where the observation stands.
    pub(super) fn tell(&mut self, progress: &dyn ObserveProgress) {
        let counts = self.joiner.counts();
        let oldest = self.joiner.oldest_unrecorded();
        let share = outcome::share(&counts);
        let observation = self.teller.tell(&counts, share, oldest);
        progress.figures(Figures {
            phase: Phase::Observing,
            objectives: self.period.recording.objectives(&self.request),
            observation: Some(observation),
            ..Figures::default()
        });
    }

    /// Where it stands, as text.
    pub(super) fn describe(&self, began: Instant) -> String {
        let counts = self.joiner.counts();
        let median = self.period.recording.median();
        let median = median.map_or("-".to_owned(), |median| median.to_string());
        let time = match self.request.duration {
            Some(duration) => {
                format!("{} of {} s", began.elapsed().as_secs(), duration.as_secs())
            }
            None => format!("{} s, Ctrl-C ends it", began.elapsed().as_secs()),
        };
        format!(
            "{time}: {} changes, {} followed to their end, {} under way, {} missing; total p50 {median}",
            counts.captured, counts.completed, counts.in_flight, counts.missing
        )
    }
}
