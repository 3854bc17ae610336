//! What is read of a connector's metrics, and how they name it.

/// What is read of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attribute {
    QueueCapacity,
    QueueFree,
    BehindSource,
    BatchSize,
}

impl Attribute {
    /// The attribute that this name ends with: exporters put it behind names of their own, in letters of either case.
    pub(super) fn ending(name: &str) -> Option<Self> {
        let name: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        let known = [
            ("queuetotalcapacity", Self::QueueCapacity),
            ("queueremainingcapacity", Self::QueueFree),
            ("millisecondsbehindsource", Self::BehindSource),
            ("batchsizemax", Self::BatchSize),
        ];
        let found = known.into_iter().find(|(end, _)| name.ends_with(end));
        found.map(|(_, attribute)| attribute)
    }
}

/// How the metrics name a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Its `topic.prefix`.
    pub(super) prefix: String,
    pub(super) connector: String,
}
