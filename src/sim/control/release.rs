//! The Secrets in which Helm keeps a release: base64 of gzip of JSON, one per revision.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::install::Chart;
use crate::sim::object::{Kind, name};
use crate::sim::scenario::Fault;
use crate::sim::world::{NAMESPACE, PREFIX, RELEASE, World};

const CHART: &str = include_str!("../../../fixtures/helm-chart/file-simulator/Chart.yaml");
const DEFAULTS: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values.yaml");

/// Puts the deployed revision into the store, and newer ones if the scenario has them.
pub(super) fn install(world: &World, chart: &Chart) -> anyhow::Result<()> {
    let mut revisions = BTreeMap::from([(1, ("deployed", chart.clone()))]);
    for fault in &world.scenario.faults {
        let Fault::Revision { number, status, values, servers, steps } = fault else { continue };
        let (its_status, its) = revisions.entry(*number).or_insert_with(|| ("failed", chart.clone()));
        *its_status = status.as_deref().unwrap_or(its_status);
        json_patch::patch(&mut its.values, values)?;
        let names: Vec<String> = servers.iter().map(|server| format!("{PREFIX}{server}")).collect();
        let is_its =
            |object: &&mut Value| object["kind"] == "Deployment" && names.iter().any(|own| own == name(object));
        its.objects.iter_mut().filter(is_its).try_for_each(|object| json_patch::patch(object, steps))?;
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
    // Helm's own base64, and that of every Secret.
    let data = STANDARD.encode(STANDARD.encode(packed.finish()?));
    let labels = json!({"owner": "helm", "name": RELEASE, "status": status, "version": revision.to_string()});
    let metadata = json!({"name": format!("sh.helm.release.v1.{RELEASE}.v{revision}"), "labels": labels});
    Ok(json!({"metadata": metadata, "type": "helm.sh/release.v1", "data": {"release": data}}))
}
