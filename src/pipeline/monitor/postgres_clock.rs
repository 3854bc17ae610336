//! The offset of PostgreSQL's clock from ours.

use std::time::Duration;

use cdc_bench_model::timeline::{Clock, ClockOffset, Nanos, OffsetEstimator, Stamp};
use tokio_postgres::Client;

/// Measures PostgreSQL's clock by round trips to `clock_timestamp()`, which has microsecond resolution.
pub(crate) async fn measure_postgres(
    client: &Client,
    exchanges: u32,
    clock: Clock,
) -> Result<ClockOffset, tokio_postgres::Error> {
    let read = client
        .prepare("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .await?;
    let mut estimator = OffsetEstimator::default();
    for _ in 0..exchanges {
        let sent = clock.now();
        let row = client.query_one(&read, &[]).await?;
        let received = clock.now();
        let micros: i64 = row.get(0);
        estimator.observe(sent, received, Stamp(micros * 1_000), Nanos(1_000));
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    Ok(estimator.estimate().expect("exchanges were observed"))
}
