//! The documentation against the program and the repository: every command line that it shows parses, every target of
//! Cargo that it names exists, every link within the repository leads somewhere, and the reference is complete.
//!
//! Command lines are parsed and not run: what commands do needs servers, and is what `tests/on_a_stack` tries.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod cargo;
mod page;
mod shell;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use cargo::Workspace;
use clap::error::ErrorKind;
use page::{Page, Shown};

/// Command lines that are shown because they are refused, each with the reason why it is shown.
const REFUSED: [(&str, &str); 1] = [(
    "cdc-bench run --evnts 5000",
    "the tutorial shows how a mistyped flag is answered",
)];
/// Most lines of `README.md`.
const README_LINES: usize = 200;
/// Folders without documentation of ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

#[test]
fn every_command_line_that_is_shown_is_accepted() {
    let documentation = Documentation::read();
    let mut problems = Vec::new();
    let mut refused = BTreeSet::new();
    for shown in documentation.pages.iter().flat_map(Page::commands) {
        let line = shown.words.join(" ");
        let expected = REFUSED.iter().find(|(refused, _)| *refused == line);
        match (expected, documentation.problem(&shown)) {
            (None, None) => {}
            (None, Some(problem)) => problems.push(format!("{shown}: {problem}")),
            (Some((_, reason)), None) => {
                problems.push(format!("{shown}: accepted, and should not be: {reason}"));
            }
            (Some((line, _)), Some(_)) => {
                refused.insert(*line);
            }
        }
    }
    let unseen = REFUSED.iter().filter(|(line, _)| !refused.contains(line));
    problems.extend(unseen.map(|(line, _)| format!("{line}: no page shows it")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let documentation = Documentation::read();
    let mut problems = Vec::new();
    for page in &documentation.pages {
        for (line, target) in page.links() {
            if let Err(problem) = documentation.follow(page, &target) {
                problems.push(format!("{}:{line}: {target}: {problem}", page.name()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines, {README_LINES} at most: what is new belongs in docs/"
    );
}

#[test]
fn the_reference_has_an_example_of_every_command() {
    let documentation = Documentation::read();
    let examples = documentation.page("docs/reference/commands.md").commands();
    let is_shown = |call: &Vec<String>| {
        let mut examples = examples.iter();
        examples.any(|example| example.words.starts_with(call))
    };
    let mut calls = calls(&cdc_bench::cli::command(), &[]);
    calls.retain(|call| !is_shown(call));
    assert!(calls.is_empty(), "no example of {calls:?}");
}

#[test]
fn the_reference_names_every_global_flag_and_every_variable() {
    let documentation = Documentation::read();
    let spans = documentation.page("docs/reference/settings.md").spans();
    let is_named = |name: &String| {
        let mut spans = spans.iter();
        spans.any(|(_, code)| code.split(' ').any(|word| word == name))
    };
    let mut wanted = Vec::new();
    for argument in arguments(&cdc_bench::cli::command()) {
        let flag = argument.get_long().filter(|_| argument.is_global_set());
        wanted.extend(flag.map(|flag| format!("--{flag}")));
        let variable = argument.get_env().and_then(OsStr::to_str);
        wanted.extend(variable.map(ToOwned::to_owned));
    }
    assert!(!wanted.is_empty());
    wanted.retain(|name| !is_named(name));
    assert!(wanted.is_empty(), "settings.md does not name {wanted:?}");
}

#[test]
fn every_guarantee_names_a_test_that_exists() {
    let documentation = Documentation::read();
    let mut sources = Vec::new();
    rust_files(&root().join("tests/on_a_stack"), &mut sources);
    let sources = sources
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    let sources: String = sources.collect();
    let spans = documentation.page("docs/reference/guarantees.md").spans();
    let mut names: Vec<_> = spans
        .iter()
        .map(|(_, code)| code)
        .filter(|code| code.len() > 20 && code.contains('_') && !code.contains(' '))
        .collect();
    assert!(names.len() > 40, "{names:?}");
    names.retain(|name| !sources.contains(&format!("\"{name}\"")));
    assert!(names.is_empty(), "no such tests: {names:?}");
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Where the repository is.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, and what it is held against.
struct Documentation {
    pages: Vec<Page>,
    parser: clap::Command,
    workspace: Workspace,
}

impl Documentation {
    fn read() -> Self {
        let mut files = Vec::new();
        markdown_files(root(), &mut files);
        files.sort();
        let pages = files.into_iter().map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            Page::parse(file.strip_prefix(root()).unwrap(), &text)
        });
        Self {
            pages: pages.collect(),
            parser: without_environment(cdc_bench::cli::command()),
            workspace: Workspace::of(&root().join("Cargo.toml")),
        }
    }

    fn page(&self, path: &str) -> &Page {
        let found = self.pages.iter().find(|page| page.path == Path::new(path));
        found.unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// Why a command would be refused; `None` also where nothing is known of its program.
    fn problem(&self, shown: &Shown) -> Option<String> {
        if shown.is_in_text && self.names_a_command(&shown.words) {
            return None;
        }
        self.refusal(&shown.words)
    }

    fn refusal(&self, words: &[String]) -> Option<String> {
        let (program, arguments) = words.split_first()?;
        match (program.as_str(), arguments) {
            ("cdc-bench", _) => self.answer(arguments),
            ("cargo", _) => match cargo::arguments_of_the_program(words) {
                Some(arguments) => self.answer(arguments),
                None => self.workspace.refusal(words),
            },
            ("ssh", [_host, command @ ..]) => self.refusal(command),
            _ => {
                let is_ours = program.contains('/') && !program.starts_with(['/', '~', '$']);
                let is_built = program.starts_with("target/");
                let is_missing = is_ours && !is_built && !root().join(program).exists();
                is_missing.then(|| format!("there is no {program}"))
            }
        }
    }

    /// What the command line's parser says against these arguments.
    fn answer(&self, arguments: &[String]) -> Option<String> {
        let program = ["cdc-bench".to_owned()];
        let words = program.iter().chain(arguments);
        let error = self.parser.clone().try_get_matches_from(words).err()?;
        let is_asked_for = matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        );
        (!is_asked_for).then(|| error.to_string())
    }

    /// Whether words are a command's name alone, as a text names it without its arguments.
    fn names_a_command(&self, words: &[String]) -> bool {
        let Some(("cdc-bench", names)) = words.split_first().map(|(p, n)| (p.as_str(), n)) else {
            return false;
        };
        let found = names
            .iter()
            .try_fold(&self.parser, |command, name| command.find_subcommand(name));
        found.is_some()
    }

    /// Follows a link of a page to a file, and to a heading in it. Links to other sites are not followed.
    fn follow(&self, page: &Page, target: &str) -> Result<(), String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return Ok(());
        }
        let (file, heading) = match target.split_once('#') {
            Some((file, heading)) => (file, Some(heading)),
            None => (target, None),
        };
        let path = match file.strip_prefix('/') {
            Some(from_root) => PathBuf::from(from_root),
            None if file.is_empty() => page.path.clone(),
            None => page.path.parent().unwrap().join(file),
        };
        let path = within_repository(&path).ok_or("leads out of the repository")?;
        if !root().join(&path).exists() {
            return Err(format!("there is no {}", path.display()));
        }
        let (Some(heading), Some(page)) = (heading, self.pages.iter().find(|p| p.path == path))
        else {
            return Ok(());
        };
        let anchors = page.anchors();
        if anchors.contains(heading) {
            Ok(())
        } else {
            Err(format!("no such heading; {} has {anchors:?}", page.name()))
        }
    }
}

fn markdown_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                markdown_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// A path without `.` and `..`; `None` where it leads out of its root.
fn within_repository(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// The same command line, whatever variables are set where the test runs.
fn without_environment(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| argument.env(None::<&'static str>))
        .mut_subcommands(without_environment)
}

/// The words that call each command that has no commands beneath it.
fn calls(command: &clap::Command, above: &[String]) -> Vec<Vec<String>> {
    let call = [above, &[command.get_name().to_owned()]].concat();
    if !command.has_subcommands() {
        return vec![call];
    }
    let beneath = command.get_subcommands();
    beneath.flat_map(|inner| calls(inner, &call)).collect()
}

/// The arguments of a command and of those beneath it, except hidden ones.
fn arguments(command: &clap::Command) -> Vec<&clap::Arg> {
    let own = command.get_arguments().filter(|own| !own.is_hide_set());
    let beneath = command.get_subcommands().flat_map(arguments);
    own.chain(beneath).collect()
}

#[test]
fn a_path_stays_within_the_repository() {
    let plain = |path: &str| within_repository(Path::new(path));
    assert_eq!(plain("docs/../a/./b.md"), Some(PathBuf::from("a/b.md")));
    assert_eq!(plain("docs/../../a.md"), None);
}
