//! Whether names resolve on this machine, and whether it reaches the node. Connects, and says nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::Finding;
use crate::check::node_ports;
use crate::cluster::{Network, Population};
use crate::suite::{self, Suite};

/// How long a name server or a node may take.
const TAKE: Duration = Duration::from_secs(3);

/// Whether a name resolves; an address needs no resolving.
pub async fn resolves(what: &'static str, name: &str, whose: &str) -> Finding {
    let name = name.trim_matches(['[', ']']);
    if name.parse::<IpAddr>().is_ok() {
        return Finding::pass(what, format!("{name} ({whose}) is an address, no name"));
    }
    let hint = "look for a typing error, and at this machine's name servers, hosts file and VPN";
    match timeout(TAKE, lookup_host((name, 0))).await {
        Ok(Ok(found)) => {
            let found: BTreeSet<String> = found.map(|address| address.ip().to_string()).collect();
            Finding::pass(what, format!("{name} ({whose}) is {}", found.into_iter().collect::<Vec<_>>().join(", ")))
        }
        Ok(Err(error)) => Finding::warn(what, format!("{name} ({whose}) is not known here: {error}"), hint),
        Err(_) => Finding::warn(what, format!("no answer about {name} ({whose}) within {}s", TAKE.as_secs()), hint),
    }
}

/// Whether the NodePorts of the suites' servers take connections from here.
pub async fn node(population: &Population, network: &Network, suites: &[Suite], given: Option<&str>) -> Vec<Finding> {
    let mut ports = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    for (suite, server) in suite::servers(suites) {
        let its = node_ports(&network.services(&suite.pods, server));
        ports.extend(its.into_iter().map(|port| (server.clone(), port)));
        hosts.extend(population.server(&suite.pods, server).current().into_iter().filter_map(|pod| host_ip(pod)));
    }
    let Some(address) = given.map(str::to_owned).or_else(|| hosts.first().cloned()) else {
        let hint = "look at the servers' pods";
        return vec![Finding::warn("node", "not known: no pod has been given to a node", hint)];
    };
    let address = address.trim_matches(['[', ']']).to_owned();
    let whose = if given.is_some() { "--node-address" } else { "the pods' node" };
    if ports.is_empty() {
        let hint = "see the tests of the Services";
        return vec![Finding::warn("node", format!("{address} ({whose}): no Service has a NodePort"), hint)];
    }
    let node = address.as_str();
    let knocks = ports.iter().map(async |(server, port)| {
        let knock = timeout(TAKE, TcpStream::connect((node, *port))).await;
        let why = match knock {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {}s", TAKE.as_secs()),
        };
        Some((server, port, why))
    });
    let silent: Vec<_> = join_all(knocks).await.into_iter().flatten().collect();
    match silent.first() {
        None => {
            vec![Finding::pass("node", format!("{address} ({whose}) takes connections on {} NodePorts", ports.len()))]
        }
        Some((.., why)) if silent.len() == ports.len() => {
            let seen =
                format!("none of {} NodePorts of {address} ({whose}) takes connections from here: {why}", ports.len());
            let hint = "tests of NodePorts are skipped or judged inside the cluster; name the node as it is reached from \
                        this machine with --node-address";
            vec![Finding::warn("node", seen, hint)]
        }
        Some(_) => {
            let hint = |server| format!("see the tests service::{server} and pods::{server}");
            let fail = |(server, port, why)| {
                Finding::fail("node", format!("NodePort {port} of {server} at {address}: {why}"), hint(server))
            };
            silent.into_iter().map(fail).collect()
        }
    }
}

/// The address of the node that a pod is on.
fn host_ip(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.host_ip.clone()
}
