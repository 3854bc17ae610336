//! libpq's connection service file: sections of parameters, by name.

use std::path::{Path, PathBuf};

use super::{ConnectionParameters, InvalidServer};

/// The parameters of a service, of the first of these files that defines it.
pub(super) fn find(
    service: &str,
    files: &[PathBuf],
) -> Result<ConnectionParameters, InvalidServer> {
    let mut looked_at = Vec::new();
    for path in files {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(InvalidServer::ServiceFile {
                    path: path.clone(),
                    reason: error.to_string(),
                });
            }
        };
        if let Some(found) = section(&text, service, path)? {
            return Ok(found);
        }
        looked_at.push(path.clone());
    }
    Err(InvalidServer::Service {
        service: service.to_owned(),
        files: looked_at,
    })
}

/// The parameters of the section `[service]`.
fn section(
    text: &str,
    service: &str,
    path: &Path,
) -> Result<Option<ConnectionParameters>, InvalidServer> {
    let mut found: Option<ConnectionParameters> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found.is_some() {
                break;
            }
            let is_it = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            found = (is_it == Some(service)).then(ConnectionParameters::default);
            continue;
        }
        let Some(parameters) = &mut found else {
            continue;
        };
        // The line may hold a password.
        let failed = |reason: &str| InvalidServer::ServiceFile {
            path: path.to_owned(),
            reason: format!("line {}: {reason}", index + 1),
        };
        let (keyword, value) = line
            .split_once('=')
            .ok_or_else(|| failed("expected PARAMETER=VALUE"))?;
        if matches!(keyword, "service" | "servicefile") {
            return Err(failed("a service cannot name another one"));
        }
        parameters
            .set_named(keyword, value)
            .map_err(|error| failed(&error.to_string()))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_section_of_the_first_file_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let first = file(
            "first",
            "# ours\n[other]\nhost=o\n\n[mine]\nhost=a\nport=1\n",
        );
        let second = file("second", "[mine]\nhost=b\n[also]\nhost=c\n[bad]\nhorst=d\n");
        let files = [folder.path().join("none"), first, second];
        let host =
            |service: &str| find(service, &files).map(|found| found.get("host").map(str::to_owned));
        assert_eq!(host("mine").unwrap().as_deref(), Some("a"));
        assert_eq!(host("also").unwrap().as_deref(), Some("c"));
        let words = host("absent").unwrap_err().to_string();
        assert!(
            words.contains("\"absent\"") && words.contains("second"),
            "{words}"
        );
        let words = host("bad").unwrap_err().to_string();
        assert!(
            words.contains("line 6") && words.contains("\"host\""),
            "{words}"
        );
    }
}
