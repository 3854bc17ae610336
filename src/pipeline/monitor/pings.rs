//! Asks every server of a run a small question twice a second, over connections of its own, and notes the times in which one did not
//! answer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench_model::timeline::{Clock, Nanos, Stamp};

use crate::broker::{LeaderPing, LeaderPings};
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::postgres_session::PostgresSession;
use crate::pipeline::monitor::pulse::Pulse;
use crate::pipeline::provision::servers::ServerClients;

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(500);
/// A question without an answer for longer is one that the server does not answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// A question without an answer for so long is asked anew, on another connection where it can be.
const ABANDON: Duration = Duration::from_secs(10);

/// A time in which a server answered nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silence {
    /// `postgres`, `kafka`, `connect` or `store`.
    pub(crate) server: &'static str,
    /// When it last answered.
    pub(crate) began: Stamp,
    /// When it answered again; `None` if it did not while the events were under way.
    pub(crate) ended: Option<Stamp>,
    /// Why, as far as that is known.
    pub(crate) reason: Option<String>,
}

/// The answers of the servers.
#[derive(Debug)]
pub(super) struct Pings {
    clock: Clock,
    pulses: Mutex<Vec<Pulse>>,
    silences: Mutex<Vec<Silence>>,
}

/// Who is asked.
pub(super) struct Asked {
    /// Topics of the paths; none where there is no Kafka.
    pub(super) topics: Vec<String>,
    /// Whether a path needs Connect.
    pub(super) connect: bool,
}

impl Pings {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            pulses: Mutex::default(),
            silences: Mutex::default(),
        })
    }

    /// The silences so far, in the order of their ends; those that go on come last.
    pub(super) fn silences(&self) -> Vec<Silence> {
        let now = Instant::now();
        let mut silences = lock(&self.silences).clone();
        let going_on = lock(&self.pulses);
        let going_on = going_on.iter().filter_map(|pulse| {
            let silence = pulse.silence(now)?;
            Some(Silence {
                server: pulse.tap,
                began: self.clock.now() - Nanos::from(silence),
                ended: None,
                reason: pulse.reason().map(str::to_owned),
            })
        });
        silences.extend(going_on);
        silences
    }

    /// That a server has answered nothing for at least so long, and why as far as that is known.
    pub(super) fn trouble(&self, server: &str, least: Duration) -> Option<String> {
        let now = Instant::now();
        let pulses = lock(&self.pulses);
        let pulse = pulses.iter().find(|pulse| pulse.tap == server)?;
        let silence = pulse.silence(now).filter(|silence| *silence >= least)?;
        let reason = pulse.reason().map(|reason| format!(": {reason}"));
        let (seconds, reason) = (silence.as_secs(), reason.unwrap_or_default());
        Some(format!("it has answered nothing for {seconds} s{reason}"))
    }

    /// Asks until it is dropped.
    ///
    /// # Errors
    /// When no client of the brokers can be made.
    pub(super) async fn ask(
        self: &Arc<Self>,
        servers: &ServerClients,
        asked: Asked,
    ) -> Result<std::convert::Infallible, Failure> {
        let kafka = Arc::clone(self);
        let _leaders = (!asked.topics.is_empty())
            .then(|| {
                LeaderPings::start(&servers.kafka_config, asked.topics, INTERVAL, move |ping| {
                    match ping {
                        LeaderPing::Leaders(_) => {}
                        LeaderPing::Asked(_) => kafka.asked("kafka"),
                        LeaderPing::Answered(_) => kafka.answered("kafka"),
                        LeaderPing::Failed(_, reason) => kafka.failed("kafka", reason),
                    }
                })
            })
            .transpose()?;
        let never = tokio::join!(self.ask_postgres(servers), self.ask_store(servers), async {
            if asked.connect {
                self.ask_connect(servers).await;
            }
        });
        let ((), (), ()) = never;
        std::future::pending().await
    }

    async fn ask_postgres(&self, servers: &ServerClients) {
        let mut session = PostgresSession::new(&servers.endpoints.postgres);
        loop {
            let question = async {
                let client = session.client().await?;
                let answer = client.simple_query("SELECT 1").await;
                answer.map(drop).map_err(|error| error.to_string())
            };
            if !self.question("postgres", question).await {
                session.close();
            }
        }
    }

    async fn ask_store(&self, servers: &ServerClients) {
        loop {
            let question = async {
                servers
                    .store
                    .ping()
                    .await
                    .map_err(|error| error.to_string())
            };
            self.question("store", question).await;
        }
    }

    async fn ask_connect(&self, servers: &ServerClients) {
        let Some(connect) = &servers.connect else {
            return;
        };
        loop {
            let question = async {
                let version = connect.version().await;
                version.map(drop).map_err(|error| error.to_string())
            };
            self.question("connect", question).await;
        }
    }

    /// One question and its answer, and the time until the next one. False if there was none in time.
    async fn question(
        &self,
        server: &'static str,
        question: impl Future<Output = Result<(), String>>,
    ) -> bool {
        self.asked(server);
        let is_answered = match tokio::time::timeout(ABANDON, question).await {
            Ok(Ok(())) => {
                self.answered(server);
                true
            }
            Ok(Err(reason)) => {
                self.failed(server, reason);
                true
            }
            // It goes on being waited for.
            Err(_) => false,
        };
        tokio::time::sleep(INTERVAL).await;
        is_answered
    }

    fn asked(&self, server: &'static str) {
        self.with(server, Pulse::asked);
    }

    fn failed(&self, server: &'static str, reason: String) {
        self.with(server, |pulse, _| pulse.failed(reason));
    }

    fn answered(&self, server: &'static str) {
        let ended = self.clock.now();
        let silence = self.with(server, |pulse, now| {
            let silence = pulse.silence(now).map(|silence| Silence {
                server,
                began: ended - Nanos::from(silence),
                ended: Some(ended),
                reason: pulse.reason().map(str::to_owned),
            });
            pulse.answered(now);
            silence
        });
        lock(&self.silences).extend(silence);
    }

    fn with<T>(&self, server: &'static str, change: impl FnOnce(&mut Pulse, Instant) -> T) -> T {
        let now = Instant::now();
        let mut pulses = lock(&self.pulses);
        if let Some(pulse) = pulses.iter_mut().find(|pulse| pulse.tap == server) {
            return change(pulse, now);
        }
        let mut pulse = Pulse::new(server, server.to_owned(), PATIENCE, now);
        let changed = change(&mut pulse, now);
        pulses.push(pulse);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_late_ends_a_silence_and_one_in_time_does_not() {
        let pings = Pings::new(Clock::start());
        pings.asked("store");
        pings.answered("store");
        assert_eq!(pings.silences(), []);
        pings.asked("store");
        pings.failed("store", "connection refused".to_owned());
        std::thread::sleep(PATIENCE + Duration::from_millis(50));
        let going_on = pings.silences();
        assert_eq!((going_on.len(), going_on[0].ended), (1, None));
        pings.answered("store");
        let [silence] = &pings.silences()[..] else {
            panic!("{:?}", pings.silences());
        };
        assert_eq!(silence.server, "store");
        assert_eq!(silence.reason.as_deref(), Some("connection refused"));
        let length = silence.ended.unwrap() - silence.began;
        assert!(length >= Nanos::from(PATIENCE), "{length:?}");
    }
}
