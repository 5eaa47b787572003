//! `node-port`: the node takes TCP connections on a server's NodePort; from here, or else from inside the cluster.

use serde::{Deserialize, Serialize};

use super::inside::{self, NOT_FOUND, Said};
use super::knock::{Knock, Node, port};
use crate::check::findings::{Findings, listed};
use crate::check::parameter::{Expected, Span};
use crate::check::{Kind, Need, Site, System};
use crate::cluster::Operation;
use crate::event::{Hop, Reason, Verdict};

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

impl Kind for NodePort {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.steady_pod().await?;
        let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
        let expected = site.expected(site.system.facts.node_port.as_ref())?;
        let port = port(&expected, &network.services(&site.system.pods, site.server()));
        let mut seen = Observation { server: site.server().to_owned(), expected, tried: None };
        let Some(port) = port else { return Ok(seen) };
        let node = Node::of(site, &pod).await?;
        let mut knock = node.knock(port, self.within.0).await;
        let (mut others, mut inside) = (Vec::new(), None);
        if let Knock::Silence(_) = knock {
            others = node.knock_all(site, self.within.0).await?;
        }
        let is_taken = |knock: &Knock| matches!(knock, Knock::Taken(_));
        // Its own port among them: where that or another one answers by now, this one may, too.
        let is_again = !is_taken(&knock) && (knock.is_answer() || others.iter().any(|(_, knock)| knock.is_answer()));
        if is_again {
            site.waiting(format!("NodePort {port} to take a connection"), self.within.0 * SECOND);
            knock = node.knock(port, self.within.0 * SECOND).await;
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
        let Some(tried) = &seen.tried else {
            let object = format!("server {}", seen.server);
            let what = seen.expected.text().map_or("its Service has none".to_owned(), |text| format!("`{text}`"));
            let hint = "see the test service of this server; give it a NodePort in the values and run helm upgrade";
            let reason = Reason::new(object, format!("a NodePort ({source})"), what);
            return Verdict::fail(reason.hint(hint)).at(Hop::Nfs);
        };
        let Tried { address, port, knock, is_late, others, .. } = tried;
        let object = format!("node {address}, NodePort {port}");
        let service = format!("see the test service of {}: whether its Service has a ready endpoint", seen.server);
        let (what, hint) = match knock {
            Knock::Taken(ms) => {
                let mut found = Findings::default();
                if *is_late {
                    let within = self.within;
                    let slow = format!("took no connection within {within}, and then one: it, or the way, is slow");
                    found.note(format!("{object} {slow}"));
                }
                return found.verdict(format!("{object} takes connections from here ({ms} ms)"));
            }
            Knock::Refused => {
                let hint = format!("{service}; if {address} is not the node from here, give --node-address");
                (format!("refused for {}", self.within), hint)
            }
            Knock::Silence(why) if others.iter().any(|(_, knock)| knock.is_answer()) => {
                let answering = listed(others.iter().filter(|(_, knock)| knock.is_answer()).map(|(port, _)| port));
                let hint = format!("{service}; look for a firewall that lets only some ports through");
                (format!("{why}, while its ports {answering} answer"), hint)
            }
            Knock::Silence(why) => match look_inside(tried, &object, why) {
                Ok(what) => (what, service),
                Err(verdict) => return verdict,
            },
        };
        let reason = Reason::new(object, format!("to take a TCP connection ({source})"), what);
        Verdict::fail(reason.hint(hint)).at(Hop::Nfs)
    }
}

/// What is wrong with a port of a node that does not answer from here at all, as seen inside the cluster.
fn look_inside(Tried { address, port, inside, .. }: &Tried, object: &str, why: &str) -> Result<String, Verdict> {
    let unreachable = format!("node {address} is not reachable from here ({why}, as for every other server)");
    match inside {
        None => Err(Verdict::error(Reason::new(object, "to be tried from inside the cluster", unreachable))),
        Some((node, said)) if said.code == 0 => Err(Verdict::skip(format!(
            "{unreachable}; inside the cluster {node} takes connections on {port}; \
             name the node as it is here with --node-address"
        ))),
        Some((_, said)) if said.code == NOT_FOUND || said.text.contains("option") => {
            let reason = Reason::new(&said.place, "an nc that can connect, to judge from inside", said.text.trim());
            Err(Verdict::error(reason.hint("give the node's address from here: --node-address")))
        }
        Some((node, said)) => Ok(format!("{unreachable}; nor is {node} from {}: {}", said.place, said.text.trim())),
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
}
