//! The messages of `.proto` files.

use std::collections::HashMap;

use super::tokens::tokens;

pub(super) type MessageId = usize;

/// The messages of a schema and of those that it refers to.
#[derive(Debug)]
pub(in crate::observe::records) struct ProtobufSchema {
    messages: Vec<Message>,
    /// Those of the schema itself that are in no other.
    top: Vec<MessageId>,
}

#[derive(Debug, Default)]
pub(super) struct Message {
    /// With its package.
    name: String,
    pub fields: Vec<Field>,
    nested: Vec<MessageId>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u64,
    pub name: String,
    pub kind: FieldKind,
    pub is_repeated: bool,
    /// Whether it is written even where it is zero, so that without it is null.
    pub has_presence: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldKind {
    /// `int32`, `int64`, `uint32`, `uint64`.
    Integer,
    /// `sint32`, `sint64`.
    ZigZag,
    Bool,
    /// `fixed32`, `fixed64`, `sfixed32`, `sfixed64`.
    Fixed,
    Float,
    Text,
    Bytes,
    Enum(HashMap<i64, String>),
    Message(MessageId),
    /// By a name that is not resolved yet, or of a file that is not there.
    Named(String),
}

impl ProtobufSchema {
    /// The schema in this text, which may use messages of `references`.
    pub fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let mut parser = FileParser::default();
        for text in references {
            parser.file(text)?;
        }
        let top = parser.file(text)?;
        parser.resolve();
        Ok(Self {
            messages: parser.messages,
            top,
        })
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id]
    }

    /// The message at this path of indexes.
    pub(super) fn at(&self, path: &[usize]) -> Option<MessageId> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(*self.top.get(*first)?, |id, at| {
            self.messages[id].nested.get(*at).copied()
        })
    }
}

/// Messages in messages deeper than this are refused, so that no schema can exhaust the stack.
const DEEPEST: usize = 32;

#[derive(Default)]
struct FileParser {
    messages: Vec<Message>,
    enums: HashMap<String, HashMap<i64, String>>,
    tokens: std::vec::IntoIter<String>,
    is_proto3: bool,
}

impl FileParser {
    /// Reads a file. Returns the messages that are in no other.
    fn file(&mut self, text: &str) -> Result<Vec<MessageId>, String> {
        self.tokens = tokens(text).into_iter();
        self.is_proto3 = false;
        let mut package = String::new();
        let mut top = Vec::new();
        while let Some(word) = self.tokens.next() {
            match word.as_str() {
                "syntax" => {
                    let statement = self.statement();
                    self.is_proto3 = statement.iter().any(|token| token.ends_with("proto3"));
                }
                "package" => package = self.statement().concat(),
                "message" => top.push(self.message(&package, 0)?),
                "enum" => self.read_enum(&package)?,
                "service" | "extend" => self.skip_block()?,
                ";" => {}
                // "import", "option", "edition".
                _ => drop(self.statement()),
            }
        }
        Ok(top)
    }

    fn next(&mut self) -> Result<String, String> {
        self.tokens
            .next()
            .ok_or_else(|| "its Protobuf schema ends within a message".to_owned())
    }

    /// The tokens up to the next semicolon, blocks in it included.
    fn statement(&mut self) -> Vec<String> {
        let mut depth = 0_usize;
        let mut statement = Vec::new();
        for token in self.tokens.by_ref() {
            match token.as_str() {
                "{" | "[" => depth += 1,
                "}" | "]" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => break,
                _ => {}
            }
            statement.push(token);
        }
        statement
    }

    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            match self.next()?.as_str() {
                "{" => depth += 1,
                "}" if depth <= 1 => return Ok(()),
                "}" => depth -= 1,
                _ => {}
            }
        }
    }

    fn message(&mut self, scope: &str, depth: usize) -> Result<MessageId, String> {
        if depth > DEEPEST {
            return Err(format!(
                "its Protobuf schema is more than {DEEPEST} levels deep"
            ));
        }
        let name = within(scope, &self.next()?);
        let id = self.messages.len();
        self.messages.push(Message {
            name: name.clone(),
            ..Message::default()
        });
        if self.next()? != "{" {
            return Err(format!("message {name} of its Protobuf schema has no body"));
        }
        self.body(id, &name, depth)?;
        Ok(id)
    }

    fn body(&mut self, id: MessageId, name: &str, depth: usize) -> Result<(), String> {
        let mut is_in_oneof = false;
        loop {
            let word = self.next()?;
            match word.as_str() {
                "}" if is_in_oneof => is_in_oneof = false,
                "}" => return Ok(()),
                ";" => {}
                "message" => {
                    let nested = self.message(name, depth + 1)?;
                    self.messages[id].nested.push(nested);
                }
                "enum" => self.read_enum(name)?,
                "extend" => self.skip_block()?,
                "oneof" => {
                    // Its name and its brace.
                    self.next()?;
                    self.next()?;
                    is_in_oneof = true;
                }
                "option" | "reserved" | "extensions" => drop(self.statement()),
                _ => {
                    let field = self.field(word, is_in_oneof)?;
                    self.messages[id].fields.push(field);
                }
            }
        }
    }

    /// A field whose first word this is: `optional int64 ts_ms = 4 [deprecated = true];`
    fn field(&mut self, first: String, is_in_oneof: bool) -> Result<Field, String> {
        let label =
            matches!(first.as_str(), "optional" | "required" | "repeated").then(|| first.clone());
        let kind = if label.is_some() { self.next()? } else { first };
        let is_map = kind == "map";
        let statement = self.statement();
        let equals = statement.iter().position(|token| token == "=");
        let (name, number) = equals
            .and_then(|at| {
                Some((
                    statement.get(at.checked_sub(1)?)?,
                    statement.get(at + 1)?.parse().ok()?,
                ))
            })
            .ok_or_else(|| {
                format!("a field of type {kind} of its Protobuf schema has no name or no number")
            })?;
        Ok(Field {
            number,
            name: name.clone(),
            is_repeated: is_map || label.as_deref() == Some("repeated"),
            has_presence: label.is_some() || is_in_oneof || !self.is_proto3,
            kind: kind_of(&kind),
        })
    }

    fn read_enum(&mut self, scope: &str) -> Result<(), String> {
        let name = within(scope, &self.next()?);
        let mut values = HashMap::new();
        if self.next()? != "{" {
            return Err(format!("enum {name} of its Protobuf schema has no body"));
        }
        loop {
            let word = self.next()?;
            match word.as_str() {
                "}" => break,
                ";" => continue,
                _ => {}
            }
            let statement = self.statement();
            if let [equals, number, ..] = &statement[..]
                && equals == "="
                && let Ok(number) = number.parse()
            {
                values.insert(number, word);
            }
        }
        self.enums.insert(name, values);
        Ok(())
    }

    /// Finds what fields name: in their message, then in what is around it.
    fn resolve(&mut self) {
        let by_name: HashMap<String, MessageId> = self
            .messages
            .iter()
            .enumerate()
            .map(|(id, message)| (message.name.clone(), id))
            .collect();
        for message in &mut self.messages {
            for field in &mut message.fields {
                if let FieldKind::Named(name) = &field.kind {
                    let names = candidates(&message.name, name);
                    let found = names.iter().find_map(|name| {
                        let message = by_name.get(name).copied().map(FieldKind::Message);
                        message.or_else(|| self.enums.get(name).cloned().map(FieldKind::Enum))
                    });
                    field.kind = found.unwrap_or_else(|| FieldKind::Named(name.clone()));
                }
            }
        }
    }
}

/// The full names that a name may be short for.
fn candidates(scope: &str, name: &str) -> Vec<String> {
    if let Some(whole) = name.strip_prefix('.') {
        return vec![whole.to_owned()];
    }
    let mut scope = scope;
    let mut names = vec![within(scope, name)];
    while let Some((outer, _)) = scope.rsplit_once('.') {
        scope = outer;
        names.push(within(scope, name));
    }
    names.push(name.to_owned());
    names
}

fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

fn kind_of(name: &str) -> FieldKind {
    match name {
        "int32" | "int64" | "uint32" | "uint64" => FieldKind::Integer,
        "sint32" | "sint64" => FieldKind::ZigZag,
        "bool" => FieldKind::Bool,
        "fixed32" | "fixed64" | "sfixed32" | "sfixed64" => FieldKind::Fixed,
        "float" | "double" => FieldKind::Float,
        "string" => FieldKind::Text,
        "bytes" => FieldKind::Bytes,
        name => FieldKind::Named(name.to_owned()),
    }
}
