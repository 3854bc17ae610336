//! The consumer group that reads the topics.

use super::topics::ObservedTopic;
use crate::broker::Admin;
use crate::observe::request::{GroupChoice, PipelineRequest};
use crate::pipeline::Failure;

/// The group whose offsets are polled; `None` where none has committed any of the topics.
pub(super) async fn find(
    request: &PipelineRequest,
    topics: &[ObservedTopic],
    admin: &Admin,
) -> Result<Option<String>, Failure> {
    if request.group == GroupChoice::None {
        return Ok(None);
    }
    let topics: Vec<_> = topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.partitions))
        .collect();
    if let GroupChoice::Named(name) = &request.group {
        // Whether it may be looked at is found before anything is begun.
        let state = admin.group(name).await?;
        if state.is_unused() && !state.exists() {
            return Err(Failure::usage(anyhow::anyhow!(
                "there is no consumer group \"{name}\"; name one that reads the topics (--group NAME), or none (--no-group)"
            )));
        }
        return Ok(Some(name.clone()));
    }
    let groups = admin.reading_groups(&topics).await?;
    match &groups[..] {
        [] => Ok(None),
        [group] => Ok(Some(group.name.clone())),
        several => {
            let names: Vec<_> = several
                .iter()
                .map(|group| format!("\"{}\" ({})", group.name, group.state))
                .collect();
            Err(Failure::usage(anyhow::anyhow!(
                "{} groups read the topics: {}; say which one (--group NAME), or none (--no-group)",
                several.len(),
                names.join(", ")
            )))
        }
    }
}
