//! Certificates and keys in PEM.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Why a certificate or a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// It has another format.
    #[error(
        "{what} is not PEM (it has no line -----BEGIN ...-----): a Java key store is converted by \"keytool -importkeystore -srckeystore FILE -destkeystore store.p12 -deststoretype PKCS12\" and \"openssl pkcs12 -in store.p12 -out store.pem -nodes\""
    )]
    NotPem {
        /// The file or property.
        what: String,
    },
}

/// Certificates or a key in PEM, from a file or from a setting. Never printed.
#[derive(Clone)]
pub struct Pem {
    text: SecretString,
    path: Option<PathBuf>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "Pem({})", path.display()),
            None => f.write_str("Pem(...)"),
        }
    }
}

impl Pem {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not PEM.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, PemError> {
        let path = path.into();
        let what = path.display().to_string();
        let bytes = std::fs::read(&path).map_err(|error| PemError::Unreadable {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| PemError::NotPem { what: what.clone() })?;
        Self::checked(text, &what, Some(path))
    }

    /// The text of a setting, `what` in messages. In a properties file its lines may be joined by `\n`.
    ///
    /// # Errors
    /// When it is not PEM.
    pub fn text(text: &str, what: &str) -> Result<Self, PemError> {
        Self::checked(text.replace("\\n", "\n"), what, None)
    }

    fn checked(text: String, what: &str, path: Option<PathBuf>) -> Result<Self, PemError> {
        if text.contains("-----BEGIN ") {
            Ok(Self {
                text: text.into(),
                path,
            })
        } else {
            Err(PemError::NotPem {
                what: what.to_owned(),
            })
        }
    }

    /// Its text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Its file, unless it was a setting.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The parts with one of these labels, such as `CERTIFICATE`. A file may hold a key and its certificates.
    #[must_use]
    pub fn parts(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let mut parts = String::new();
        let mut inside = false;
        for line in self.expose().lines().map(str::trim) {
            if let Some(label) = label(line, "-----BEGIN ") {
                inside = is_wanted(label);
            }
            if inside {
                parts.push_str(line);
                parts.push('\n');
            }
            if label(line, "-----END ").is_some() {
                inside = false;
            }
        }
        parts
    }
}

fn label<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    line.strip_prefix(before)?.strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_key_of_one_file_are_told_apart_and_nothing_is_printed() {
        let text = "Bag Attributes\n-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
        let pem = Pem::text(&text.replace('\n', "\\n"), "ssl.keystore.key").unwrap();
        assert_eq!(
            pem.parts(|label| label == "CERTIFICATE"),
            "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"
        );
        assert!(
            pem.parts(|label| label.ends_with("PRIVATE KEY"))
                .contains("c2VjcmV0")
        );
        assert!(!format!("{pem:?}").contains("c2Vj"));
    }

    #[test]
    fn a_key_store_of_javas_is_refused_with_how_to_convert_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kafka.jks");
        std::fs::write(&path, [0xfe, 0xed, 0xfe, 0xed]).unwrap();
        let error = Pem::read(&path).unwrap_err().to_string();
        assert!(error.contains("kafka.jks") && error.contains("keytool"));
        let missing = Pem::read(folder.path().join("ca.pem")).unwrap_err();
        assert!(matches!(missing, PemError::Unreadable { .. }));
    }
}
