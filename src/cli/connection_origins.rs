//! Which parameters of a connection flags have set, and which ones variables have.

use pgcdc::{ConnectionParameters, InvalidServer};

/// Parameters that flags set, and those that variables do. clap does not tell the one from the other.
#[derive(Default)]
pub(super) struct Origins {
    /// Of flags.
    pub(super) flags: ConnectionParameters,
    /// Of variables.
    pub(super) variables: ConnectionParameters,
}

impl Origins {
    /// Takes the value of an argument that the variable `name` may have set. An empty value is none.
    pub(super) fn take(
        &mut self,
        keyword: &str,
        value: Option<String>,
        name: &str,
    ) -> Result<(), InvalidServer> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(());
        };
        let is_of_variable = std::env::var(name).is_ok_and(|set| set == value);
        let into = if is_of_variable {
            &mut self.variables
        } else {
            &mut self.flags
        };
        into.set(keyword, &value)
    }
}
