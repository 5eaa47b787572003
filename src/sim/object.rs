//! Kubernetes objects as JSON: their kinds, and accessors. Imports nothing from this crate.

use jiff::Timestamp;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Pod,
    Deployment,
    ReplicaSet,
    Service,
    EndpointSlice,
    Secret,
    Node,
    Namespace,
    Event,
}

impl Kind {
    /// `apiVersion`, `kind` and plural.
    pub fn names(self) -> [&'static str; 3] {
        match self {
            Self::Pod => ["v1", "Pod", "pods"],
            Self::Deployment => ["apps/v1", "Deployment", "deployments"],
            Self::ReplicaSet => ["apps/v1", "ReplicaSet", "replicasets"],
            Self::Service => ["v1", "Service", "services"],
            Self::EndpointSlice => ["discovery.k8s.io/v1", "EndpointSlice", "endpointslices"],
            Self::Secret => ["v1", "Secret", "secrets"],
            Self::Node => ["v1", "Node", "nodes"],
            Self::Namespace => ["v1", "Namespace", "namespaces"],
            Self::Event => ["v1", "Event", "events"],
        }
    }

    pub fn named(version: &str, plural: &str) -> Option<Self> {
        let core = [Self::Pod, Self::Service, Self::Secret, Self::Node, Self::Namespace, Self::Event];
        let mut all = core.into_iter().chain([Self::Deployment, Self::ReplicaSet, Self::EndpointSlice]);
        all.find(|kind| {
            let [of, _, name] = kind.names();
            (of, name) == (version, plural)
        })
    }
}

/// Empty if the value is not a string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

pub fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

pub fn server(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"]["app.kubernetes.io/component"])
}

pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    items(&pod["spec"]["initContainers"]).chain(items(&pod["spec"]["containers"]))
}

pub fn state<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let status = &pod["status"];
    let mut all = items(&status["initContainerStatuses"]).chain(items(&status["containerStatuses"]));
    all.find(|status| status["name"] == container).map_or(&Value::Null, |status| &status["state"])
}

pub fn is_ready(pod: &Value) -> bool {
    items(&pod["status"]["conditions"]).any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub fn is_terminating(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// The metadata of an object created by the owner's controller.
pub fn owned_by(kind: Kind, owner: &Value, name: &str, labels: &Value) -> Value {
    let [version, kind, _] = kind.names();
    let reference = json!({"apiVersion": version, "kind": kind, "name": self::name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true});
    json!({"name": name, "labels": labels, "ownerReferences": [reference]})
}

pub fn stamp(time: Timestamp) -> String {
    format!("{time:.0}")
}
