//! Knocking on NodePorts: which port is a server's, where its node is as seen from here, and whether that takes connections.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Pod, Service};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until};

use crate::check::parameter::{Expected, Span};
use crate::check::{Site, millis};
use crate::event::{Reason, Verdict};

/// The pause after a refusal: there is no event for a port that opens.
const PAUSE: Duration = Duration::from_millis(100);

/// When another connection is tried beside one that is not answered: one that was sent to a pod that has just gone
/// stays unanswered for seconds (seen after a rollout).
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Knock {
    /// It was taken, after so many milliseconds.
    Taken(u64),
    /// It was refused: the node is reachable.
    Refused,
    /// Nothing came back.
    Silence(String),
}

impl Knock {
    /// Whether the node said anything.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Silence(_))
    }
}

/// A node as it is reached from here.
pub struct Node {
    /// Its address as the cluster knows it.
    pub host_ip: String,
    /// The name or address that it has from here.
    pub address: String,
    /// The addresses behind that; the ports do not count.
    pub found: Vec<SocketAddr>,
}

impl Node {
    /// The node of a pod; ERROR if it has no address here.
    pub async fn of(site: &Site, pod: &Pod) -> Result<Self, Verdict> {
        // The pod says; asking for the node itself needs a right that few have.
        let host_ip = pod.status.as_ref().and_then(|status| status.host_ip.clone()).unwrap_or_default();
        let given = site.shared.wishes.node_address.as_ref();
        let address = given.unwrap_or(&host_ip).trim_matches(['[', ']']).to_owned();
        let found = lookup_host((address.as_str(), 0)).await.map_err(|error| {
            let who = if given.is_some() { "--node-address" } else { "the pod's status.hostIP" };
            let reason = Reason::new(format!("node {address} ({who})"), "an address", error.to_string());
            Verdict::error(reason.hint("give an address that this machine knows with --node-address"))
        })?;
        let found = found.collect();
        Ok(Self { host_ip, address, found })
    }

    /// Connects until it is taken, or the time is over.
    pub async fn knock(&self, port: u16, within: Duration) -> Knock {
        let started = Instant::now();
        let limit = started + within;
        let mut refused = false;
        let mut silence = format!("no answer within {}", Span(within));
        let mut dials = FuturesUnordered::new();
        let mut next = started;
        loop {
            tokio::select! {
                // An answer that is there counts, also where this program came to look for it too late.
                biased;
                () = sleep_until(next), if next < limit => {
                    dials.extend(self.found.iter().map(|address| dial(*address, port)));
                    next += AGAIN;
                }
                Some(dialled) = dials.next() => match dialled {
                    Ok(_) => return Knock::Taken(millis(started.elapsed())),
                    Err(error) if is_refusal(error.kind()) => {
                        refused = true;
                        next = next.min(Instant::now() + PAUSE);
                    }
                    Err(error) => silence = error.to_string(),
                },
                () = sleep_until(limit) => return if refused { Knock::Refused } else { Knock::Silence(silence) },
            }
        }
    }

    /// What the ports of all servers say, side by side, looked at once in a run: does it answer at all?
    pub async fn knock_all(&self, site: &Site, within: Duration) -> Result<Vec<(u16, Knock)>, Verdict> {
        let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
        let ports = site.system.names().filter_map(|server| {
            let expected = site.expected_of(server, site.system.facts.node_port.as_ref()).ok()?;
            port(&expected, &network.services(&site.system.pods, server))
        });
        let look = join_all(ports.map(|port| async move { (port, self.knock(port, within).await) }));
        Ok(site.shared.once(format!("node-port {}", self.address), look).await)
    }
}

async fn dial(mut address: SocketAddr, port: u16) -> std::io::Result<TcpStream> {
    address.set_port(port);
    TcpStream::connect(address).await
}

/// Whether it is the node's own answer, and not that of a network on the way to it.
pub fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// The NodePorts of Services.
pub fn live(services: &[Arc<Service>]) -> Vec<u16> {
    let ports = services.iter().filter_map(|service| service.spec.as_ref()?.ports.as_ref()).flatten();
    ports.filter_map(|port| u16::try_from(port.node_port?).ok()).collect()
}

/// A server's port: that of the values, else its Service's.
pub fn port(expected: &Expected, services: &[Arc<Service>]) -> Option<u16> {
    match expected.text() {
        Some(text) => text.parse().ok(),
        None => live(services).first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_port_is_that_of_the_values_else_the_services() {
        let service = json!([{"spec": {"ports": [{"port": 2049, "nodePort": 32164}]}}]);
        for (value, services, wanted) in [
            (json!(32150), &service, Some(32150)),
            (Value::Null, &service, Some(32164)),
            (Value::Null, &json!([]), None),
            (json!("auto"), &service, None),
        ] {
            let expected = serde_json::from_value(json!({"value": value, "source": ""})).unwrap();
            let services: Vec<_> = serde_json::from_value(services.clone()).unwrap();
            assert_eq!(port(&expected, &services), wanted, "{value}");
        }
    }

    #[test]
    fn only_the_nodes_own_answer_is_a_refusal() {
        assert!(is_refusal(ErrorKind::ConnectionRefused) && is_refusal(ErrorKind::ConnectionReset));
        assert!(!is_refusal(ErrorKind::HostUnreachable) && !is_refusal(ErrorKind::TimedOut));
    }
}
