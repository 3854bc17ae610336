//! The number of records that a topic has from given offsets on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::ClientConfig;

use super::error::BrokerError;
use super::topic_scan::{ScanStart, TopicScan};

/// Counts the records of a topic from these offsets on, by partition, as its consumers see them: offsets count the markers of
/// transactions and what was aborted as well. `group` is neither joined nor committed to.
///
/// # Errors
/// When the broker does not answer, or the topic may not be read.
pub async fn count_records(
    base: &ClientConfig,
    topic: &str,
    group: &str,
    from: BTreeMap<i32, i64>,
) -> Result<u64, BrokerError> {
    let scan = TopicScan::new(base, topic, group, ScanStart::Offsets(from));
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    scan.read(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    })
    .await?;
    Ok(count.load(Ordering::Relaxed))
}
