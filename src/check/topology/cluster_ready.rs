//! `cluster`: the Kubernetes version is new enough, and the nodes of the servers' pods are Ready.

use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::check::findings::{Findings, listed};
use crate::check::{Kind, Need, Site, Subject, System};
use crate::cluster::ResourceExt;
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cluster {
    /// The lowest supported version, `MAJOR.MINOR`.
    pub min_version: Version,
}

/// A Kubernetes version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r"^\d+\.\d+\+?$"))]
pub struct Version(u32, u32);

impl TryFrom<String> for Version {
    type Error = String;

    /// Some providers append a plus: `1.34+`.
    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self(major.parse().ok()?, minor.trim_end_matches('+').parse().ok()?))
        };
        parse().ok_or_else(|| format!("`{text}` is not a version such as \"1.29\""))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    context: String,
    version: String,
    nodes: Vec<Node>,
    used: Vec<String>,
}

impl Kind for Cluster {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::System;
    const NEEDS: &'static [Need] = &[Need::Nodes];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let cluster = &site.shared.cluster;
        let version = format!("{}.{}", cluster.version.major, cluster.version.minor);
        let mut nodes = cluster.nodes().await.map_err(|error| site.request_failed(&error))?;
        // A recording needs no other details of the machines.
        for node in &mut nodes {
            let conditions = node.status.take().and_then(|status| status.conditions);
            let metadata = ObjectMeta { name: node.metadata.name.take(), ..ObjectMeta::default() };
            *node = Node { metadata, spec: None, status: Some(NodeStatus { conditions, ..NodeStatus::default() }) };
        }
        // Without pods every node counts.
        let pods =
            site.shared.watch.snapshot().map(|snapshot| snapshot.selected(&site.system.pods)).unwrap_or_default();
        let used = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        Ok(Observation { context: cluster.context().to_owned(), version, nodes, used })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let mut found = Findings::default();
        let object = format!("cluster {}", seen.context);
        let version = match Version::try_from(seen.version.clone()) {
            Ok(version) => version,
            Err(error) => return Verdict::error(Reason::new(object, "a Kubernetes version", error)),
        };
        if version < self.min_version {
            let expected = format!("Kubernetes {} or newer, for native sidecars", self.min_version);
            found.add_finding(&object, expected, format!("Kubernetes {version}"), "upgrade the cluster");
        }
        if seen.nodes.is_empty() {
            found.add_finding(object, "at least one node", "no node", "");
        }
        let (ready, others): (Vec<_>, Vec<_>) = seen.nodes.iter().partition(|node| is_ready(node));
        for name in others.iter().map(|node| node.name_any()) {
            if seen.used.is_empty() || seen.used.contains(&name) {
                let hint = format!("check its conditions: kubectl --context={} describe node {name}", seen.context);
                found.add_finding(format!("node {name}"), "condition Ready", "not Ready", hint);
            } else {
                found.note(format!("node {name} is not Ready, but runs no server's pod"));
            }
        }
        let names = listed(ready.iter().map(|node| node.name_any()));
        found.verdict(format!("Kubernetes {version}, node {names} Ready"))
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::kind::tests::judged;
    use crate::event::Outcome;
    use serde_json::json;

    #[test]
    fn an_old_version_no_node_and_an_unready_node_of_a_server_fail() {
        let node = |name: &str, ready: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        for (version, nodes, used, outcome) in [
            ("1.34+", vec![node("one", "True")], "one", Outcome::Pass),
            ("1.29", vec![node("one", "True")], "one", Outcome::Pass),
            ("1.28", vec![node("one", "True")], "one", Outcome::Fail),
            ("1.34", vec![node("one", "False"), node("two", "True")], "one", Outcome::Fail),
            ("1.34", vec![node("one", "Unknown"), node("two", "True")], "two", Outcome::Pass),
            ("1.34", vec![], "one", Outcome::Fail),
            ("main", vec![node("one", "True")], "one", Outcome::Error),
        ] {
            let seen = json!({"context": "c", "version": version, "nodes": nodes, "used": [used]});
            let verdict = judged::<Cluster>(json!({"min-version": "1.29"}), seen.clone());
            assert_eq!(verdict.outcome, outcome, "{seen}");
        }
    }
}
