//! What holds for every pod here beyond what a schema says: no rights ("restricted", the strictest of Kubernetes' pod security
//! standards, and no token), time to end, bounded memory; and what the API server refuses of a Job.

use serde_json::Value;

use super::object::{Object, list, text};

/// A command ends within ten seconds of a signal (`cli/interrupt`).
const ENDS_WITHIN: i64 = 10;

pub fn problems(object: &Object) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(pod) = object.pod() else {
        return problems;
    };
    of_pod(pod, &mut problems);
    for container in object.containers() {
        of_container(container, pod, &mut problems);
    }
    if object.kind() == "Job" {
        of_job(object, pod, &mut problems);
    }
    // A Job does not end before every container of its pods has.
    let labels = &object.0["spec"]["template"]["metadata"]["labels"];
    if object.kind() == "Job" && labels["sidecar.istio.io/inject"] != "false" {
        problems.push("a mesh may put a proxy into its pods, which never ends".to_owned());
    }
    let selector = object.0["spec"]["selector"]["matchLabels"].as_object();
    for (name, value) in selector.into_iter().flatten() {
        if labels[name] != *value {
            problems.push(format!(
                "its selector wants {name}={value}, and its pods have not got that label"
            ));
        }
    }
    problems
}

fn of_pod(pod: &Value, problems: &mut Vec<String>) {
    let security = &pod["securityContext"];
    let wanted = [
        (
            "automountServiceAccountToken",
            &pod["automountServiceAccountToken"],
            Value::from(false),
        ),
        // Else a Service "postgres" of the namespace sets POSTGRES_PORT to tcp://ADDRESS:PORT.
        (
            "enableServiceLinks",
            &pod["enableServiceLinks"],
            Value::from(false),
        ),
        (
            "securityContext.runAsNonRoot",
            &security["runAsNonRoot"],
            Value::from(true),
        ),
        (
            "securityContext.seccompProfile.type",
            &security["seccompProfile"]["type"],
            Value::from("RuntimeDefault"),
        ),
    ];
    for (name, found, wanted) in wanted {
        if *found != wanted {
            problems.push(format!("{name} is {found}, and not {wanted}"));
        }
    }
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[name] == true {
            problems.push(format!("{name} is of no use here"));
        }
    }
    if pod["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < ENDS_WITHIN)
    {
        problems.push("terminationGracePeriodSeconds are less than the ten seconds that a command takes to end at most".to_owned());
    }
}

fn of_container(container: &Value, pod: &Value, problems: &mut Vec<String>) {
    let name = text(&container["name"]);
    let security = &container["securityContext"];
    let wanted = [
        (
            "allowPrivilegeEscalation",
            &security["allowPrivilegeEscalation"],
            Value::from(false),
        ),
        (
            "readOnlyRootFilesystem",
            &security["readOnlyRootFilesystem"],
            Value::from(true),
        ),
        (
            "capabilities.drop",
            &security["capabilities"]["drop"],
            Value::from(vec!["ALL"]),
        ),
    ];
    for (field, found, wanted) in wanted {
        if *found != wanted {
            problems.push(format!(
                "container {name}: securityContext.{field} is {found}, and not {wanted}"
            ));
        }
    }
    let resources = &container["resources"];
    let has = |kind: &str, what: &str| !text(&resources[kind][what]).is_empty();
    if !(has("requests", "cpu") && has("requests", "memory") && has("limits", "memory")) {
        problems.push(format!(
            "container {name}: it has to ask for cpu and memory, and to be limited in memory"
        ));
    }
    let volumes: Vec<_> = list(&pod["volumes"])
        .iter()
        .map(|volume| text(&volume["name"]))
        .collect();
    let volumes_and_claims = |name: &str| volumes.contains(&name) || name == "data";
    for mount in list(&container["volumeMounts"]) {
        if !volumes_and_claims(text(&mount["name"])) {
            problems.push(format!(
                "container {name}: there is no volume {}",
                mount["name"]
            ));
        }
    }
    let ports: Vec<_> = list(&container["ports"])
        .iter()
        .map(|port| text(&port["name"]))
        .collect();
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        for way in ["httpGet", "tcpSocket"] {
            let port = text(&container[probe][way]["port"]);
            if !port.is_empty() && !ports.contains(&port) {
                problems.push(format!(
                    "container {name}: {probe} asks for a port {port}, which it has not got"
                ));
            }
        }
    }
}

/// What the API server refuses of a Job, besides what the schema says.
fn of_job(job: &Object, pod: &Value, problems: &mut Vec<String>) {
    let spec = &job.0["spec"];
    let is_indexed = spec["completionMode"] == "Indexed";
    let by_index = !spec["backoffLimitPerIndex"].is_null();
    let has_policy = !spec["podFailurePolicy"].is_null();
    if is_indexed && spec["completions"].is_null() {
        problems.push("an Indexed Job has to have completions".to_owned());
    }
    if is_indexed && spec["completions"] != spec["parallelism"] {
        problems.push(
            "parallelism and completions differ: workers would wait for each other's end"
                .to_owned(),
        );
    }
    if by_index && !is_indexed {
        problems.push("backoffLimitPerIndex wants completionMode Indexed".to_owned());
    }
    if (by_index || has_policy) && pod["restartPolicy"] != "Never" {
        problems
            .push("podFailurePolicy and backoffLimitPerIndex want restartPolicy Never".to_owned());
    }
    let containers = list(&pod["containers"]);
    for rule in list(&spec["podFailurePolicy"]["rules"]) {
        let named = &rule["onExitCodes"]["containerName"];
        if !named.is_null()
            && !containers
                .iter()
                .any(|container| container["name"] == *named)
        {
            problems.push(format!("podFailurePolicy: there is no container {named}"));
        }
        let codes = list(&rule["onExitCodes"]["values"]);
        let codes: Vec<_> = codes.into_iter().filter_map(Value::as_i64).collect();
        if !codes.is_sorted_by(|one, next| one < next) || codes.contains(&0) {
            problems.push(format!(
                "podFailurePolicy: exit codes have to rise, without 0: {codes:?}"
            ));
        }
        if rule["action"] == "FailIndex" && !by_index {
            problems.push("podFailurePolicy: FailIndex wants backoffLimitPerIndex".to_owned());
        }
    }
}
