//! What was found, and what an observation would do: `observe --plan`.

use std::fmt::Write as _;

use super::discovery::{FoundCanary, Pipeline, Sink};

/// The plan as text.
#[must_use]
pub fn plan(pipeline: &Pipeline) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line("Found".to_owned());
    match (&pipeline.connector, &pipeline.idle) {
        (Some(name), None) => line(format!("  connector    {name}")),
        (Some(name), Some(idle)) => {
            line(format!(
                "  connector    {name}, which does not work at the moment: {idle}"
            ));
        }
        (None, _) => line("  connector    not known: Connect was not asked".to_owned()),
    }
    line(format!("  source       {}", pipeline.postgres));
    line(format!("  publication  {}", pipeline.publication));
    for table in &pipeline.tables {
        let key = if table.key.is_empty() {
            "no primary key".to_owned()
        } else {
            format!("key {}", table.key.join(", "))
        };
        line(format!("  table        {} ({key})", table.name));
    }
    for (table, why) in &pipeline.left_out {
        line(format!("  left out     {table}: {why}"));
    }
    for topic in &pipeline.topics {
        let stamped = match topic.log_append_time {
            Some(true) => "LogAppendTime, the broker's clock",
            Some(false) => "CreateTime, the clock of Connect's producer",
            None => "whose clock its timestamps are of, the broker does not say",
        };
        line(format!(
            "  topic        {}, {} partitions ({stamped})",
            topic.name, topic.partitions
        ));
    }
    match &pipeline.group {
        Some(group) => line(format!("  group        {group}")),
        None => line("  group        none has committed offsets of these topics".to_owned()),
    }
    match &pipeline.sink {
        Some(sink) => {
            line(format!("  sink         {}", sink.name()));
            for place in sink.places() {
                line(format!("  {place}"));
            }
        }
        None => line("  sink         none is known".to_owned()),
    }
    if let Some(source) = &pipeline.source_lines {
        line(format!("  application  its lines: {source}"));
    }
    for doubt in &pipeline.doubts {
        line(format!("  not certain  {doubt}"));
    }
    line(String::new());
    let planned = publications_to_make(pipeline);
    if !planned.is_empty() {
        line("Would be made, and removed at the end".to_owned());
        for (publication, tables) in &planned {
            line(format!(
                "  publication  {publication}, of {}; needs their ownership, and CREATE on the database",
                tables.join(", ")
            ));
        }
        line(String::new());
    }
    match &pipeline.canary {
        Some(FoundCanary::Table {
            name, may_delete, ..
        }) => {
            line("Would be sent".to_owned());
            let removed = if *may_delete {
                "which are removed again"
            } else {
                "which stay, since this role may not delete them"
            };
            line(format!("  canary       rows of {name}, {removed}"));
            line(String::new());
        }
        Some(FoundCanary::Message) => {
            line("Would be sent".to_owned());
            line("  canary       transactional messages with the prefix cdc_bench".to_owned());
            line(String::new());
        }
        None => {}
    }
    line("Would be tapped, read-only".to_owned());
    line(format!(
        "  WAL          a temporary slot on publication {}, gone with its connection; needs REPLICATION, one of max_replication_slots and one of max_wal_senders",
        pipeline.publication
    ));
    line(
        "  topics       all partitions from their ends, assigned, read_committed; needs READ and DESCRIBE on them"
            .to_owned(),
    );
    if pipeline.group.is_some() {
        line(
            "  offsets      the group's committed offsets, polled without joining it; needs DESCRIBE on the group"
                .to_owned(),
        );
    }
    if let Some(sink) = &pipeline.sink {
        line(format!("  sink         {}", sink.tap()));
    }
    let is_silent = planned.is_empty() && pipeline.canary.is_none();
    let else_ = if is_silent { "" } else { " else" };
    line(format!(
        "Nothing{else_} is inserted, created, joined or committed."
    ));
    out
}

/// The publications that are to be made, each with its tables.
fn publications_to_make(pipeline: &Pipeline) -> Vec<(String, Vec<&str>)> {
    let mut planned = Vec::new();
    if pipeline.planned_publication.is_some() {
        let tables = pipeline.tables.iter().map(|table| &*table.name);
        planned.push((pipeline.publication.clone(), tables.collect()));
    }
    if let Some(Sink::Postgres(sink)) = pipeline.sink.as_ref()
        && sink.is_planned
    {
        let name = format!("{} in the sink", sink.publication);
        planned.push((name, sink.tables.keys().map(String::as_str).collect()));
    }
    planned
}
