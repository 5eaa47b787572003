//! Reads Helm releases from their Secrets, without the helm binary.
//!
//! Source: Helm's storage driver names them `sh.helm.release.v1.<release>.v<revision>`, labels them, and stores base64 of
//! gzip of JSON under `release`.

use std::io::Read;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{GetParams, ListParams};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, with_deadline};
use crate::cluster::object::{requests, send};

/// The maximum size of a release's JSON: a Secret has at most 1 MiB, but may unpack to any size.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub name: String,
    pub revision: u64,
    /// As in Helm: `deployed`, `failed`, `pending-upgrade`, …
    pub status: String,
}

#[derive(Debug, Clone, Default)]
pub struct Contents {
    pub revision: u64,
    pub defaults: Value,
    pub overrides: Value,
    pub manifest: Arc<str>,
}

/// The newest revision of a Helm release, and the revision that tests judge by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployed {
    pub name: String,
    pub revision: u64,
    pub status: String,
    pub description: String,
    pub chart: String,
    /// When the newest revision was deployed, on the clock of the machine that ran helm.
    pub at: Option<Timestamp>,
    /// Which revision tests judge by, and why, if that is not obvious.
    #[serde(default)]
    pub judged_by: Option<String>,
    #[serde(skip)]
    pub is_newest_live: bool,
    /// The revision that tests judge by: the newest that is deployed or whose objects are live, else the newest.
    #[serde(skip)]
    pub contents: Contents,
    /// The revisions after the last deployed one, newest first; empty if none was ever deployed.
    #[serde(skip)]
    pub undeployed: Vec<Contents>,
}

impl Deployed {
    /// Whether another helm command is running, or was killed.
    pub fn is_unfinished(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }
}

impl Cluster {
    pub async fn revisions(&self) -> Result<Vec<Revision>, ApiError> {
        let params = ListParams::default().labels("owner=helm");
        let request = requests::<Secret>(Some(self.namespace())).list_metadata(&params);
        let found = with_deadline("list", "secrets", send(&self.client, request)).await?;
        let revision = |secret: &Value| {
            let label = |key: &str| Some(secret["metadata"]["labels"][key].as_str()?.to_owned());
            Some(Revision { name: label("name")?, revision: label("version")?.parse().ok()?, status: label("status")? })
        };
        let items = found["items"].as_array().into_iter().flatten();
        let mut revisions: Vec<Revision> = items.filter_map(revision).collect();
        revisions.sort_by_key(|release| std::cmp::Reverse(release.revision));
        Ok(revisions)
    }

    /// The Helm release under test; `None` if it is not among these revisions.
    pub async fn deployed(&self, revisions: &[Revision]) -> Result<Option<Deployed>, ApiError> {
        let own: Vec<_> = revisions.iter().filter(|release| release.name == self.release()).collect();
        let Some(newest) = own.first() else { return Ok(None) };
        let last = own.iter().position(|release| release.status == "deployed").unwrap_or_default();
        let all = try_join_all(own[..=last].iter().map(|release| self.payload(release))).await?;
        let contents = |(release, payload): (&&Revision, &Value)| Contents {
            revision: release.revision,
            defaults: payload["chart"]["values"].clone(),
            overrides: payload["config"].clone(),
            manifest: payload["manifest"].as_str().unwrap_or_default().into(),
        };
        let mut undeployed: Vec<_> = own.iter().zip(&all).map(contents).collect();
        let contents = undeployed.pop().unwrap_or_default();
        let payload = &all[0];
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Some(Deployed {
            name: newest.name.clone(),
            revision: newest.revision,
            status: text("/info/status"),
            description: text("/info/description"),
            chart: format!("{}-{}", text("/chart/metadata/name"), text("/chart/metadata/version")),
            at: text("/info/last_deployed").parse().ok(),
            judged_by: None,
            is_newest_live: false,
            contents,
            undeployed,
        }))
    }

    async fn payload(&self, release: &Revision) -> Result<Value, ApiError> {
        let name = format!("sh.helm.release.v1.{}.v{}", release.name, release.revision);
        let request = requests::<Secret>(Some(self.namespace())).get(&name, &GetParams::default());
        let secret = with_deadline("get", "secrets", send(&self.client, request)).await?;
        // The API encodes data in base64 once more.
        let data = STANDARD.decode(secret["data"]["release"].as_str().unwrap_or_default());
        data.map_err(anyhow::Error::from).and_then(|data| decode(&data)).map_err(|error| ApiError::Failed {
            verb: "get",
            resource: "secrets",
            message: format!("Secret {name} does not contain a Helm release: {error}"),
        })
    }
}

fn decode(data: &[u8]) -> anyhow::Result<Value> {
    let packed = STANDARD.decode(data).context("not valid base64")?;
    let mut json = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(MAX_BYTES + 1)
        .read_to_end(&mut json)
        .context("not valid gzip, or truncated")?;
    anyhow::ensure!(json.len() as u64 <= MAX_BYTES, "larger than {MAX_BYTES} bytes when unpacked");
    serde_json::from_slice(&json).context("its gzipped content is not valid JSON")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn encode(text: &[u8]) -> String {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        STANDARD.encode(packed.finish().unwrap())
    }

    #[test]
    fn invalid_and_oversized_releases_are_errors() {
        let spaces = vec![b' '; usize::try_from(MAX_BYTES).unwrap()];
        for (data, expected) in [
            (encode(b"{}")[..24].to_owned(), "not valid gzip, or truncated"),
            (String::new(), "not valid gzip"),
            ("%".to_owned(), "not valid base64"),
            (encode(&spaces), "not valid JSON"),
            (encode(&[spaces.as_slice(), b"{}"].concat()), "larger than 16777216 bytes"),
        ] {
            let error = decode(data.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
