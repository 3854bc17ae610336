//! Whether each tap lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::OffsetPoll;
use crate::observe::liveness::Pulses;

/// How long a tap that is polled may be silent, at least.
const SILENCE: Duration = Duration::from_secs(15);
/// And how many of its intervals.
const INTERVALS: u32 = 3;
/// The ends of partitions come with every so many polls.
const POLLS_AN_END: u32 = 10;

/// A tap.
#[derive(Debug, Clone)]
pub(super) struct TapState {
    /// `wal`, `topics`, `offsets` or `sink`.
    pub(super) name: &'static str,
    /// Why it does not live.
    pub(super) trouble: Option<String>,
    /// How often it was cut and went on.
    pub(super) resumed: u64,
    /// Of what is polled: when it answered last, and how long that may be ago.
    answers: Option<(Instant, Duration)>,
    /// Whether its servers answer.
    pulses: Arc<Pulses>,
}

impl TapState {
    /// Why it does not live; `None` while it does.
    pub(super) fn trouble(&self) -> Option<String> {
        // The offsets come of the same brokers.
        let needs = match self.name {
            "offsets" => "topics",
            name => name,
        };
        let silent = self.answers.and_then(|(last, longest)| {
            let silence = last.elapsed();
            (silence > longest).then(|| format!("no answer for {} s", silence.as_secs()))
        });
        let trouble = self.trouble.clone();
        trouble.or_else(|| self.pulses.trouble(needs)).or(silent)
    }
}

/// The taps of an observation.
#[derive(Debug, Clone)]
pub(super) struct TapStates(Vec<TapState>);

impl TapStates {
    /// The taps that there are, all alive.
    pub(super) fn new(
        (has_group, has_sink): (bool, bool),
        poll_interval: Duration,
        pulses: &Arc<Pulses>,
    ) -> Self {
        let tap = |name, polls: Option<u32>| TapState {
            name,
            trouble: None,
            resumed: 0,
            answers: polls.map(|polls| {
                let longest = poll_interval * polls * INTERVALS;
                (Instant::now(), longest.max(SILENCE))
            }),
            pulses: Arc::clone(pulses),
        };
        let mut taps = vec![tap("wal", None), tap("topics", Some(POLLS_AN_END))];
        if has_group {
            taps.push(tap("offsets", Some(1)));
        }
        if has_sink {
            taps.push(tap("sink", None));
        }
        Self(taps)
    }

    /// The taps.
    pub(super) fn all(&self) -> &[TapState] {
        &self.0
    }

    fn get(&mut self, name: &str) -> Option<&mut TapState> {
        self.0.iter_mut().find(|tap| tap.name == name)
    }

    /// A tap is cut.
    pub(super) fn cut(&mut self, name: &str, reason: &str) {
        if let Some(tap) = self.get(name) {
            tap.trouble = Some(reason.to_owned());
        }
    }

    /// A tap goes on.
    pub(super) fn resumed(&mut self, name: &str) {
        if let Some(tap) = self.get(name) {
            tap.trouble = None;
            tap.resumed += 1;
        }
    }

    /// The broker has answered. Its ends stand for the reader of the topics, which has nothing to tell of an idle topic.
    pub(super) fn polled(&mut self, poll: &OffsetPoll) {
        for (name, answered) in [
            ("topics", poll.ends_at.is_some()),
            ("offsets", poll.asked.is_some()),
        ] {
            let tap = self.get(name).filter(|_| answered);
            if let Some((last, _)) = tap.and_then(|tap| tap.answers.as_mut()) {
                *last = Instant::now();
            }
        }
    }
}

/// The answer to a probe.
#[derive(Debug, Clone)]
pub(super) struct HealthAnswer {
    pub(super) is_healthy: bool,
    pub(super) json: String,
}

impl HealthAnswer {
    /// Of these taps, or of an observation that has not told of any for `silence`.
    pub(super) fn of(taps: &TapStates, silence: Duration) -> Self {
        let stalled = silence > SILENCE;
        let mut states = serde_json::Map::new();
        let mut is_healthy = !stalled;
        for tap in taps.all() {
            let trouble = tap.trouble();
            is_healthy &= trouble.is_none();
            let mut state = serde_json::json!({
                "alive": trouble.is_none(),
                "resumed": tap.resumed,
            });
            if let Some(trouble) = trouble {
                state["reason"] = trouble.into();
            }
            states.insert(tap.name.to_owned(), state);
        }
        let mut answer = serde_json::json!({
            "status": if is_healthy { "ok" } else { "failing" },
            "taps": states,
        });
        if stalled {
            let silence = silence.as_secs();
            answer["reason"] = format!("nothing was joined for {silence} s").into();
        }
        Self {
            is_healthy,
            json: format!("{answer}\n"),
        }
    }

    /// Before the taps are open.
    pub(super) fn starting() -> Self {
        Self {
            is_healthy: false,
            json: "{\"status\":\"starting\"}\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_bench_model::timeline::Clock;

    #[test]
    fn a_probe_is_told_which_tap_does_not_live() {
        let mut taps = TapStates::new((true, true), Duration::from_millis(100), &Arc::default());
        let fresh = Duration::ZERO;
        assert!(HealthAnswer::of(&taps, fresh).is_healthy);
        taps.cut("wal", "connection refused");
        let answer = HealthAnswer::of(&taps, fresh);
        let json: serde_json::Value = serde_json::from_str(&answer.json).unwrap();
        assert!(!answer.is_healthy);
        assert_eq!(json["taps"]["wal"]["reason"], "connection refused");
        assert_eq!(json["taps"]["sink"]["alive"], true);
        taps.resumed("wal");
        assert!(HealthAnswer::of(&taps, fresh).is_healthy);
        let stalled = HealthAnswer::of(&taps, SILENCE * 2);
        assert!(!stalled.is_healthy && stalled.json.contains("nothing was joined"));
    }

    #[test]
    fn a_broker_that_does_not_answer_is_a_tap_that_does_not_live() {
        let mut taps = TapStates::new((true, false), Duration::from_millis(100), &Arc::default());
        let long_ago = Instant::now().checked_sub(SILENCE * 2).unwrap();
        taps.get("offsets").unwrap().answers = Some((long_ago, SILENCE));
        assert!(!HealthAnswer::of(&taps, Duration::ZERO).is_healthy);
        let now = Clock::start().now();
        taps.polled(&OffsetPoll {
            asked: Some((now, now)),
            ..OffsetPoll::default()
        });
        assert!(HealthAnswer::of(&taps, Duration::ZERO).is_healthy);
    }
}
