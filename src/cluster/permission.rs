//! RBAC permissions, and whether the API server grants them to the user.

use std::fmt;

use futures::future::try_join_all;
use futures::{FutureExt, TryFutureExt};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::api::PostParams;
use serde_json::json;

use super::api_error::ApiError;
use super::client::{Cluster, with_deadline};
use super::object::{requests, send};

/// The minor version of Kubernetes 1 since which exec and port-forward need `create` besides `get`.
/// Source: `AuthorizePodWebsocketUpgradeCreatePermission` in the release notes of Kubernetes 1.35.
const UPGRADES_ARE_CREATED: u32 = 35;

/// A verb on a resource, in the target's namespace if the resource is namespaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub verb: &'static str,
    /// The resource with its subresource and its API group, such as `pods/exec` or `deployments.apps`.
    pub resource: &'static str,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

impl Permission {
    pub const fn new(verb: &'static str, resource: &'static str) -> Self {
        Self { verb, resource }
    }

    pub fn denied(self) -> ApiError {
        let message = "denied by a SelfSubjectAccessReview".to_owned();
        ApiError::Forbidden { verb: self.verb, resource: self.resource, message }
    }

    /// Whether only a `ClusterRole` can grant it.
    pub fn is_cluster_wide(self) -> bool {
        self.resource == "nodes"
    }

    /// API group, resource and subresource.
    pub fn parts(self) -> [&'static str; 3] {
        let (resource, group) = self.resource.split_once('.').unwrap_or((self.resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        [group, resource, subresource]
    }
}

impl Cluster {
    /// The permissions that the user lacks, ignoring those that this version of Kubernetes does not require.
    pub async fn missing_permissions(&self, permissions: &[Permission]) -> Result<Vec<Permission>, ApiError> {
        let minor: String = self.version.minor.chars().take_while(char::is_ascii_digit).collect();
        let is_required = |permission: &&Permission| {
            let is_upgrade = permission.verb == "create" && matches!(permission.parts()[2], "exec" | "portforward");
            !is_upgrade || minor.parse().unwrap_or(u32::MAX) >= UPGRADES_ARE_CREATED
        };
        let reviews = permissions.iter().filter(is_required).map(|permission| {
            self.is_allowed(*permission).map_ok(|is_allowed| (!is_allowed).then_some(*permission)).boxed()
        });
        Ok(try_join_all(reviews).await?.into_iter().flatten().collect())
    }

    async fn is_allowed(&self, permission: Permission) -> Result<bool, ApiError> {
        let [group, resource, subresource] = permission.parts();
        let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {
            "group": group,
            // For the API server, a namespace is in itself.
            "name": if resource == "namespaces" { self.namespace() } else { "" },
            "namespace": if permission.is_cluster_wide() { "" } else { self.namespace() },
            "resource": resource,
            "subresource": subresource,
            "verb": permission.verb,
        }}});
        let request =
            requests::<SelfSubjectAccessReview>(None).create(&PostParams::default(), review.to_string().into());
        let (verb, resource) = ("create", "selfsubjectaccessreviews.authorization.k8s.io");
        let reviewed = with_deadline(verb, resource, send(&self.client, request)).await?;
        let no_status = ApiError::Failed { verb, resource, message: "the reply has no status".to_owned() };
        reviewed["status"]["allowed"].as_bool().ok_or(no_status)
    }
}
