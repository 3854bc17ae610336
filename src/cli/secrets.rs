//! Secrets: from a variable, from the file that a variable names, or typed. Never from an argument, which every user can list.

use secrecy::SecretString;

use super::secret_prompt;
use crate::debezium::holds_secret;
use crate::pipeline::Failure;

/// The secret in the variable `name`, or in the file that `name`_FILE names (as Docker and Kubernetes mount them; a line end after
/// it is not part of it). `None` when neither is set. Called once for each: a file may be a pipe, which is empty after that.
///
/// # Errors
/// When both are set, or the file cannot be read or holds nothing.
pub(super) fn secret(name: &str) -> Result<Option<SecretString>, Failure> {
    let file = format!("{name}_FILE");
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let usage = |text: String| Err(Failure::usage(anyhow::anyhow!(text)));
    match (set(name), set(&file)) {
        (Some(_), Some(_)) => usage(format!("{name} and {file} are both set; unset one of them")),
        (Some(value), None) => match value.into_string() {
            Ok(value) => Ok(Some(value.into())),
            Err(_) => usage(format!("{name} is not UTF-8")),
        },
        (None, Some(path)) => {
            let shown = path.to_string_lossy();
            match std::fs::read_to_string(&path) {
                Ok(text) => match text.trim_end_matches(['\n', '\r']) {
                    "" => usage(format!("{file}={shown}: the file is empty")),
                    text => Ok(Some(text.to_owned().into())),
                },
                Err(error) => usage(format!("{file}={shown}: {error}")),
            }
        }
        (None, None) => Ok(None),
    }
}

/// Refuses a setting of an argument that holds a secret, and names the way out. The secret is not repeated.
///
/// # Errors
/// When its name or value says so.
pub(super) fn refuse_secret(
    flag: &str,
    key: &str,
    value: &str,
    way_out: &str,
) -> Result<(), Failure> {
    if !holds_secret(key, value) {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "{flag} {key} holds a secret, and every user of this machine can list arguments: {way_out}"
    )))
}

/// Whether a secret that lacks may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prompt {
    is_allowed: bool,
}

impl Prompt {
    /// Where standard input and error are a terminal.
    pub(super) fn at_terminal() -> Self {
        Self {
            is_allowed: secret_prompt::can_ask(),
        }
    }

    /// Where nobody is asked.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self { is_allowed: false }
    }

    pub(super) fn is_allowed(self) -> bool {
        self.is_allowed
    }

    /// A secret that is in neither `name` nor `name`_FILE, as typed by the user; `whose` says what it is.
    ///
    /// # Errors
    /// When it cannot be asked for, or nothing is typed.
    pub(super) fn ask(self, name: &str, whose: &str) -> Result<SecretString, Failure> {
        let missing = || {
            Failure::usage(anyhow::anyhow!(
                "{whose} is not given: set {name} or {name}_FILE"
            ))
        };
        if !self.is_allowed {
            return Err(missing());
        }
        match secret_prompt::ask(whose) {
            Ok(typed) => typed.ok_or_else(missing),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                Err(Failure::interrupted())
            }
            Err(error) => Err(Failure::usage(anyhow::anyhow!("{whose}: {error}"))),
        }
    }
}
