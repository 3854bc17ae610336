//! As much of a shell's grammar as documentation needs.

use std::iter::Peekable;
use std::str::Chars;

/// The commands of a line, each as its words: between `&&`, `||`, `;`, `|` and `&`, without comments, redirections and
/// the assignments before a command. What stands in `$(...)` is a command of its own.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut read = Line::default();
    let mut signs = line.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '#' if read.word.is_none() => break,
            '\'' => read.push(
                &signs
                    .by_ref()
                    .take_while(|s| *s != '\'')
                    .collect::<String>(),
            ),
            '"' => read.double_quotes(&mut signs),
            '<' | '>' => read.redirection(&mut signs),
            '&' | '|' | ';' | '(' | ')' => read.end_command(),
            sign if sign.is_whitespace() => read.end_word(),
            sign => read.sign(sign, &mut signs),
        }
    }
    read.end_command();
    read.commands
}

/// A line as far as it is read.
#[derive(Default)]
struct Line {
    commands: Vec<Vec<String>>,
    command: Vec<String>,
    word: Option<String>,
    /// Whether the word is a redirection's file.
    is_file: bool,
}

impl Line {
    fn push(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        let is_file = std::mem::take(&mut self.is_file);
        let is_before_a_command = self.command.is_empty() && is_assignment(&word);
        if !is_file && !is_before_a_command {
            self.command.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let command = std::mem::take(&mut self.command);
        if !command.is_empty() {
            self.commands.push(command);
        }
    }

    /// A sign that means the same within double quotes and without.
    fn sign(&mut self, sign: char, signs: &mut Peekable<Chars<'_>>) {
        match sign {
            '\\' => self.push(&signs.next().map(String::from).unwrap_or_default()),
            '$' if signs.peek() == Some(&'(') => {
                self.commands.extend(commands(&in_brackets(signs)));
                self.push("$(...)");
            }
            sign => self.push(&sign.to_string()),
        }
    }

    fn double_quotes(&mut self, signs: &mut Peekable<Chars<'_>>) {
        // Quotes around nothing are a word, too.
        self.push("");
        while let Some(sign) = signs.next().filter(|sign| *sign != '"') {
            self.sign(sign, signs);
        }
    }

    fn redirection(&mut self, signs: &mut Peekable<Chars<'_>>) {
        // A number before it says which of the command's files is meant.
        match &self.word {
            Some(word) if word.chars().all(|c| c.is_ascii_digit()) => self.word = None,
            _ => self.end_word(),
        }
        while signs
            .next_if(|sign| ['<', '>', '&'].contains(sign))
            .is_some()
        {}
        self.is_file = true;
    }
}

/// What stands between a bracket that comes next and the one that closes it.
fn in_brackets(signs: &mut Peekable<Chars<'_>>) -> String {
    signs.next();
    let mut depth = 1;
    let inner = signs.by_ref().take_while(|sign| {
        match sign {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth > 0
    });
    inner.collect()
}

fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else {
        return false;
    };
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| is_of_a_name(c) && !c.is_ascii_digit())
        && name.chars().all(is_of_a_name)
}

#[test]
fn a_line_is_taken_apart() {
    let taken = |line: &str| {
        let commands = commands(line).into_iter();
        commands.map(|words| words.join("|")).collect::<Vec<_>>()
    };
    assert_eq!(taken("a b && c; d | e # f"), ["a|b", "c", "d", "e"]);
    assert_eq!(taken("X=1 Y='2 3' a --b=c"), ["a|--b=c"]);
    assert_eq!(taken(r#"a 'b c' "d \" e" f\ g"#), [r#"a|b c|d " e|f g"#]);
    assert_eq!(taken("a >b 2>&1 c < d || e=$?"), ["a|c"]);
    assert_eq!(taken("a b#c"), ["a|b#c"]);
    assert_eq!(taken("X=$(a $(b) c) d"), ["b", "a|$(...)|c", "d"]);
    assert_eq!(taken("a \"x $(b)\""), ["b", "a|x $(...)"]);
    assert!(taken("# nothing").is_empty());
}
