//! A Kafka that lets a user do what its ACLs say: the documented ones suffice for the main job, and `doctor` names what is missing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use serde_json::Value;

use super::Test;
use super::stack::command::{QUICK_JVMS, assert_complete, ended, small_run, with};
use super::stack::{TestStack, free_port, open_folder};

pub const LONG_TESTS: &[Test] = &[(
    "least_privilege_in_kafka_is_what_is_documented_and_doctor_names_what_is_missing",
    acls,
)];

/// A broker with a listener where users log in, and ACLs. Whoever comes to its other listener may do everything.
pub struct Authorized {
    pub stack: TestStack,
    port: u16,
}

impl Authorized {
    pub fn start() -> Self {
        let (name, quick) = QUICK_JVMS;
        let [kafka, connect] =
            ["kafka", "connect"].map(|server| format!("{server}:{name}={quick}"));
        let stack = TestStack::with_args(&["--server-env", &kafka, "--server-env", &connect]);
        let port = free_port();
        let authorized = Self { stack, port };
        let path = PathBuf::from(authorized.stack.broker().last().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| {
            if line.starts_with("listeners=") || line.starts_with("advertised.listeners=") {
                format!("{line},USERS://127.0.0.1:{port}\n")
            } else {
                format!("{line}\n")
            }
        });
        let more = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT\n\
             listener.name.users.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_bench=\"bench\";\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\n";
        std::fs::write(&path, lines.collect::<String>() + more).unwrap();
        authorized.stack.end("kafka", Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(300));
        authorized.stack.wait_until_healthy();
        authorized
    }

    /// Does what a command line of `kafka-acls.sh` does, as somebody who may. The tool is no part of the stack.
    pub fn kafka_acls(&self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[0], "kafka-acls.sh", "{line}");
        let after = |flag: &str| {
            let pairs = words.windows(2).filter(move |pair| pair[0] == flag);
            pairs.map(|pair| pair[1]).collect::<Vec<_>>()
        };
        let pattern = match after("--resource-pattern-type")[..] {
            [] => 3_u8,
            ["prefixed"] => 4,
            _ => panic!("{line}"),
        };
        let (kind, name) = match (&after("--topic")[..], &after("--group")[..]) {
            ([topic], []) => (2_u8, *topic),
            ([], [group]) => (3, *group),
            _ => panic!("{line}"),
        };
        let operations = after("--operation").into_iter().map(|name| match name {
            "Read" => 3_u8,
            "Write" => 4,
            "Create" => 5,
            "Delete" => 6,
            "Describe" => 8,
            "DescribeConfigs" => 10,
            _ => panic!("{line}"),
        });
        let operations: Vec<_> = operations.collect();
        let string = |text: &str| {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            [&length[..], text.as_bytes()].concat()
        };
        // CreateAcls, version 1.
        let mut request = [0, 30, 0, 1, 0, 0, 0, 7].to_vec();
        request.extend(string("test"));
        request.extend(u32::try_from(operations.len()).unwrap().to_be_bytes());
        for operation in &operations {
            request.push(kind);
            request.extend(string(name));
            request.push(pattern);
            request.extend(string(after("--allow-principal")[0]));
            request.extend(string("*"));
            request.extend([*operation, 3]);
        }
        let mut broker = TcpStream::connect(&self.stack.env["KAFKA_BOOTSTRAP_SERVERS"]).unwrap();
        let length = u32::try_from(request.len()).unwrap().to_be_bytes();
        broker.write_all(&[&length[..], &request].concat()).unwrap();
        let mut length = [0; 4];
        broker.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        broker.read_exact(&mut answer).unwrap();
        // Correlation, throttle time and count; then for each ACL an error of two bytes, and a message, which is empty.
        let results = answer[12..].chunks(4);
        let errors: Vec<_> = results.map(|result| &result[..2]).collect();
        assert_eq!(errors, vec![&[0, 0][..]; operations.len()], "{line}");
    }

    /// The command, as that user.
    pub fn as_user(&self) -> Command {
        let mut command = self.stack.external();
        command
            .env(
                "KAFKA_BOOTSTRAP_SERVERS",
                format!("127.0.0.1:{}", self.port),
            )
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_SASL_USERNAME", "bench")
            .env("KAFKA_SASL_PASSWORD", "bench");
        command
    }

    /// What doctor says of Kafka: what it found, and its advice.
    fn doctor(&self) -> (String, String) {
        self.doctor_of(None)
    }

    /// The same where a topic is named.
    fn doctor_of(&self, topic: Option<&str>) -> (String, String) {
        let mut command = with(self.as_user(), &["doctor", "--json"]);
        command.envs(topic.map(|topic| ("KAFKA_TOPIC", topic)));
        let end = ended(command);
        let parts: Value = serde_json::from_str(&end.out).unwrap();
        let mut parts = parts.as_array().unwrap().iter();
        let part = parts.find(|part| part["name"] == "Kafka").unwrap();
        let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        (text("found"), text("advice"))
    }
}

fn acls(_: &TestStack) {
    let kafka = Authorized::start();
    let results = open_folder();
    let (found, advice) = kafka.doctor();
    assert!(found.contains("may not create topics"), "{found}");
    assert!(found.contains("may not use consumer groups"), "{found}");
    let commands: Vec<_> = advice.split("; ").collect();
    let [topics, groups] = commands[..] else {
        panic!("{advice}");
    };
    let page = include_str!("../../docs/how-to/least-privilege.md");
    for command in commands.iter() {
        let (_, grant) = command.split_once("--allow-principal").unwrap();
        assert!(page.contains(grant.trim()), "{grant} is not documented");
    }
    // One after the other: what is missing still is named.
    kafka.kafka_acls(topics);
    let (found, advice) = kafka.doctor();
    assert!(!found.contains("may not create topics"), "{found}");
    assert_eq!(advice, groups);
    // A group that may not be looked at is not taken for one that does not exist.
    let mut command = small_run(kafka.as_user(), results.path(), &["--events", "5"]);
    command.env("KAFKA_GROUP_ID", "billing");
    ended(command).refused(3, &["\"billing\"", "may not be looked at", "kafka-acls.sh"]);
    kafka.kafka_acls(groups);
    assert_eq!(kafka.doctor().1, "");
    // A topic of somebody's, which is to be read: the right to describe it does not suffice.
    let topic = NewTopic::new("orders", 1, TopicReplication::Fixed(1));
    let admin: AdminClient<_> = kafka.stack.kafka().create().unwrap();
    let made = admin.create_topics([&topic], &AdminOptions::new());
    let made = kafka.stack.block_on(made);
    made.unwrap().remove(0).unwrap();
    for granted in ["", "--operation Describe"] {
        if !granted.is_empty() {
            let line =
                format!("kafka-acls.sh --allow-principal User:bench {granted} --topic orders");
            kafka.kafka_acls(&line);
        }
        let (found, advice) = kafka.doctor_of(Some("orders"));
        assert!(found.contains("may not read topic orders"), "{found}");
        assert!(
            advice.contains("--operation Read --topic orders"),
            "{advice}"
        );
    }
    kafka.kafka_acls(&kafka.doctor_of(Some("orders")).1);
    assert_eq!(kafka.doctor_of(Some("orders")).1, "");
    assert_eq!(kafka.doctor_of(Some("cdc_bench_missing")).1, "");
    kafka.stack.delete_topics(&["orders"]);

    // The connector's producer is another user; Connect itself comes by the other listener.
    let plain = [
        "--events",
        "60",
        "--capture",
        "both",
        "--connector-config",
        "producer.override.security.protocol=PLAINTEXT",
    ];
    let end = ended(small_run(kafka.as_user(), results.path(), &plain));
    assert_complete(&end.json(), 60);
    kafka
        .stack
        .assert_nothing_left("a run with the least rights");
    let cleaned = ended(with(kafka.as_user(), &["cleanup"]));
    assert_eq!(cleaned.code, 0, "{}", cleaned.err);
}
