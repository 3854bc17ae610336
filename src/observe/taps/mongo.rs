//! MongoDB as the sink: its change stream, with the time at which it shows a document on our clock.

use std::time::Duration;

use async_channel::Sender;
use cdc_bench_model::observation::SinkChange;
use cdc_bench_model::timeline::Clock;
use tokio_util::sync::CancellationToken;

use super::following::Following;
use super::sighting::Sighting;
use crate::observe::discovery::{MongoSink, SinkCollection};
use crate::store::{DocumentChange, DocumentChanges, StoreError, StreamPosition};

/// Pauses between attempts to follow the changes again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Begins to report the changes of the sink's documents.
pub(in crate::observe) async fn start(
    sink: MongoSink,
    clock: Clock,
    sightings: Sender<Sighting>,
) -> Result<Following, StoreError> {
    let changes = open(&sink, None).await?;
    let stop = CancellationToken::new();
    let following = follow(sink, changes, clock, sightings);
    let stopped = stop.clone();
    let task = async move {
        stopped.run_until_cancelled(following).await;
    };
    Ok(Following::Task(stop.drop_guard(), tokio::spawn(task)))
}

/// Opens the change stream of the sink's collections.
async fn open(
    sink: &MongoSink,
    after: Option<StreamPosition>,
) -> Result<DocumentChanges, StoreError> {
    let names: Vec<_> = sink.collections.keys().cloned().collect();
    let mut collections = sink.collections.values();
    let with_documents = collections.any(|known| !known.has_key_in_deletions());
    sink.store.follow(&names, with_documents, after).await
}

/// Reports every change of a document, also after the stream was cut.
async fn follow(
    sink: MongoSink,
    mut changes: DocumentChanges,
    clock: Clock,
    sightings: Sender<Sighting>,
) {
    loop {
        let next = changes.next().await;
        let at = clock.now();
        let cut = match next {
            Some(Ok(change)) => {
                let Some(known) = sink.collections.get(&change.collection) else {
                    continue;
                };
                let Some(key) = key(&change, known) else {
                    continue;
                };
                let shown = Sighting::Shown(SinkChange {
                    table: known.table.clone(),
                    key: key.into(),
                    is_delete: change.is_delete,
                    at,
                    stored: None,
                });
                if sightings.send(shown).await.is_err() {
                    return;
                }
                continue;
            }
            Some(Err(error)) => error.to_string(),
            None => "the server has ended its change stream".to_owned(),
        };
        tracing::warn!(reason = cut, "the sink is followed anew");
        if sightings
            .send(Sighting::Cut("sink", cut.clone()))
            .await
            .is_err()
        {
            return;
        }
        let (again, has_place) = open_again(&sink, changes.position()).await;
        changes = again;
        let resumed = if has_place {
            Sighting::Resumed("sink", cut)
        } else {
            Sighting::SinkSkipped(cut)
        };
        if sightings.send(resumed).await.is_err() {
            return;
        }
    }
}

/// Opens the change stream again once the server answers, and says whether it goes on where it was.
async fn open_again(sink: &MongoSink, place: Option<StreamPosition>) -> (DocumentChanges, bool) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let opened = open(sink, None).await;
        // It answers: now it is known whether it still has the place.
        if let (Ok(_), Some(place)) = (&opened, &place)
            && let Ok(changes) = open(sink, Some(place.clone())).await
        {
            return (changes, true);
        }
        match opened {
            Ok(changes) => return (changes, false),
            Err(error) => tracing::warn!(%error, "the sink cannot be followed"),
        }
    }
}

/// The key in the form that records have it: an `_id` that is a value is that of the key's only column. `None` where the change has
/// not what the key is in: a deletion, or an update of a document that is deleted by now.
fn key(change: &DocumentChange, of: &SinkCollection) -> Option<String> {
    match (&of.key, &of.key_column) {
        (Some(key), _) => key.read(|path| change.part(path)),
        (None, Some(column)) if !change.id_is_document => {
            let column = serde_json::Value::from(&**column);
            Some(format!("{{{column}:{}}}", change.id))
        }
        (None, _) => Some(change.id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_a_value_is_of_the_keys_column() {
        let change = |id: &str, id_is_document| DocumentChange {
            collection: "orders".to_owned(),
            id: id.to_owned(),
            id_is_document,
            document: None,
            is_delete: false,
        };
        let of = |column: Option<&str>| SinkCollection {
            table: "public.orders".into(),
            key_column: column.map(str::to_owned),
            key: None,
        };
        let key = |change: DocumentChange, column| key(&change, &of(column)).unwrap();
        assert_eq!(key(change("7", false), Some("id")), r#"{"id":7}"#);
        assert_eq!(key(change(r#"{"id":7}"#, true), Some("id")), r#"{"id":7}"#);
        assert_eq!(key(change("7", false), None), "7");
    }
}
