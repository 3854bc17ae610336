//! The members of a consumer group, looked at again and again.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::refusal;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A group as the broker shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMembers {
    /// Its state, such as `Stable` or `Empty`; `Dead` also for a group of another protocol than the classic one.
    pub state: String,
    /// The ids of its members, sorted.
    pub members: Vec<String>,
}

/// Looks at one group, without being a member of it.
pub struct GroupWatch {
    consumer: BaseConsumer<BrokerContext>,
    name: String,
    bootstrap: String,
}

impl GroupWatch {
    /// A watch of this group.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(base: &ClientConfig, name: &str) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let consumer: Result<BaseConsumer<_>, _> =
            base.create_with_context(BrokerContext::default());
        let consumer = consumer.map_err(|error| failed(name, &bootstrap, &error.to_string()))?;
        refusal::fetch_token(base, &consumer);
        Ok(Self {
            consumer,
            name: name.to_owned(),
            bootstrap,
        })
    }

    /// Asks the broker, and blocks for its answer.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn look(&self) -> Result<GroupMembers, BrokerError> {
        let list = self.consumer.fetch_group_list(Some(&self.name), TIMEOUT);
        let list = list.map_err(|error| failed(&self.name, &self.bootstrap, &error.to_string()))?;
        let Some(group) = list.groups().first() else {
            return Ok(GroupMembers::default());
        };
        let members = group.members().iter().map(|member| member.id().to_owned());
        let mut members: Vec<_> = members.collect();
        members.sort_unstable();
        Ok(GroupMembers {
            state: group.state().to_owned(),
            members,
        })
    }
}

fn failed(name: &str, bootstrap: &str, reason: &str) -> BrokerError {
    BrokerError::Failed {
        action: format!("looking at consumer group \"{name}\""),
        bootstrap: bootstrap.to_owned(),
        reason: reason.to_owned(),
    }
}
