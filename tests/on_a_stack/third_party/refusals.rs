//! What is in the way of an observation is said in a sentence with a way out, and nothing is left.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::super::least_privilege::Authorized;
use super::super::stack::command::{ended, with};
use super::super::stack::{TestStack, free_port, until_within};
use super::observed::observe;
use super::shop::Shop;
use super::worker::{Connect, debezium};

pub fn each_has_a_way_out(stack: &TestStack) {
    let shop = a_shop(stack);
    let connect = Connect::of(stack);
    let before = stack.resources();
    let refused = |change: &dyn Fn(&mut Command), args: &[&str], code: i32, says: &[&str]| {
        let mut command = with(observe(stack, None), &["--duration", "1"]);
        change(&mut command);
        command.args(args);
        ended(command).refused(code, says);
    };
    let nobody = || format!("127.0.0.1:{}", free_port());
    let none = |_: &mut Command| {};
    refused(
        &|command| {
            command.env("CONNECT_URL", format!("http://{}", nobody()));
        },
        &[],
        3,
        &["Kafka Connect", "CONNECT_URL"],
    );
    // Something else answers there.
    refused(
        &|command| {
            command.env(
                "CONNECT_URL",
                format!("http://{}", stack.env["KAFKA_BOOTSTRAP_SERVERS"]),
            );
        },
        &[],
        3,
        &["Kafka Connect"],
    );
    refused(
        &|command| {
            command.env("KAFKA_BOOTSTRAP_SERVERS", nobody());
        },
        &[],
        3,
        &["Kafka"],
    );
    shop.sql("create publication small for table customers");
    refused(
        &none,
        &["--publication", "small", "--table", "orders"],
        2,
        &[
            "\"small\"",
            "public.orders",
            "ALTER PUBLICATION",
            "--publication NAME",
        ],
    );
    shop.sql("create publication empty");
    refused(
        &none,
        &["--publication", "empty"],
        2,
        &["\"empty\"", "no tables"],
    );
    shop.sql("drop publication small; drop publication empty");
    assert_eq!(stack.resources(), before);

    connect.register(stack, "other", &debezium(stack, "other", &json!({})));
    refused(
        &none,
        &[],
        2,
        &[
            "2 PostgreSQL connectors",
            "\"other\"",
            "\"shop\"",
            "--connector NAME",
        ],
    );
    refused(
        &none,
        &["--connector", "shopp"],
        2,
        &["\"shopp\"", "\"shop\""],
    );
    connect.delete(stack, "other");
    connect.delete(stack, "shop");
    shop.close();
    an_unreadable_topic();
}

fn a_shop(stack: &TestStack) -> Shop<'_> {
    let shop = Shop::open(stack);
    let config = debezium(stack, "shop", &json!({}));
    Connect::of(stack).register(stack, "shop", &config);
    shop.load(Duration::from_secs(2), 40);
    until_within(Duration::from_secs(60), "the topics", || {
        let topics = stack.topics();
        topics.contains("shop.public.orders") && topics.contains("shop.public.customers")
    });
    shop
}

/// With the right to describe a topic alone, and with the rights that are documented.
fn an_unreadable_topic() {
    let kafka = Authorized::start();
    let shop = a_shop(&kafka.stack);
    let observe = |args: &[&str]| {
        let mut command = with(kafka.as_user(), &["observe", "--duration", "3"]);
        command.env_remove("MONGODB_URI").args(args);
        ended(command)
    };
    let allow = |what: &str| {
        kafka.kafka_acls(&format!(
            "kafka-acls.sh --allow-principal User:bench {what}"
        ));
    };
    let topics = ["shop.public.orders", "shop.public.customers"];
    observe(&[]).refused(2, &["shop.public.orders", "may not be described"]);
    for topic in topics {
        allow(&format!("--operation Describe --topic {topic}"));
    }
    observe(&["--no-group"]).refused(
        2,
        &[
            "may not read topic shop.public",
            "kafka-acls.sh",
            "--operation Read",
        ],
    );
    for topic in topics {
        allow(&format!("--operation Read --topic {topic}"));
    }
    let ended = observe(&["--no-group", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    Connect::of(&kafka.stack).delete(&kafka.stack, "shop");
    shop.close();
}
