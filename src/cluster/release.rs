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
    /// Its name.
    pub name: String,
    /// Counts from 1.
    pub revision: u64,
    /// Helm's word: `deployed`, `failed`, `pending-upgrade`, …
    pub status: String,
}

/// The newest revision of each release in the target's namespace.
pub(super) async fn newest(client: &Client, target: &Target) -> Result<Vec<Release>, ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &target.namespace);
    let params = ListParams::default().labels("owner=helm");
    let found = answered("list", "secrets", secrets.list_metadata(&params)).await?;
    let mut newest: Vec<Release> = Vec::new();
    let labels = found.items.into_iter().filter_map(|secret| secret.metadata.labels);
    let mut revisions: Vec<Release> = labels
        .filter_map(|labels| {
            let label = |key: &str| labels.get(key).cloned();
            Some(Release { name: label("name")?, revision: label("version")?.parse().ok()?, status: label("status")? })
        })
        .collect();
    revisions.sort_by_key(|release| std::cmp::Reverse(release.revision));
    for release in revisions {
        if !newest.iter().any(|other| other.name == release.name) {
            newest.push(release);
        }
    }
    Ok(newest)
}
