//! How the server is: its replica set, what writes wait for, its load. Asked with few rights; what is refused is an error.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::MongoStore;
use crate::store::StoreError;

/// The member that answers, as it shows its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMember {
    /// The set's name.
    pub set: String,
    /// Its members that hold data.
    pub hosts: Vec<String>,
    /// Whether it takes writes.
    pub is_primary: bool,
}

/// What a write waits for that does not say it itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultWriteConcern {
    /// `majority`, a number, or a name of the user's.
    pub w: Option<String>,
    /// Whether it waits for the journal.
    pub journal: Option<bool>,
}

/// How far the members of a set are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetStatus {
    /// How far what a majority has is behind what the primary has.
    pub majority_behind: Duration,
    /// Each secondary, and how far it is behind the primary.
    pub behind: Vec<(String, Duration)>,
    /// Members that are not healthy, each with its state.
    pub unhealthy: Vec<String>,
}

/// The server's load at a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerLoad {
    /// Connections in use, and those that are left.
    pub connections: Option<(u64, u64)>,
    /// Writes since it was started, and the time that it took for them together.
    pub writes: Option<(u64, Duration)>,
    /// Tickets for writes that are free.
    pub write_tickets: Option<u64>,
    /// Shares of the cache that are used, and not written yet, 0 to 1.
    pub cache: Option<(f64, f64)>,
    /// Whether it holds writes back, since its members lag.
    pub holds_back: bool,
}

impl MongoStore {
    /// The set of the server that answers; `None` where it is in none.
    ///
    /// # Errors
    /// [`StoreError`] when it does not answer.
    pub async fn set_member(&self) -> Result<Option<SetMember>, StoreError> {
        let answer = self.ask_admin(doc! { "hello": 1 }, "say its role").await?;
        Ok(set_member(&answer))
    }

    /// What a write waits for that does not say it itself.
    ///
    /// # Errors
    /// [`StoreError`] when the server does not know the question, or this user may not ask it.
    pub async fn default_write_concern(&self) -> Result<DefaultWriteConcern, StoreError> {
        let question = doc! { "getDefaultRWConcern": 1 };
        let answer = self.ask_admin(question, "read its default write concern");
        Ok(default_write_concern(&answer.await?))
    }

    /// How far the members of the set are.
    ///
    /// # Errors
    /// [`StoreError`] when the server is in no set, or this user may not ask it.
    pub async fn set_status(&self) -> Result<SetStatus, StoreError> {
        let question = doc! { "replSetGetStatus": 1 };
        let answer = self.ask_admin(question, "read its replication").await?;
        Ok(set_status(&answer))
    }

    /// The server's load.
    ///
    /// # Errors
    /// [`StoreError`] when this user may not ask for it.
    pub async fn load(&self) -> Result<ServerLoad, StoreError> {
        // What is not used here is costly, some of it.
        let question = doc! { "serverStatus": 1, "metrics": 0, "locks": 0, "repl": 0, "sharding": 0,
        "tcmalloc": 0, "mirroredReads": 0, "transactions": 0, "indexBuilds": 0 };
        let answer = self.ask_admin(question, "read its status").await?;
        Ok(load(&answer))
    }

    async fn ask_admin(&self, command: Document, doing: &str) -> Result<Document, StoreError> {
        let admin = self.database.client().database("admin");
        let answer = admin.run_command(command).await;
        answer.map_err(|error| self.failed(&error, doing))
    }
}

/// A value at a path of members.
fn at<'a>(document: &'a Document, path: &[&str]) -> Option<&'a Bson> {
    let (last, before) = path.split_last()?;
    let mut inner = document;
    for name in before {
        inner = inner.get_document(name).ok()?;
    }
    inner.get(last)
}

/// A number of any type, below zero as zero.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counters far below 2^63
fn number(document: &Document, path: &[&str]) -> Option<u64> {
    match at(document, path)? {
        Bson::Int32(number) => Some(u64::try_from(*number).unwrap_or(0)),
        Bson::Int64(number) => Some(u64::try_from(*number).unwrap_or(0)),
        Bson::Double(number) => Some(number.max(0.0) as u64),
        _ => None,
    }
}

fn set_member(answer: &Document) -> Option<SetMember> {
    let hosts = answer.get_array("hosts").into_iter().flatten();
    let is = |name: &str| answer.get_bool(name).unwrap_or(false);
    Some(SetMember {
        set: answer.get_str("setName").ok()?.to_owned(),
        hosts: hosts
            .filter_map(|host| host.as_str().map(str::to_owned))
            .collect(),
        is_primary: is("isWritablePrimary") || is("ismaster"),
    })
}

fn default_write_concern(answer: &Document) -> DefaultWriteConcern {
    let w = match at(answer, &["defaultWriteConcern", "w"]) {
        Some(Bson::String(name)) => Some(name.clone()),
        _ => number(answer, &["defaultWriteConcern", "w"]).map(|number| number.to_string()),
    };
    let journal = at(answer, &["defaultWriteConcern", "j"]);
    DefaultWriteConcern {
        w,
        journal: journal.and_then(Bson::as_bool),
    }
}

fn between(later: &DateTime, earlier: &DateTime) -> Duration {
    let ms = later.timestamp_millis() - earlier.timestamp_millis();
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn set_status(answer: &Document) -> SetStatus {
    let time = |name: &str| at(answer, &["optimes", name]).and_then(Bson::as_datetime);
    let majority = time("lastAppliedWallTime").zip(time("lastCommittedWallTime"));
    let members = answer.get_array("members").into_iter().flatten();
    let members: Vec<_> = members.filter_map(Bson::as_document).collect();
    let primary = members.iter().find(|of| number(of, &["state"]) == Some(1));
    let primary = primary.and_then(|primary| primary.get_datetime("optimeDate").ok());
    let mut status = SetStatus {
        majority_behind: majority.map_or(Duration::ZERO, |(has, all)| between(has, all)),
        ..SetStatus::default()
    };
    for member in members {
        let name = member.get_str("name").unwrap_or_default();
        let state = member.get_str("stateStr").unwrap_or_default();
        if number(member, &["health"]) == Some(0) {
            status.unhealthy.push(format!("{name} is {state}"));
        } else if state == "SECONDARY"
            && let (Some(primary), Ok(has)) = (primary, member.get_datetime("optimeDate"))
        {
            status.behind.push((name.to_owned(), between(primary, has)));
        }
    }
    status
}

#[allow(clippy::cast_precision_loss)] // shares
fn load(answer: &Document) -> ServerLoad {
    let of = |path: &[&str]| number(answer, path);
    let cache = |name: &str| of(&["wiredTiger", "cache", name]);
    let shares = || {
        let most = cache("maximum bytes configured").filter(|most| *most > 0)? as f64;
        let used = cache("bytes currently in the cache")? as f64;
        let dirty = cache("tracked dirty bytes in the cache")? as f64;
        Some((used / most, dirty / most))
    };
    let writes = of(&["opLatencies", "writes", "ops"]);
    let took = of(&["opLatencies", "writes", "latency"]).map(Duration::from_micros);
    // Where it is depends on the version.
    let tickets = of(&["queues", "execution", "write", "available"]);
    let tickets =
        tickets.or_else(|| of(&["wiredTiger", "concurrentTransactions", "write", "available"]));
    let holds_back = at(answer, &["flowControl", "isLagged"]).and_then(Bson::as_bool);
    ServerLoad {
        connections: of(&["connections", "current"]).zip(of(&["connections", "available"])),
        writes: writes.zip(took),
        write_tickets: tickets,
        cache: shares(),
        holds_back: holds_back.unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(ms: i64) -> DateTime {
        DateTime::from_millis(ms)
    }

    #[test]
    fn a_set_is_read_from_its_members_answers() {
        assert_eq!(set_member(&doc! { "isWritablePrimary": true }), None);
        let member = set_member(
            &doc! { "setName": "rs0", "hosts": ["a:1", "b:1"], "isWritablePrimary": false, "secondary": true },
        );
        let member = member.unwrap();
        assert_eq!((member.hosts.len(), member.is_primary), (2, false));
        let status = set_status(&doc! {
            "optimes": { "lastAppliedWallTime": date(10_000), "lastCommittedWallTime": date(9_200) },
            "members": [
                { "name": "a:1", "state": 1, "stateStr": "PRIMARY", "health": 1.0, "optimeDate": date(10_000) },
                { "name": "b:1", "state": 2, "stateStr": "SECONDARY", "health": 1.0, "optimeDate": date(9_000) },
                { "name": "c:1", "state": 8, "stateStr": "(not reachable/healthy)", "health": 0.0 },
                { "name": "d:1", "state": 7, "stateStr": "ARBITER", "health": 1.0 },
            ],
        });
        assert_eq!(status.majority_behind, Duration::from_millis(800));
        assert_eq!(status.behind, [("b:1".to_owned(), Duration::from_secs(1))]);
        assert_eq!(status.unhealthy, ["c:1 is (not reachable/healthy)"]);
    }

    #[test]
    fn a_default_write_concern_is_a_name_or_a_number() {
        let of = |w: Bson| {
            default_write_concern(&doc! { "defaultWriteConcern": { "w": w, "wtimeout": 0 } })
        };
        assert_eq!(of("majority".into()).w.as_deref(), Some("majority"));
        assert_eq!(of(1.into()).w.as_deref(), Some("1"));
        assert_eq!(of(1.into()).journal, None);
        assert_eq!(
            default_write_concern(&doc! {}),
            DefaultWriteConcern::default()
        );
    }

    #[test]
    fn a_load_is_read_as_far_as_the_server_tells_it() {
        assert_eq!(load(&doc! {}), ServerLoad::default());
        let found = load(&doc! {
            "connections": { "current": 12, "available": 800 },
            "opLatencies": { "writes": { "latency": 9_000_i64, "ops": 3_i64 } },
            "wiredTiger": {
                "cache": { "maximum bytes configured": 1_000_i64, "bytes currently in the cache": 800.0, "tracked dirty bytes in the cache": 50 },
                "concurrentTransactions": { "write": { "available": 120 } },
            },
            "flowControl": { "isLagged": true },
        });
        assert_eq!(found.connections, Some((12, 800)));
        assert_eq!(found.writes, Some((3, Duration::from_millis(9))));
        assert_eq!(found.write_tickets, Some(120));
        assert_eq!(found.cache, Some((0.8, 0.05)));
        assert!(found.holds_back);
        let newer = doc! { "queues": { "execution": { "write": { "available": 7 } } } };
        assert_eq!(load(&newer).write_tickets, Some(7));
    }
}
