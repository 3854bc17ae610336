//! The part of a record that is read: few fields, whatever it is encoded in.

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// Null, or no such field.
    Null,
    /// True or false.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A text of at most [`LONGEST_TEXT`] bytes.
    Text(String),
    /// An object that may hold what matters.
    Fields(Outline),
    /// An object that was skipped.
    SkippedObject,
    /// Any other value.
    Skipped,
}

impl Part {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, also one written as a text.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// Longer texts are no name, position or time.
pub(super) const LONGEST_TEXT: usize = 512;

/// The fields of an object that were kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outline {
    fields: Vec<(String, Part)>,
    /// Number of fields that the object has.
    pub members: usize,
}

impl Outline {
    /// Of an object with this many fields, none of which is kept so far.
    pub fn of_members(members: usize) -> Self {
        Self {
            fields: Vec::new(),
            members,
        }
    }

    pub fn push(&mut self, name: String, part: Part) {
        self.fields.push((name, part));
    }

    /// The field's value. Of two with one name it is the last, as other readers have it.
    pub fn get(&self, name: &str) -> &Part {
        let found = self.fields.iter().rev().find(|(field, _)| field == name);
        found.map_or(&Part::Null, |(_, part)| part)
    }

    /// Whether there is such a field, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Whether a field's name begins so.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.fields
            .iter()
            .any(|(field, _)| field.starts_with(prefix))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).text()
    }

    /// A name: a text that is not empty.
    pub fn name(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).integer()
    }

    pub fn fields(&self, name: &str) -> Option<&Self> {
        match self.get(name) {
            Part::Fields(fields) => Some(fields),
            _ => None,
        }
    }

    pub fn is_null(&self, name: &str) -> bool {
        self.get(name) == &Part::Null
    }

    /// The fields of that name, taken out.
    pub fn take(&mut self, name: &str) -> Part {
        let found = self.fields.iter().rposition(|(field, _)| field == name);
        found.map_or(Part::Null, |at| self.fields.swap_remove(at).1)
    }
}

/// Which fields of a record are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'a> {
    /// Names of fields of the top object, beside those that are always kept.
    pub names: &'a [&'a str],
    level: Level,
}

/// Where in a record an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The record, or what a converter wrapped it in.
    Top,
    /// The position of a change, or its transaction: every field is kept.
    Origin,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Treatment<'a> {
    /// It is not looked at.
    Leave,
    /// Its value is kept, an object skipped.
    Keep,
    /// Its value is kept, of an object what the selection says.
    Enter(Selection<'a>),
}

/// The fields that say what a record is, beside those that begin with [`PREFIXES`].
const NAMES: &[&str] = &[
    "after",
    "before",
    "databaseName",
    "data_collections",
    "ddl",
    "event_count",
    "id",
    "message",
    "op",
    "schema",
    "specversion",
    "status",
    "tableChanges",
    "time",
    "ts_ms",
    "ts_ns",
    "ts_us",
    "type",
];
/// Fields by `ExtractNewRecordState`, and extension attributes of CloudEvents.
const PREFIXES: &[&str] = &["__", "iodebezium"];

impl<'a> Selection<'a> {
    /// Of a whole record.
    pub fn of_record(names: &'a [&'a str]) -> Self {
        Self {
            names,
            level: Level::Top,
        }
    }

    /// What becomes of a field of this name.
    pub fn of(self, name: &str) -> Treatment<'a> {
        let origin = Self {
            level: Level::Origin,
            ..self
        };
        match (self.level, name) {
            (Level::Origin, _) => Treatment::Keep,
            (Level::Top, "source" | "transaction") => Treatment::Enter(origin),
            (Level::Top, "payload" | "data") => Treatment::Enter(self),
            (Level::Top, name) => {
                let kept = NAMES.contains(&name)
                    || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                    || self.names.contains(&name);
                if kept {
                    Treatment::Keep
                } else {
                    Treatment::Leave
                }
            }
        }
    }
}
