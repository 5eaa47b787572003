//! `unique`: each server has one Service; no two servers share a ClusterIP, NodePort or hostPath.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use serde::{Deserialize, Serialize};

use super::node::node_ports;
use crate::check::findings::{Findings, listed, or_none};
use crate::check::parameter::Expected;
use crate::check::{Kind, Need, Part, Site, Subject, System};
use crate::cluster::ResourceExt;
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unique {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    servers: Vec<Seen>,
    /// Services with the labels of the servers' pods that belong to no server.
    #[serde(rename = "strangers")]
    others: Vec<Arc<Service>>,
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
    const SUBJECT: Subject = Subject::System;
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];
    const PARTS: &'static [Part] = &[Part::Folder];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let snapshot = site.all_settled().await?;
        let network = site.shared.watch.network().map_err(|error| site.request_failed(&error))?;
        let servers = site.system.names().map(|name| {
            let server = snapshot.server(&site.system.pods, name);
            Ok(Seen {
                name: name.clone(),
                node_port: site.expected_of(name, site.system.facts.node_port.as_ref())?,
                services: network.services(&site.system.pods, name),
                pods: server.current().into_iter().cloned().collect(),
            })
        });
        let servers = servers.collect::<Result<Vec<_>, Verdict>>()?;
        let is_other = |service: &Arc<Service>| {
            service
                .labels()
                .get(&site.system.pods.server_label)
                .is_none_or(|name| !site.system.names().any(|own| own == name))
        };
        let others = network.selected(&site.system.pods).into_iter().filter(is_other).collect();
        Ok(Observation { servers, others })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let (mut found, mut owners) = (Findings::default(), Owners::new());
        for server in &seen.servers {
            services(&mut found, &mut owners, server);
            folders(&mut found, &mut owners, server, &system.folder_volume);
        }
        for service in &seen.others {
            let expected = format!("a Service of one of {}", listed(seen.servers.iter().map(|server| &server.name)));
            let hint = "delete it, or remove the labels of the release's pods from it";
            found.add_finding(format!("Service {}", service.name_any()), expected, "it belongs to none of them", hint);
        }
        for ((what, value), servers) in owners.iter().filter(|(_, servers)| servers.len() > 1) {
            let servers = servers.iter().copied().collect::<Vec<_>>().join(" and ");
            let hint = format!("give each server its own {what} in the values and run helm upgrade");
            found.add_finding(format!("{what} {value}"), "used by one server only", servers, hint);
        }
        if let Some(Seen { name, .. }) = seen.servers.iter().find(|server| server.pods.is_empty())
            && found.passes()
        {
            let expected = format!("a pod with its volume {}", system.folder_volume);
            let reason = Reason::new(format!("server {name}"), expected, "no current pod");
            return Verdict::blocked(format!("pods::{name}"), reason);
        }
        let ports = listed(owners.keys().filter(|(what, _)| *what == "NodePort").map(|(_, port)| port));
        let count = seen.servers.len();
        found.verdict(format!("{count} Services; {count} ClusterIPs, NodePorts ({ports}) and hostPaths, all different"))
    }
}

/// The servers that have each value that no two may share.
type Owners<'a> = BTreeMap<(&'static str, String), BTreeSet<&'a str>>;

const HINT: &str = "run helm upgrade again with the release's values";

fn services<'a>(found: &mut Findings, owners: &mut Owners<'a>, server: &'a Seen) {
    let mut has = |what, value: &str| {
        owners.entry((what, value.to_owned())).or_default().insert(&*server.name);
    };
    if server.services.len() != 1 {
        let names = or_none(listed(server.services.iter().map(|service| service.name_any())));
        let hint = "run helm upgrade again, which recreates a missing Service; delete one that is not the release's";
        found.add_finding(format!("server {}", server.name), "exactly one Service", names, hint);
    }
    for service in &server.services {
        let object = format!("Service {}", service.name_any());
        let spec = service.spec.as_ref();
        match spec.and_then(|spec| spec.cluster_ip.as_deref()) {
            None | Some("" | "None") => found.add_finding(&object, "a ClusterIP", "none", HINT),
            Some(ip) => has("ClusterIP", ip),
        }
        let ports = node_ports(std::slice::from_ref(service));
        for port in &ports {
            has("NodePort", &port.to_string());
        }
        let wanted = server.node_port.text();
        let exists = |wanted: &String| ports.iter().any(|port| port.to_string() == *wanted);
        if !wanted.as_ref().map_or(!ports.is_empty(), exists) {
            let wanted = wanted.map_or("its own NodePort".to_owned(), |wanted| format!("NodePort {wanted}"));
            let expected = format!("{wanted} ({})", server.node_port.source);
            found.add_finding(object, expected, or_none(listed(ports)), HINT);
        }
    }
}

/// The folders on the node. A foreign pod with the server's labels has no such volume: the test pod-count reports it.
fn folders<'a>(found: &mut Findings, owners: &mut Owners<'a>, server: &'a Seen, volume: &str) {
    let paths: Vec<&str> = server.pods.iter().filter_map(|pod| host_path(volume, pod)).collect();
    for path in &paths {
        owners.entry(("hostPath", (*path).to_owned())).or_default().insert(&server.name);
    }
    if let ([], Some(pod)) = (paths.as_slice(), server.pods.first()) {
        let expected = format!("a volume {volume} with a hostPath");
        found.add_finding(format!("pod {}", pod.name_any()), expected, "none", HINT);
    }
}

/// The folder on the node, without trailing slashes.
fn host_path<'a>(name: &str, pod: &'a Pod) -> Option<&'a str> {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let path = &volumes.find(|volume| volume.name == name)?.host_path.as_ref()?.path;
    Some(path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
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
        judged_by::<Unique>(json!({}), with(seen, changes))
    }

    #[test]
    fn shared_values_missing_fields_and_other_services_fail() {
        let other = json!({"metadata": {"name": "extra"}});
        for (pointer, value, words) in [
            ("/servers/1/pods/0/spec/volumes/0/hostPath/path", json!("/mnt/data/a/"), "hostPath /mnt/data/a"),
            ("/servers/1/pods/0/spec/volumes/0/hostPath", Value::Null, "with a hostPath"),
            ("/servers/1/services/0/spec/clusterIP", json!("10.96.0.50"), "a and b"),
            ("/servers/0/services/0/spec/clusterIP", json!("None"), "a ClusterIP"),
            ("/servers/1/services/0/spec/ports/0/nodePort", json!(32150), "NodePort 32150"),
            ("/servers/0/services/-", other.clone(), "a, extra"),
            ("/strangers/-", other, "it belongs to none"),
        ] {
            let verdict = judged(&[(pointer, value)]);
            let is_reported = verdict.reasons.iter().any(|reason| format!("{reason:?}").contains(words));
            assert!(verdict.outcome == Outcome::Fail && is_reported, "{words}: {verdict:?}");
        }
        let both = judged(&[("/servers/1/pods", json!([])), ("/servers/0/services", json!([]))]);
        assert_eq!(both.outcome, Outcome::Fail, "a missing pod hides nothing else");
    }

    #[test]
    fn two_pods_of_one_server_may_share_and_a_foreign_pod_is_ignored() {
        let foreign = with(output_pod(), &[("/spec/volumes", json!([]))]);
        let two = json!([output_pod(), output_pod(), foreign]);
        assert_eq!(judged(&[("/servers/0/pods", two)]).reasons, Vec::new());
    }
}
