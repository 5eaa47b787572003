//! `node-port`: the node accepts TCP connections on a server's NodePort, from this machine or else from inside the
//! cluster.

use serde::{Deserialize, Serialize};

use super::exec::{Executed, NOT_FOUND, exec, ready_pod};
use super::node::{Attempt, Node, port};
use crate::check::findings::{Findings, listed};
use crate::check::parameter::{DurationParam, Expected};
use crate::check::{Kind, Need, Site, System};
use crate::cluster::Operation;
use crate::event::{Hop, Reason, Verdict};

/// How many times as long the retry takes: a node that is short of CPU is slow, but its port is open.
const RETRY_FACTOR: u32 = 3;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodePort {
    /// How long the node may take to accept a connection; up to four times as long passes with a note.
    pub within: DurationParam,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    expected: Expected,
    /// `None` if there is no port.
    tried: Option<Tried>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tried {
    address: String,
    port: u16,
    #[serde(rename = "knock")]
    attempt: Attempt,
    /// Whether only the retry was accepted.
    #[serde(default)]
    is_late: bool,
    /// The other servers' NodePorts, if this one did not reply.
    others: Vec<(u16, Attempt)>,
    /// The node inside the cluster, and the attempt from there; if the node is unreachable from this machine.
    inside: Option<(String, Executed)>,
}

impl Kind for NodePort {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.steady_pod().await?;
        let network = site.shared.watch.network().map_err(|error| site.request_failed(&error))?;
        let expected = site.expected(site.system.facts.node_port.as_ref())?;
        let port = port(&expected, &network.services(&site.system.pods, site.server()));
        let mut seen = Observation { server: site.server().to_owned(), expected, tried: None };
        let Some(port) = port else { return Ok(seen) };
        let node = Node::of(site, &pod).await?;
        let mut attempt = node.connect(port, self.within.0).await;
        let (mut others, mut inside) = (Vec::new(), None);
        if let Attempt::NoReply(_) = attempt {
            others = node.connect_all(site, self.within.0).await?;
        }
        let is_accepted = |attempt: &Attempt| matches!(attempt, Attempt::Accepted(_));
        // `others` has the server's own port, too. If any port replied, a retry may succeed.
        let is_retried =
            !is_accepted(&attempt) && (attempt.is_reply() || others.iter().any(|(_, other)| other.is_reply()));
        if is_retried {
            site.waiting(format!("NodePort {port} to accept a connection"), self.within.0 * RETRY_FACTOR);
            attempt = node.connect(port, self.within.0 * RETRY_FACTOR).await;
        }
        let is_late = is_retried && is_accepted(&attempt);
        let Node { host_ip, address, .. } = node;
        others.retain(|(other, _)| *other != port);
        if !attempt.is_reply() && !others.iter().any(|(_, other)| other.is_reply()) {
            // Another server's pod if possible: some networks let no pod reach itself through its Service.
            let pod = ready_pod(site, |server| server != site.server()).await?;
            let connect = Operation::Connect { address: host_ip.clone(), port };
            inside = Some((host_ip, exec(site, &pod, &connect).await?));
        }
        seen.tried = Some(Tried { address, port, attempt, is_late, others, inside });
        Ok(seen)
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let source = &seen.expected.source;
        let Some(tried) = &seen.tried else {
            let object = format!("server {}", seen.server);
            let what = seen.expected.text().map_or("its Service has none".to_owned(), |text| format!("`{text}`"));
            let hint = "see the test service of this server; set a NodePort in the values and run helm upgrade";
            let reason = Reason::new(object, format!("a NodePort ({source})"), what);
            return Verdict::fail(reason.hint(hint)).at(Hop::Nfs);
        };
        let Tried { address, port, attempt, is_late, others, .. } = tried;
        let object = format!("node {address}, NodePort {port}");
        let service = format!("see the test service of {}: its Service may have no ready endpoint", seen.server);
        let responding = listed(others.iter().filter(|(_, other)| other.is_reply()).map(|(port, _)| port));
        let (what, hint) = match attempt {
            Attempt::Accepted(ms) => {
                let mut found = Findings::default();
                if *is_late {
                    found.note(format!("{object} is slow: no connection within {}, but one later", self.within));
                }
                return found.verdict(format!("{object} accepts connections from this machine ({ms} ms)"));
            }
            Attempt::Refused => {
                let hint = format!("{service}; if {address} is not the node for this machine, set --node-address");
                (format!("refused for {}", self.within), hint)
            }
            Attempt::NoReply(why) if !responding.is_empty() => {
                let hint = format!("{service}; check for a firewall that blocks this port");
                (format!("{why}, although its ports {responding} reply"), hint)
            }
            Attempt::NoReply(why) => match judge_inside(tried, &object, why) {
                Ok(what) => (what, service),
                Err(verdict) => return verdict,
            },
        };
        let reason = Reason::new(object, format!("to accept a TCP connection ({source})"), what);
        Verdict::fail(reason.hint(hint)).at(Hop::Nfs)
    }
}

/// What is wrong with a port of a node that is unreachable from this machine, as seen inside the cluster.
fn judge_inside(Tried { address, port, inside, .. }: &Tried, object: &str, why: &str) -> Result<String, Verdict> {
    let unreachable = format!("node {address} is not reachable from this machine ({why}, on every server's port)");
    match inside {
        None => Err(Verdict::error(Reason::new(object, "a connection from inside the cluster", unreachable))),
        Some((node, executed)) if executed.code == 0 => Err(Verdict::skip(format!(
            "{unreachable}; inside the cluster, {node} accepts connections on {port}; set --node-address to the node's \
             address for this machine"
        ))),
        Some((_, executed)) if executed.code == NOT_FOUND || executed.text.contains("option") => {
            let reason = Reason::new(&executed.place, "an nc that can connect to the node", executed.text.trim());
            Err(Verdict::error(reason.hint("set --node-address to the node's address for this machine")))
        }
        Some((node, executed)) => {
            Ok(format!("{unreachable}; nor is {node} from {}: {}", executed.place, executed.text.trim()))
        }
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
    fn a_port_that_accepts_only_the_retry_passes_with_a_note() {
        let late = judged(&[("/tried/is_late", json!(true))]);
        assert_eq!((late.outcome, late.notes.len(), judged(&[]).notes.len()), (Outcome::Pass, 1, 0));
    }

    #[test]
    fn no_reply_fails_only_if_other_ports_reply_or_the_node_is_unreachable_inside_too() {
        let silence = json!({"Silence": "no reply within 3s"});
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
}
