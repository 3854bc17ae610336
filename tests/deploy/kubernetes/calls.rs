//! How containers call the command: their arguments, with variables filled in, and their environment, both through the parser that
//! the command has.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use super::object::{Object, list, text};
use super::references::documented_secrets;

/// Subcommands of subcommands end here.
const DEEPEST: usize = 3;

/// The command line's grammar, and the variables that the reference of settings names.
pub struct Commands {
    parser: clap::Command,
    documented: BTreeSet<String>,
}

impl Commands {
    pub fn read() -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/settings.md");
        let page = std::fs::read_to_string(page).unwrap();
        Self {
            parser: cdc_bench::cli::command(),
            documented: variables(&page),
        }
    }

    pub fn problems(&self, object: &Object, objects: &[Object]) -> Vec<String> {
        let mut problems = Vec::new();
        for container in object.containers() {
            if is_ours(container) {
                self.of_container(container, object, objects, &mut problems);
            }
        }
        problems
    }

    fn of_container(
        &self,
        container: &Value,
        object: &Object,
        objects: &[Object],
        problems: &mut Vec<String>,
    ) {
        let environment = environment(container, objects);
        let words: Vec<_> = list(&container["args"]).into_iter().map(text).collect();
        let arguments: Vec<_> = words
            .iter()
            .map(|word| filled_in(word, &environment))
            .collect();
        if let Some(open) = arguments.iter().find(|argument| argument.contains("$(")) {
            problems.push(format!("{open}: no such variable"));
        }
        let is_used = |name: &String| {
            words
                .iter()
                .any(|word| word.contains(&format!("$({name})")))
        };
        let mut flags = Vec::new();
        for (name, value) in environment.iter().filter(|(name, _)| !is_used(name)) {
            match self.flag(&arguments, name) {
                Some(Some(flag)) => flags.push(format!("--{flag}={value}")),
                Some(None) => {}
                None if self.documented.contains(name) => {}
                None => problems.push(format!(
                    "{name} is no setting of the command, nor is it used in its arguments"
                )),
            }
        }
        problems.extend(unreadable_files(&environment, container, object));
        let program = "cdc-bench".to_owned();
        let line = [&program].into_iter().chain(&arguments).chain(&flags);
        let line: Vec<_> = line.collect();
        let parser = without_environment(self.parser.clone());
        if let Err(error) = parser.try_get_matches_from(&line) {
            problems.push(format!("{line:?}: {error}"));
        }
    }

    /// Whether a variable is one of the command's that is called, or of every command's; and the flag that sets the same, if there is one.
    fn flag(&self, arguments: &[String], variable: &str) -> Option<Option<&str>> {
        let mut commands = vec![&self.parser];
        for name in arguments.iter().take(DEEPEST) {
            commands.extend(commands[commands.len() - 1].find_subcommand(name));
        }
        let mut known = commands.into_iter().flat_map(clap::Command::get_arguments);
        let found = known.find(|known| known.get_env() == Some(OsStr::new(variable)));
        found.map(clap::Arg::get_long)
    }
}

/// The coordinator waits for as many workers as there are.
pub fn number_of_workers(objects: &[Object]) -> Vec<String> {
    let named = |name: &str| objects.iter().find(|object| object.name() == name);
    let (Some(test), Some(workers)) = (named("cdc-bench-scale-test"), named("cdc-bench-worker"))
    else {
        return Vec::new();
    };
    let waited_for = test.text("/data/WORKERS");
    let started = &workers.0["spec"]["completions"];
    let is_equal = started.as_u64() == waited_for.parse().ok();
    let problem = format!("WORKERS is {waited_for}, and the Job starts {started}");
    (!is_equal).then_some(problem).into_iter().collect()
}

/// Whether a container runs the command.
fn is_ours(container: &Value) -> bool {
    let image = text(&container["image"]);
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split(':').next() == Some("cdc-bench")
}

/// The variables of a container. What Kubernetes fills in is a word of no meaning.
fn environment(container: &Value, objects: &[Object]) -> BTreeMap<String, String> {
    let map = |name: &Value| {
        let mut maps = objects.iter().filter(|object| object.kind() == "ConfigMap");
        let map = maps.find(|object| object.name() == text(name));
        map.and_then(|map| map.0["data"].as_object())
            .cloned()
            .unwrap_or_default()
    };
    let mut found = BTreeMap::new();
    for from in list(&container["envFrom"]) {
        let data = map(&from["configMapRef"]["name"]).into_iter();
        found.extend(data.map(|(name, value)| (name, text(&value).to_owned())));
    }
    for variable in list(&container["env"]) {
        let reference = &variable["valueFrom"]["configMapKeyRef"];
        let value = match &variable["value"] {
            Value::String(value) => value.clone(),
            _ if reference.is_object() => {
                let data = map(&reference["name"]);
                let value = data.get(text(&reference["key"]));
                value
                    .map(|value| text(value).to_owned())
                    .unwrap_or_default()
            }
            _ => "filled-in".to_owned(),
        };
        found.insert(text(&variable["name"]).to_owned(), value);
    }
    found
}

fn filled_in(word: &str, environment: &BTreeMap<String, String>) -> String {
    let fill = |word: String, (name, value): (&String, &String)| {
        word.replace(&format!("$({name})"), value)
    };
    environment.iter().fold(word.to_owned(), fill)
}

/// Variables that name a file which no volume of a secret puts there.
fn unreadable_files(
    environment: &BTreeMap<String, String>,
    container: &Value,
    object: &Object,
) -> Vec<String> {
    let secrets = documented_secrets();
    let pod = object.pod().unwrap_or(&Value::Null);
    let mut files = BTreeSet::new();
    for mount in list(&container["volumeMounts"]) {
        let mut volumes = list(&pod["volumes"]).into_iter();
        let volume = volumes.find(|volume| volume["name"] == mount["name"]);
        let secret = volume
            .map(|volume| text(&volume["secret"]["secretName"]))
            .unwrap_or_default();
        let keys = secrets.get(secret).into_iter().flatten();
        files.extend(keys.map(|key| format!("{}/{key}", text(&mount["mountPath"]))));
    }
    let named = environment
        .iter()
        .filter(|(name, _)| name.ends_with("_FILE"));
    let missing = named.filter(|(_, file)| !files.contains(*file));
    missing
        .map(|(name, file)| format!("{name}: no secret is mounted at {file}"))
        .collect()
}

/// Names in capitals within code, and those of the files that `..._FILE` beside one stands for.
fn variables(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_name = |code: &str| {
        code.contains('_')
            && code
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    for line in page.lines() {
        let mut last = None;
        for code in line.split('`').skip(1).step_by(2) {
            if is_name(code) {
                names.insert(code.to_owned());
                last = Some(code);
            } else if let ("..._FILE", Some(name)) = (code, last) {
                names.insert(format!("{name}_FILE"));
            }
        }
    }
    names
}

/// The same command line, whatever variables are set where the test runs.
fn without_environment(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| argument.env(None::<&'static str>))
        .mut_subcommands(without_environment)
}
