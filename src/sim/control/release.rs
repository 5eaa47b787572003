//! The Secrets in which Helm keeps a release: base64 of gzip of JSON, one per revision.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::scenario::Fault;
use super::super::{NAMESPACE, RELEASE, World};
use super::{Kind, chart};

/// The chart itself.
const CHART: &str = include_str!("../../../fixtures/helm-chart/file-simulator/Chart.yaml");
/// Its default values.
const DEFAULTS: &str = include_str!("../../../fixtures/helm-chart/file-simulator/values.yaml");

/// Puts the deployed revision into the store, and a newer one if the scenario has it.
pub(super) fn install(world: &World, config: &Value, created: Timestamp) -> anyhow::Result<()> {
    let newest = world.scenario.faults.iter().find_map(|fault| match fault {
        Fault::Release(status) => Some(status.as_str()),
        _ => None,
    });
    for (revision, status) in (1..).zip(std::iter::once("deployed").chain(newest)) {
        let secret = chart::admitted(world, Kind::Secret, secret(revision, status, config, created)?);
        world.store.put(Kind::Secret, secret, created);
    }
    Ok(())
}

/// The name of the Secret of a revision.
pub(super) fn secret_name(revision: u64) -> String {
    format!("sh.helm.release.v1.{RELEASE}.v{revision}")
}

fn secret(revision: u64, status: &str, config: &Value, created: Timestamp) -> anyhow::Result<Value> {
    let description = match status {
        "deployed" => "Install complete".to_owned(),
        "failed" => format!("Upgrade \"{RELEASE}\" failed: context deadline exceeded"),
        _ => "Preparing upgrade".to_owned(),
    };
    let info = json!({"status": status, "description": description, "first_deployed": created.to_string(),
        "last_deployed": created.to_string()});
    let metadata: Value = serde_saphyr::from_str(CHART)?;
    let defaults: Value = serde_saphyr::from_str(DEFAULTS)?;
    let payload = json!({"name": RELEASE, "version": revision, "namespace": NAMESPACE, "info": info, "config": config,
        "chart": {"metadata": metadata, "values": defaults}});
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(payload.to_string().as_bytes())?;
    // Helm's own base64, and that of every Secret.
    let data = STANDARD.encode(STANDARD.encode(packed.finish()?));
    let labels = json!({"owner": "helm", "name": RELEASE, "status": status, "version": revision.to_string()});
    let metadata = json!({"name": secret_name(revision), "labels": labels});
    Ok(json!({"metadata": metadata, "type": "helm.sh/release.v1", "data": {"release": data}}))
}
