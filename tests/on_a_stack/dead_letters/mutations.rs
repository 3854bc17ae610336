//! A hundred thousand mutated envelopes among as many good ones.

use std::collections::BTreeMap;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::super::stack::TestStack;
use super::events::{changed, record_of, row, with_payload};
use super::pipeline::{Pipeline, Record};

const GOOD: usize = 100_000;
const MUTATED: usize = 100_000;
const ROUNDS: usize = 3;
/// Share of the rate without mutated envelopes that good events are to keep.
const SHARE: f64 = 0.8;

/// A mutation of a record, and what becomes of it: a reason, or nothing where it can be written all the same.
type Mutation = fn(&Record, &mut Xoshiro256PlusPlus) -> (Record, Option<&'static str>);

const MUTATIONS: [Mutation; 16] = [
    |record, rng| (cut(record, rng), Some("unparsable")),
    |record, rng| (spoiled(record, rng), Some("unparsable")),
    |record, rng| {
        let fields = [
            "\"op\":\"c\",",
            "\"event_type\":\"UserCreated\",",
            "\"run_id\":\"0199a1b2c3d4\",",
        ];
        let field = fields[rng.random_range(0..fields.len())];
        (changed(record, field, ""), Some("missing_field"))
    },
    |record, _| {
        (
            changed(record, "\"source\":{", "\"sauce\":{"),
            Some("missing_field"),
        )
    },
    |record, _| {
        (
            changed(record, "\"seq\":", "\"seq\":-"),
            Some("wrong_field"),
        )
    },
    |record, _| {
        (
            changed(
                record,
                "\"aggregate_type\":\"user\"",
                "\"aggregate_type\":[]",
            ),
            Some("wrong_field"),
        )
    },
    |record, _| {
        (
            changed(record, "\"op\":\"c\"", "\"op\":\"q\""),
            Some("unknown_operation"),
        )
    },
    |record, _| {
        (
            changed(record, "UserCreated", "Usercreated"),
            Some("unknown_event_type"),
        )
    },
    |record, rng| {
        let id = uuid::Uuid::from_u128(rng.random());
        let key = Some(format!("{{\"id\":\"{id}\"}}").into_bytes());
        (
            Record {
                key,
                ..record.clone()
            },
            Some("key_mismatch"),
        )
    },
    |record, _| (with_payload(record, "[]"), Some("bad_payload")),
    |record, _| (with_payload(record, "{\"a\": nan}"), Some("bad_payload")),
    |record, rng| {
        let depth = rng.random_range(101..400);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        (with_payload(record, &deep), Some("too_deep"))
    },
    // Harmless: a column more, another order, a payload of another form, no key.
    |record, _| (changed(record, "\"seq\":", "\"more\":null,\"seq\":"), None),
    |record, _| (changed(record, "\"before\":null,", ""), None),
    |record, _| {
        (
            with_payload(record, "{\"x\": {\"y\": [1, 2.5, null, \"ü\"]}}"),
            None,
        )
    },
    |record, _| {
        (
            Record {
                key: None,
                ..record.clone()
            },
            None,
        )
    },
];

/// The first part of the value.
fn cut(record: &Record, rng: &mut Xoshiro256PlusPlus) -> Record {
    let value = record.value.as_ref().unwrap();
    let length = rng.random_range(0..value.len());
    Record {
        value: Some(value[..length].to_vec()),
        ..record.clone()
    }
}

/// A byte that is in no UTF-8 text, anywhere.
fn spoiled(record: &Record, rng: &mut Xoshiro256PlusPlus) -> Record {
    let mut value = record.value.clone().unwrap();
    let at = rng.random_range(0..value.len());
    value[at] = 0xff;
    Record {
        value: Some(value),
        ..record.clone()
    }
}

/// Events written per second.
fn rate(done: &Value) -> f64 {
    done["per_s"].as_f64().unwrap()
}

/// Events written per second, with nothing among them that cannot be written.
fn alone(stack: &TestStack, round: usize) -> f64 {
    let pipeline = Pipeline::new(stack, ["mutations-0", "mutations-1", "mutations-2"][round]);
    let good: Vec<_> = (0..GOOD).map(|n| record_of(&row(n))).collect();
    pipeline.produce(&good);
    let end = pipeline.consume(GOOD, &[]);
    assert_eq!(end.code, 0, "{}", end.err);
    rate(&end.json())
}

/// The same among mutated ones, each of which is in the store or a dead letter with the right reason.
fn among_mutations(stack: &TestStack, round: usize) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_261_129 + round as u64);
    let mut records = Vec::with_capacity(GOOD + MUTATED);
    // By offset.
    let mut expected = BTreeMap::new();
    for n in 0..GOOD.max(MUTATED) {
        if n < GOOD {
            records.push(record_of(&row(n)));
        }
        if n < MUTATED {
            let mutation = MUTATIONS[n % MUTATIONS.len()];
            let (record, reason) = mutation(&record_of(&row(GOOD + n)), &mut rng);
            expected.insert(i64::try_from(records.len()).unwrap(), reason);
            records.push(record);
        }
    }
    let pipeline = Pipeline::new(stack, ["mutated-0", "mutated-1", "mutated-2"][round]);
    pipeline.produce(&records);
    let topic = "mutated-aside";
    let end = pipeline.consume(records.len(), &["--dead-letter-topic", topic]);
    assert_eq!(end.code, 1, "{}", end.err);
    let done = end.json();
    let harmless = expected.values().filter(|reason| reason.is_none()).count();
    let bad = MUTATED - harmless;
    assert_eq!(pipeline.documents(), (GOOD + harmless) as u64);
    assert_eq!(done["dead_letters"], bad);
    let mut wrong = Vec::new();
    for one in pipeline.dead_letters() {
        let reason = expected.remove(&one["offset"].as_i64().unwrap()).flatten();
        if reason != one["reason"].as_str() {
            wrong.push((reason, one.to_string()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} have a wrong reason: {:?}",
        wrong.len(),
        wrong.first()
    );
    assert!(
        expected.values().all(Option::is_none),
        "a mutated record is nowhere"
    );
    assert_eq!(pipeline.messages(topic).len(), bad);
    stack.delete_topics(&[topic]);
    rate(&done)
}

/// In turn, as the machine may have other things to do meanwhile.
pub fn hundred_thousand(stack: &TestStack) {
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let alone = alone(stack, round);
        let among = among_mutations(stack, round);
        println!("events written: {alone:.0}/s alone, {among:.0}/s among {MUTATED} mutated ones");
        ratios.push(among / alone);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "good events beside bad ones: {:.2} of their rate alone, median of {ratios:.2?} (at least {SHARE} is wanted)",
        ratios[ROUNDS / 2]
    );
}
