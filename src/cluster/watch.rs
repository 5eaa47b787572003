//! What is in the namespace, kept up to date: one LIST and one watch for each kind of object.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{ANSWER, ApiError, Cluster, Network, Population};

/// The pause before a broken watch is made again.
const RETRY: Duration = Duration::from_millis(500);

const PODS: &str = "pods";
const DEPLOYMENTS: &str = "deployments.apps";
const REPLICA_SETS: &str = "replicasets.apps";
const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";

/// The running watches; ends them when dropped.
pub struct Watch {
    cluster: Cluster,
    pods: Store<Pod>,
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    network: Option<(Store<Service>, Store<EndpointSlice>)>,
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
        self.untroubled(&[PODS, DEPLOYMENTS, REPLICA_SETS])?;
        Ok(Population {
            pods: self.pods.state(),
            deployments: self.deployments.state(),
            replica_sets: self.replica_sets.state(),
            now: self.cluster.now(),
        })
    }

    /// The Services of the namespace now; none if they are not watched.
    ///
    /// # Errors
    /// As for the population.
    pub fn network(&self) -> Result<Network, ApiError> {
        self.untroubled(&[SERVICES, SLICES])?;
        let network = self.network.as_ref();
        Ok(network.map_or_else(Network::default, |(services, slices)| Network {
            services: services.state(),
            slices: slices.state(),
        }))
    }

    /// Something to wait on for the next change; create it before looking.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }

    fn untroubled(&self, resources: &[&str]) -> Result<(), ApiError> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        resources.iter().find_map(|resource| trouble.get(resource)).map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// Starts the watches and waits until each resource was listed once, or could not be.
///
/// # Errors
/// Pods could not be listed: nothing can be judged then.
pub(super) async fn watch(cluster: Cluster, with_services: bool) -> Result<Watch, ApiError> {
    let (sender, changes) = watch::channel(0);
    let sender = Arc::new(sender);
    let trouble = Trouble::default();
    let mut tasks = JoinSet::new();
    let pods = follow(&cluster, PODS, &sender, &trouble, &mut tasks);
    let deployments = follow(&cluster, DEPLOYMENTS, &sender, &trouble, &mut tasks);
    let replica_sets = follow(&cluster, REPLICA_SETS, &sender, &trouble, &mut tasks);
    let network = with_services.then(|| {
        let services = follow(&cluster, SERVICES, &sender, &trouble, &mut tasks);
        (services, follow(&cluster, SLICES, &sender, &trouble, &mut tasks))
    });
    let watch = Watch { cluster, pods, deployments, replica_sets, network, changes, trouble, _tasks: tasks };
    let mut changes = watch.changes.clone();
    let listed = async {
        loop {
            let failed = watch.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let done = |resource, is_ready: bool| is_ready || failed.contains_key(resource);
            let is_network_done = watch.network.as_ref().is_none_or(|(services, slices)| {
                done(SERVICES, is_listed(services)) && done(SLICES, is_listed(slices))
            });
            if done(PODS, is_listed(&watch.pods))
                && done(DEPLOYMENTS, is_listed(&watch.deployments))
                && done(REPLICA_SETS, is_listed(&watch.replica_sets))
                && is_network_done
            {
                return failed.get(PODS).cloned().map_or(Ok(()), Err);
            }
            // The sender lives in the tasks, which live in `watch`.
            let _ = changes.changed().await;
        }
    };
    let silent = ApiError::Silent { verb: "list", resource: PODS, waited: ANSWER };
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
