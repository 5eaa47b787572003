//! `node-port`: the node takes TCP connections on a server's NodePort; from here, or else from inside the cluster.

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

use super::inside::{self, NOT_FOUND, Said};
use crate::check::parameter::{Expected, Span};
use crate::check::{Kind, Need, Site, System, millis};
use crate::cluster::Operation;
use crate::event::{Hop, Reason, Verdict};

/// The pause after a refusal: there is no event for a port that opens.
const PAUSE: Duration = Duration::from_millis(100);

/// When another connection is tried beside one that is not answered: one that was sent to a pod that has just gone
/// stays unanswered for seconds (seen after a rollout).
const AGAIN: Duration = Duration::from_millis(500);

/// How many times as long a second look takes: a node that is short of CPU is slow, and not closed.
const SECOND: u32 = 3;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodePort {
    /// It takes a connection within this time; one that takes it later, but before four times that, is slow.
    pub within: Span,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    expected: Expected,
    /// What was connected to; `None` where there is no port.
    tried: Option<Tried>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tried {
    /// The node, from here.
    address: String,
    port: u16,
    knock: Knock,
    /// Whether that came of a second look only.
    #[serde(default)]
    is_late: bool,
    /// The ports of the other servers there, if this one said nothing.
    others: Vec<(u16, Knock)>,
    /// The node inside the cluster, and what came of connecting to it there; if nothing can be reached from here.
    inside: Option<(String, Said)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::check) enum Knock {
    /// It was taken, after so many milliseconds.
    Taken(u64),
    /// It was refused: the node is reachable.
    Refused,
    /// Nothing came back.
    Silence(String),
}

impl Kind for NodePort {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.steady_pod().await?;
        let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
        let expected = site.expected(site.system.facts.node_port.as_ref())?;
        let port = port(&expected, &live(&network.services(&site.system.pods, site.server())));
        let mut seen = Observation { server: site.server().to_owned(), expected, tried: None };
        let Some(port) = port else { return Ok(seen) };
        let node = node(site, &pod).await?;
        let mut knock = try_port(&node.found, port, self.within.0).await;
        let (mut others, mut inside) = (Vec::new(), None);
        if let Knock::Silence(_) = knock {
            others = knock_all(site, &node, self.within.0).await?;
        }
        let is_taken = |knock: &Knock| matches!(knock, Knock::Taken(_));
        // Its own port among them: where that or another one answers by now, this one may, too.
        let is_again = !is_taken(&knock) && (knock.is_answer() || others.iter().any(|(_, knock)| knock.is_answer()));
        if is_again {
            site.waiting(format!("NodePort {port} to take a connection"), self.within.0 * SECOND);
            knock = try_port(&node.found, port, self.within.0 * SECOND).await;
        }
        let is_late = is_again && is_taken(&knock);
        let Node { host_ip, address, .. } = node;
        others.retain(|(other, _)| *other != port);
        if !knock.is_answer() && !others.iter().any(|(_, knock)| knock.is_answer()) {
            // Rather another server's: some networks keep a pod from reaching itself through its Service.
            let pod = inside::pod(site, |server| server != site.server()).await?;
            let connect = Operation::Connect { address: host_ip.clone(), port };
            inside = Some((host_ip, inside::ask(site, &pod, &connect).await?));
        }
        seen.tried = Some(Tried { address, port, knock, is_late, others, inside });
        Ok(seen)
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let source = &seen.expected.source;
        let Some(Tried { address, port, knock, is_late, others, inside }) = &seen.tried else {
            let object = format!("server {}", seen.server);
            let what = seen.expected.text().map_or("its Service has none".to_owned(), |text| format!("`{text}`"));
            let hint = "see the test service of this server; give it a NodePort in the values and run helm upgrade";
            let reason = Reason::new(object, format!("a NodePort ({source})"), what).hint(hint);
            return Verdict::judged("", vec![reason]).at(Hop::Nfs);
        };
        let object = format!("node {address}, NodePort {port}");
        let service = format!("see the test service of {}: whether its Service has a ready endpoint", seen.server);
        let (what, hint) = match knock {
            Knock::Taken(ms) => {
                let within = self.within;
                let late =
                    || format!("{object} took no connection within {within}, and then one: it, or the way, is slow");
                let summary = format!("{object} takes connections from here ({ms} ms)");
                return Verdict::judged(summary, Vec::new()).notes(is_late.then(late).into_iter().collect());
            }
            Knock::Refused => {
                let hint = format!("{service}; if {address} is not the node from here, give --node-address");
                (format!("refused for {}", self.within), hint)
            }
            Knock::Silence(why) if others.iter().any(|(_, knock)| knock.is_answer()) => {
                let answering = others.iter().filter(|(_, knock)| knock.is_answer()).map(|(port, _)| port.to_string());
                let what = format!("{why}, while its ports {} answer", answering.collect::<Vec<_>>().join(", "));
                (what, format!("{service}; look for a firewall that lets only some ports through"))
            }
            Knock::Silence(why) => {
                let unreachable =
                    format!("node {address} is not reachable from here ({why}, as for every other server)");
                match inside {
                    None => {
                        return Verdict::error(Reason::new(object, "to be tried from inside the cluster", unreachable));
                    }
                    Some((node, said)) if said.code == 0 => {
                        return Verdict::skip(format!(
                            "{unreachable}; inside the cluster {node} takes connections on {port}; \
                             name the node as it is here with --node-address"
                        ));
                    }
                    Some((_, said)) if said.code == NOT_FOUND || said.text.contains("option") => {
                        let expected = "an nc that can connect, to judge from inside";
                        let reason = Reason::new(&said.place, expected, said.text.trim());
                        return Verdict::error(reason.hint("give the node's address from here: --node-address"));
                    }
                    Some((node, said)) => {
                        let what = format!("{unreachable}; nor is {node} from {}: {}", said.place, said.text.trim());
                        (what, service)
                    }
                }
            }
        };
        let expected = format!("to take a TCP connection ({source})");
        Verdict::judged("", vec![Reason::new(object, expected, what).hint(hint)]).at(Hop::Nfs)
    }
}

/// What the ports of all servers say at a node, side by side, looked at once in a run: does it answer at all?
pub(in crate::check) async fn knock_all(
    site: &Site,
    node: &Node,
    within: Duration,
) -> Result<Vec<(u16, Knock)>, Verdict> {
    let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
    let ports = site.system.names().filter_map(|server| {
        let live = live(&network.services(&site.system.pods, server));
        port(&site.expected_of(server, site.system.facts.node_port.as_ref()).ok()?, &live)
    });
    let look = join_all(ports.map(|port| async move { (port, try_port(&node.found, port, within).await) }));
    Ok(site.shared.once(format!("node-port {}", node.address), look).await)
}

impl Knock {
    /// Whether the node said anything.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Silence(_))
    }
}

/// Connects until it is taken, or the time is over.
async fn try_port(addresses: &[SocketAddr], port: u16, within: Duration) -> Knock {
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
                dials.extend(addresses.iter().map(|address| dial(*address, port)));
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

async fn dial(mut address: SocketAddr, port: u16) -> std::io::Result<TcpStream> {
    address.set_port(port);
    TcpStream::connect(address).await
}

/// Whether it is the node's own answer, and not that of a network on the way to it.
pub(in crate::check) fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

pub(in crate::check) struct Node {
    /// Its address as the cluster knows it.
    pub host_ip: String,
    /// The name or address that it has from here.
    pub address: String,
    /// The addresses behind that; the ports do not count.
    pub found: Vec<SocketAddr>,
}

/// The node of a pod, as it is reached from here; ERROR if it has no address here.
pub(in crate::check) async fn node(site: &Site, pod: &Pod) -> Result<Node, Verdict> {
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
    Ok(Node { host_ip, address, found })
}

pub fn live(services: &[Arc<Service>]) -> Vec<u16> {
    let ports = services.iter().filter_map(|service| service.spec.as_ref()?.ports.as_ref()).flatten();
    ports.filter_map(|port| u16::try_from(port.node_port?).ok()).collect()
}

/// The port to connect to: that of the values, else the Service's.
pub(in crate::check) fn port(expected: &Expected, live: &[u16]) -> Option<u16> {
    match expected.text() {
        Some(text) => text.parse().ok(),
        None => live.first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::with;
    use crate::event::Outcome;

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let seen = json!({
            "server": "nas", "expected": {"value": 32155, "source": "the values"},
            "tried": {"address": "10.0.0.1", "port": 32155, "knock": {"Taken": 1}, "others": [], "inside": null}
        });
        judged_by::<NodePort>(json!({"within": "3s"}), with(seen, changes))
    }

    #[test]
    fn one_that_a_second_look_finds_passes_with_a_note() {
        let late = judged(&[("/tried/is_late", json!(true))]);
        assert_eq!((late.outcome, late.notes.len(), judged(&[]).notes.len()), (Outcome::Pass, 1, 0));
    }

    #[test]
    fn silence_fails_only_where_the_node_answers_on_other_ports_or_not_even_inside() {
        let silence = json!({"Silence": "no answer within 3s"});
        let quiet = json!([[32154, silence]]);
        for (others, inside, outcome) in [
            (json!([[32154, {"Taken": 1}]]), None, Outcome::Fail),
            (json!([[32154, "Refused"]]), None, Outcome::Fail),
            (quiet.clone(), Some((0, "")), Outcome::Skip),
            (quiet.clone(), Some((1, "nc: can't connect: Connection refused")), Outcome::Fail),
            (quiet.clone(), Some((127, "sh: nc: not found")), Outcome::Error),
            (quiet, Some((1, "nc: invalid option -- 'e'")), Outcome::Error),
        ] {
            let said = inside.map(|(code, text)| json!(["10.0.0.2", {"place": "pod p", "code": code, "text": text}]));
            let others = ("/tried/others", others);
            let verdict = judged(&[("/tried/knock", silence.clone()), others, ("/tried/inside", json!(said))]);
            assert_eq!(verdict.outcome, outcome, "{inside:?}: {verdict:?}");
        }
    }

    #[test]
    fn the_port_is_that_of_the_values_else_the_services() {
        let says = |value: Value| serde_json::from_value(json!({"value": value, "source": ""})).unwrap();
        assert_eq!(port(&says(json!(32150)), &[32164]), Some(32150));
        assert_eq!(port(&says(Value::Null), &[32164]), Some(32164));
        assert_eq!((port(&says(Value::Null), &[]), port(&says(json!("auto")), &[1])), (None, None));
    }

    #[test]
    fn only_the_nodes_own_answer_is_a_refusal() {
        assert!(is_refusal(ErrorKind::ConnectionRefused) && is_refusal(ErrorKind::ConnectionReset));
        assert!(!is_refusal(ErrorKind::HostUnreachable) && !is_refusal(ErrorKind::TimedOut));
    }
}
