//! The Kubernetes API: the only place that knows `kube`. Imports `error` and `input`, nothing else of ours.
//!
//! Objects come from one LIST and one watch per kind ([`Population`]); everything that asks the API has a deadline.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, GetParams, ListParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

mod api_error;
mod autoscaler;
pub mod batch;
mod changes;
pub mod connect;
pub mod container;
mod cycle;
mod events;
#[cfg(test)]
pub(crate) mod example;
mod exec;
mod follow;
mod home;
mod kubeconfig;
mod live;
mod log;
mod login;
pub mod manifest;
mod middlebox;
mod object;
mod operation;
mod pace;
mod permission;
mod plugin;
mod population;
mod port_forward;
mod proxy;
mod release;
pub mod script;
mod select;
pub mod server;
mod store;
mod token;
mod transport;
mod watch;

pub use api_error::ApiError;
pub use changes::Changes;
pub use connect::{connect, reach};
pub use cycle::{CycleLog, Marks};
pub use events::Warning;
pub use exec::{End, Output};
pub use follow::{Cycles, QUIET};
pub use kube::ResourceExt;
pub use kubeconfig::read;
pub use live::Live;
pub use log::{LogLine, is_last_word};
pub use operation::{Operation, Work};
pub use pace::SLOW;
pub use permission::Permission;
pub use population::{Network, Population};
pub use port_forward::Forwarded;
pub use release::{Contents, Deployed, Release};
pub use select::{Select, Wanted};
pub use server::{Announced, Obstacle, Server};
pub use watch::Watch;

/// The longest wait for an answer of the API server.
pub const ANSWER: Duration = Duration::from_secs(10);
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest that a command may take, from when it is its turn: a node that is short of CPU needs seconds for each.
pub const COMMAND: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Target {
    /// The kubeconfig file; `None` stands for `KUBECONFIG` or the usual place.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// The context; never silently the current one.
    pub context: String,
    pub namespace: String,
    pub release: String,
}

#[derive(Clone)]
pub struct Cluster {
    client: Client,
    target: Arc<Target>,
    pub address: String,
    pub version: Info,
    /// Its clock minus this machine's.
    pub ahead: SignedDuration,
    pace: Arc<pace::Pace>,
}

impl Cluster {
    /// The time on the cluster's clock, to compare with timestamps that the cluster made (accurate to about 1 s).
    pub fn now(&self) -> Timestamp {
        // A clock at the end of time is nobody's.
        Timestamp::now().saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// How long the slowest command took, and how many ran at once at the most.
    pub fn pace(&self) -> (Duration, usize) {
        self.pace.told()
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

    pub async fn answers(&self) -> Result<(), ApiError> {
        answered("get", "/version", self.client.apiserver_version()).await.map(drop)
    }

    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        self.list("nodes", &object::requests::<Node>(None), &ListParams::default()).await
    }

    /// The Services that are wanted, for whoever does not watch them.
    pub async fn network(&self, wanted: &Wanted) -> Result<Network, ApiError> {
        let services = object::requests::<Service>(Some(self.namespace()));
        let slices = object::requests::<EndpointSlice>(Some(self.namespace()));
        let params = ListParams::default().labels(&wanted.selector());
        let (services, slices) = tokio::try_join!(
            self.list("services", &services, &params),
            self.list("endpointslices.discovery.k8s.io", &slices, &params),
        )?;
        Ok(Network { services, slices })
    }

    /// Whether the namespace exists; `None` where the user may not look. One that is being deleted is an error.
    pub async fn has_namespace(&self) -> Result<Option<bool>, ApiError> {
        let request = object::requests::<Namespace>(None).get(self.namespace(), &GetParams::default());
        match answered("get", "namespaces", object::find(&self.client, request)).await {
            Ok(Some(found)) if !found["metadata"]["deletionTimestamp"].is_null() => {
                let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
                let kept = conditions.filter(|condition| condition["status"] == "True");
                let said = kept.filter_map(|condition| Some(format!(": {}", condition["message"].as_str()?))).collect();
                Err(ApiError::Ending(self.namespace().to_owned(), said))
            }
            Ok(found) => Ok(Some(found.is_some())),
            Err(ApiError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What metrics-server says of the pods that are wanted; `None` where there is none, or the user may not ask it.
    pub async fn metrics(&self, wanted: &Wanted) -> Option<Vec<Value>> {
        let requests = Request::new(format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace()));
        self.list("pods.metrics.k8s.io", &requests, &ListParams::default().labels(&wanted.selector())).await.ok()
    }

    /// Deletes a pod, if it is still the one with that uid; its containers end afterwards.
    pub async fn delete_pod(&self, pod: &str, uid: &str) -> Result<(), ApiError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = object::requests::<Pod>(Some(self.namespace())).delete(pod, &params);
        answered("delete", "pods", object::ask(&self.client, request)).await.map(drop)
    }

    async fn list<K: DeserializeOwned>(
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
        answered("list", resource, object::list(&self.client, requests, params, take)).await?;
        Ok(objects)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace())
    }
}

/// Bounds a request and says what was asked when it fails.
async fn answered<T>(
    verb: &'static str,
    resource: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    answered_within(ANSWER, verb, resource, request).await
}

async fn answered_within<T>(
    waited: Duration,
    verb: &'static str,
    resource: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(waited, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ApiError::new(verb, resource, error)),
        Err(_) => Err(ApiError::Silent { verb, resource, waited }),
    }
}
