//! The Secrets in which Helm keeps a release: base64 of gzip of JSON, one per revision.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::super::object::name;
use super::super::scenario::Fault;
use super::super::{NAMESPACE, RELEASE, World};
use super::install::{Chart, put};
use super::{Kind, PREFIX};

const CHART: &str = include_str!("../../../fixtures/helm-chart/file-simulator/Chart.yaml");
const DEFAULTS: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values.yaml");

/// Puts the deployed revision into the store, and newer ones if the scenario has them.
pub(super) fn install(world: &World, chart: &Chart) -> anyhow::Result<()> {
    let newer = world.scenario.faults.iter().filter_map(|fault| match fault {
        Fault::Release(status) => Some(status.as_str()),
        _ => None,
    });
    for (revision, status) in (1..).zip(std::iter::once("deployed").chain(newer)) {
        let Chart { mut values, mut objects } = chart.clone();
        for fault in &world.scenario.faults {
            let Fault::Revision { number, values: given, servers, steps } = fault else { continue };
            if *number == revision {
                json_patch::patch(&mut values, given)?;
                let is_its = |object: &Value, server: &String| {
                    object["kind"] == "Deployment" && name(object) == format!("{PREFIX}{server}")
                };
                let mut its = objects.iter_mut().filter(|object| servers.iter().any(|server| is_its(object, server)));
                its.try_for_each(|object| json_patch::patch(object, steps))?;
            }
        }
        let manifest = objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
        put(world, Kind::Secret, secret(world, revision, status, &values, &manifest)?);
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
    // Helm's own base64, and that of every Secret.
    let data = STANDARD.encode(STANDARD.encode(packed.finish()?));
    let labels = json!({"owner": "helm", "name": RELEASE, "status": status, "version": revision.to_string()});
    let metadata = json!({"name": format!("sh.helm.release.v1.{RELEASE}.v{revision}"), "labels": labels});
    Ok(json!({"metadata": metadata, "type": "helm.sh/release.v1", "data": {"release": data}}))
}
