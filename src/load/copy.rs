//! Inserts rows by `COPY ... FROM STDIN`, which the server need not parse or plan.

use std::pin::pin;

use bytes::{BufMut, BytesMut};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::statements::column_seq;
use cdc_bench_model::event::OutboxRow;

const TYPES: [Type; 7] = [
    Type::TEXT,
    Type::UUID,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::UUID,
    Type::JSONB,
];

/// Copies the rows. Within a transaction: the server reports a COPY as complete before it commits, and tokio-postgres reads no
/// further than that; so COMMIT has to be a statement of its own, and its answer is the acknowledgement.
pub(super) async fn copy_in(
    client: &Client,
    copy: &Statement,
    run_id: &str,
    rows: &[OutboxRow],
) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in(copy).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for row in rows {
        writer
            .as_mut()
            .write(&[
                &run_id,
                &row.id.0,
                &column_seq(row),
                &row.event_type.as_str(),
                &row.event_type.aggregate_type(),
                &row.aggregate_id,
                &JsonbText(&row.payload),
            ])
            .await?;
    }
    writer.finish().await
}

/// A `jsonb` value in binary format: its version, then its text.
#[derive(Debug)]
struct JsonbText<'a>(&'a str);

impl ToSql for JsonbText<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_u8(1);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }

    to_sql_checked!();
}
