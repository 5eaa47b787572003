//! What is in the namespace, kept up to date: one LIST and one watch each for pods, Deployments and ReplicaSets.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{ANSWER, ApiError, Cluster, Server};

/// The pause before a broken watch is made again.
const RETRY: Duration = Duration::from_millis(500);

/// Which pods are the servers': labels that all have, and the label with the server's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Select {
    /// Labels that every pod of a server has.
    pub labels: BTreeMap<String, String>,
    /// The label whose value is the server's name.
    pub server_label: String,
}

impl Select {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// What was in the namespace at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Population {
    /// Every pod, also other people's.
    pub pods: Vec<Arc<Pod>>,
    /// Every Deployment.
    pub deployments: Vec<Arc<Deployment>>,
    /// Every ReplicaSet.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// The moment, on the cluster's clock.
    pub now: Timestamp,
}

impl Population {
    /// The pods that `select` means.
    pub fn selected(&self, select: &Select) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|pod| select.matches(pod.labels())).cloned().collect()
    }

    /// The objects of the server of that name.
    pub fn server(&self, select: &Select, name: &str) -> Server {
        let is_its = |labels: &BTreeMap<String, String>| {
            select.matches(labels) && labels.get(&select.server_label).is_some_and(|value| value == name)
        };
        // The template's labels, because they are what its pods have; the Deployment's own may differ.
        let deployments: Vec<_> = self
            .deployments
            .iter()
            .filter(|deployment| {
                let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
                template.and_then(|metadata| metadata.labels.as_ref()).is_some_and(is_its)
            })
            .cloned()
            .collect();
        let owners: Vec<&str> =
            deployments.iter().filter_map(|deployment| deployment.metadata.uid.as_deref()).collect();
        let is_owned =
            |set: &&Arc<ReplicaSet>| set.owner_references().iter().any(|owner| owners.contains(&owner.uid.as_str()));
        Server {
            name: name.to_owned(),
            replica_sets: self.replica_sets.iter().filter(is_owned).cloned().collect(),
            pods: self.pods.iter().filter(|pod| is_its(pod.labels())).cloned().collect(),
            deployments,
        }
    }
}

/// The running watches; ends them when dropped.
pub struct Watch {
    cluster: Cluster,
    pods: Store<Pod>,
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    changes: watch::Receiver<u64>,
    trouble: Trouble,
    _tasks: JoinSet<()>,
}

/// The last error of each watched resource; empty while all is well.
type Trouble = Arc<Mutex<BTreeMap<&'static str, ApiError>>>;

impl Watch {
    /// What is in the namespace now.
    ///
    /// # Errors
    /// A resource could not be listed or is no longer watched: what is known of it may be wrong.
    pub fn population(&self) -> Result<Population, ApiError> {
        if let Some(error) = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).values().next() {
            return Err(error.clone());
        }
        Ok(Population {
            pods: self.pods.state(),
            deployments: self.deployments.state(),
            replica_sets: self.replica_sets.state(),
            now: self.cluster.now(),
        })
    }

    /// Something to wait on for the next change; create it before looking.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }
}

/// Starts the watches and waits until each resource was listed once, or could not be.
///
/// # Errors
/// Pods could not be listed: nothing can be judged then.
pub(super) async fn watch(cluster: Cluster) -> Result<Watch, ApiError> {
    let (sender, changes) = watch::channel(0);
    let sender = Arc::new(sender);
    let trouble = Trouble::default();
    let mut tasks = JoinSet::new();
    let pods = follow(&cluster, "pods", &sender, &trouble, &mut tasks);
    let deployments = follow(&cluster, "deployments.apps", &sender, &trouble, &mut tasks);
    let replica_sets = follow(&cluster, "replicasets.apps", &sender, &trouble, &mut tasks);
    let watch = Watch { cluster, pods, deployments, replica_sets, changes, trouble, _tasks: tasks };
    let mut changes = watch.changes.clone();
    let listed = async {
        loop {
            let failed = watch.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let done = |resource, is_ready: bool| is_ready || failed.contains_key(resource);
            if done("pods", is_listed(&watch.pods))
                && done("deployments.apps", is_listed(&watch.deployments))
                && done("replicasets.apps", is_listed(&watch.replica_sets))
            {
                return failed.get("pods").cloned().map_or(Ok(()), Err);
            }
            // The sender lives in the tasks, which live in `watch`.
            let _ = changes.changed().await;
        }
    };
    let silent = ApiError::Silent { verb: "list", resource: "pods", waited: ANSWER };
    tokio::time::timeout(ANSWER, listed).await.map_err(|_| silent)??;
    Ok(watch)
}

fn is_listed<K>(store: &Store<K>) -> bool
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    use futures::FutureExt;
    store.wait_until_ready().now_or_never().is_some()
}

/// Keeps a store of one kind up to date in a task of its own.
fn follow<K>(
    cluster: &Cluster,
    resource: &'static str,
    changed: &Arc<watch::Sender<u64>>,
    trouble: &Trouble,
    tasks: &mut JoinSet<()>,
) -> Store<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, mut writer) = reflector::store::<K>();
    let api: Api<K> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let (changed, trouble) = (Arc::clone(changed), Arc::clone(trouble));
    tasks.spawn(async move {
        loop {
            let stream =
                watcher(api.clone(), watcher::Config::default()).modify(|object| object.managed_fields_mut().clear());
            let mut stream = std::pin::pin!(stream);
            let error = loop {
                match stream.next().await {
                    None => break None,
                    Some(Err(error)) => break classify(resource, error),
                    Some(Ok(event)) => {
                        writer.apply_watcher_event(&event);
                        if matches!(event, watcher::Event::InitDone) {
                            trouble.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
                        }
                    }
                }
                changed.send_modify(|version| *version += 1);
            };
            if let Some(error) = error {
                trouble.lock().unwrap_or_else(PoisonError::into_inner).insert(resource, error);
            }
            changed.send_modify(|version| *version += 1);
            // Starting over with a new LIST is how one knows that the trouble is past.
            tokio::time::sleep(RETRY).await;
        }
    });
    store
}

/// What a watch error means; `None` where the watch goes on by itself without loss (an expired version is listed anew).
fn classify(resource: &'static str, error: watcher::Error) -> Option<ApiError> {
    match error {
        watcher::Error::InitialListFailed(error) => Some(ApiError::new("list", resource, error)),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            Some(ApiError::new("watch", resource, error))
        }
        watcher::Error::WatchError(status) if status.code == 410 => None,
        watcher::Error::WatchError(status) => Some(ApiError::new("watch", resource, kube::Error::Api(status))),
        watcher::Error::NoResourceVersion => None,
    }
}
