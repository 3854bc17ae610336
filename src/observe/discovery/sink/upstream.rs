//! What a sink has its changes from, as far as it was found before.

use cdc_bench_stack::PostgresEndpoint;

use crate::broker::Admin;
use crate::observe::discovery::table::ObservedTable;
use crate::observe::discovery::topics::ObservedTopic;

/// What the sink has its changes from.
pub(in crate::observe) struct Upstream<'a> {
    pub(in crate::observe) source: &'a PostgresEndpoint,
    pub(in crate::observe) tables: &'a [ObservedTable],
    pub(in crate::observe) topics: &'a [ObservedTopic],
    pub(in crate::observe) admin: &'a Admin,
}
