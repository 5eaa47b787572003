//! A node as this machine reaches it: its addresses, the servers' NodePorts, and whether they accept connections.

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

use crate::check::parameter::{DurationParam, Expected};
use crate::check::{Site, millis};
use crate::event::{Reason, Verdict};

/// The pause before a retry: no event reports that a port opens.
const PAUSE: Duration = Duration::from_millis(100);
/// When to open a second connection beside a pending one: a connection to a pod that has just gone stays pending for
/// seconds (seen after a rollout).
const PENDING: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// Accepted after this many milliseconds.
    #[serde(rename = "Taken")]
    Accepted(u64),
    /// Refused, so the node is reachable.
    Refused,
    #[serde(rename = "Silence")]
    NoReply(String),
}

impl Attempt {
    pub fn is_reply(&self) -> bool {
        !matches!(self, Self::NoReply(_))
    }
}

pub struct Node {
    pub host_ip: String,
    /// The name or address for this machine.
    pub address: String,
    /// What that resolves to; the ports are unused.
    pub addresses: Vec<SocketAddr>,
}

impl Node {
    /// Errors: the address of the pod's node does not resolve on this machine.
    pub async fn of(site: &Site, pod: &Pod) -> Result<Self, Verdict> {
        // From the pod, because few users have the permission to get nodes.
        let host_ip = pod.status.as_ref().and_then(|status| status.host_ip.clone()).unwrap_or_default();
        let given = site.shared.settings.node_address.as_ref();
        let address = given.unwrap_or(&host_ip).trim_matches(['[', ']']).to_owned();
        let addresses = lookup_host((address.as_str(), 0)).await.map_err(|error| {
            let source = if given.is_some() { "--node-address" } else { "the pod's status.hostIP" };
            let reason = Reason::new(format!("node {address} ({source})"), "a resolvable address", error.to_string());
            Verdict::error(reason.hint("set --node-address to an address that this machine can resolve"))
        })?;
        let addresses = addresses.collect();
        Ok(Self { host_ip, address, addresses })
    }

    /// Retries until the node accepts a connection or the time is over.
    pub async fn connect(&self, port: u16, within: Duration) -> Attempt {
        let started = Instant::now();
        let limit = started + within;
        let mut refused = false;
        let mut error = format!("no reply within {}", DurationParam(within));
        let mut pending = FuturesUnordered::new();
        let mut next = started;
        loop {
            tokio::select! {
                // A reply counts even if this program was too busy to read it in time.
                biased;
                () = sleep_until(next), if next < limit => {
                    pending.extend(self.addresses.iter().map(|address| connect(*address, port)));
                    next += PENDING;
                }
                Some(connected) = pending.next() => match connected {
                    Ok(_) => return Attempt::Accepted(millis(started.elapsed())),
                    Err(refusal) if is_refusal(refusal.kind()) => {
                        refused = true;
                        next = next.min(Instant::now() + PAUSE);
                    }
                    Err(other) => error = other.to_string(),
                },
                () = sleep_until(limit) => return if refused { Attempt::Refused } else { Attempt::NoReply(error) },
            }
        }
    }

    /// Connects to all servers' NodePorts at once; only once per run.
    pub async fn connect_all(&self, site: &Site, within: Duration) -> Result<Vec<(u16, Attempt)>, Verdict> {
        let network = site.shared.watch.network().map_err(|error| site.request_failed(&error))?;
        let ports = site.system.names().filter_map(|server| {
            let expected = site.expected_of(server, site.system.facts.node_port.as_ref()).ok()?;
            port(&expected, &network.services(&site.system.pods, server))
        });
        let attempts = join_all(ports.map(|port| async move { (port, self.connect(port, within).await) }));
        Ok(site.shared.once(format!("node-port {}", self.address), attempts).await)
    }
}

async fn connect(mut address: SocketAddr, port: u16) -> std::io::Result<TcpStream> {
    address.set_port(port);
    TcpStream::connect(address).await
}

/// Whether the node itself refused, and not a network on the way to it.
pub fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

pub fn node_ports(services: &[Arc<Service>]) -> Vec<u16> {
    let ports = services.iter().filter_map(|service| service.spec.as_ref()?.ports.as_ref()).flatten();
    ports.filter_map(|port| u16::try_from(port.node_port?).ok()).collect()
}

/// A server's NodePort: from the values, else from its Service.
pub fn port(expected: &Expected, services: &[Arc<Service>]) -> Option<u16> {
    match expected.text() {
        Some(text) => text.parse().ok(),
        None => node_ports(services).first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_port_comes_from_the_values_else_from_the_service() {
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
    fn only_the_nodes_own_reply_is_a_refusal() {
        assert!(is_refusal(ErrorKind::ConnectionRefused) && is_refusal(ErrorKind::ConnectionReset));
        assert!(!is_refusal(ErrorKind::HostUnreachable) && !is_refusal(ErrorKind::TimedOut));
    }
}
