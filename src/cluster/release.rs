//! Which Helm release this is, from the labels of its Secrets (no payload is read).
//!
//! Source: Helm's storage driver names them `sh.helm.release.v1.<release>.v<revision>` and labels them.

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{ApiError, Target, answered};

/// The newest revision of a Helm release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Counts from 1.
    pub revision: u64,
    /// Helm's word: `deployed`, `failed`, `pending-upgrade`, …
    pub status: String,
}

/// The newest revision of the target's release.
pub(super) async fn newest(client: &Client, target: &Target) -> Result<Option<Release>, ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &target.namespace);
    let params = ListParams::default().labels(&format!("owner=helm,name={}", target.release));
    let found = answered("list", "secrets", secrets.list_metadata(&params)).await?;
    Ok(found
        .items
        .into_iter()
        .filter_map(|secret| {
            let labels = secret.metadata.labels?;
            Some(Release { revision: labels.get("version")?.parse().ok()?, status: labels.get("status")?.clone() })
        })
        .max_by_key(|release| release.revision))
}
