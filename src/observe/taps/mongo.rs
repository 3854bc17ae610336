//! MongoDB as the sink: its change stream, with the time at which it shows a document on our clock.

use async_channel::Sender;
use cdc_bench_model::observation::SinkChange;
use cdc_bench_model::timeline::Clock;
use tokio_util::sync::CancellationToken;

use super::following::Following;
use super::sighting::Sighting;
use crate::observe::discovery::MongoSink;
use crate::store::{DocumentChange, DocumentChanges, StoreError};

/// Begins to report the changes of the sink's documents.
pub(in crate::observe) async fn start(
    sink: MongoSink,
    clock: Clock,
    sightings: Sender<Sighting>,
) -> Result<Following, StoreError> {
    let changes = open(&sink).await?;
    let stop = CancellationToken::new();
    let following = follow(sink, changes, clock, sightings, stop.clone());
    Ok(Following::Task(stop.drop_guard(), tokio::spawn(following)))
}

/// Opens the change stream of the sink's collections.
async fn open(sink: &MongoSink) -> Result<DocumentChanges, StoreError> {
    let names: Vec<_> = sink.collections.keys().cloned().collect();
    sink.store.follow(&names).await
}

/// Reports every change of a document until it is stopped.
async fn follow(
    sink: MongoSink,
    mut changes: DocumentChanges,
    clock: Clock,
    sightings: Sender<Sighting>,
    stop: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = changes.next() => next,
        };
        let at = clock.now();
        let sighting = match next {
            Some(Ok(change)) => {
                let Some(known) = sink.collections.get(&change.collection) else {
                    continue;
                };
                Sighting::Shown(SinkChange {
                    table: known.table.clone(),
                    key: key(&change, known.key_column.as_deref()).into(),
                    is_delete: change.is_delete,
                    at,
                })
            }
            Some(Err(error)) => match open(&sink).await {
                Ok(again) => {
                    changes = again;
                    Sighting::Resumed("sink", error.to_string())
                }
                Err(again) => Sighting::Failed(format!("the sink cannot be followed: {again}")),
            },
            None => Sighting::Failed("the sink's change stream was ended by the server".to_owned()),
        };
        let is_over = matches!(sighting, Sighting::Failed(_));
        if sightings.send(sighting).await.is_err() || is_over {
            return;
        }
    }
}

/// The key in the form that records have it: an `_id` that is a value is that of the key's only column.
fn key(change: &DocumentChange, column: Option<&str>) -> String {
    match column {
        Some(column) if !change.id_is_document => {
            let column = serde_json::Value::from(column);
            format!("{{{column}:{}}}", change.id)
        }
        _ => change.id.clone(),
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
            is_delete: false,
        };
        assert_eq!(key(&change("7", false), Some("id")), r#"{"id":7}"#);
        assert_eq!(key(&change(r#"{"id":7}"#, true), Some("id")), r#"{"id":7}"#);
        assert_eq!(key(&change("7", false), None), "7");
    }
}
