//! `unique`: one Service for each server, and nothing that must differ between servers is alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use serde::{Deserialize, Serialize};

use crate::check::parameter::{Expected, Fact};
use crate::check::{Kind, Need, Site, Subject};
use crate::cluster::ResourceExt;
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unique {
    /// The volume with the tester's folder, a hostPath.
    pub folder_volume: String,
    /// A server's NodePort.
    pub node_port: Fact,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    servers: Vec<Seen>,
    /// Services with the labels of the servers' pods that are no server's.
    strangers: Vec<Arc<Service>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    name: String,
    node_port: Expected,
    services: Vec<Arc<Service>>,
    pods: Vec<Arc<Pod>>,
}

impl Kind for Unique {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::Whole;
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let population = site.all_settled().await?;
        let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
        let servers = site.servers.iter().map(|name| {
            let server = population.server(&site.select, name);
            Ok(Seen {
                name: name.clone(),
                node_port: site.expected_of(name, &self.node_port)?,
                services: network.services(&site.select, name),
                pods: server.current().into_iter().cloned().collect(),
            })
        });
        let servers = servers.collect::<Result<Vec<_>, Verdict>>()?;
        let is_strange = |service: &Arc<Service>| {
            service.labels().get(&site.select.server_label).is_none_or(|name| !site.servers.contains(name))
        };
        let strangers = network.selected(&site.select).into_iter().filter(is_strange).collect();
        Ok(Observation { servers, strangers })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let repair = "run helm upgrade again with the release's values";
        let (mut reasons, mut unseen) = (Vec::new(), None);
        let mut values: [Shared; 3] = ["ClusterIP", "NodePort", "hostPath"].map(Shared::new);
        for server in &seen.servers {
            let name = &server.name;
            if server.services.len() != 1 {
                let names = named(&server.services);
                let what = if names.is_empty() { "none".to_owned() } else { names };
                let hint = "run helm upgrade again, which makes a missing one; delete one that is not the release's";
                reasons.push(Reason::new(format!("server {name}"), "exactly one Service", what).hint(hint));
            }
            for service in &server.services {
                let object = format!("Service {}", service.name_any());
                let spec = service.spec.as_ref();
                match spec.and_then(|spec| spec.cluster_ip.as_ref()).filter(|ip| !matches!(ip.as_str(), "" | "None")) {
                    Some(ip) => values[0].add(ip, name),
                    None => reasons.push(Reason::new(&object, "a ClusterIP", "none").hint(repair)),
                }
                let ports = spec.iter().flat_map(|spec| spec.ports.iter().flatten());
                let ports: Vec<String> = ports.filter_map(|port| Some(port.node_port?.to_string())).collect();
                for port in &ports {
                    values[1].add(port, name);
                }
                let Expected { source, .. } = &server.node_port;
                let wanted = server.node_port.text();
                if wanted.as_ref().map_or(ports.is_empty(), |wanted| !ports.contains(wanted)) {
                    let expected = format!("NodePort {} ({source})", wanted.unwrap_or("of its own".to_owned()));
                    let live = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
                    reasons.push(Reason::new(&object, expected, live).hint(repair));
                }
            }
            // A pod that only has the server's labels has no such volume: the test pod-count names it.
            let paths: Vec<&str> = server.pods.iter().filter_map(|pod| self.host_path(pod)).collect();
            for path in &paths {
                values[2].add(path, name);
            }
            if let ([], Some(pod)) = (paths.as_slice(), server.pods.first()) {
                let expected = format!("a volume {} with a hostPath", self.folder_volume);
                reasons.push(Reason::new(format!("pod {}", pod.name_any()), expected, "none").hint(repair));
            }
            if server.pods.is_empty() && unseen.is_none() {
                let expected = format!("a pod with its volume {}", self.folder_volume);
                unseen = Some((name, Reason::new(format!("server {name}"), expected, "no current pod")));
            }
        }
        for service in &seen.strangers {
            let names = seen.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ");
            let hint = "delete it, or take the labels of the release's pods from it";
            let object = format!("Service {}", service.name_any());
            reasons.push(Reason::new(object, format!("a Service of one of {names}"), "it is of none").hint(hint));
        }
        for value in &values {
            reasons.extend(value.reasons());
        }
        match unseen {
            Some((name, reason)) if reasons.is_empty() => return Verdict::blocked(format!("pods::{name}"), reason),
            Some((_, reason)) => reasons.push(reason),
            None => {}
        }
        let [.., ports, _] = &values;
        let ports = ports.of.keys().cloned().collect::<Vec<_>>().join(", ");
        let count = seen.servers.len();
        let summary = format!("{count} Services; {count} ClusterIPs, NodePorts ({ports}) and hostPaths, all different");
        Verdict::judged(summary, reasons)
    }
}

impl Unique {
    /// The folder on the node, without the slashes at its end.
    fn host_path<'a>(&self, pod: &'a Pod) -> Option<&'a str> {
        let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let path = &volumes.find(|volume| volume.name == self.folder_volume)?.host_path.as_ref()?.path;
        Some(path.trim_end_matches('/'))
    }
}

/// A value that must differ between servers: who has which.
struct Shared {
    what: &'static str,
    of: BTreeMap<String, Vec<String>>,
}

impl Shared {
    fn new(what: &'static str) -> Self {
        Self { what, of: BTreeMap::new() }
    }

    fn add(&mut self, value: &str, server: &str) {
        let servers = self.of.entry(value.to_owned()).or_default();
        if !servers.iter().any(|other| other == server) {
            servers.push(server.to_owned());
        }
    }

    /// One for each value that several servers have.
    fn reasons(&self) -> impl Iterator<Item = Reason> {
        let hint = "give each server its own in the values and run helm upgrade";
        self.of.iter().filter(|(_, servers)| servers.len() > 1).map(move |(value, servers)| {
            let object = format!("{} {value}", self.what);
            Reason::new(object, "to be one server's", servers.join(" and ")).hint(hint)
        })
    }
}

fn named(services: &[Arc<Service>]) -> String {
    services.iter().map(|service| service.name_any()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    fn server(name: &str, port: i32, folder: &str) -> Value {
        let pod = with(output_pod(), &[("/spec/volumes/0/hostPath/path", json!(folder))]);
        json!({
            "name": name, "node_port": {"value": port, "source": "the values"}, "pods": [pod],
            "services": [{"metadata": {"name": name}, "spec": {
                "type": "NodePort", "clusterIP": format!("10.96.0.{}", port % 100),
                "ports": [{"port": 2049, "nodePort": port}]}}]
        })
    }

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let seen = json!({"strangers": [], "servers": [
            server("a", 32150, "/mnt/data/a"), server("b", 32151, "/mnt/data/b")]});
        let node_port = Fact { values: "service.nodePort".into(), default: None };
        let check = Unique { folder_volume: "windows-data".into(), node_port };
        check.judge(&serde_json::from_value(with(seen, changes)).unwrap())
    }

    #[test]
    fn what_two_servers_share_and_what_is_not_as_it_should_be_fails() {
        let stranger = json!({"metadata": {"name": "extra"}});
        for (pointer, value, words) in [
            ("/servers/1/pods/0/spec/volumes/0/hostPath/path", json!("/mnt/data/a/"), "hostPath /mnt/data/a"),
            ("/servers/1/pods/0/spec/volumes/0/hostPath", Value::Null, "with a hostPath"),
            ("/servers/1/services/0/spec/clusterIP", json!("10.96.0.50"), "a and b"),
            ("/servers/0/services/0/spec/clusterIP", json!("None"), "a ClusterIP"),
            ("/servers/1/services/0/spec/ports/0/nodePort", json!(32150), "NodePort 32150"),
            ("/servers/0/services/-", stranger.clone(), "a, extra"),
            ("/strangers/-", stranger, "it is of none"),
        ] {
            let verdict = judged(&[(pointer, value)]);
            let is_said = verdict.reasons.iter().any(|reason| format!("{reason:?}").contains(words));
            assert!(verdict.outcome == Outcome::Fail && is_said, "{words}: {verdict:?}");
        }
    }

    #[test]
    fn two_pods_of_one_server_and_a_stranger_share_nothing() {
        let stranger = with(output_pod(), &[("/spec/volumes", json!([]))]);
        let two = json!([output_pod(), output_pod(), stranger]);
        assert_eq!(judged(&[("/servers/0/pods", two)]).reasons, Vec::new());
    }

    #[test]
    fn a_missing_pod_cannot_be_judged_unless_something_else_is_wrong() {
        let none = ("/servers/1/pods", json!([]));
        let blocked = judged(std::slice::from_ref(&none));
        assert_eq!((blocked.outcome, blocked.blocked_by.as_deref()), (Outcome::Error, Some("pods::b")));
        assert_eq!(judged(&[none, ("/servers/0/services", json!([]))]).outcome, Outcome::Fail);
    }
}
