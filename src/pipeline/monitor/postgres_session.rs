//! A session of the monitor's own, opened anew when it was lost.

use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use crate::pipeline::provision::source::connect_postgres;

/// A session with PostgreSQL.
pub(super) struct PostgresSession<'a> {
    endpoint: &'a PostgresEndpoint,
    client: Option<Client>,
}

impl<'a> PostgresSession<'a> {
    /// Not open yet.
    pub(super) fn new(endpoint: &'a PostgresEndpoint) -> Self {
        Self {
            endpoint,
            client: None,
        }
    }

    /// Closes it: the next question is asked over another connection.
    pub(super) fn close(&mut self) {
        self.client = None;
    }

    /// Its client, connected anew if the connection was lost.
    pub(super) async fn client(&mut self) -> Result<&Client, String> {
        let open = self.client.take().filter(|client| !client.is_closed());
        let client = match open {
            Some(client) => client,
            None => connect_postgres(self.endpoint)
                .await
                .map_err(|error| error.to_string())?,
        };
        Ok(self.client.insert(client))
    }
}
