//! The answers of one server.

use std::time::{Duration, Instant};

/// The answers of one server to a question that is asked again and again.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// `wal`, `topics` or `sink`: the tap that needs the server.
    pub(crate) tap: &'static str,
    /// Which server, such as `MongoDB at db:27017`.
    pub(crate) server: String,
    /// A question that is without an answer for longer is one that the server does not answer.
    patience: Duration,
    answered: Instant,
    /// When the first question was asked that has no answer.
    asked: Option<Instant>,
    /// Why there is none, if that is known.
    reason: Option<String>,
    /// Whether its silence was told, and its return not yet.
    is_told: bool,
    /// How long it was silent, before it answered again.
    over: Option<Duration>,
}

impl Pulse {
    pub(crate) fn new(tap: &'static str, server: String, patience: Duration, now: Instant) -> Self {
        Self {
            tap,
            server,
            patience,
            answered: now,
            asked: None,
            reason: None,
            is_told: false,
            over: None,
        }
    }

    pub(crate) fn asked(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    pub(crate) fn answered(&mut self, now: Instant) {
        if self.is_told {
            self.over = Some(now - self.answered);
        }
        self.answered = now;
        self.asked = None;
        self.reason = None;
    }

    /// There was no answer: it goes on being waited for.
    pub(crate) fn failed(&mut self, reason: String) {
        self.reason = Some(reason);
    }

    /// Why there is no answer, if that is known.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How long it has not answered, if that is too long.
    pub(crate) fn silence(&self, now: Instant) -> Option<Duration> {
        let asked = self.asked?;
        let is_silent = now.saturating_duration_since(asked) > self.patience;
        is_silent.then(|| now.saturating_duration_since(self.answered))
    }

    /// What is wrong with it.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        let silence = self.silence(now)?;
        let why = self.reason.as_ref();
        let why = why.map_or(String::new(), |reason| format!(": {reason}"));
        let (server, silence) = (&self.server, silence.as_secs());
        Some(format!(
            "{server} has answered nothing for {silence} s{why}"
        ))
    }

    /// That it became silent, once: for how long, and why as far as that is known.
    pub(crate) fn take_silence(&mut self, now: Instant) -> Option<(Duration, Option<String>)> {
        let silence = self.silence(now)?;
        if std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        Some((silence, self.reason.clone()))
    }

    /// That it answers again, once: how long it was silent.
    pub(crate) fn take_return(&mut self) -> Option<Duration> {
        let silence = self.over.take()?;
        self.is_told = false;
        Some(silence)
    }

    /// Whether it was told to be silent, and not yet to answer.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_SECONDS: Duration = Duration::from_secs(2);

    #[test]
    fn a_question_without_an_answer_is_a_silence_that_is_told_once() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut pulse = Pulse::new("sink", "MongoDB at db:27017".to_owned(), TWO_SECONDS, began);
        assert_eq!(pulse.silence(at(60_000)), None, "nobody asked");
        pulse.asked(at(1_000));
        pulse.answered(at(1_100));
        pulse.asked(at(2_000));
        assert_eq!(pulse.take_silence(at(3_900)), None);
        pulse.asked(at(4_500));
        let (silence, reason) = pulse.take_silence(at(4_600)).unwrap();
        assert_eq!(
            silence,
            Duration::from_millis(3_500),
            "since its last answer"
        );
        assert_eq!(reason, None);
        assert_eq!(pulse.take_silence(at(5_000)), None, "it was told");
        pulse.failed("connection refused".to_owned());
        let trouble = pulse.trouble(at(8_100)).unwrap();
        assert!(
            trouble
                .contains("MongoDB at db:27017 has answered nothing for 7 s: connection refused"),
            "{trouble}"
        );
        assert_eq!(pulse.take_return(), None);
        pulse.answered(at(10_100));
        assert_eq!(pulse.trouble(at(10_200)), None);
        assert_eq!(pulse.take_return(), Some(Duration::from_secs(9)));
        assert_eq!(pulse.take_return(), None);
        pulse.asked(at(11_000));
        assert!(pulse.take_silence(at(13_100)).is_some(), "another one");
    }

    #[test]
    fn an_answer_that_comes_before_the_silence_was_told_is_no_return() {
        let began = Instant::now();
        let mut pulse = Pulse::new("wal", "PostgreSQL".to_owned(), TWO_SECONDS, began);
        pulse.asked(began);
        pulse.answered(began + TWO_SECONDS * 2);
        assert_eq!(pulse.take_return(), None);
    }
}
