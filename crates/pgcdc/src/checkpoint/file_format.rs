//! A checkpoint as the lines of its file.

use super::progress::{CheckpointProgress, CheckpointSource};
use crate::TableName;

pub(super) fn format(progress: &CheckpointProgress) -> String {
    let mut text = match progress.position {
        Some(lsn) => format!("{lsn}\n"),
        None => "-\n".to_owned(),
    };
    // Names and SQL are JSON, because they may hold any character.
    if let Some(source) = &progress.source {
        let names = serde_json::json!([source.database, source.slot]);
        text += &format!("source {} {} {names}\n", source.system, source.timeline);
    }
    for (table, point) in &progress.copied {
        let name = serde_json::json!([table.schema, table.name]);
        text += &format!("copied {point} {name}\n");
    }
    for (table, copy) in &progress.copying {
        let copy = serde_json::json!([table.schema, table.name, copy]);
        text += &format!("copying {copy}\n");
    }
    text
}

pub(super) fn parse(text: &str) -> Result<CheckpointProgress, String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim();
    let mut progress = CheckpointProgress {
        position: match first {
            "-" => None,
            lsn => Some(lsn.parse().map_err(|error| format!("{error}"))?),
        },
        ..CheckpointProgress::default()
    };
    for line in lines {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "source" => {
                let mut parts = rest.splitn(3, ' ');
                let mut part = || parts.next().unwrap_or_default();
                let (system, timeline) = (part().to_owned(), part().parse());
                let (database, slot) = json(line, part())?;
                progress.source = Some(CheckpointSource {
                    system,
                    timeline: timeline.map_err(|error| format!("{line:?}: {error}"))?,
                    database,
                    slot,
                });
            }
            "copied" => {
                let (point, names) = rest.split_once(' ').unwrap_or_default();
                let (schema, name) = json(line, names)?;
                let point = point.parse().map_err(|error| format!("{error}"))?;
                progress.copied.insert(TableName { schema, name }, point);
            }
            "copying" => {
                let (schema, name, copy) = json(line, rest)?;
                progress.copying.insert(TableName { schema, name }, copy);
            }
            _ => return Err(format!("{line:?} is neither a copied table nor a source")),
        }
    }
    Ok(progress)
}

fn json<T: serde::de::DeserializeOwned>(line: &str, json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("{line:?}: {error}"))
}
