//! Secrets that a test plants, and the search for them in what was written.

use std::path::Path;

/// A secret, and the ways in which it can be written.
#[derive(Debug, Clone)]
pub struct Planted {
    pub name: &'static str,
    spellings: Vec<String>,
}

impl Planted {
    pub fn new(name: &'static str, secret: &str) -> Self {
        let encoded =
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC);
        let mut spellings = vec![secret.to_owned(), encoded.to_string()];
        spellings.dedup();
        Self { name, spellings }
    }

    /// As a part of a URL.
    pub fn encoded(&self) -> &str {
        self.spellings.last().unwrap()
    }
}

/// The secrets that are in these bytes, with the text around each.
pub fn found(bytes: &[u8], planted: &[Planted]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    for secret in planted {
        for spelling in &secret.spellings {
            if let Some(at) = text.find(spelling.as_str()) {
                let around: String = text[..at].chars().rev().take(80).collect();
                let before: String = around.chars().rev().collect();
                found.push(format!("{} after {before:?}", secret.name));
            }
        }
    }
    found
}

/// The same in every file of a folder that is not `left_out`.
pub fn found_in_files(
    folder: &Path,
    planted: &[Planted],
    left_out: &dyn Fn(&Path) -> bool,
) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.extend(found_in_files(&path, planted, left_out));
        } else if kind.is_file() && !left_out(&path) {
            // Servers remove files while they run.
            let bytes = std::fs::read(&path).unwrap_or_default();
            let found = found(&bytes, planted);
            all.extend(
                found
                    .into_iter()
                    .map(|what| format!("{}: {what}", path.display())),
            );
        }
    }
    all
}
