//! The live objects that a manifest names, with who set their fields.

use futures::{StreamExt, TryStreamExt, stream};
use kube::Resource;
use kube::api::{DynamicObject, GetParams, ListParams};
use kube::core::Request;
use kube::core::gvk::GroupVersion;
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;

use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, answered};
use crate::cluster::object::find;

const AT_ONCE: usize = 8;

const HELM: &str = "app.kubernetes.io/managed-by=Helm";
/// What a manifest usually has many of, listed all at once: apiVersion, kind, path, and resource.
const LISTED: [[&str; 5]; 2] = [
    ["apps/v1", "Deployment", "/apis/apps/v1", "deployments", "deployments.apps"],
    ["v1", "Service", "/api/v1", "services", "services"],
];

#[derive(Debug, Clone)]
pub enum Live {
    Object(Value),
    Missing,
    Unread(String),
}

impl Cluster {
    /// The live objects that a manifest names, in its order.
    ///
    /// # Errors
    /// Deployments or Services could not be listed, or an answer was lost. One that may not be looked at is no error.
    pub async fn live(&self, manifest: &[Value]) -> Result<Vec<Live>, ApiError> {
        let mut listed = Vec::new();
        for kind in &LISTED {
            if manifest.iter().any(|object| self.is_listed(object, kind)) {
                listed.extend(self.listed(kind, ListParams::default().labels(HELM)).await?);
            }
        }
        let look = async |object: &Value| {
            let Some(kind) = LISTED.iter().find(|kind| self.is_listed(object, kind)) else {
                return self.live_one(object).await;
            };
            if let Some(live) = listed.iter().find(|live| is_same(live, object)) {
                return Ok(Live::Object(live.clone()));
            }
            // Somebody may have taken the label away.
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let found = self.listed(kind, ListParams::default().fields(&format!("metadata.name={name}"))).await?;
            Ok(found.into_iter().next().map_or(Live::Missing, Live::Object))
        };
        stream::iter(manifest.iter().map(look)).buffered(AT_ONCE).try_collect().await
    }

    async fn listed(&self, kind: &[&'static str; 5], params: ListParams) -> Result<Vec<Value>, ApiError> {
        let [version, kind, path, plural, resource] = *kind;
        let requests = Request::new(format!("{path}/namespaces/{}/{plural}", self.namespace()));
        let mut found: Vec<Value> = self.list(resource, &requests, &params).await?;
        for object in &mut found {
            // Items of a list do not say themselves what they are.
            object["apiVersion"] = version.into();
            object["kind"] = kind.into();
        }
        Ok(found)
    }

    fn is_listed(&self, object: &Value, [version, kind, ..]: &[&str; 5]) -> bool {
        object["apiVersion"] == *version
            && object["kind"] == *kind
            && object["metadata"]["namespace"].as_str().is_none_or(|namespace| namespace == self.namespace())
    }

    async fn live_one(&self, object: &Value) -> Result<Live, ApiError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let Ok(group) = version.parse::<GroupVersion>() else {
            return Ok(Live::Unread(format!("`{version}` is no apiVersion")));
        };
        let gvk = group.with_kind(&kind);
        let asked = async {
            match pinned_kind(&self.client, &gvk).await {
                Err(kube::Error::Discovery(_)) => Ok(None),
                found => found.map(Some),
            }
        };
        let (resource, scope) = match answered("get", "the API's kinds", asked).await {
            Ok(Some((resource, capabilities))) => (resource, capabilities.scope),
            Ok(None) => return Ok(Live::Unread(format!("the cluster has no {kind} in {version}"))),
            Err(error) => return unread(error),
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_else(|| self.namespace());
        let namespace = (scope == Scope::Namespaced).then_some(namespace);
        let requests = Request::new(DynamicObject::url_path(&resource, namespace));
        let request = requests.get(&text(&object["metadata"]["name"]), &GetParams::default());
        match answered("get", "objects of the release", find(&self.client, request)).await {
            Ok(found) => Ok(found.map_or(Live::Missing, Live::Object)),
            Err(error) => unread(error),
        }
    }
}

/// What may not be looked at, or is of a kind that the cluster does not have, is no reason to give up the others.
fn unread(error: ApiError) -> Result<Live, ApiError> {
    match error {
        ApiError::Forbidden { .. } | ApiError::NotFound { .. } => Ok(Live::Unread(error.to_string())),
        error => Err(error),
    }
}

fn is_same(live: &Value, object: &Value) -> bool {
    live["kind"] == object["kind"] && live["metadata"]["name"] == object["metadata"]["name"]
}
