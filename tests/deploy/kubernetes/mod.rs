//! `deploy/kubernetes/` against Kubernetes' own schema, against itself (what is referred to is there), and against the
//! command: the arguments and variables that its containers are given.

mod api;
mod calls;
mod custom_resources;
mod kustomization;
mod object;
mod pods;
mod references;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use api::Api;
use calls::Commands;
use custom_resources::CustomResources;
use kustomization::render;
use object::Object;
use references::documented_secrets;

/// What is applied together: folders of kustomize and single files.
const SETS: [&[&str]; 5] = [
    &["observe.yaml"],
    &["scale/base"],
    &["scale/overlays/sixteen-workers"],
    &["scale/servers"],
    &["scale/base", "scale/report"],
];
/// The oldest version of Kubernetes that has all that is used, by default, and the newest with a schema.
const VERSIONS: [&str; 2] = ["1.29.0", "1.37.0"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes")
}

fn objects(set: &[&str]) -> Vec<Object> {
    let rendered = set.iter().map(|path| render(&folder().join(path)));
    rendered.flat_map(Result::unwrap).collect()
}

/// What is wrong with objects that are applied together.
fn problems(objects: &[Object], apis: &[Api], commands: &Commands) -> Vec<String> {
    let mut problems = Vec::new();
    for object in objects {
        let mut found = Vec::new();
        for api in apis {
            found.extend(api.problems(object));
        }
        found.extend(pods::problems(object));
        found.extend(commands.problems(object, objects));
        found.extend(references::problems(object, objects, &documented_secrets()));
        problems.extend(found.iter().map(|problem| format!("{object}: {problem}")));
    }
    problems.extend(calls::number_of_workers(objects));
    problems
}

#[test]
fn manifests_are_what_kubernetes_and_the_command_take() {
    let apis = VERSIONS.map(Api::of_version);
    let commands = Commands::read();
    for set in SETS {
        let objects = objects(set);
        assert!(!objects.is_empty(), "{set:?}");
        let wrong = problems(&objects, &apis, &commands);
        assert!(wrong.is_empty(), "{set:?}: {wrong:#?}");
    }
}

#[test]
fn every_file_is_in_a_kustomization() {
    let mut files = Vec::new();
    kustomization::yaml_files(&folder().join("scale"), &mut files);
    let mut listed = Vec::new();
    for path in files
        .iter()
        .filter(|path| path.ends_with("kustomization.yaml"))
    {
        listed.extend(kustomization::files(path.parent().unwrap()).unwrap());
        listed.push(path.clone());
    }
    files.retain(|file| !listed.contains(file));
    assert!(files.is_empty(), "in no kustomization: {files:?}");
}

/// Each mistake is made in manifests that are right, at one place, and named.
#[test]
fn mistakes_are_found() {
    let apis = VERSIONS.map(Api::of_version);
    let commands = Commands::read();
    let base = objects(&["scale/base"]);
    let pod = "/spec/template/spec";
    let container = "/spec/template/spec/containers/0";
    let mistakes = [
        (
            "cdc-bench-worker",
            "/spec",
            "paralelism",
            json!(4),
            "paralelism",
        ),
        (
            "cdc-bench-worker",
            "/spec",
            "completions",
            json!("4"),
            "/spec/completions",
        ),
        (
            "cdc-bench-worker",
            "/spec",
            "template",
            Value::Null,
            "template",
        ),
        (
            "cdc-bench-worker",
            "/spec",
            "completionMode",
            json!("NonIndexed"),
            "backoffLimitPerIndex",
        ),
        (
            "cdc-bench-worker",
            "/spec",
            "completions",
            json!(5),
            "WORKERS",
        ),
        (
            "cdc-bench-worker",
            pod,
            "restartPolicy",
            json!("OnFailure"),
            "restartPolicy",
        ),
        (
            "cdc-bench-worker",
            pod,
            "serviceAccountName",
            json!("nobody"),
            "nobody",
        ),
        (
            "cdc-bench-worker",
            pod,
            "enableServiceLinks",
            json!(true),
            "enableServiceLinks",
        ),
        (
            "cdc-bench-worker",
            pod,
            "hostNetwork",
            json!(true),
            "hostNetwork",
        ),
        (
            "cdc-bench-worker",
            pod,
            "terminationGracePeriodSeconds",
            json!(5),
            "ten seconds",
        ),
        (
            "cdc-bench-worker",
            &format!("{pod}/volumes/1/secret"),
            "secretName",
            json!("cdc-bench-postgress"),
            "cdc-bench-postgress",
        ),
        (
            "cdc-bench-worker",
            &format!("{container}/volumeMounts/1"),
            "mountPath",
            json!("/run/secrets/elsewhere"),
            "POSTGRES_PASSWORD_FILE",
        ),
        (
            "cdc-bench-worker",
            &format!("{container}/env/0"),
            "name",
            json!("POSTGRES_HOTS"),
            "POSTGRES_HOTS",
        ),
        (
            "cdc-bench-worker",
            &format!("{container}/env/1/valueFrom/configMapKeyRef"),
            "key",
            json!("TEST"),
            "TEST",
        ),
        (
            "cdc-bench-worker",
            &format!("{container}/securityContext"),
            "allowPrivilegeEscalation",
            json!(true),
            "allowPrivilegeEscalation",
        ),
        (
            "cdc-bench-coordinator",
            "/spec/podFailurePolicy/rules/1/onExitCodes",
            "values",
            json!([2, 1]),
            "have to rise",
        ),
        (
            "cdc-bench-coordinator",
            "/spec/template/metadata/labels",
            "sidecar.istio.io/inject",
            json!("true"),
            "proxy",
        ),
        (
            "cdc-bench-coordinator",
            container,
            "args",
            json!(["run", "--evnts=5"]),
            "--evnts",
        ),
        (
            "cdc-bench-coordinator",
            container,
            "args",
            json!(["run", "--events=$(EVNTS)"]),
            "$(EVNTS)",
        ),
        (
            "cdc-bench-coordinator",
            container,
            "args",
            json!(["report", "latest", "--format=pdf"]),
            "pdf",
        ),
        (
            "cdc-bench-coordinator",
            &format!("{pod}/containers/0/resources"),
            "limits",
            Value::Null,
            "memory",
        ),
        (
            "cdc-bench-scale-servers",
            "/data",
            "LOG_LEVEL",
            json!("loud"),
            "loud",
        ),
        (
            "cdc-bench-scale-servers",
            "/data",
            "POSTGRES_PASWORD",
            json!("x"),
            "POSTGRES_PASWORD",
        ),
        (
            "cdc-bench-scale-test",
            "/data",
            "EVENTS",
            json!("many"),
            "many",
        ),
    ];
    for (name, at, key, value, named) in mistakes {
        let mut spoilt = base.clone();
        let object = spoilt
            .iter_mut()
            .find(|object| object.name() == name && object.kind() != "PersistentVolumeClaim");
        let parent = object.unwrap().0.pointer_mut(at);
        let parent = parent
            .unwrap_or_else(|| panic!("{name} has no {at}"))
            .as_object_mut()
            .unwrap();
        match &value {
            Value::Null => parent.remove(key),
            value => parent.insert(key.to_owned(), value.clone()),
        };
        let found = problems(&spoilt, &apis, &commands);
        assert!(
            found.iter().any(|problem| problem.contains(named)),
            "{name}{at}/{key} = {value}: {found:#?}"
        );
    }
}

#[test]
fn a_kustomization_that_names_what_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |text: &str| {
        std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
        render(folder.path()).unwrap_err()
    };
    assert!(refusal("resources: [no-such.yaml]").contains("no-such.yaml"));
    assert!(refusal("resorces: []").contains("resorces"));
    let object = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
    std::fs::write(folder.path().join("a.yaml"), object).unwrap();
    let patch = "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap, name: NAME}, patch: '[{op: replace, path: /data/x, value: y}]'}]";
    assert!(refusal(&patch.replace("NAME", "b")).contains("ConfigMap b"));
    assert!(refusal(&patch.replace("NAME", "a")).contains("/data/x"));
}

/// Against the definitions of Strimzi and CloudNativePG. Not by itself: they are in the operators' repositories and in clusters that run
/// them (`kubectl get crd NAME -o yaml`) alone, and no test fetches from there. What needs none of them is held above.
#[test]
#[ignore = "no package registry has the operators' definitions to fetch: CDC_BENCH_TEST_CRDS names a folder of them"]
fn custom_resources_are_what_their_operators_take() {
    let given = std::env::var_os("CDC_BENCH_TEST_CRDS");
    let definitions = CustomResources::read(Path::new(
        &given.expect("CDC_BENCH_TEST_CRDS is not set: the folder of the definitions"),
    ));
    let mut wrong = Vec::new();
    let mut seen = 0;
    for object in objects(&["scale/servers"]) {
        if api::is_custom(&object) {
            seen += 1;
            let found = definitions.problems(&object);
            wrong.extend(found.iter().map(|problem| format!("{object}: {problem}")));
        }
    }
    assert_eq!(seen, 4);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // They do find what is wrong.
    let mut cluster = objects(&["scale/servers"])
        .into_iter()
        .find(|object| object.kind() == "Cluster")
        .unwrap();
    cluster.0["spec"]["instanses"] = json!(1);
    assert!(!definitions.problems(&cluster).is_empty());
}
