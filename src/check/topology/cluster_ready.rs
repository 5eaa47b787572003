//! `cluster`: the API server is new enough and the nodes under the servers are Ready.

use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Need, Site, Subject};
use crate::cluster::ResourceExt;
use crate::event::{Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cluster {
    /// The lowest version that will do, `MAJOR.MINOR`.
    pub min_version: Version,
}

/// A Kubernetes version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^\d+\.\d+\+?$"))]
pub struct Version {
    major: u32,
    minor: u32,
}

impl TryFrom<String> for Version {
    type Error = String;

    /// Some providers write a minor version such as `34+`.
    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self { major: major.parse().ok()?, minor: minor.trim_end_matches('+').parse().ok()? })
        };
        parse().ok_or_else(|| format!("`{text}` is not a version such as \"1.29\""))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    context: String,
    version: Version,
    nodes: Vec<Node>,
    /// The nodes that the servers' pods run on.
    used: Vec<String>,
}

impl Kind for Cluster {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::Whole;
    const NEEDS: &'static [Need] = &[Need::Nodes];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let cluster = &site.shared.cluster;
        let said = format!("{}.{}", cluster.version.major, cluster.version.minor);
        let object = format!("cluster {}", cluster.context());
        let version =
            Version::try_from(said).map_err(|error| Verdict::error(Reason::new(object, "a version", error)))?;
        let mut nodes = cluster.nodes().await.map_err(|error| site.no_answer(&error))?;
        // A node says much of its machine that is nobody's business here.
        for node in &mut nodes {
            let conditions = node.status.take().and_then(|status| status.conditions);
            let metadata = ObjectMeta { name: node.metadata.name.take(), ..ObjectMeta::default() };
            *node = Node { metadata, spec: None, status: Some(NodeStatus { conditions, ..NodeStatus::default() }) };
        }
        // The nodes can be judged without the pods: then every one counts.
        let pods =
            site.shared.watch.population().map(|population| population.selected(&site.select)).unwrap_or_default();
        let used = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        Ok(Observation { context: cluster.context().to_owned(), version, nodes, used })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let mut reasons = Vec::new();
        let mut notes = Vec::new();
        if seen.version < self.min_version {
            let expected = format!("Kubernetes {} or newer, for native sidecars", self.min_version);
            let reason =
                Reason::new(format!("cluster {}", seen.context), expected, format!("Kubernetes {}", seen.version));
            reasons.push(reason.hint("upgrade the cluster"));
        }
        if seen.nodes.is_empty() {
            reasons.push(Reason::new(format!("cluster {}", seen.context), "at least one node", "no node"));
        }
        for node in seen.nodes.iter().filter(|node| !is_ready(node)) {
            let name = node.name_any();
            if seen.used.is_empty() || seen.used.contains(&name) {
                let reason = Reason::new(format!("node {name}"), "condition Ready", "not Ready");
                reasons.push(
                    reason.hint(format!(
                        "look at its conditions: kubectl --context={} describe node {name}",
                        seen.context
                    )),
                );
            } else {
                notes.push(format!("node {name} is not Ready; no server's pod runs there"));
            }
        }
        let names =
            seen.nodes.iter().filter(|node| is_ready(node)).map(ResourceExt::name_any).collect::<Vec<_>>().join(", ");
        Verdict::judged(format!("Kubernetes {}, node {names} Ready", seen.version), reasons).notes(notes)
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use serde_json::json;

    fn judged(version: &str, ready: &str, used: &[&str]) -> Outcome {
        let node = json!({"metadata": {"name": "one"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let other =
            json!({"metadata": {"name": "two"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let seen = json!({"context": "c", "version": version, "nodes": [node, other], "used": used});
        let check = Cluster { min_version: Version { major: 1, minor: 29 } };
        check.judge(&serde_json::from_value(seen).unwrap()).outcome
    }

    #[test]
    fn an_old_cluster_and_a_node_under_a_server_that_is_not_ready_fail() {
        assert_eq!(judged("1.34+", "True", &["one"]), Outcome::Pass);
        assert_eq!(judged("1.29", "True", &["one"]), Outcome::Pass, "the lowest that will do");
        assert_eq!(judged("1.28", "True", &["one"]), Outcome::Fail);
        assert_eq!(judged("1.34", "False", &["one"]), Outcome::Fail);
        assert_eq!(judged("1.34", "Unknown", &["two"]), Outcome::Pass, "nobody uses that node");
    }

    #[test]
    fn no_node_at_all_fails() {
        let check = Cluster { min_version: Version { major: 1, minor: 29 } };
        let seen = serde_json::from_value(json!({"context": "c", "version": "1.34", "nodes": [], "used": []})).unwrap();
        assert_eq!(check.judge(&seen).outcome, Outcome::Fail);
    }
}
