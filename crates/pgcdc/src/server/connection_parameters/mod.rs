//! The parameters of a connection as libpq takes them: from a connection string, the environment, a service file, a password
//! file.

mod environment;
mod error;
mod hosts;
mod keyword_value;
mod keywords;
mod parameters;
mod password_file;
mod service_file;
mod text;
mod uri;
mod values;

pub use environment::LibpqEnvironment;
pub use error::{ConnectionWarning, InvalidServer};
pub use hosts::ServerList;
pub use parameters::ConnectionParameters;

#[cfg(test)]
mod tests;
