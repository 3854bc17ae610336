//! A Markdown file: its fenced blocks and paragraphs, and the commands, links and headings in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::shell;

/// A command that a page shows.
#[derive(Debug)]
pub struct Shown {
    page: String,
    line: usize,
    /// As a shell would take it apart.
    pub words: Vec<String>,
    /// Whether it stands in the text, not in a block.
    pub is_in_text: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.page, self.line, self.words.join(" "))
    }
}

/// A page. Lines are numbered from 1; a paragraph has the number of its first line.
pub struct Page {
    /// From the repository's root.
    pub path: PathBuf,
    blocks: Vec<Block>,
    /// A heading is a paragraph of its own.
    paragraphs: Vec<(usize, String)>,
}

/// A fenced block.
struct Block {
    language: String,
    first_line: usize,
    lines: Vec<String>,
}

impl Page {
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            paragraphs: Vec::new(),
        };
        let mut fence: Option<&str> = None;
        // Whether the next line goes on with the last paragraph.
        let mut goes_on = false;
        for (number, line) in (1..).zip(text.lines()) {
            let trimmed = line.trim();
            match (fence, fence_of(trimmed)) {
                (None, Some(opening)) => {
                    let language = trimmed[opening.len()..].split_whitespace().next();
                    page.blocks.push(Block {
                        language: language.unwrap_or_default().to_owned(),
                        first_line: number + 1,
                        lines: Vec::new(),
                    });
                    fence = Some(opening);
                    goes_on = false;
                }
                (Some(opening), Some(closing))
                    if closing.starts_with(opening) && closing == trimmed =>
                {
                    fence = None;
                }
                (Some(_), _) => {
                    let block = page.blocks.last_mut().unwrap();
                    block.lines.push(line.to_owned());
                }
                (None, None) if trimmed.is_empty() => goes_on = false,
                (None, None) => {
                    let is_heading = heading(line).is_some();
                    match page.paragraphs.last_mut() {
                        Some((_, paragraph)) if goes_on && !is_heading => {
                            paragraph.push('\n');
                            paragraph.push_str(line);
                        }
                        _ => page.paragraphs.push((number, line.to_owned())),
                    }
                    goes_on = !is_heading;
                }
            }
        }
        page
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The commands in its shell blocks, and those in its text that somebody could type as they stand.
    pub fn commands(&self) -> Vec<Shown> {
        let in_blocks = self.blocks.iter().flat_map(Block::command_lines);
        let in_text = self.spans().into_iter();
        let in_text = in_text.filter(|(_, code)| is_command_line(code));
        let mut shown = Vec::new();
        let lines = in_blocks.map(|line| (line, false));
        for ((line, text), is_in_text) in lines.chain(in_text.map(|line| (line, true))) {
            shown.extend(shell::commands(&text).into_iter().map(|words| Shown {
                page: self.name(),
                line,
                words,
                is_in_text,
            }));
        }
        shown
    }

    /// Code within its text.
    pub fn spans(&self) -> Vec<(usize, String)> {
        let paragraphs = self.paragraphs.iter().flat_map(|(line, text)| {
            let (_, spans) = without_code(text);
            spans.into_iter().map(|code| (*line, code))
        });
        paragraphs.collect()
    }

    /// Where its links and pictures lead.
    pub fn links(&self) -> Vec<(usize, String)> {
        let paragraphs = self.paragraphs.iter().flat_map(|(line, text)| {
            let (prose, _) = without_code(text);
            link_targets(&prose)
                .into_iter()
                .map(|target| (*line, target))
        });
        paragraphs.collect()
    }

    /// What links to its headings end with.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut times_seen = BTreeMap::<String, usize>::new();
        let headings = self.paragraphs.iter().filter_map(|(_, line)| heading(line));
        headings
            .map(|heading| {
                let anchor = anchor_of(heading);
                let before = times_seen.entry(anchor.clone()).or_default();
                *before += 1;
                match *before {
                    1 => anchor,
                    times => format!("{anchor}-{}", times - 1),
                }
            })
            .collect()
    }
}

impl Block {
    /// Its command lines, a continued one as one. Those of a terminal session stand behind "$ ", between what they print.
    fn command_lines(&self) -> Vec<(usize, String)> {
        let is_session = self.language == "console";
        if !is_session && !["sh", "bash", "shell"].contains(&self.language.as_str()) {
            return Vec::new();
        }
        let mut found: Vec<(usize, String)> = Vec::new();
        let mut is_continued = false;
        for (number, line) in (self.first_line..).zip(&self.lines) {
            let line = line.trim();
            let typed = match (is_session, is_continued) {
                (true, false) => match line.strip_prefix("$ ") {
                    Some(typed) => typed,
                    None => continue,
                },
                (true, true) => line.strip_prefix("> ").unwrap_or(line),
                (false, _) => line,
            };
            let text = typed.strip_suffix('\\').unwrap_or(typed);
            match found.last_mut() {
                Some((_, begun)) if is_continued => begun.push_str(text),
                _ => found.push((number, text.to_owned())),
            }
            is_continued = text.len() < typed.len();
        }
        found
    }
}

/// The fence that a line begins with.
fn fence_of(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|sign| {
        let length = line.len() - line.trim_start_matches(sign).len();
        (length >= 3).then(|| &line[..length])
    })
}

/// The words of a heading.
fn heading(line: &str) -> Option<&str> {
    let words = line.trim_start_matches('#');
    let level = line.len() - words.len();
    ((1..=6).contains(&level) && words.starts_with(' ')).then(|| words.trim())
}

/// A heading's anchor, as GitHub makes it.
fn anchor_of(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A paragraph without its code spans, and what stands in these.
fn without_code(paragraph: &str) -> (String, Vec<String>) {
    let (mut prose, mut spans) = (String::new(), Vec::new());
    let mut rest = paragraph;
    while let Some(begin) = rest.find('`') {
        prose.push_str(&rest[..begin]);
        let ticks = run_of_ticks(&rest[begin..]);
        rest = &rest[begin + ticks..];
        if let Some(end) = closing(rest, ticks) {
            let words: Vec<_> = rest[..end].split_whitespace().collect();
            spans.push(words.join(" "));
            rest = &rest[end + ticks..];
        }
    }
    prose.push_str(rest);
    (prose, spans)
}

/// Where so many backticks stand, and no more.
fn closing(text: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let run = run_of_ticks(&text[at + found..]);
        if run == ticks {
            return Some(at + found);
        }
        at += found + run;
    }
    None
}

fn run_of_ticks(text: &str) -> usize {
    text.len() - text.trim_start_matches('`').len()
}

/// Where the links and pictures of a text lead.
fn link_targets(prose: &str) -> Vec<String> {
    let between = |begin: &str, end: char| -> Vec<&str> {
        let parts = prose.split(begin).skip(1);
        let targets = parts.filter_map(|part| part.split_once(end));
        targets.map(|(target, _)| target).collect()
    };
    let definitions = prose.lines().filter_map(|line| {
        let (_, target) = line.trim().strip_prefix('[')?.split_once("]: ")?;
        Some(target)
    });
    let targets = [
        between("](", ')'),
        between("src=\"", '"'),
        between("href=\"", '"'),
        definitions.collect(),
    ];
    let targets = targets.concat().into_iter();
    // A title may follow.
    targets
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect()
}

/// Whether code in a text is a command line that somebody could type: no name alone, and nothing in it to fill in.
fn is_command_line(code: &str) -> bool {
    let Some((program, rest)) = code.split_once(' ') else {
        return false;
    };
    let is_call = rest.starts_with(|c: char| c.is_ascii_lowercase() || ['-', '+'].contains(&c));
    let is_open = ["...", "…", "[", "<"]
        .iter()
        .any(|sign| rest.contains(sign))
        || rest.split(' ').any(is_placeholder);
    ["cdc-bench", "cargo"].contains(&program) && is_call && !is_open
}

/// Whether a word stands for another: capitals alone, as in `RUN` or `KEY=VALUE`.
fn is_placeholder(word: &str) -> bool {
    let mut letters = word.chars().filter(|c| c.is_alphabetic());
    word.starts_with(|c: char| c.is_ascii_uppercase()) && letters.all(char::is_uppercase)
}

#[test]
fn commands_of_blocks_and_of_the_text_are_found_with_their_lines() {
    let text = "\
# One

Try `cdc-bench
doctor`, not `cdc-bench report [RUN]`.

```sh
cargo test \\
  --lib
```
```console
$ cdc-bench man \\
> --dir pages
written
```
```text
cdc-bench no
```
";
    let page = Page::parse(Path::new("page.md"), text);
    let shown: Vec<_> = page.commands().iter().map(ToString::to_string).collect();
    let expected = [
        "page.md:7: cargo test --lib",
        "page.md:11: cdc-bench man --dir pages",
        "page.md:3: cdc-bench doctor",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_has_something_to_fill_in_is_no_command_line() {
    for code in ["cdc-bench", "cdc-bench = 1", "cdc-bench run ...", "x run"] {
        assert!(!is_command_line(code), "{code}");
    }
    for code in ["cdc-bench verify RUN", "cdc-bench run --set KEY=VALUE"] {
        assert!(!is_command_line(code), "{code}");
    }
    for code in ["cdc-bench run -n 5", "cargo +nightly fuzz run x"] {
        assert!(is_command_line(code), "{code}");
    }
}

#[test]
fn links_and_anchors_are_found() {
    let text = "\
# A `b` & c
## x
## x
See [a
b](c.md#d), ![e](f.svg \"g\"), `[h](i)`.

[j]: k.md

<img src=\"l.png\">
";
    let page = Page::parse(Path::new("page.md"), text);
    let links: Vec<_> = page.links().into_iter().map(|(_, to)| to).collect();
    assert_eq!(links, ["c.md#d", "f.svg", "k.md", "l.png"]);
    let anchors: Vec<_> = page.anchors().into_iter().collect();
    assert_eq!(anchors, ["a-b--c", "x", "x-1"]);
}
