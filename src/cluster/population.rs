//! What was in the namespace at one moment, and which of it belongs to a server. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::server::{is_ready, is_terminating};
use super::{Server, container};

/// Which pods are the servers': labels that all have, and the label with the server's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Select {
    /// Labels that every pod of a server has.
    pub labels: BTreeMap<String, String>,
    /// The label whose value is the server's name.
    pub server_label: String,
}

impl Select {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// What was in the namespace at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Population {
    /// Every pod, also other people's.
    pub pods: Vec<Arc<Pod>>,
    /// Every Deployment.
    pub deployments: Vec<Arc<Deployment>>,
    /// Every ReplicaSet.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// The moment, on the cluster's clock.
    pub now: Timestamp,
}

impl Population {
    /// The pods that `select` means.
    pub fn selected(&self, select: &Select) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|pod| select.matches(pod.labels())).cloned().collect()
    }

    /// The pods that `select` means which are Ready and in which a container of that name runs, with their servers'
    /// names; in the order of these.
    pub fn ready(&self, select: &Select, container: &str) -> Vec<(String, Arc<Pod>)> {
        let runs = |pod: &Pod| container::runs(pod, container) && is_ready(pod) && !is_terminating(pod);
        let pods = self.pods.iter().filter(|pod| select.matches(pod.labels()) && runs(pod));
        let mut ready: Vec<_> =
            pods.filter_map(|pod| Some((pod.labels().get(&select.server_label)?.clone(), Arc::clone(pod)))).collect();
        ready.sort_by_key(|(server, pod)| (server.clone(), pod.name_any()));
        ready
    }

    /// The objects of the server of that name.
    pub fn server(&self, select: &Select, name: &str) -> Server {
        let is_its = |labels: &BTreeMap<String, String>| {
            select.matches(labels) && labels.get(&select.server_label).is_some_and(|value| value == name)
        };
        // The template's labels, because they are what its pods have; the Deployment's own may differ.
        let deployments: Vec<_> = self
            .deployments
            .iter()
            .filter(|deployment| {
                let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
                template.and_then(|metadata| metadata.labels.as_ref()).is_some_and(is_its)
            })
            .cloned()
            .collect();
        let owners: Vec<&str> =
            deployments.iter().filter_map(|deployment| deployment.metadata.uid.as_deref()).collect();
        let is_owned =
            |set: &&Arc<ReplicaSet>| set.owner_references().iter().any(|owner| owners.contains(&owner.uid.as_str()));
        Server {
            name: name.to_owned(),
            replica_sets: self.replica_sets.iter().filter(is_owned).cloned().collect(),
            pods: self.pods.iter().filter(|pod| is_its(pod.labels())).cloned().collect(),
            deployments,
        }
    }
}

/// The Services of the namespace at one moment, and where they lead.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Network {
    /// Every Service.
    pub services: Vec<Arc<Service>>,
    /// Every EndpointSlice.
    pub slices: Vec<Arc<EndpointSlice>>,
}

impl Network {
    /// The Services of the server of that name: those with its pods' labels.
    pub fn services(&self, select: &Select, name: &str) -> Vec<Arc<Service>> {
        let is_its = |service: &&Arc<Service>| {
            let labels = service.labels();
            select.matches(labels) && labels.get(&select.server_label).is_some_and(|value| value == name)
        };
        self.services.iter().filter(is_its).cloned().collect()
    }

    /// The Services that `select` means.
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
