//! Where the servers come from: the user's own (`external`), or ours, started and stopped with the run, as processes
//! (`local`) or in containers (`compose`).
//!
//! The modules in layers; each knows only those of the layers above it.

mod http;

mod endpoints;
mod kind;

mod error;

mod files;
mod progress;
mod user;

mod background;
mod cache;

mod processes;

mod artifacts;
mod docker;

mod instance;
mod link;
mod servers;

mod compose;
mod local;

mod kept;

mod inspect;
mod stack;

pub use artifacts::{fetch, fetch_debezium};
pub use cache::Cache;
pub use endpoints::{
    ClientPropertiesError, ConnectEndpoint, ConnectEndpointError, ConnectTls, Endpoints,
    GivenEndpoints, HostPort, HttpLogin, JavaClientError, KafkaClientSettings, KafkaEndpoint,
    KafkaSecurity, KafkaSettings, KafkaTls, MissingEndpoint, PasswordMechanism, Pem, PemError,
    PostgresConnectError, PostgresEndpoint, RegistryEndpoint, RegistryEndpointError, Sasl,
    SecurityProtocol, StoreEndpoint, StoreLoginError, TokenSource, login_of, read_properties,
    takes_password, with_login,
};
pub use error::StackError;
pub use http::http_client;
pub use inspect::{Component, ComponentState, inspect};
pub use instance::sweep_stacks;
pub use kept::{KeptStack, run_kept_stack, start_kept_stack};
pub use kind::StackKind;
pub use link::{Link, LinkState};
pub use processes::{GcPause, OutageKind, ServerProcess, server_of};
pub use progress::{Download, STOPPING, StepProgress};
pub use servers::{ClusterRequest, ClusterSize, KafkaClient, LocalOptions};
pub use stack::{Stack, StackRequest, running_endpoints};
