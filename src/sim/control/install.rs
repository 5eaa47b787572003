//! Installs the release: the host folders, the chart's objects, and Helm's Secrets with the revisions.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::sim::object::{Kind, name, text};
use crate::sim::scenario::Fault;
use crate::sim::world::{INTERVAL, NAMESPACE, NODE, PREFIX, RELEASE, World};

/// Rendered by Helm with [`VALUES`].
const RENDERED: &str = include_str!("../../../fixtures/helm-chart/golden/multi-nas.yaml");
const VALUES: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values-multi-nas.yaml");
const CHART: &str = include_str!("../../../fixtures/helm-chart/file-simulator/Chart.yaml");
const DEFAULTS: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values.yaml");

#[derive(Clone)]
struct Chart {
    values: Value,
    objects: Vec<Value>,
}

pub(super) fn install(world: &World) -> anyhow::Result<()> {
    let mut chart = Chart { values: serde_saphyr::from_str(VALUES)?, objects: serde_saphyr::from_multiple(RENDERED)? };
    chart.values["global"]["sidecar"]["syncInterval"] = json!(INTERVAL);
    world.put(Kind::Namespace, json!({"metadata": {"name": NAMESPACE}}));
    world.put(Kind::Node, node(world.address));
    // NodePorts are free ports, held open until all are chosen so that they differ.
    let mut listeners = Vec::new();
    for server in chart.values["nasServers"].as_array_mut().context("the chart's values have no servers")? {
        let listener = TcpListener::bind((world.address, 0))?;
        let port = listener.local_addr()?.port();
        listeners.push(listener);
        server["service"]["nodePort"] = json!(port);
        let server = text(&server["name"]);
        let folder = world.data.join(server);
        fs::create_dir_all(folder.join("samples"))?;
        fs::write(folder.join("README.txt"), format!("The host folder of {server}.\n"))?;
        fs::write(folder.join("samples").join("sample.csv"), "id,name\n1,one\n")?;
        for object in chart.objects.iter_mut().filter(|object| name(object) == format!("{PREFIX}{server}")) {
            if object["kind"] == "Service" {
                object["spec"]["ports"][0]["nodePort"] = json!(port);
                world.put(Kind::Service, object.clone());
                continue;
            }
            set_env(object, "SYNC_INTERVAL", &INTERVAL.to_string());
            world.put(Kind::Deployment, object.clone());
        }
    }
    store_revisions(world, &chart)
}

fn set_env(object: &mut Value, variable: &str, value: &str) {
    match object {
        Value::Array(all) => all.iter_mut().for_each(|item| set_env(item, variable, value)),
        Value::Object(fields) if fields.get("name").is_some_and(|name| name == variable) => {
            fields.insert("value".to_owned(), value.into());
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| set_env(field, variable, value)),
        _ => {}
    }
}

fn node(address: Ipv4Addr) -> Value {
    let addresses =
        json!([{"type": "InternalIP", "address": address.to_string()}, {"type": "Hostname", "address": NODE}]);
    let status = json!({"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]});
    json!({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}, "status": status})
}

fn store_revisions(world: &World, chart: &Chart) -> anyhow::Result<()> {
    let mut revisions = BTreeMap::from([(1, ("deployed", chart.clone()))]);
    for fault in &world.scenario.faults {
        let Fault::Revision { number, status, values, servers, steps } = fault else { continue };
        let (revision_status, revision) = revisions.entry(*number).or_insert_with(|| ("failed", chart.clone()));
        *revision_status = status.as_deref().unwrap_or(revision_status);
        json_patch::patch(&mut revision.values, values)?;
        let names: Vec<String> = servers.iter().map(|server| format!("{PREFIX}{server}")).collect();
        let is_patched =
            |object: &&mut Value| object["kind"] == "Deployment" && names.iter().any(|patched| patched == name(object));
        revision.objects.iter_mut().filter(is_patched).try_for_each(|object| json_patch::patch(object, steps))?;
    }
    for (number, (status, Chart { values, objects })) in revisions {
        let manifest = objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
        world.put(Kind::Secret, secret(world, number, status, &values, &manifest)?);
    }
    Ok(())
}

fn secret(world: &World, revision: u64, status: &str, config: &Value, manifest: &str) -> anyhow::Result<Value> {
    let failed = format!("Upgrade \"{RELEASE}\" failed: context deadline exceeded");
    let description = if status == "deployed" { "Install complete" } else { &failed };
    let info = json!({"status": status, "description": description, "last_deployed": world.created().to_string()});
    let metadata: Value = serde_saphyr::from_str(CHART)?;
    let defaults: Value = serde_saphyr::from_str(DEFAULTS)?;
    let payload = json!({"name": RELEASE, "version": revision, "namespace": NAMESPACE, "info": info, "config": config,
        "manifest": manifest, "chart": {"metadata": metadata, "values": defaults}});
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(payload.to_string().as_bytes())?;
    // Helm encodes in base64, and so does every Secret.
    let data = STANDARD.encode(STANDARD.encode(packed.finish()?));
    let labels = json!({"owner": "helm", "name": RELEASE, "status": status, "version": revision.to_string()});
    let metadata = json!({"name": format!("sh.helm.release.v1.{RELEASE}.v{revision}"), "labels": labels});
    Ok(json!({"metadata": metadata, "type": "helm.sh/release.v1", "data": {"release": data}}))
}
