//! The controller of EndpointSlices: which pods a Service leads to, and to which of their ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{NAMESPACE, World};
use super::{Kind, chart, has_ended, hash, is_ready, name, owned, owner_references, suffix};

/// The label that names the Service of a slice.
const SERVICE: &str = "kubernetes.io/service-name";

/// Brings the slices of every Service up to date.
pub(super) fn reconcile(world: &World, created: Timestamp) {
    let (_, pods) = world.store.list(Kind::Pod);
    for service in world.store.list(Kind::Service).1 {
        let wanted = slices(&service, &pods);
        for slice in owned(world, Kind::EndpointSlice, &service) {
            if !wanted.iter().any(|wanted| name(wanted) == name(&slice)) {
                world.store.remove(Kind::EndpointSlice, name(&slice));
            }
        }
        for slice in wanted {
            if world.store.get(Kind::EndpointSlice, name(&slice)).is_some() {
                world.store.edit(Kind::EndpointSlice, name(&slice), |live| {
                    live["endpoints"] = slice["endpoints"].clone();
                });
            } else {
                let slice = chart::admitted(world, Kind::EndpointSlice, slice);
                world.store.put(Kind::EndpointSlice, slice, created);
            }
        }
    }
}

/// The slices of a Service: one for all pods in which its ports are the same ones.
fn slices(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let Some(selector) = service["spec"]["selector"].as_object() else { return Vec::new() };
    let is_selected = |pod: &&Arc<Value>| {
        let labels = &pod["metadata"]["labels"];
        selector.iter().all(|(key, value)| labels[key] == *value)
            && !has_ended(pod)
            && pod["status"]["podIP"].is_string()
    };
    let mut by_ports: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in pods.iter().filter(is_selected) {
        let ports = ports(service, pod);
        by_ports.entry(ports.to_string()).or_insert((ports, Vec::new())).1.push(endpoint(pod));
    }
    if by_ports.is_empty() {
        // One that says that there is none.
        by_ports.insert(String::new(), (Value::Null, Vec::new()));
    }
    let slice = |(ports, endpoints): (Value, Vec<Value>)| {
        let stem = format!("{}-", name(service));
        let mut labels = service["metadata"]["labels"].clone();
        labels[SERVICE] = json!(name(service));
        labels["endpointslice.kubernetes.io/managed-by"] = json!("endpointslice-controller.k8s.io");
        // Of other ports another slice, as a slice's ports are never changed for some of its endpoints.
        let suffix = suffix(hash(&json!([service["metadata"]["uid"], ports])), 5);
        let metadata = json!({"name": format!("{stem}{suffix}"), "generateName": stem, "generation": 1,
            "labels": labels, "ownerReferences": owner_references(Kind::Service, service)});
        json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports})
    };
    by_ports.into_values().map(slice).collect()
}

fn endpoint(pod: &Value) -> Value {
    let (serving, terminating) = (is_ready(pod), !pod["metadata"]["deletionTimestamp"].is_null());
    let conditions = json!({"ready": serving && !terminating, "serving": serving, "terminating": terminating});
    let target = json!({"kind": "Pod", "namespace": NAMESPACE, "name": name(pod), "uid": pod["metadata"]["uid"]});
    json!({"addresses": [pod["status"]["podIP"]], "conditions": conditions, "nodeName": pod["spec"]["nodeName"],
        "targetRef": target})
}

/// The Service's ports in a pod; null if there are none.
fn ports(service: &Value, pod: &Value) -> Value {
    let containers = || pod["spec"]["containers"].as_array().into_iter().flatten();
    let named = |name: &Value, protocol: &Value| {
        let mut ports = containers().flat_map(|container| container["ports"].as_array().into_iter().flatten());
        ports
            .find(|port| port["name"] == *name && port["protocol"] == *protocol)
            .map(|port| port["containerPort"].clone())
    };
    let ports = service["spec"]["ports"].as_array().into_iter().flatten().filter_map(|port| {
        let target = &port["targetPort"];
        let number = if target.is_string() { named(target, &port["protocol"])? } else { target.clone() };
        Some(json!({"name": port["name"].as_str().unwrap_or_default(), "port": number, "protocol": port["protocol"]}))
    });
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() { Value::Null } else { json!(ports) }
}
