//! What was seen of a connector.

use std::collections::BTreeMap;

/// The connector, by Connect's REST interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectorEvidence {
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// How often its state was asked for.
    pub polls: u64,
    /// States in which it does not work, such as `task 0 is PAUSED`, each with how often it was found.
    pub idle: BTreeMap<String, u64>,
}

/// Distinct states that are kept, and bytes of each.
const STATES: usize = 8;
const LONGEST: usize = 300;

impl ConnectorEvidence {
    /// It was found in a state in which it does not work. Returns the state if it is new.
    pub fn noticed(&mut self, state: &str) -> Option<String> {
        let state = &state[..state.floor_char_boundary(LONGEST)];
        if let Some(known) = self.idle.get_mut(state) {
            *known += 1;
            return None;
        }
        if self.idle.len() < STATES {
            self.idle.insert(state.to_owned(), 1);
        }
        Some(state.to_owned())
    }

    /// A numeric setting, or its default.
    #[must_use]
    pub fn number(&self, name: &str, default: i64) -> i64 {
        let value = self.config.get(name);
        value
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(default)
    }
}
