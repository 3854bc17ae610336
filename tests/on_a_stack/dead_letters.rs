//! Records that cannot be written: each becomes a dead letter with its reason, in a file and in a topic, and the rest goes on.
//! They are listed, shown and replayed.

mod events;
mod mutations;
mod pipeline;
mod store_proxy;

use mongodb::bson::doc;
use rdkafka::message::Headers as _;
use serde_json::Value;

use self::events::{bad_records, changed, event, keyed};
use self::pipeline::{Pipeline, Record};
use self::store_proxy::{Answer, StoreProxy};
use super::Test;
use super::stack::TestStack;
use super::stack::command::{ended, with};

pub const TESTS: &[Test] = &[
    (
        "dead_letters_have_their_reasons_in_file_and_topic_and_the_rest_is_written",
        each_reason,
    ),
    ("dead_letters_are_replayed_until_none_is_left", replayed),
    (
        "dead_letters_go_back_to_their_topic_with_their_attempts",
        back_to_the_topic,
    ),
    (
        "dead_letters_too_large_for_their_topic_are_there_without_their_value",
        too_large_for_the_topic,
    ),
    (
        "dead_letters_waits_and_ends_follow_from_the_code_of_a_store_error",
        by_code,
    ),
];

pub const LONG_TESTS: &[Test] = &[(
    "dead_letters_of_a_hundred_thousand_mutations_have_the_right_reasons",
    mutations::hundred_thousand,
)];

fn each_reason(stack: &TestStack) {
    let pipeline = Pipeline::new(stack, "dead-letters");
    let bad = bad_records();
    let mut records = Vec::new();
    for (n, (_, record)) in (0..).zip(&bad) {
        records.extend([event(n), record.clone()]);
    }
    let good = bad.len();
    // Nothing to write, and nothing wrong: a tombstone, a change that is no insert, an event that comes again.
    let first = event(0);
    records.push(Record {
        value: None,
        ..first.clone()
    });
    records.push(changed(&first, "\"op\":\"c\"", "\"op\":\"u\""));
    records.push(first.clone());
    // A column that was added in mid-run, and the same id with other contents.
    records.push(changed(
        &event(1_000),
        "\"seq\":",
        "\"added\":{\"a\":[1]},\"seq\":",
    ));
    records.push(changed(&first, "UserCreated", "ActivityCreated"));
    pipeline.produce(&records);

    let topic = "dead-letters-aside";
    let end = pipeline.consume(records.len(), &["--dead-letter-topic", topic]);
    assert_eq!(end.code, 1, "{}", end.err);
    let done = end.json();
    assert_eq!(
        done["written"],
        good + 2,
        "with the one that came twice: {done}"
    );
    assert_eq!(pipeline.documents(), good as u64 + 1);

    // The same in file and topic, by the offset of the record.
    let offset = |n: usize| i64::try_from(n).unwrap();
    let mut expected: Vec<(i64, String)> = (0..)
        .zip(&bad)
        .map(|(n, (reason, _))| (offset(2 * n + 1), (*reason).to_owned()))
        .collect();
    let conflict = offset(records.len() - 1);
    expected.push((conflict, "same_id_other_contents".to_owned()));
    let places = |dead_letters: &[Value]| {
        let place = |one: &Value| {
            let reason = one["reason"].as_str().unwrap().to_owned();
            (one["offset"].as_i64().unwrap(), reason)
        };
        let mut places: Vec<_> = dead_letters.iter().map(place).collect();
        places.sort();
        places
    };
    let in_file = pipeline.dead_letters();
    assert_eq!(places(&in_file), expected);
    let list = [
        "dead-letters",
        "list",
        "--json",
        "--limit",
        "100",
        "--dead-letter-topic",
        topic,
    ];
    let listed = ended(with(pipeline.command(), &list)).json();
    assert_eq!(places(listed["first"].as_array().unwrap()), expected);
    assert_eq!(listed["by_reason"], done["dead_letters_by_reason"]);
    assert_eq!(listed["by_reason"]["missing_field"], 4);

    // Whole: key, value and headers as they were, and what is said of them.
    let one = in_file
        .iter()
        .find(|one| one["offset"] == conflict)
        .unwrap();
    let last = records.last().unwrap();
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    assert_eq!(one["value"], text(&last.value));
    assert_eq!(one["key"], text(&last.key));
    assert_eq!(one["headers"][0][0], "trace");
    assert_eq!(
        (&one["topic"], &one["attempts"]),
        (&pipeline.name.into(), &1.into())
    );
    assert!(one["message"].as_str().unwrap().contains("type"), "{one}");
    let found = pipeline.documents.find_one(doc! { "seq": 0_i64 });
    let stored = stack.block_on(found).unwrap().unwrap();
    assert_eq!(
        stored.get_str("type").unwrap(),
        "UserCreated",
        "the first stays"
    );
    let place = format!("{}:0:{conflict}", pipeline.name);
    let show = ["dead-letters", "show", &place, "--dead-letter-topic", topic];
    let shown = ended(with(pipeline.command(), &show)).out;
    assert!(shown.contains("same_id_other_contents"), "{shown}");
    assert!(shown.contains("header      trace: 17"), "{shown}");
    assert!(
        shown.contains("\"event_type\": \"ActivityCreated\""),
        "{shown}"
    );

    // Every offset was committed.
    pipeline.produce(&[event(2_000)]);
    let again = pipeline.consume(1, &[]).json();
    assert_eq!(
        (&again["written"], &again["dead_letters"]),
        (&1.into(), &0.into())
    );
    stack.delete_topics(&[topic]);
}

fn replayed(stack: &TestStack) {
    let pipeline = Pipeline::new(stack, "replayed");
    pipeline.allow_one_document(true);
    let mut records: Vec<_> = (0..20).map(event).collect();
    records.push(Record {
        value: Some(b"{\"no\": envelope\xff".to_vec()),
        ..keyed(b"k")
    });
    pipeline.produce(&records);
    assert_eq!(pipeline.consume(21, &[]).code, 1);
    let before = pipeline.dead_letters();
    assert_eq!((before.len(), pipeline.documents()), (20, 1));

    // The store refuses them still: they stay, with one more attempt.
    let end = pipeline.replay(&[]);
    assert_eq!(end.code, 1, "{}", end.err);
    let done = end.json();
    assert_eq!(
        (&done["handled"], &done["failed_again"]),
        (&0.into(), &20.into())
    );
    let after = pipeline.dead_letters();
    assert_eq!(after.len(), 20);
    for one in &after {
        let of = |other: &&Value| other["offset"] == one["offset"];
        let earlier = before.iter().find(of).unwrap();
        assert_eq!(
            (&earlier["attempts"], &one["attempts"]),
            (&1.into(), &2.into())
        );
        for same in ["first_seen", "value", "key", "reason", "topic"] {
            assert_eq!(earlier[same], one[same], "{same}");
        }
    }
    // Those of one reason alone, when the store takes them; a line that is none stays what it is.
    pipeline.append("not a dead letter");
    pipeline.allow_one_document(false);
    let end = pipeline.replay(&["--reason", "refused_by_store"]);
    let done = end.json();
    assert_eq!(end.code, 1, "{done}");
    assert_eq!(
        (&done["handled"], &done["not_replayed"]),
        (&19.into(), &1.into())
    );
    assert_eq!((&done["unreadable"], pipeline.documents()), (&1.into(), 20));
    let text = std::fs::read_to_string(pipeline.file()).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("not a dead letter"), "{text}");
    // A consumer that runs has the file.
    let held = std::fs::File::options()
        .append(true)
        .open(pipeline.file())
        .unwrap();
    held.lock_shared().unwrap();
    pipeline.replay(&[]).refused(2, &["in use"]);
    drop(held);
    // Again and again: nothing is written twice. One whose value was repaired by hand is handled, and the file is gone.
    let is_refused = |one: &&Value| one["reason"] == "refused_by_store";
    let refused = before.iter().find(is_refused).unwrap();
    let mut repaired: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    repaired["value"] = String::from_utf8(event(20).value.unwrap()).unwrap().into();
    repaired["key"] = Value::Null;
    std::fs::write(pipeline.file(), format!("{repaired}\n{refused}\n")).unwrap();
    let end = pipeline.replay(&[]);
    assert_eq!(
        (end.code, end.json()["handled"].as_u64()),
        (0, Some(2)),
        "{}",
        end.err
    );
    assert_eq!(pipeline.documents(), 21);
    assert!(!pipeline.file().exists());
    pipeline
        .replay(&[])
        .refused(2, &["cannot read dead letters", "--dead-letter-topic"]);
}

fn back_to_the_topic(stack: &TestStack) {
    let pipeline = Pipeline::new(stack, "back-to-the-topic");
    let aside = "back-to-the-topic-aside";
    let from = ["--dead-letter-topic", aside];
    pipeline.allow_one_document(true);
    pipeline.produce(&(0..10).map(event).collect::<Vec<_>>());
    assert_eq!(pipeline.consume(10, &from).code, 1);
    let replay = |more: &[&str]| pipeline.replay(&[&from[..], more].concat());
    replay(&["--to-topic", "nowhere"]).refused(3, &["\"nowhere\" does not exist", "--to-topic"]);

    // Each back to where it is from; the consumer fails again, and knows that it did before.
    let end = replay(&["--to-topic"]);
    assert_eq!(
        (end.code, end.json()["handled"].as_u64()),
        (0, Some(9)),
        "{}",
        end.err
    );
    std::fs::remove_file(pipeline.file()).unwrap();
    let end = pipeline.consume(9, &from);
    assert_eq!(end.json()["dead_letters"], 9);
    for one in pipeline.dead_letters() {
        assert_eq!(one["attempts"], 2, "{one}");
        assert!(
            one["offset"].as_i64().unwrap() < 10,
            "where it was at first: {one}"
        );
        assert_eq!(one["headers"].as_array().unwrap().len(), 1, "{one}");
    }
    // The topic has them again; a replay goes on behind those that were handled.
    pipeline.allow_one_document(false);
    let end = replay(&[]);
    assert_eq!(
        (end.code, end.json()["handled"].as_u64()),
        (0, Some(9)),
        "{}",
        end.err
    );
    assert_eq!(pipeline.documents(), 10);
    let end = replay(&[]);
    assert_eq!(
        (end.code, end.json()["handled"].as_u64()),
        (0, Some(0)),
        "{}",
        end.err
    );
    let consumed = pipeline.consume(1, &["--dead-letter-topic", pipeline.name]);
    consumed.refused(2, &["would be consumed again"]);
    stack.delete_topics(&[aside]);
    stack.delete_group("back-to-the-topic-aside-replay");
}

fn too_large_for_the_topic(stack: &TestStack) {
    let pipeline = Pipeline::new(stack, "too-large");
    let aside = "too-large-aside";
    pipeline.create_topic(aside, &[("max.message.bytes", "4000")]);
    let value = format!("{{\"no\": \"{}\"", "x".repeat(10_000));
    let large = Record {
        value: Some(value.clone().into_bytes()),
        ..keyed(b"k")
    };
    let small = Record {
        value: Some(b"{".to_vec()),
        ..keyed(b"k")
    };
    pipeline.produce(&[large, small, event(0)]);
    let done = pipeline.consume(3, &["--dead-letter-topic", aside]).json();
    assert_eq!(
        (&done["dead_letters"], &done["written"]),
        (&2.into(), &1.into())
    );
    assert_eq!(pipeline.dead_letters()[0]["value"], value);
    let mut found = pipeline.messages(aside);
    // One that is refused is sent again behind the others.
    found.reverse();
    let header = |n: usize, name: &str| {
        let headers = found[n].headers().unwrap();
        let header = headers.iter().find(|header| header.key == name)?;
        Some(String::from_utf8(header.value.unwrap().to_vec()).unwrap())
    };
    use rdkafka::Message as _;
    assert_eq!((found.len(), found[0].payload()), (2, None));
    assert_eq!(
        header(0, "cdc_bench.omitted_bytes").unwrap(),
        value.len().to_string()
    );
    assert_eq!(header(0, "__connect.errors.offset").unwrap(), "0");
    assert_eq!(found[1].payload(), Some(&b"{"[..]));
    assert_eq!(header(1, "cdc_bench.omitted_bytes"), None);
    // It cannot be replayed from there.
    let end = pipeline.replay(&["--dead-letter-topic", aside]);
    let done = end.json();
    assert_eq!(end.code, 1, "{done}");
    assert_eq!(
        (&done["not_replayed"], &done["failed_again"]),
        (&1.into(), &1.into())
    );
    stack.delete_topics(&[aside]);
    stack.delete_group("too-large-aside-replay");
}

/// The answers of a store to the first inserts of a consumer, and what becomes of its records.
fn by_code(stack: &TestStack) {
    let proxy = StoreProxy::before(&stack.env["MONGODB_URI"]);
    let behind = |name: &'static str, answers: Vec<Answer>| {
        let pipeline = Pipeline::new(stack, name).behind(&proxy);
        pipeline.produce(&(0..50).map(event).collect::<Vec<_>>());
        proxy.answer(answers);
        let end = pipeline.consume(50, &[]);
        (pipeline, end)
    };
    // Transient: by its code, by its label, by what the write concern lacks. All are written, none twice.
    let (pipeline, end) = behind(
        "by-code-transient",
        vec![
            Answer::Refused(doc! { "ok": 0.0, "code": 189, "errmsg": "stepped down" }),
            Answer::Refused(
                doc! { "ok": 0.0, "code": 99_999, "errmsg": "odd", "errorLabels": ["RetryableWriteError"] },
            ),
            Answer::Written(
                doc! { "ok": 1.0, "n": 50, "writeConcernError": { "code": 64, "errmsg": "timed out" } },
            ),
            Answer::Refused(
                doc! { "ok": 1.0, "n": 0, "writeErrors": [{ "index": 3, "code": 112, "errmsg": "conflict" }] },
            ),
        ],
    );
    assert_eq!(end.code, 0, "{}", end.err);
    assert_eq!(
        (&end.json()["written"], pipeline.documents()),
        (&50.into(), 50)
    );
    // One document of many is refused with the whole command: it is found.
    let too_large = doc! { "ok": 0.0, "code": 10_334, "errmsg": "object to insert too large" };
    let (pipeline, end) = behind("by-code-poison", vec![Answer::RefusedWith(7, too_large)]);
    assert_eq!(end.code, 1, "{}", end.err);
    assert_eq!(pipeline.documents(), 49);
    let [one] = &pipeline.dead_letters()[..] else {
        panic!("one dead letter")
    };
    assert_eq!(
        (&one["reason"], &one["store_code"]),
        (&"refused_by_store".into(), &10_334.into())
    );
    assert!(
        one["message"].as_str().unwrap().contains("too large"),
        "{one}"
    );
    // Fatal: nothing is acknowledged, and the next consumer has everything.
    let fatal = [
        doc! { "ok": 0.0, "code": 13, "errmsg": "not authorized" },
        doc! { "ok": 1.0, "n": 0, "writeConcernError": { "code": 79, "errmsg": "No write concern mode named 'x'" } },
        doc! { "ok": 1.0, "n": 0, "writeErrors": [{ "index": 0, "code": 13, "errmsg": "not authorized" }] },
        doc! { "ok": 0.0, "code": 99_999, "errmsg": "never heard of" },
    ];
    for answer in fatal {
        let (pipeline, end) = behind("by-code-fatal", vec![Answer::Refused(answer.clone())]);
        end.refused(3, &["writing to the store failed at once and for good"]);
        assert_eq!(pipeline.documents(), 0, "{answer}");
        assert!(!pipeline.file().exists(), "{answer}");
        proxy.answer(Vec::new());
        assert_eq!(pipeline.consume(50, &[]).json()["written"], 50, "{answer}");
    }
}
