//! The name of a run.

use std::fmt;

use uuid::Uuid;

/// Name of one run: the UTC second it began and a random tail, fit for a folder, a slot, a topic and a database field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new id, such as `20261124-021133-7f3a9c`.
    #[must_use]
    pub fn generate() -> Self {
        let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
        let tail = Uuid::now_v7().as_u128() & 0xff_ffff;
        Self(format!("{now}-{tail:06x}"))
    }

    /// An id given by the user.
    ///
    /// # Errors
    /// When it holds anything but ASCII letters, digits, `-` and `_`, or is empty or longer than 40.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > 40 || !text.chars().all(fits) {
            return Err(format!(
                "{text:?} is no run id: 1 to 40 letters, digits, \"-\" or \"_\""
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As part of a PostgreSQL identifier (a slot name allows lower case, digits and `_` alone).
    #[must_use]
    pub fn as_identifier(&self) -> String {
        self.0.to_ascii_lowercase().replace('-', "_")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
