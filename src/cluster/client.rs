//! The connected cluster, and its single requests.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, GetParams, ListParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api_error::ApiError;
use super::concurrency::ConcurrencyLimit;
use super::deadline::REPLY_TIMEOUT;
use super::object;
use super::select::Wanted;

#[derive(Debug, Clone)]
pub struct Target {
    /// The kubeconfig file; `None`: `KUBECONFIG`, else the default path.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// The context; never the current one by default.
    pub context: String,
    pub namespace: String,
    pub release: String,
}

#[derive(Clone)]
pub struct Cluster {
    pub(super) client: Client,
    pub(super) target: Arc<Target>,
    pub address: String,
    pub version: Info,
    /// The cluster's clock minus this machine's.
    pub ahead: SignedDuration,
    pub(super) concurrency: Arc<ConcurrencyLimit>,
}

impl Cluster {
    /// The time on the cluster's clock, comparable with the cluster's timestamps (accurate to about 1 s).
    pub fn now(&self) -> Timestamp {
        Timestamp::now().saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// The duration of the slowest command, and the peak number of concurrent commands.
    pub fn load(&self) -> (Duration, usize) {
        self.concurrency.load()
    }

    pub fn context(&self) -> &str {
        &self.target.context
    }

    pub fn namespace(&self) -> &str {
        &self.target.namespace
    }

    pub fn release(&self) -> &str {
        &self.target.release
    }

    pub async fn ping(&self) -> Result<(), ApiError> {
        with_deadline("get", "/version", self.client.apiserver_version()).await.map(drop)
    }

    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        self.list("nodes", &object::requests::<Node>(None), &ListParams::default()).await
    }

    /// Whether the namespace exists; `None` without permission to get it. A namespace that is being deleted is an error.
    pub async fn has_namespace(&self) -> Result<Option<bool>, ApiError> {
        let request = object::requests::<Namespace>(None).get(self.namespace(), &GetParams::default());
        match with_deadline("get", "namespaces", object::find(&self.client, request)).await {
            Ok(Some(found)) if !found["metadata"]["deletionTimestamp"].is_null() => {
                let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
                let remaining = conditions.filter(|condition| condition["status"] == "True");
                let reasons = remaining.filter_map(|condition| Some(format!(": {}", condition["message"].as_str()?)));
                Err(ApiError::NamespaceTerminating(self.namespace().to_owned(), reasons.collect()))
            }
            Ok(found) => Ok(Some(found.is_some())),
            Err(ApiError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The pods' metrics from metrics-server; `None` if it is not installed or access is denied.
    pub async fn metrics(&self, wanted: &Wanted) -> Option<Vec<Value>> {
        let requests = Request::new(format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace()));
        self.list("pods.metrics.k8s.io", &requests, &ListParams::default().labels(&wanted.selector())).await.ok()
    }

    /// Deletes the pod if it still has this uid; does not wait until its containers have stopped.
    pub async fn delete_pod(&self, pod: &str, uid: &str) -> Result<(), ApiError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = object::requests::<Pod>(Some(self.namespace())).delete(pod, &params);
        with_deadline("delete", "pods", object::send(&self.client, request)).await.map(drop)
    }

    pub(super) async fn list<K: DeserializeOwned>(
        &self,
        resource: &'static str,
        requests: &Request,
        params: &ListParams,
    ) -> Result<Vec<K>, ApiError> {
        let mut objects = Vec::new();
        let take = |object| {
            objects.push(object::typed(object)?);
            Ok(())
        };
        with_deadline("list", resource, object::list(&self.client, requests, params, take)).await?;
        Ok(objects)
    }

    /// Whether the pod with this name and uid exists and is not being deleted.
    pub async fn has_pod(&self, pod: &str, uid: &str) -> Result<bool, ApiError> {
        let params = ListParams::default().fields(&format!("metadata.name={pod}"));
        let pods: Vec<Pod> = self.list("pods", &object::requests::<Pod>(Some(self.namespace())), &params).await?;
        let is_it = |pod: &Pod| pod.metadata.uid.as_deref() == Some(uid) && pod.metadata.deletion_timestamp.is_none();
        Ok(pods.iter().any(is_it))
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace())
    }
}

/// Runs a request with the usual deadline; an error names its verb and resource.
pub(super) async fn with_deadline<T>(
    verb: &'static str,
    resource: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    within(REPLY_TIMEOUT, verb, resource, request).await
}

pub(super) async fn within<T>(
    timeout: Duration,
    verb: &'static str,
    resource: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(timeout, request).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(ApiError::new(verb, resource, error)),
        Err(_) => Err(ApiError::NoReply { verb, resource, limit: timeout }),
    }
}
