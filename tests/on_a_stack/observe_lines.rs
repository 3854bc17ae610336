//! `observe` on a consumer that says itself when it wrote each record: the Python of the documentation, on the real stack. Needs
//! python3, and pip to get `confluent-kafka`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, BaseRecord};
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until, until_within};

pub const LONG_TESTS: &[Test] = &[(
    "observe_lines_of_a_consumer_in_python_end_each_change",
    consumer_in_python,
)];

const TOPIC: &str = "postgres.activity.event_outbox";
const PAGE: &str = include_str!("../../docs/how-to/event-metrics.md");
/// Fails where the file `fail` is, once; a write takes two milliseconds.
const WRITE: &str = "import os, time
def write(record):
    time.sleep(0.002)
    if os.path.exists('fail'):
        os.remove('fail')
        raise ValueError('no room in the index')
";

/// A process that is ended with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        signal(id(&self.0), Signal::SIGKILL);
        drop(self.0.wait());
    }
}

/// The application's statements: a row each, and one that is rolled back.
const SHOP: &str = "import os, uuid, psycopg
env = os.environ
connection = psycopg.connect(host=env['POSTGRES_HOST'], port=env['POSTGRES_PORT'], dbname=env['POSTGRES_DB'],
    user=env['POSTGRES_USER'], password=env['POSTGRES_PASSWORD'])
def orders():
    for number in range(int(env['ORDERS'])):
        yield number
def insert(number):
    id = str(uuid.uuid4())
    connection.execute(\"INSERT INTO activity.event_outbox SELECT %s, 'x', %s, 'UserCreated', 'User', gen_random_uuid(), '{}'\", [id, number])
    connection.rollback() if number == 3 else connection.commit()
    return {'id': id}
";

/// The program of the documentation, after this heading.
fn program(heading: &str) -> &'static str {
    let (_, page) = PAGE.split_once(heading).unwrap();
    let (_, page) = page.split_once("```python\n").unwrap();
    page.split_once("```").unwrap().0
}

/// The program of the documentation, at work.
fn consumer(stack: &TestStack, folder: &Path) -> Ending {
    let program = program("## Python");
    std::fs::write(folder.join("consumer.py"), program).unwrap();
    std::fs::write(folder.join("shop.py"), WRITE).unwrap();
    let step = |command: &mut Command| assert!(command.status().unwrap().success());
    step(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder.join("venv")),
    );
    let python = folder.join("venv/bin/python");
    let install = [
        "-m",
        "pip",
        "install",
        "-q",
        "confluent-kafka",
        "psycopg[binary]",
    ];
    step(Command::new(&python).args(install).stdout(Stdio::null()));
    let mut command = Command::new(python);
    command.arg("consumer.py").current_dir(folder);
    command.envs(&stack.env).env("TOPICS", TOPIC);
    Ending(command.spawn().unwrap())
}

fn generate(stack: &TestStack, events: &str) {
    let args = ["generate", "--events", events, "--rate", "200"];
    assert_eq!(ended(with(stack.external(), &args)).code, 0);
}

fn lines(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl"));
    text.unwrap_or_default().lines().count()
}

/// Generates events, and waits until the consumer has written their lines.
fn load(stack: &TestStack, folder: &Path, events: usize) {
    let before = lines(folder);
    generate(stack, &events.to_string());
    until("the consumer's lines", || lines(folder) >= before + events);
}

fn observing(stack: &TestStack, folder: &Path, source: &str, input: Stdio) -> Child {
    let args = ["--no-group", "--sink", "lines", "--lines", source];
    observing_with(stack, folder, &args, input)
}

fn observing_with(stack: &TestStack, folder: &Path, args: &[&str], input: Stdio) -> Child {
    let mut command = with(stack.external(), &["observe", "--json"]);
    command.args(args);
    command.current_dir(folder).stdin(input);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let slot =
        "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'cdc_bench_observe%' AND active";
    until_within(Duration::from_secs(60), "observe's slot", || {
        !stack.sql(slot).is_empty()
    });
    child
}

fn end(child: Child) -> Ended {
    // The WAL is read until the signal, and our reader may be later than the consumer on a busy machine.
    std::thread::sleep(Duration::from_secs(3));
    signal(id(&child), Signal::SIGINT);
    child.wait_with_output().unwrap().into()
}

#[track_caller]
fn assert_followed(ended: &Ended, events: u64) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let counts = &report["counts"];
    for name in ["captured", "completed"] {
        assert_eq!(counts[name], events, "{name}: {counts}");
    }
    assert_eq!(
        (&counts["missing"], &counts["negative_hops"]),
        (&0.into(), &0.into()),
        "{counts}"
    );
    let hops = &report["paths"]["observed"]["hops"];
    for hop in [
        "debezium", "produce", "consume", "total", "receive", "process",
    ] {
        assert_eq!(hops[hop]["count"], events, "{hop}: {hops}");
    }
    let mean = |hop: &str| hops[hop]["mean"].as_i64().unwrap();
    let sum = mean("debezium") + mean("produce") + mean("consume");
    assert!((sum - mean("total")).abs() <= 3, "{hops}");
    // What the consumer's write takes at least.
    assert!(hops["process"]["min"].as_i64() >= Some(2_000), "{hops}");
    assert!(!method(&report).is_empty());
    report
}

fn create_topic(stack: &TestStack, name: &str) {
    let admin: AdminClient<_> = stack.kafka().create().unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let options = AdminOptions::new();
    let created = stack.block_on(admin.create_topics([&topic], &options));
    created.unwrap().remove(0).unwrap();
}

/// How the consumer's clock was found.
fn method(report: &Value) -> &str {
    let clocks = report["clocks"].as_array().unwrap();
    let found = clocks.iter().find(|clock| clock["server"] == "consumer");
    found.unwrap()["method"].as_str().unwrap()
}

/// Hands on every new line of the consumer's, until the observation is over.
fn forward(folder: &Path, mut line: impl FnMut(&str) -> bool + Send + 'static) {
    let mut tail = Command::new("tail");
    tail.args(["-n", "0", "-F", "metrics.jsonl"])
        .current_dir(folder);
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(tail.stdout.take().unwrap());
    let tail = Ending(tail);
    std::thread::spawn(move || {
        let _tail = tail;
        output.lines().map_while(Result::ok).all(|text| line(&text))
    });
}

fn consumer_in_python(stack: &TestStack) {
    assert_eq!(ended(with(stack.external(), &["setup"])).code, 0);
    let folder = open_folder();
    let folder = folder.path();
    let _consumer = consumer(stack, folder);
    load(stack, folder, 20);

    let refuse = |args: &[&str], says: &[&str]| {
        let mut command = with(stack.external(), &["observe", "--plan"]);
        command.args(args).current_dir(folder);
        ended(command).refused(2, says);
    };
    refuse(&["--sink", "lines"], &["--lines"]);
    refuse(&["--sink", "none", "--lines", "-"], &["--sink lines"]);
    refuse(&["--lines", "none/lines"], &["no folder none"]);
    refuse(&["--lines", "."], &["directory"]);
    refuse(
        &["--lines-source", "none/lines"],
        &["--lines-source", "no folder none"],
    );
    refuse(
        &["--lines", "lines", "--lines-source", "lines"],
        &["--lines", "--lines-source", "at once"],
    );
    refuse(&["--lines", "unix:metrics.jsonl"], &["no socket"]);
    refuse(
        &["--lines", "topic:nobodys"],
        &["\"nobodys\"", "--lines topic:NAME"],
    );

    // A file, rotated under way.
    let child = observing(stack, folder, "metrics.jsonl", Stdio::null());
    load(stack, folder, 200);
    std::fs::rename(folder.join("metrics.jsonl"), folder.join("metrics.1")).unwrap();
    std::fs::write(folder.join("metrics.jsonl"), "").unwrap();
    // The consumer has the old one open still.
    let before = std::fs::read_to_string(folder.join("metrics.1"))
        .unwrap()
        .lines()
        .count();
    generate(stack, "100");
    until("the rotated lines", || {
        let text = std::fs::read_to_string(folder.join("metrics.1")).unwrap();
        text.lines().count() >= before + 100
    });
    let report = assert_followed(&end(child), 300);
    let incidents = report["incidents"].to_string();
    assert!(incidents.contains("rotated"), "{incidents}");
    std::fs::rename(folder.join("metrics.1"), folder.join("metrics.jsonl")).unwrap();

    // A socket, which is gone afterwards.
    let child = observing(stack, folder, "unix:lines.sock", Stdio::null());
    let mut client = std::os::unix::net::UnixStream::connect(folder.join("lines.sock")).unwrap();
    forward(folder, move |line| writeln!(client, "{line}").is_ok());
    std::thread::sleep(Duration::from_millis(500));
    load(stack, folder, 100);
    assert_followed(&end(child), 100);
    assert!(!folder.join("lines.sock").exists());

    // A topic.
    let topic = "consumers.lines";
    create_topic(stack, topic);
    let child = observing(stack, folder, "topic:consumers.lines", Stdio::null());
    let producer: BaseProducer = stack.kafka().set("linger.ms", "0").create().unwrap();
    forward(folder, move |line| {
        let sent = producer.send(BaseRecord::<(), _>::to(topic).payload(line));
        // Without waiting for each: a flush takes its tenth of a second whatever there is to send.
        producer.poll(Duration::ZERO);
        sent.is_ok()
    });
    std::thread::sleep(Duration::from_millis(500));
    load(stack, folder, 100);
    let report = assert_followed(&end(child), 100);
    assert!(method(&report).contains("causality"));
    stack.delete_topics(&[topic]);

    application_in_python(stack, folder);

    // Standard input, with a line that is none, and an error: its change is missing.
    let mut tail = Command::new("tail");
    tail.args(["-n", "0", "-F", "metrics.jsonl"])
        .current_dir(folder);
    let mut tail = Ending(tail.stdout(Stdio::piped()).spawn().unwrap());
    let child = observing(stack, folder, "-", tail.0.stdout.take().unwrap().into());
    load(stack, folder, 20);
    let metrics = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.join("metrics.jsonl"));
    metrics.unwrap().write_all(b"Traceback\n").unwrap();
    std::fs::write(folder.join("fail"), "").unwrap();
    load(stack, folder, 80);
    // Later changes, and the grace of five seconds.
    std::thread::sleep(Duration::from_secs(8));
    // The end of its input is its end.
    drop(tail);
    let over: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(over.code, 4, "{} {}", over.out, over.err);
    let report: Value = serde_json::from_str(&over.out).unwrap();
    let lines = &report["counts"]["lines"];
    assert_eq!(
        (&lines["errors"], &lines["unreadable"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["missing"], 1, "{}", report["counts"]);
    let incidents = report["incidents"].to_string();
    for words in ["no room in the index", "no JSON", "have ended"] {
        assert!(incidents.contains(words), "{words}: {incidents}");
    }
    let missing = folder
        .join("cdc-bench-results")
        .join(report["run"]["id"].as_str().unwrap());
    let missing = std::fs::read_to_string(missing.join("missing.jsonl")).unwrap();
    assert!(missing.contains("no room in the index"), "{missing}");
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
}

/// The application of the documentation: its lines begin each change's way.
fn application_in_python(stack: &TestStack, folder: &Path) {
    let program = program("## Lines of your application");
    let program = program.replace("public.orders", "activity.event_outbox");
    let before = lines(folder);
    let consumers = folder;
    let folder = folder.join("application");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("application.py"), program).unwrap();
    std::fs::write(folder.join("shop.py"), SHOP).unwrap();
    let args = [
        "--no-group",
        "--sink",
        "none",
        "--lines-source",
        "sent.jsonl",
    ];
    let child = observing_with(stack, &folder, &args, Stdio::null());
    let mut python = Command::new(folder.join("../venv/bin/python"));
    python.arg("application.py").current_dir(&folder);
    python.envs(&stack.env).env("ORDERS", "60");
    assert!(python.status().unwrap().success());
    // Something else than the application.
    generate(stack, "40");
    let one_commit = "INSERT INTO activity.event_outbox SELECT gen_random_uuid(), 'big', n, 'UserCreated', 'User', gen_random_uuid(), '{}' FROM generate_series(1, 1500) n";
    stack.sql(one_commit);
    let sent = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.join("sent.jsonl"));
    let other = b"{\"table\":\"orders\",\"key\":1,\"inserted_at\":1764367200101200}\nTraceback\n";
    sent.unwrap().write_all(other).unwrap();
    let ended = end(child);
    assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let said = &report["application"]["lines"];
    for (name, expected) in [
        ("read", 60),
        ("joined", 59),
        ("without_change", 1),
        ("without_line", 1_540),
        ("unreadable", 1),
        ("other_tables", 1),
    ] {
        assert_eq!(said[name], expected, "{name}: {said}");
    }
    let hops = &report["paths"]["observed"]["hops"];
    assert_eq!(hops["total"]["count"], 1_599, "{hops}");
    let figure = |hop: &str, name: &str| hops[hop][name].as_i64().unwrap();
    for hop in ["insert", "total_from_insert"] {
        assert_eq!(figure(hop, "count"), 59, "{hops}");
        assert!(figure(hop, "min") >= -figure(hop, "error_bound"), "{hops}");
    }
    // A statement takes longer than its commit, and not as long as the application had to wait for it.
    let acknowledged = &report["application"]["acknowledged"];
    let bound = figure("insert", "error_bound");
    let longest = acknowledged["max"].as_i64().unwrap() + bound;
    assert!(figure("insert", "max") <= longest * 101 / 100, "{report}");
    let transactions = &report["transactions"];
    assert_eq!(transactions["changes_in_big"], 1_500, "{transactions}");
    let by_place = |tenth: &str| {
        let spans = &transactions["debezium"][tenth];
        assert!(spans["count"].as_u64() >= Some(100), "{transactions}");
        spans["p50"].as_i64().unwrap()
    };
    assert!(
        by_place("first_tenth") <= by_place("last_tenth"),
        "{transactions}"
    );
    let findings = report["diagnosis"]["findings"].to_string();
    assert!(
        findings.contains("in the first tenth of such"),
        "{findings}"
    );
    let clocks = report["clocks"].as_array().unwrap();
    assert!(clocks.iter().any(|clock| clock["server"] == "application"));
    let incidents = report["incidents"].to_string();
    for words in ["not observed", "line 62 of sent.jsonl"] {
        assert!(incidents.contains(words), "{words}: {incidents}");
    }
    // The consumer, at two milliseconds a record, is to have caught up before what comes next.
    until("the consumer's lines", || {
        lines(consumers) >= before + 1_599
    });
}
