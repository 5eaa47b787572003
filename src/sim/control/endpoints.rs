//! The controller of EndpointSlices: which pods a Service leads to, and to which of their ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::World;
use super::super::object::{is_deleted, is_ready, items, name, uid};
use super::{Kind, hash, install, owned, owned_by, suffix};

/// Brings the slices of every Service up to date.
pub(super) fn reconcile(world: &World, created: Timestamp) {
    let pods = world.store.list(Kind::Pod);
    for service in world.store.list(Kind::Service) {
        let wanted = slices(&service, &pods);
        for slice in owned(world, Kind::EndpointSlice, &service) {
            if !wanted.iter().any(|wanted| name(wanted) == name(&slice)) {
                world.store.remove(Kind::EndpointSlice, name(&slice));
            }
        }
        for slice in wanted {
            install::put(world, Kind::EndpointSlice, slice, created);
        }
    }
}

/// The slices of a Service: one for all pods in which its ports are the same ones.
fn slices(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let selector = service["spec"]["selector"].as_object();
    let is_selected = |pod: &&Arc<Value>| {
        let mut selector = selector.into_iter().flatten();
        selector.all(|(key, value)| pod["metadata"]["labels"][key] == *value) && pod["status"]["podIP"].is_string()
    };
    let mut by_ports: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in pods.iter().filter(is_selected) {
        let ports = ports(service, pod);
        by_ports.entry(ports.to_string()).or_insert((ports, Vec::new())).1.push(endpoint(pod));
    }
    let slice = |(ports, endpoints): (Value, Vec<Value>)| {
        let own = format!("{}-{}", name(service), suffix(hash(&ports), 5));
        let mut labels = service["metadata"]["labels"].clone();
        labels["kubernetes.io/service-name"] = json!(name(service));
        let metadata = owned_by(Kind::Service, service, &own, &labels);
        json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports})
    };
    by_ports.into_values().map(slice).collect()
}

fn endpoint(pod: &Value) -> Value {
    let (serving, terminating) = (is_ready(pod), is_deleted(pod));
    let conditions = json!({"ready": serving && !terminating, "serving": serving, "terminating": terminating});
    let target = json!({"kind": "Pod", "name": name(pod), "uid": uid(pod)});
    json!({"addresses": [pod["status"]["podIP"]], "conditions": conditions, "targetRef": target})
}

/// The Service's ports in a pod; null if there are none.
fn ports(service: &Value, pod: &Value) -> Value {
    let named = |name: &Value| {
        let mut ports = items(&pod["spec"]["containers"]).flat_map(|container| items(&container["ports"]));
        Some(ports.find(|port| port["name"] == *name)?["containerPort"].clone())
    };
    let ports = items(&service["spec"]["ports"]).filter_map(|port| {
        let target = &port["targetPort"];
        let number = if target.is_string() { named(target)? } else { target.clone() };
        Some(json!({"name": port["name"], "port": number, "protocol": port["protocol"]}))
    });
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() { Value::Null } else { json!(ports) }
}
