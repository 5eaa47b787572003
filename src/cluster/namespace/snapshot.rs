//! A snapshot of the namespace, and which of its objects belong to a server. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::cluster::container;
use crate::cluster::select::Select;
use crate::cluster::server::{Announced, RolloutState, Server, has_ended, is_ready, is_terminating};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub pods: Arc<[Arc<Pod>]>,
    pub deployments: Arc<[Arc<Deployment>]>,
    pub replica_sets: Arc<[Arc<ReplicaSet>]>,
    pub now: Timestamp,
    /// What an autoscaler has announced for unscheduled pods, by their uids.
    #[serde(default)]
    pub announced: BTreeMap<String, Announced>,
    /// The objects of each server, by server label: grouped once, because every test asks.
    #[serde(skip)]
    servers: Arc<Mutex<BTreeMap<String, Arc<Servers>>>>,
}

type Servers = BTreeMap<String, Server>;

/// The labels of its pods; the Deployment's own may differ.
fn template_labels(deployment: &Deployment) -> Option<&BTreeMap<String, String>> {
    deployment.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref()
}

fn makes(deployment: &Deployment, select: &Select) -> bool {
    template_labels(deployment).is_some_and(|labels| select.matches(labels))
}

impl Snapshot {
    /// A snapshot of these objects, without announcements.
    pub fn new(
        pods: Vec<Arc<Pod>>,
        deployments: Vec<Arc<Deployment>>,
        replica_sets: Vec<Arc<ReplicaSet>>,
        now: Timestamp,
    ) -> Self {
        let (pods, deployments, replica_sets) = (pods.into(), deployments.into(), replica_sets.into());
        Self { pods, deployments, replica_sets, now, ..Self::default() }
    }

    pub fn selected(&self, select: &Select) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|pod| select.matches(pod.labels())).cloned().collect()
    }

    /// Whether there is a pod that `select` matches, or a Deployment that creates such pods.
    pub fn has_any(&self, select: &Select) -> bool {
        !self.selected(select).is_empty() || self.deployments.iter().any(|deployment| makes(deployment, select))
    }

    /// The Ready pods that `select` matches and in which this container runs, with and sorted by their servers' names.
    pub fn ready(&self, select: &Select, container: &str) -> Vec<(String, Arc<Pod>)> {
        let runs = |pod: &Pod| container::runs(pod, container) && is_ready(pod) && !is_terminating(pod);
        let pods = self.pods.iter().filter(|pod| select.matches(pod.labels()) && runs(pod));
        let mut ready: Vec<_> =
            pods.filter_map(|pod| Some((pod.labels().get(&select.server_label)?.clone(), Arc::clone(pod)))).collect();
        ready.sort_by_key(|(server, pod)| (server.clone(), pod.name_any()));
        ready
    }

    /// The server's objects, and whatever decides how long to wait for a missing pod.
    pub fn server(&self, select: &Select, name: &str) -> Server {
        let mut server = self.only_server(select, name);
        if server.obstacle().is_some() {
            server.leaving = self.leaving(select, name);
        }
        server
    }

    /// The pods of the release that are being deleted, and those of other servers that are being replaced.
    fn leaving(&self, select: &Select, name: &str) -> Vec<String> {
        let selected = self.selected(select);
        let going = selected.iter().filter(|pod| is_terminating(pod) && !has_ended(pod));
        let going = going.map(|pod| format!("pod {} is being deleted", pod.name_any()));
        let names: BTreeSet<&String> =
            selected.iter().filter_map(|pod| pod.labels().get(&select.server_label)).collect();
        let replaced = names.into_iter().filter(|other| *other != name).filter_map(|other| {
            let server = self.only_server(select, other);
            let comes = !server.newest().is_empty() && matches!(server.rollout_state(), RolloutState::Pending(_));
            let old =
                server.current().into_iter().find(|pod| comes && !server.is_newest(pod)).map(|pod| pod.name_any());
            old.map(|old| format!("pod {old} is being replaced"))
        });
        going.chain(replaced).collect()
    }

    fn only_server(&self, select: &Select, name: &str) -> Server {
        let servers = self.servers(&select.server_label);
        let known = servers.get(name).cloned().unwrap_or_default();
        let mut server = Server { name: name.to_owned(), now: self.now, announced: self.announced.clone(), ..known };
        server.pods.retain(|pod| select.matches(pod.labels()));
        server.deployments.retain(|deployment| makes(deployment, select));
        let deployments = &server.deployments;
        server.replica_sets.retain(|set| owners(set).any(|uid| deployments.iter().any(|its| its.uid() == uid)));
        server
    }

    /// The objects of each server: its pods, the Deployments that create them, and their ReplicaSets.
    fn servers(&self, label: &str) -> Arc<Servers> {
        let mut known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = known.get(label) {
            return Arc::clone(servers);
        }
        let mut servers = Servers::new();
        let mut names = BTreeMap::new();
        for pod in &*self.pods {
            if let Some(name) = pod.labels().get(label) {
                servers.entry(name.clone()).or_default().pods.push(Arc::clone(pod));
            }
        }
        for deployment in &*self.deployments {
            if let Some(name) = template_labels(deployment).and_then(|labels| labels.get(label)) {
                servers.entry(name.clone()).or_default().deployments.push(Arc::clone(deployment));
                names.insert(deployment.uid(), name);
            }
        }
        for set in &*self.replica_sets {
            if let Some(name) = owners(set).find_map(|uid| names.get(&uid)) {
                servers.entry((*name).clone()).or_default().replica_sets.push(Arc::clone(set));
            }
        }
        Arc::clone(known.entry(label.to_owned()).or_insert(Arc::new(servers)))
    }
}

fn owners(set: &ReplicaSet) -> impl Iterator<Item = Option<String>> {
    set.owner_references().iter().map(|owner| Some(owner.uid.clone()))
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Network {
    pub services: Vec<Arc<Service>>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

impl Network {
    pub fn services(&self, select: &Select, name: &str) -> Vec<Arc<Service>> {
        let is_its = |service: &&Arc<Service>| {
            let labels = service.labels();
            select.matches(labels) && labels.get(&select.server_label).is_some_and(|value| value == name)
        };
        self.services.iter().filter(is_its).cloned().collect()
    }

    pub fn selected(&self, select: &Select) -> Vec<Arc<Service>> {
        self.services.iter().filter(|service| select.matches(service.labels())).cloned().collect()
    }

    /// The EndpointSlices of a Service.
    /// Source: <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ownership>
    pub fn slices(&self, service: &Service) -> Vec<Arc<EndpointSlice>> {
        let name = service.name_any();
        let is_its = |slice: &&Arc<EndpointSlice>| slice.labels().get("kubernetes.io/service-name") == Some(&name);
        self.slices.iter().filter(is_its).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, output_server, with};

    const SERVER: &str = "app.kubernetes.io/component";

    fn select() -> Select {
        serde_json::from_value(json!({"labels": {"simulator.protocol": "nfs"}, "server-label": SERVER})).unwrap()
    }

    fn snapshot(pods: &[Value], deployments: &[Value], replica_sets: &[Value]) -> Snapshot {
        let all = json!({"pods": pods, "deployments": deployments, "replica_sets": replica_sets,
            "now": "2026-11-21T04:00:00Z", "announced": {"new": {"Ok": null}}});
        serde_json::from_value(all).unwrap()
    }

    fn owner(uid: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": uid, "uid": uid}])
    }

    #[test]
    fn a_server_owns_the_objects_with_all_its_labels() {
        let (server, alone) = (output_server(), json!({SERVER: "nas-output-1"}));
        let pods = [with(output_pod(), &[("/metadata/labels", alone.clone())]), output_pod()];
        let deployment = &server["deployments"][0];
        let strange = [("/metadata/uid", json!("strange")), ("/spec/template/metadata/labels", alone)];
        let owned = |index: usize, uid: &str| {
            with(server["replica_sets"][index].clone(), &[("/metadata/ownerReferences", owner(uid))])
        };
        let deployments = [with(deployment.clone(), &strange), deployment.clone()];
        let snapshot = snapshot(&pods, &deployments, &[owned(0, "strange"), owned(1, "deployment-1")]);
        assert_eq!(snapshot.selected(&select()).len(), 1);
        let server = snapshot.server(&select(), "nas-output-1");
        assert_eq!((server.pods.len(), server.deployments.len(), server.replica_sets.len()), (1, 1, 1));
        assert_eq!(server.deployment().unwrap().uid().unwrap(), "deployment-1");
        assert_eq!(server.newest_set().unwrap().uid().unwrap(), "set-2");
    }

    #[test]
    fn deleted_and_replaced_pods_may_make_room_for_a_missing_one() {
        let other = |object: &Value| -> Value {
            let text = object.to_string().replace("nas-output-1", "nas-input-1").replace("set-", "other-set-");
            serde_json::from_str(&text.replace("deployment-1", "other-deployment")).unwrap()
        };
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"conditions": [{"type": kind, "status": status, "reason": reason, "message": "exceeded quota: few",
                "lastTransitionTime": "2026-11-21T03:00:00Z"}], "replicas": 0})
        };
        let server = output_server();
        let set = |index: usize, status: Value| {
            let set = server["replica_sets"][index].clone();
            with(set, &[("/metadata/ownerReferences", owner("deployment-1")), ("/status", status)])
        };
        let refused = set(1, condition("ReplicaFailure", "True", "FailedCreate"));
        let sets = [set(0, json!({"replicas": 1})), set(1, json!({"replicas": 0}))];
        let deployment = &server["deployments"][0];
        let older = with(output_pod(), &[("/metadata/ownerReferences/0/uid", json!("set-1"))]);
        let successor = |pointer: &str, value: Value| {
            with(other(&output_pod()), &[("/metadata/uid", json!("new")), (pointer, value)])
        };
        let going = ("/metadata/deletionTimestamp", json!("2026-11-21T03:00:00Z"));
        let starting = successor("/status/conditions/0/status", json!("False"));
        let unscheduled = successor("/status", condition("PodScheduled", "False", "Unschedulable"));
        for (what, pods, leaving) in [
            ("a pod that stays", vec![other(&output_pod())], 0),
            ("a deleted pod", vec![with(other(&output_pod()), std::slice::from_ref(&going))], 1),
            ("outside the release", vec![with(other(&output_pod()), &[going, ("/metadata/labels", json!({}))])], 0),
            ("its successor starts", vec![other(&older), starting], 1),
            ("its successor has no node either", vec![other(&older), unscheduled], 0),
        ] {
            let sets = [sets[0].clone(), refused.clone(), other(&sets[0]), other(&sets[1])];
            let snapshot = snapshot(&pods, &[deployment.clone(), other(deployment)], &sets);
            let server = snapshot.server(&select(), "nas-output-1");
            assert_eq!(server.leaving.len(), leaving, "{what}: {:?}", server.leaving);
            assert_eq!(matches!(server.rollout_state(), RolloutState::Pending(_)), leaving > 0, "{what}");
        }
    }

    #[test]
    fn ready_pods_are_ready_run_the_container_and_are_not_being_deleted() {
        let going = ("/metadata/deletionTimestamp", json!("2026-11-21T03:00:00Z"));
        for (changes, container, is_ready) in [
            (vec![], "nfs-server", true),
            (vec![], "sync-windows-data", false),
            (vec![("/status/conditions/0/status", json!("False"))], "nfs-server", false),
            (vec![going], "nfs-server", false),
            (vec![("/metadata/labels", json!({SERVER: "nas-output-1"}))], "nfs-server", false),
        ] {
            let ready = snapshot(&[with(output_pod(), &changes)], &[], &[]).ready(&select(), container);
            assert_eq!(
                ready.first().map(|(server, _)| server.as_str()),
                is_ready.then_some("nas-output-1"),
                "{changes:?}"
            );
        }
    }
}
