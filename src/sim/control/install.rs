//! What the chart makes, and what is there before it: the objects with what the API server adds, the tester's folders.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;
use serde_json::{Value, json};

use super::super::scenario::Fault;
use super::super::{INTERVAL, NAMESPACE, World, object};
use super::{Kind, PREFIX};

/// The chart as Helm renders it with [`VALUES`].
const RENDERED: &str = include_str!("../../../fixtures/helm-chart/golden/multi-nas.yaml");
const VALUES: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values-multi-nas.yaml");
const NODE: &str = "file-simulator";

#[derive(Clone)]
pub(super) struct Chart {
    pub values: Value,
    /// The objects as they are given to the API server.
    pub objects: Vec<Value>,
}

/// For as many servers as there are to be.
fn rendered(world: &World) -> anyhow::Result<Chart> {
    let mut values: Value = serde_saphyr::from_str(VALUES)?;
    let mut objects = serde_saphyr::from_multiple::<Value>(RENDERED)?;
    let servers = values["nasServers"].as_array_mut().context("the chart's values have no servers")?;
    let own = servers.clone();
    for number in own.len()..world.scenario.servers {
        let like = &own[number % own.len()];
        let name = like["name"].as_str().context("a server of the chart's values has no name")?;
        let named = |object: &Value| {
            let text = object.to_string().replace(name, &format!("{name}-{}", number / own.len()));
            serde_json::from_str::<Value>(&text)
        };
        let mut server = named(like)?;
        server["fsid"] = json!(number + 1);
        servers.push(server);
        let its = |object: &&Value| object::name(object).strip_prefix(PREFIX) == Some(name);
        let mut more = objects.iter().filter(its).map(named).collect::<Result<Vec<_>, _>>()?;
        for object in &mut more {
            set(object, "containers", "FSID", &(number + 1).to_string());
        }
        objects.extend(more);
    }
    Ok(Chart { values, objects })
}

pub(super) fn install(world: &World) -> anyhow::Result<Chart> {
    let mut chart = rendered(world)?;
    chart.values["global"]["sidecar"]["syncInterval"] = json!(INTERVAL);
    for fault in &world.scenario.faults {
        if let Fault::Values(steps) = fault {
            json_patch::patch(&mut chart.values, steps)?;
        }
    }
    put(world, Kind::Namespace, json!({"metadata": {"name": NAMESPACE}}));
    put(world, Kind::Node, node(world.address));
    // All at once, so that they differ; free ones, so that simulations run side by side.
    let mut listeners = Vec::new();
    for server in chart.values["nasServers"].as_array_mut().context("the chart's values have no servers")? {
        let listener = TcpListener::bind((world.address, 0))?;
        let port = listener.local_addr()?.port();
        listeners.push(listener);
        server["service"]["nodePort"] = json!(port);
        let name = server["name"].as_str().context("a server of the chart's values has no name")?;
        let folder = world.data.join(name);
        fs::create_dir_all(folder.join("samples"))?;
        fs::write(folder.join("README.txt"), format!("The tester's folder of {name}.\n"))?;
        fs::write(folder.join("samples").join("sample.csv"), "id,name\n1,one\n")?;
        for object in chart.objects.iter_mut().filter(|object| object::name(object) == format!("{PREFIX}{name}")) {
            if object["kind"] == "Service" {
                object["spec"]["ports"][0]["nodePort"] = json!(port);
                put(world, Kind::Service, object.clone());
                continue;
            }
            if let Some(options) = server["exportOptions"].as_str() {
                set(object, "containers", "EXPORT_OPTIONS", options);
            }
            set(object, "initContainers", "SYNC_INTERVAL", &INTERVAL.to_string());
            put(world, Kind::Deployment, object.clone());
        }
    }
    Ok(chart)
}

/// Puts an object into the store, with what the API server adds to what it is given.
pub(super) fn put(world: &World, kind: Kind, mut object: Value) {
    if !matches!(kind, Kind::Node | Kind::Namespace) {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    match kind {
        Kind::Pod => {
            // There is no scheduler.
            object["spec"]["nodeName"] = json!(NODE);
            object["status"]["phase"] = json!("Pending");
        }
        Kind::Deployment => object["metadata"]["generation"] = json!(1),
        Kind::Service => {
            let number = 10 + world.store.list(kind).len();
            let ip = format!("10.96.{}.{}", number / 256, number % 256);
            object["spec"]["clusterIPs"] = json!([ip]);
            object["spec"]["clusterIP"] = json!(ip);
        }
        _ => {}
    }
    world.store.put(kind, object, world.created());
}

/// Gives a variable of a Deployment's containers another value.
fn set(object: &mut Value, containers: &str, variable: &str, value: &str) {
    for container in members(object, &format!("/spec/template/spec/{containers}")) {
        for own in members(container, "/env").filter(|own| own["name"] == variable) {
            own["value"] = json!(value);
        }
    }
}

/// The members of the list at a JSON pointer, if there is one.
fn members<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

fn node(address: Ipv4Addr) -> Value {
    let addresses =
        json!([{"type": "InternalIP", "address": address.to_string()}, {"type": "Hostname", "address": NODE}]);
    let status = json!({"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]});
    json!({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}, "status": status})
}
