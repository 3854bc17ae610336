//! Secrets: from a variable, or from the file that a variable names. Never from an argument, which every user can list.

use secrecy::SecretString;

use crate::pipeline::Failure;

/// The secret in the variable `name`, or in the file that `name`_FILE names (as Docker and Kubernetes mount them; a line end after
/// it is not part of it). `None` when neither is set.
pub(super) fn secret(name: &str) -> Result<Option<SecretString>, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(value) = set(name) {
        return Ok(Some(value.into()));
    }
    let variable = format!("{name}_FILE");
    let Some(path) = set(&variable) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\n', '\r']).into())),
        Err(error) => Err(Failure::usage(anyhow::anyhow!(
            "{variable}={path}: {error}"
        ))),
    }
}
