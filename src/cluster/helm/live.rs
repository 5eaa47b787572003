//! The live objects of a manifest, with their managed fields.

use futures::{StreamExt, TryStreamExt, stream};
use kube::Resource;
use kube::api::{DynamicObject, GetParams, ListParams};
use kube::core::Request;
use kube::core::gvk::GroupVersion;
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;

use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, with_deadline};
use crate::cluster::object::find;

const AT_ONCE: usize = 8;

const HELM: &str = "app.kubernetes.io/managed-by=Helm";
/// Kinds that a manifest has many of, listed in one request: apiVersion, kind, path, plural and resource.
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
    /// The live objects of a manifest, in its order.
    /// Errors: Deployments or Services cannot be listed, or a request gets no reply. Missing permission to get an
    /// object is none.
    pub async fn live(&self, manifest: &[Value]) -> Result<Vec<Live>, ApiError> {
        let mut listed = Vec::new();
        for kind in &LISTED {
            if manifest.iter().any(|object| self.is_listed(object, kind)) {
                listed.extend(self.listed(kind, ListParams::default().labels(HELM)).await?);
            }
        }
        let live = async |object: &Value| {
            let Some(kind) = LISTED.iter().find(|kind| self.is_listed(object, kind)) else {
                return self.live_object(object).await;
            };
            if let Some(live) = listed.iter().find(|live| is_same(live, object)) {
                return Ok(Live::Object(live.clone()));
            }
            // It may have lost the label.
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let found = self.listed(kind, ListParams::default().fields(&format!("metadata.name={name}"))).await?;
            Ok(found.into_iter().next().map_or(Live::Missing, Live::Object))
        };
        stream::iter(manifest.iter().map(live)).buffered(AT_ONCE).try_collect().await
    }

    async fn listed(&self, kind: &[&'static str; 5], params: ListParams) -> Result<Vec<Value>, ApiError> {
        let [version, kind, path, plural, resource] = *kind;
        let requests = Request::new(format!("{path}/namespaces/{}/{plural}", self.namespace()));
        let mut found: Vec<Value> = self.list(resource, &requests, &params).await?;
        for object in &mut found {
            // Items of a list have neither.
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

    async fn live_object(&self, object: &Value) -> Result<Live, ApiError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let Ok(group) = version.parse::<GroupVersion>() else {
            return Ok(Live::Unread(format!("`{version}` is not a valid apiVersion")));
        };
        let gvk = group.with_kind(&kind);
        let discovery = async {
            match pinned_kind(&self.client, &gvk).await {
                Err(kube::Error::Discovery(_)) => Ok(None),
                found => found.map(Some),
            }
        };
        let (resource, scope) = match with_deadline("get", "API resources", discovery).await {
            Ok(Some((resource, capabilities))) => (resource, capabilities.scope),
            Ok(None) => return Ok(Live::Unread(format!("the cluster has no {kind} in {version}"))),
            Err(error) => return unread(error),
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_else(|| self.namespace());
        let namespace = (scope == Scope::Namespaced).then_some(namespace);
        let requests = Request::new(DynamicObject::url_path(&resource, namespace));
        let request = requests.get(&text(&object["metadata"]["name"]), &GetParams::default());
        match with_deadline("get", "release objects", find(&self.client, request)).await {
            Ok(found) => Ok(found.map_or(Live::Missing, Live::Object)),
            Err(error) => unread(error),
        }
    }
}

/// Missing permission or an unknown kind concerns one object only; any other error concerns all.
fn unread(error: ApiError) -> Result<Live, ApiError> {
    match error {
        ApiError::Forbidden { .. } | ApiError::NotFound { .. } => Ok(Live::Unread(error.to_string())),
        error => Err(error),
    }
}

fn is_same(live: &Value, object: &Value) -> bool {
    live["kind"] == object["kind"] && live["metadata"]["name"] == object["metadata"]["name"]
}
