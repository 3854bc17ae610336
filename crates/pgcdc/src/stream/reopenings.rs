//! Reopenings: how long to wait before the next, and when there is no use in another.

use std::time::Duration;

use postgres_protocol::escape::escape_literal;

use super::back_off::BackOff;
use crate::reader::config::ReaderConfig;
use crate::server::session::Session;
use crate::{Lsn, ReaderError};

/// An error of the server that comes this often at the same position stands.
const MOST_TIMES: u32 = 3;
/// Most tables that an error names.
const MOST_TABLES: usize = 5;
/// Errors of the server that another attempt does not change: a slot or a publication does not exist, or cannot be used.
const FINAL: [&str; 2] = ["42704", "55000"];

/// How far a reader was when its stream broke: its resume LSN, and the number of changes delivered.
type Progress = (Lsn, u64);

/// The reopenings since the reader has last got on.
#[derive(Debug, Default)]
pub(super) struct Reopenings {
    back_off: BackOff,
    at: Option<Progress>,
    /// Code of the server's error there, and how often it came in a row.
    error: (String, u32),
}

impl Reopenings {
    /// The stream broke. Returns the pause before the next attempt, which grows until the reader gets on.
    ///
    /// # Errors
    /// When another attempt would fail in the same way.
    pub(super) async fn after(
        &mut self,
        cause: ReaderError,
        at: Progress,
        config: &ReaderConfig,
    ) -> Result<Duration, ReaderError> {
        if self.at != Some(at) {
            *self = Self {
                at: Some(at),
                ..Self::default()
            };
        }
        let times = self.count(&cause);
        if cause.is_permanent() {
            match cause {
                ReaderError::Server { message, .. } if !FINAL.contains(&&*message.code) => {
                    if times >= MOST_TIMES {
                        return Err(ReaderError::StandingError {
                            slot: config.slot.name().clone(),
                            at: at.0,
                            times,
                            message,
                            tables: tables(config).await,
                        });
                    }
                    tracing::warn!(slot = %config.slot.name(), at = %at.0, "the server cannot go on: {message}");
                }
                cause => return Err(cause),
            }
        } else {
            tracing::warn!(%cause, slot = %config.slot.name(), at = %at.0, "the WAL stream broke; opening it again");
        }
        Ok(self.back_off.pause())
    }

    fn count(&mut self, cause: &ReaderError) -> u32 {
        let code = match cause {
            ReaderError::Server { message, .. } => &*message.code,
            _ => "",
        };
        if self.error.0 != code {
            self.error = (code.to_owned(), 0);
        }
        self.error.1 += 1;
        self.error.1
    }
}

/// Which tables an error may be about, as a part of its message.
async fn tables(config: &ReaderConfig) -> String {
    let publications: Vec<_> = config
        .publications
        .iter()
        .map(|name| escape_literal(name))
        .collect();
    let sql = format!(
        "SELECT DISTINCT format('%I.%I', schemaname, tablename), to_jsonb(p)->>'rowfilter' \
         FROM pg_publication_tables p WHERE pubname IN ({}) ORDER BY 1",
        publications.join(", ")
    );
    let asked = async { Session::open(&config.server).await?.query(&sql).await };
    let Ok(rows) = asked.await else {
        return String::new();
    };
    let filtered: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            Some(format!(
                "{} {}",
                row.first()?.as_ref()?,
                row.get(1)?.as_ref()?
            ))
        })
        .collect();
    if !filtered.is_empty() {
        return format!("; there are row filters on {}", first(&filtered));
    }
    let all: Vec<_> = rows.iter().filter_map(|row| row.first()?.clone()).collect();
    if all.is_empty() {
        return String::new();
    }
    format!("; published are {}", first(&all))
}

/// The first of these names, and how many are left.
fn first(names: &[String]) -> String {
    let shown = names[..names.len().min(MOST_TABLES)].join(", ");
    match names.len().saturating_sub(MOST_TABLES) {
        0 => shown,
        left => format!("{shown} and {left} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Server, ServerMessage, Slot, SlotName};

    #[test]
    fn only_the_same_error_at_the_same_position_counts() {
        let server = Server::new("db", 1, "me", String::new(), "d");
        let error = |code: &str| {
            let message = ServerMessage {
                code: code.to_owned(),
                ..ServerMessage::default()
            };
            server.reader_error(&message.into())
        };
        let slot = Slot::Existing(SlotName::new("s").unwrap());
        let config = ReaderConfig::new(server.clone(), slot, ["p"]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut reopenings = Reopenings::default();
        let mut after = |code: &str, at: u64| {
            let pause = runtime.block_on(reopenings.after(error(code), (Lsn(at), 0), &config));
            pause.map(|pause| pause.as_millis())
        };
        assert_eq!(after("22012", 1).unwrap(), 100);
        assert_eq!(after("57P01", 1).unwrap(), 200, "another one");
        assert_eq!(after("22012", 1).unwrap(), 400);
        assert_eq!(after("22012", 1).unwrap(), 800);
        assert_eq!(after("22012", 2).unwrap(), 100, "the reader got on");
        assert_eq!(after("22012", 2).unwrap(), 200);
        let stands = after("22012", 2).unwrap_err();
        assert!(
            matches!(stands, ReaderError::StandingError { times: 3, .. }),
            "{stands}"
        );
        assert!(after("55000", 3).is_err(), "a lost slot is not found again");
        for _ in 0..20 {
            assert!(after("57P03", 4).is_ok(), "a server that is starting");
        }
    }
}
