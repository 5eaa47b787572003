//! What the user may do: permissions as RBAC has them, and what the API server says of them.

use std::fmt;

use futures::future::try_join_all;
use futures::{FutureExt, TryFutureExt};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::api::PostParams;
use serde_json::json;

use super::api_error::ApiError;
use super::client::{Cluster, answered};
use super::object::{ask, requests};

/// Where commands and port-forwards need `create` beside `get`: the minor version of Kubernetes 1.
/// Source: `AuthorizePodWebsocketUpgradeCreatePermission` in the release notes of Kubernetes 1.35.
const UPGRADES_ARE_CREATED: u32 = 35;

/// A verb on a resource, in the target's namespace unless the resource is in none.
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

    pub fn lacking(self) -> ApiError {
        let message = "the API server says so when it is asked".to_owned();
        ApiError::Forbidden { verb: self.verb, resource: self.resource, message }
    }

    /// Whether it has to be given by a role of the whole cluster.
    pub fn is_cluster_wide(self) -> bool {
        self.resource == "nodes"
    }

    pub fn parts(self) -> [&'static str; 3] {
        let (resource, group) = self.resource.split_once('.').unwrap_or((self.resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        [group, resource, subresource]
    }
}

impl Cluster {
    /// Which of the permissions the user lacks; those that this version of Kubernetes does not ask for are never lacked.
    pub async fn lacked(&self, permissions: &[Permission]) -> Result<Vec<Permission>, ApiError> {
        let minor: String = self.version.minor.chars().take_while(char::is_ascii_digit).collect();
        let is_asked_for = |permission: &&Permission| {
            let is_upgrade = permission.verb == "create" && matches!(permission.parts()[2], "exec" | "portforward");
            !is_upgrade || minor.parse().unwrap_or(u32::MAX) >= UPGRADES_ARE_CREATED
        };
        let asked = permissions.iter().filter(is_asked_for);
        let looks = asked.map(|permission| self.may(*permission).map_ok(|may| (!may).then_some(*permission)).boxed());
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }

    async fn may(&self, permission: Permission) -> Result<bool, ApiError> {
        let [group, resource, subresource] = permission.parts();
        let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {
            "group": group,
            // To the API server, a namespace is in itself.
            "name": if resource == "namespaces" { self.namespace() } else { "" },
            "namespace": if permission.is_cluster_wide() { "" } else { self.namespace() },
            "resource": resource,
            "subresource": subresource,
            "verb": permission.verb,
        }}});
        let request =
            requests::<SelfSubjectAccessReview>(None).create(&PostParams::default(), review.to_string().into());
        let (verb, resource) = ("create", "selfsubjectaccessreviews.authorization.k8s.io");
        let reviewed = answered(verb, resource, ask(&self.client, request)).await?;
        let lost = ApiError::Failed { verb, resource, message: "the answer has no status".to_owned() };
        reviewed["status"]["allowed"].as_bool().ok_or(lost)
    }
}
