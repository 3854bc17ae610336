//! Links to the brokers that can be made worse. Kafka's clients connect to the address that the broker advertises: each link has a
//! listener of its own on the broker, whose advertised address is the link's port.

use std::sync::Arc;

use crate::error::StackError;
use crate::link::Link;

/// Whose connections to the broker go over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaClient {
    /// Kafka Connect: its worker and its connectors' producers.
    Connect,
    /// Our consumer.
    Consumer,
    /// The producer behind our reader.
    Reader,
}

impl KafkaClient {
    /// The name of its listener on the broker.
    fn listener(self) -> &'static str {
        match self {
            Self::Connect => "LINK_OF_CONNECT",
            Self::Consumer => "LINK_OF_CONSUMER",
            Self::Reader => "LINK_OF_READER",
        }
    }
}

/// The links to a stack's broker. They are gone when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct KafkaLinks(Vec<LinkedListener>);

/// A listener of the broker, and the link to it.
#[derive(Debug)]
struct LinkedListener {
    client: KafkaClient,
    /// Number of the broker, from 1.
    broker: usize,
    /// Where the broker listens.
    port: u16,
    /// Where its client connects.
    link: Arc<Link>,
}

impl KafkaLinks {
    /// Opens the link of each of these clients to the port on which the broker of this number is to listen for it.
    pub(crate) fn open(
        listeners: impl Iterator<Item = (KafkaClient, usize, u16)>,
    ) -> Result<Self, StackError> {
        let open = |(client, broker, port)| {
            let link = Arc::new(Link::to(&format!("127.0.0.1:{port}"))?);
            Ok(LinkedListener {
                client,
                broker,
                port,
                link,
            })
        };
        listeners.map(open).collect::<Result<_, _>>().map(Self)
    }

    /// The links of a client, one to each broker; none where it has none.
    pub(crate) fn get(&self, client: KafkaClient) -> Vec<Arc<Link>> {
        let all = self.0.iter();
        let of_client = all.filter(|listener| listener.client == client);
        of_client
            .map(|listener| Arc::clone(&listener.link))
            .collect()
    }

    /// What the broker of this number is told: the values of `listeners`, `advertised.listeners` and `listener.security.protocol.map`, with those of
    /// the listeners that it has anyway.
    pub(crate) fn listeners(
        &self,
        number: usize,
        broker: &str,
        controller: &str,
    ) -> BrokerListeners {
        let mut all = BrokerListeners {
            listeners: format!("PLAINTEXT://{broker},CONTROLLER://{controller}"),
            advertised: format!("PLAINTEXT://{broker}"),
            protocols: "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        };
        for linked in self.0.iter().filter(|linked| linked.broker == number) {
            let (name, port, link) = (linked.client.listener(), linked.port, linked.link.port());
            all.listeners += &format!(",{name}://127.0.0.1:{port}");
            all.advertised += &format!(",{name}://127.0.0.1:{link}");
            all.protocols += &format!(",{name}:PLAINTEXT");
        }
        all
    }
}

/// The broker's settings of its listeners.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BrokerListeners {
    pub(crate) listeners: String,
    pub(crate) advertised: String,
    pub(crate) protocols: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_advertised_at_its_link() {
        let none = KafkaLinks::default().listeners(1, "h:1", "h:2");
        assert_eq!(none.listeners, "PLAINTEXT://h:1,CONTROLLER://h:2");
        assert_eq!(none.advertised, "PLAINTEXT://h:1");
        let listeners = [(KafkaClient::Reader, 1, 3), (KafkaClient::Reader, 2, 4)];
        let links = KafkaLinks::open(listeners.into_iter()).unwrap();
        assert!(links.get(KafkaClient::Connect).is_empty());
        let of_reader = links.get(KafkaClient::Reader);
        assert_eq!(of_reader.len(), 2, "one to each broker");
        let link = of_reader[0].port();
        let all = links.listeners(1, "h:1", "h:2");
        assert_eq!(
            all.listeners,
            none.listeners + ",LINK_OF_READER://127.0.0.1:3"
        );
        assert_eq!(
            all.advertised,
            format!("PLAINTEXT://h:1,LINK_OF_READER://127.0.0.1:{link}")
        );
        assert_eq!(all.protocols, none.protocols + ",LINK_OF_READER:PLAINTEXT");
    }
}
