//! What the chart makes, and what is there before it: the objects with what the API server adds, the tester's folders.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{NAMESPACE, World};
use super::{Kind, NODE, PREFIX};

/// The chart as Helm renders it with [`VALUES`].
const RENDERED: &str = include_str!("../../../fixtures/helm-chart/golden/multi-nas.yaml");
/// The values that the release is given.
const VALUES: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values-multi-nas.yaml");

/// Puts everything into the store; returns the values that the release has been given.
pub(super) fn install(world: &World, created: Timestamp) -> anyhow::Result<Value> {
    let mut values: Value = serde_saphyr::from_str(VALUES)?;
    values["global"]["sidecar"]["syncInterval"] = json!(world.interval);
    let mut ports = BTreeMap::new();
    // All at once, so that they differ; free ones, so that simulations run side by side.
    let mut listeners = Vec::new();
    for server in values["nasServers"].as_array_mut().context("the chart's values have no servers")? {
        let listener = TcpListener::bind((world.address, 0))?;
        let port = listener.local_addr()?.port();
        listeners.push(listener);
        server["service"]["nodePort"] = json!(port);
        let name = server["name"].as_str().context("a server of the chart's values has no name")?;
        ports.insert(format!("{PREFIX}{name}"), port);
        let nested = world.data.join(name).join("samples");
        std::fs::create_dir_all(&nested)?;
        std::fs::write(world.data.join(name).join("README.txt"), format!("The tester's folder of {name}.\n"))?;
        std::fs::write(nested.join("sample.csv"), "id,name\n1,one\n")?;
    }
    for (kind, object) in [(Kind::Namespace, namespace()), (Kind::Node, node(world.address))] {
        world.store.put(kind, admitted(world, kind, object), created);
    }
    for mut object in serde_saphyr::from_multiple::<Value>(RENDERED)? {
        let kind = if object["kind"] == "Service" { Kind::Service } else { Kind::Deployment };
        if kind == Kind::Service {
            object["spec"]["ports"][0]["nodePort"] = json!(ports.get(super::name(&object)));
        }
        for container in members(&mut object, "/spec/template/spec/initContainers") {
            for variable in members(container, "/env").filter(|variable| variable["name"] == "SYNC_INTERVAL") {
                variable["value"] = json!(world.interval.to_string());
            }
        }
        world.store.put(kind, admitted(world, kind, object), created);
    }
    Ok(values)
}

/// The object with what the API server adds to what it is given.
pub(super) fn admitted(world: &World, kind: Kind, mut object: Value) -> Value {
    let [version, name, _] = kind.names();
    fill(&mut object, json!({"apiVersion": version, "kind": name}));
    if !matches!(kind, Kind::Node | Kind::Namespace) {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    let pod = json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30});
    match kind {
        Kind::Pod => {
            fill(&mut object, json!({"metadata": {"generation": 1}, "spec": pod, "status": {"phase": "Pending"}}));
            // There is no scheduler.
            object["spec"]["nodeName"] = json!(NODE);
        }
        Kind::Deployment => {
            let spec = json!({"replicas": 1, "strategy": {"type": "RollingUpdate"}, "template": {"spec": pod}});
            fill(&mut object, json!({"metadata": {"generation": 1}, "spec": spec}));
        }
        Kind::Service => {
            let ip = format!("10.96.0.{}", 10 + world.store.list(Kind::Service).1.len());
            fill(&mut object, json!({"spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}}));
            for port in members(&mut object, "/spec/ports") {
                let target = port["port"].clone();
                fill(port, json!({"protocol": "TCP", "targetPort": target}));
            }
        }
        _ => {}
    }
    object
}

/// Gives an object what it does not have itself.
fn fill(object: &mut Value, mut defaults: Value) {
    json_patch::merge(&mut defaults, object);
    *object = defaults;
}

/// The members of the list at a JSON pointer, if there is one.
fn members<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

fn namespace() -> Value {
    let labels = json!({"kubernetes.io/metadata.name": NAMESPACE});
    json!({"metadata": {"name": NAMESPACE, "labels": labels}, "status": {"phase": "Active"}})
}

fn node(address: Ipv4Addr) -> Value {
    let resources = json!({"cpu": "4", "memory": "16Gi", "pods": "110"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
    let addresses =
        json!([{"type": "InternalIP", "address": address.to_string()}, {"type": "Hostname", "address": NODE}]);
    let status = json!({"addresses": addresses, "capacity": resources, "allocatable": resources, "conditions": [ready],
        "nodeInfo": {"kubeletVersion": "v1.34.4"}});
    json!({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}, "status": status})
}
