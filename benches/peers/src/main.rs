//! Drains a slot with `pg_walstream`, and looks at every column of every row: `cdc-bench-peers SLOT PUBLICATION ROWS [streaming]`,
//! the server's address in PEER_URL. With "streaming" a transaction comes while it runs (protocol version 2). Ends after the commit of the last
//! row, and prints the seconds from the first row to it.

use std::time::{Duration, Instant};

use pg_walstream::{
    CancellationToken, EventType, LogicalReplicationStream, ReplicationStreamConfig, RetryConfig,
    StreamingMode,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let url = std::env::var("PEER_URL")?;
    let [slot, publication, rows, mode @ ..] = &args[..] else {
        return Err("expected SLOT PUBLICATION ROWS [streaming]".into());
    };
    let rows: u64 = rows.parse()?;
    let (version, streaming) = match mode {
        [] => (1, StreamingMode::Off),
        _ => (2, StreamingMode::On),
    };
    let config = ReplicationStreamConfig::new(
        slot.clone(),
        publication.clone(),
        version,
        streaming,
        Duration::from_secs(1),
        Duration::from_secs(30),
        Duration::from_secs(60),
        RetryConfig::default(),
    );
    let mut stream = LogicalReplicationStream::new(&url, config).await?;
    stream.start(None).await?;
    let cancel = CancellationToken::new();
    let (mut seen, mut bytes, mut first) = (0, 0, None);
    loop {
        let event = stream.next_event(&cancel).await?;
        match &event.event_type {
            EventType::Insert { data, .. } => {
                first.get_or_insert_with(Instant::now);
                seen += 1;
                for (_, value) in data.iter() {
                    bytes += value.as_bytes().len();
                }
            }
            EventType::Commit { .. } | EventType::StreamCommit { .. } => {
                stream.shared_lsn_feedback.update_applied_lsn(event.lsn.value());
                if seen >= rows {
                    break;
                }
            }
            _ => {}
        }
    }
    let seconds = first.map_or(0.0, |first| first.elapsed().as_secs_f64());
    println!("{seconds} {bytes}");
    Ok(())
}
