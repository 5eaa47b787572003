//! What the chart makes, and what is there before it: the objects with what the API server adds, the tester's folders.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;
use serde_json::{Value, json};

use crate::sim::object::{self, Kind, text};
use crate::sim::world::{INTERVAL, NAMESPACE, NODE, PREFIX, World};

/// The chart as Helm renders it with [`VALUES`].
const RENDERED: &str = include_str!("../../../fixtures/helm-chart/golden/multi-nas.yaml");
const VALUES: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values-multi-nas.yaml");

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
        let name = text(&like["name"]);
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
            set(object, "FSID", &(number + 1).to_string());
        }
        objects.extend(more);
    }
    Ok(Chart { values, objects })
}

pub(super) fn install(world: &World) -> anyhow::Result<Chart> {
    let mut chart = rendered(world)?;
    chart.values["global"]["sidecar"]["syncInterval"] = json!(INTERVAL);
    world.put(Kind::Namespace, json!({"metadata": {"name": NAMESPACE}}));
    world.put(Kind::Node, node(world.address));
    // All at once, so that they differ; free ones, so that simulations run side by side.
    let mut listeners = Vec::new();
    for server in chart.values["nasServers"].as_array_mut().context("the chart's values have no servers")? {
        let listener = TcpListener::bind((world.address, 0))?;
        let port = listener.local_addr()?.port();
        listeners.push(listener);
        server["service"]["nodePort"] = json!(port);
        let name = text(&server["name"]);
        let folder = world.data.join(name);
        fs::create_dir_all(folder.join("samples"))?;
        fs::write(folder.join("README.txt"), format!("The tester's folder of {name}.\n"))?;
        fs::write(folder.join("samples").join("sample.csv"), "id,name\n1,one\n")?;
        for object in chart.objects.iter_mut().filter(|object| object::name(object) == format!("{PREFIX}{name}")) {
            if object["kind"] == "Service" {
                object["spec"]["ports"][0]["nodePort"] = json!(port);
                world.put(Kind::Service, object.clone());
                continue;
            }
            set(object, "SYNC_INTERVAL", &INTERVAL.to_string());
            world.put(Kind::Deployment, object.clone());
        }
    }
    Ok(chart)
}

/// Gives every variable of that name in an object another value.
fn set(object: &mut Value, variable: &str, value: &str) {
    match object {
        Value::Array(all) => all.iter_mut().for_each(|item| set(item, variable, value)),
        Value::Object(fields) if fields.get("name").is_some_and(|name| name == variable) => {
            fields.insert("value".to_owned(), value.into());
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| set(field, variable, value)),
        _ => {}
    }
}

fn node(address: Ipv4Addr) -> Value {
    let addresses =
        json!([{"type": "InternalIP", "address": address.to_string()}, {"type": "Hostname", "address": NODE}]);
    let status = json!({"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]});
    json!({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}, "status": status})
}
