//! The controller of EndpointSlices.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::object::{Kind, is_ready, is_terminating, items, name, owned_by, uid};
use crate::sim::world::World;

/// One slice for each Service is enough, because its pods have the same ports.
pub(super) fn reconcile(world: &World) {
    let pods = world.store.list(Kind::Pod);
    for service in world.store.list(Kind::Service) {
        let selector = service["spec"]["selector"].as_object();
        let is_selected = |pod: &&Arc<Value>| {
            let mut selector = selector.into_iter().flatten();
            selector.all(|(key, value)| pod["metadata"]["labels"][key] == *value) && pod["status"]["podIP"].is_string()
        };
        let selected: Vec<_> = pods.iter().filter(is_selected).collect();
        let slice = format!("{}-slice", name(&service));
        let mut labels = service["metadata"]["labels"].clone();
        labels["kubernetes.io/service-name"] = json!(name(&service));
        let metadata = owned_by(Kind::Service, &service, &slice, &labels);
        let endpoints: Vec<_> = selected.iter().map(|pod| endpoint(pod)).collect();
        let ports = selected.iter().map(|pod| ports(&service, pod)).find(|ports| !ports.is_empty()).unwrap_or_default();
        let slice = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports});
        world.put(Kind::EndpointSlice, slice);
    }
}

fn endpoint(pod: &Value) -> Value {
    let (serving, terminating) = (is_ready(pod), is_terminating(pod));
    let conditions = json!({"ready": serving && !terminating, "serving": serving, "terminating": terminating});
    let target = json!({"kind": "Pod", "name": name(pod), "uid": uid(pod)});
    json!({"addresses": [pod["status"]["podIP"]], "conditions": conditions, "targetRef": target})
}

fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let named = |name: &Value| {
        let mut ports = items(&pod["spec"]["containers"]).flat_map(|container| items(&container["ports"]));
        Some(ports.find(|port| port["name"] == *name)?["containerPort"].clone())
    };
    let ports = items(&service["spec"]["ports"]).filter_map(|port| {
        let target = &port["targetPort"];
        let number = if target.is_string() { named(target)? } else { target.clone() };
        Some(json!({"name": port["name"], "port": number, "protocol": port["protocol"]}))
    });
    ports.collect()
}
