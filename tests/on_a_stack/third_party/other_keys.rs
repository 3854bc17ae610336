//! Sinks whose rows have keys of their own: told, and joined where the key is said.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::super::stack::command::{ended, with};
use super::super::stack::{TestStack, until_within};
use super::downstream::{Program, payload};
use super::jdbc_sink::JdbcSink;
use super::observed::{Observed, Observing, observe};
use super::shop::Shop;

const CUSTOMERS: [&str; 4] = [
    "--table",
    "customers",
    "--sink-collection",
    "customers=buyers",
];

fn assert_joined(observed: &Observed) {
    let captured = observed.count("captured");
    assert!(captured > 20, "{captured}");
    observed.assert_complete(captured);
    assert_eq!(observed.count("sink_only"), 0);
}

/// Rows with a number of their own, by a trigger on the sink's.
pub fn in_postgres(sink: &JdbcSink<'_>, shop: &Shop<'_>) {
    sink.sql(
        "create table buyers (id serial primary key, customer_id bigint, name text);
         create function buy() returns trigger language plpgsql as
           $$ begin insert into buyers (customer_id, name) values (new.id, new.name); return new; end $$;
         create trigger buy after insert on shop_public_customers for each row execute function buy();
         create publication buyers for table buyers",
    );
    let args = [&CUSTOMERS[..], &["--sink-publication", "buyers"]].concat();
    ended(with(
        sink.observe(),
        &[&args[..], &["--sink-key", "customers=customer"]].concat(),
    ))
    .refused(2, &["public.buyers", "no column customer", "customer_id"]);
    let args = [&args[..], &["--sink-key", "customers=customer_id"]].concat();
    let plan = ended(with(sink.observe(), &[&args[..], &["--plan"]].concat()));
    for words in ["deletions of public.customers", "REPLICA IDENTITY FULL"] {
        assert!(
            plan.out.contains(words),
            "{words}: {} {}",
            plan.out,
            plan.err
        );
    }
    let observing = sink.begin(&args);
    shop.load(Duration::from_secs(4), 40);
    std::thread::sleep(Duration::from_secs(2));
    assert_joined(&observing.end());
    sink.sql("drop trigger buy on shop_public_customers; drop table buyers; drop function buy");
}

fn customers(stack: &TestStack, shop: &Shop<'_>) -> u64 {
    stack.block_on(async {
        let client = shop.connect().await;
        let counted = client
            .query_one("select count(*) from customers", &[])
            .await;
        u64::try_from(counted.unwrap().get::<_, i64>(0)).unwrap()
    })
}

/// Documents with an `_id` of their own.
pub fn in_mongodb(stack: &TestStack, shop: &Shop<'_>) {
    let (uri, database) = (&stack.env["MONGODB_URI"], &stack.env["MONGODB_DATABASE"]);
    let client = stack.block_on(mongodb::Client::with_uri_str(uri)).unwrap();
    let buyers = client.database(database).collection::<Document>("buyers");
    let program = {
        let uri = uri.clone();
        let database = database.clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = runtime
            .block_on(mongodb::Client::with_uri_str(uri))
            .unwrap();
        let buyers = client.database(&database).collection::<Document>("buyers");
        Program::begin(stack, "customers", "buyers", move |key, value| {
            let id = payload(key)["id"].as_i64().unwrap();
            let tier = value.map(|value| payload(value)["after"]["tier"].as_i64());
            let set = doc! { "$set": { "customer.id": id, "tier": tier.flatten() } };
            let update = buyers.update_one(doc! { "customer.id": id }, set);
            runtime.block_on(async { update.upsert(true).await.unwrap() });
        })
    };
    shop.load(Duration::from_secs(2), 40);
    let begin = |args: &[&str]| {
        let command = with(observe(stack, None), &CUSTOMERS);
        let mut command = with(command, &["--sink", "mongodb", "--no-group"]);
        command.env("MONGODB_URI", uri);
        Observing::of(stack, command, args)
    };
    let observing = begin(&["--drain-timeout", "1"]);
    shop.load(Duration::from_secs(3), 80);
    let observed = observing.end();
    assert!(
        observed.has_incident("other_keys", "--sink-key public.customers=PATH"),
        "{}",
        observed.report["incidents"]
    );
    assert!(
        observed.errors.contains("--sink-key"),
        "{}",
        observed.errors
    );

    until_within(
        Duration::from_secs(60),
        "the program to have caught up",
        || {
            let written = stack.block_on(buyers.count_documents(doc! {})).unwrap();
            written == customers(stack, shop)
        },
    );
    let observing = begin(&["--sink-key", "customer.id"]);
    shop.load(Duration::from_secs(4), 40);
    std::thread::sleep(Duration::from_secs(2));
    assert_joined(&observing.end());
    program.end();
    stack.block_on(buyers.drop()).unwrap();
}
