//! The main job on real servers: PostgreSQL, Kafka, Connect with Debezium and a document store, started by the command.

use std::process::Command;

use serde_json::Value;

fn cdc_bench() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-bench"));
    for name in [
        "POSTGRES_HOST",
        "KAFKA_BOOTSTRAP_SERVERS",
        "CONNECT_URL",
        "MONGODB_URI",
        "METRICS_FILE",
    ] {
        command.env_remove(name);
    }
    // Never on a stack that a user keeps.
    command.env(
        "CDC_BENCH_STATE_DIR",
        std::env::temp_dir().join("cdc-bench-tests"),
    );
    command
}

#[test]
fn every_event_is_followed_from_insert_to_document() {
    let results = tempfile::tempdir().unwrap();
    let output = cdc_bench()
        .args(["run", "--events", "500", "--warmup", "100", "--json"])
        // Latency is the machine's; this is about the events.
        .args([
            "--max-p50",
            "60000",
            "--max-p95",
            "60000",
            "--max-p99",
            "60000",
            "--min-throughput",
            "1",
        ])
        .arg("--results-dir")
        .arg(results.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    // Its servers are gone before the command is: Kafka's client keeps that to itself.
    for line in errors.lines() {
        assert!(!line.contains("librdkafka"), "{errors}");
    }
    let report: Value =
        serde_json::from_slice(&output.stdout).expect("--json prints the report and nothing else");
    assert_eq!(report["schema"], "cdc-bench/report/1");
    for place in ["inserted", "captured", "in_kafka", "consumed", "written"] {
        assert_eq!(
            report["counts"][place], 500,
            "{place}: {}",
            report["counts"]
        );
    }
    for trouble in [
        "lost",
        "duplicates",
        "errors",
        "dead_letters",
        "lsn_mismatches",
    ] {
        assert_eq!(report["counts"][trouble], 0, "{trouble}");
    }
    assert_eq!(report["verification"]["match_percent"], 100.0);
    assert_eq!(report["verdict"], "pass");

    let folder = results.path().join(report["run"]["id"].as_str().unwrap());
    let stored: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).unwrap())
            .unwrap();
    assert_eq!(stored, report);
    let lines = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 500);
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let hop = |name: &str| line["hops"][name].as_i64().unwrap();
        assert_eq!(
            hop("capture") + hop("kafka_delivery") + hop("consumer_lag") + hop("processing"),
            hop("total")
        );
    }
    assert!(
        std::fs::read_to_string(folder.join("latency.hlog"))
            .unwrap()
            .contains("Tag=total,")
    );
}

#[test]
fn bad_arguments_are_refused_before_anything_starts() {
    for (args, says) in [
        (&["run", "--events", "0"][..], "--events"),
        (&["run", "--rate", "-1"], "--rate"),
        (&["run", "--no-such-flag"], "--no-such-flag"),
        (&["run", "--stack", "external"], "POSTGRES_HOST"),
    ] {
        let output = cdc_bench().args(args).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(says), "{args:?}: {errors}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let results = tempfile::tempdir().unwrap();
    let output = cdc_bench()
        .args([
            "run",
            "--postgres-host",
            "127.0.0.1",
            "--postgres-port",
            "9",
            "--kafka-bootstrap-servers",
            "127.0.0.1:9",
        ])
        .env("POSTGRES_PASSWORD", "not-to-be-shown")
        .env(
            "MONGODB_URI",
            "mongodb://127.0.0.1:9/?directConnection=true",
        )
        .arg("--results-dir")
        .arg(results.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("cannot reach PostgreSQL at postgres@127.0.0.1:9"),
        "{errors}"
    );
    assert!(!errors.contains("not-to-be-shown"), "{errors}");
}

#[test]
fn a_missing_java_is_named_with_what_to_type() {
    let (results, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = cdc_bench()
        .args(["run", "--events", "1", "--results-dir"])
        .arg(results.path())
        .env("CDC_BENCH_CACHE_DIR", cache.path().join("cache"))
        .env("PATH", "")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("Java 17 or later") || errors.contains("lets no other user through"),
        "{errors}"
    );
}
