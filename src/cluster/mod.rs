//! The Kubernetes API: the only place that knows `kube`. Imports `error` and nothing else of ours.
//!
//! Objects come from one LIST and one watch per kind ([`Population`]); everything that asks the API has a deadline.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::{Api, Client};

mod api_error;
pub mod connect;
pub mod container;
mod cycle;
#[cfg(test)]
pub(crate) mod example;
mod exec;
mod operation;
mod population;
mod release;
pub mod server;

pub use api_error::ApiError;
pub use connect::connect;
pub use cycle::{CycleLog, Cycles, QUIET};
pub use exec::{End, Output};
/// Names, labels and other metadata of objects.
pub use kube::ResourceExt;
pub use operation::Operation;
pub use population::{Population, Select, Watch};
pub use release::Release;
pub use server::Server;

/// The longest wait for an answer of the API server.
pub const ANSWER: Duration = Duration::from_secs(10);

/// Which cluster, and what in it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The kubeconfig file; `None` stands for `KUBECONFIG` or the usual place.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// The context; never silently the current one.
    pub context: String,
    /// The release's namespace.
    pub namespace: String,
    /// The Helm release.
    pub release: String,
}

/// A cluster that answered.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    target: Arc<Target>,
    /// The API server's address.
    pub address: String,
    /// What the API server says of itself.
    pub version: Info,
    /// The API server's clock minus this machine's.
    ahead: SignedDuration,
}

impl Cluster {
    /// The time on the cluster's clock, to compare with timestamps that the cluster made (accurate to about 1 s).
    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.ahead
    }

    /// The context that was asked for.
    pub fn context(&self) -> &str {
        &self.target.context
    }

    /// The namespace under test.
    pub fn namespace(&self) -> &str {
        &self.target.namespace
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let params = ListParams::default();
        Ok(answered("list", "nodes", nodes.list(&params)).await?.items)
    }

    /// Whether the namespace exists; `None` where the user may not look.
    pub async fn has_namespace(&self) -> Result<Option<bool>, ApiError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match answered("get", "namespaces", namespaces.get_opt(&self.target.namespace)).await {
            Ok(found) => Ok(Some(found.is_some())),
            Err(ApiError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest revision of each Helm release in the namespace.
    pub async fn releases(&self) -> Result<Vec<Release>, ApiError> {
        release::newest(&self.client, &self.target).await
    }

    /// Watches the pods, Deployments and ReplicaSets of the namespace; returns when each was listed once.
    pub async fn watch(&self) -> Result<Watch, ApiError> {
        population::watch(self.clone()).await
    }

    /// Does one operation in a container and waits for its end.
    ///
    /// The container must have started; a command that ran and failed is no error of this call.
    pub async fn exec(&self, pod: &str, container: &str, operation: &Operation) -> Result<Output, ApiError> {
        exec::exec(&self.client, self.namespace(), pod, container, operation.argv(), ANSWER).await
    }

    /// Follows the log of a sidecar and keeps what it says of its cycles.
    pub fn follow_cycles(&self, pod: &str, container: &str, cycle_end: regex::Regex, marks: String) -> Cycles {
        cycle::follow(self.clone(), pod.to_owned(), container.to_owned(), cycle_end, marks)
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
    match tokio::time::timeout(ANSWER, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ApiError::new(verb, resource, error)),
        Err(_) => Err(ApiError::Silent { verb, resource, waited: ANSWER }),
    }
}
