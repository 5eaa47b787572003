//! What is in the namespace, kept up to date: one LIST and one watch for each kind of object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::{Client, Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::autoscaler::{self, Announced, Waiting};
use super::object::{list, requests, typed, version};
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
    announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    _tasks: JoinSet<()>,
}

/// The last error of each watched resource; empty while all is well.
type Trouble = Arc<Mutex<BTreeMap<&'static str, ApiError>>>;

/// The objects of one kind by their names; none before they were listed.
pub(super) type Store<K> = Arc<Mutex<Option<BTreeMap<String, Arc<K>>>>>;

impl Watch {
    /// What is in the namespace now.
    ///
    /// # Errors
    /// A resource could not be listed or is no longer watched: what is known of it may be wrong.
    pub fn population(&self) -> Result<Population, ApiError> {
        self.untroubled(&[PODS, DEPLOYMENTS, REPLICA_SETS])?;
        Ok(Population {
            pods: objects(&self.pods),
            deployments: objects(&self.deployments),
            replica_sets: objects(&self.replica_sets),
            now: self.cluster.now(),
            announced: self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone(),
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
            services: objects(services),
            slices: objects(slices),
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
    let announced = Arc::default();
    let waiting = Waiting {
        pods: Arc::clone(&pods),
        replica_sets: Arc::clone(&replica_sets),
        announced: Arc::clone(&announced),
        changed: sender,
    };
    tasks.spawn(autoscaler::follow(cluster.clone(), waiting).boxed());
    let watch = Watch { cluster, pods, deployments, replica_sets, network, changes, trouble, announced, _tasks: tasks };
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

fn is_listed<K>(store: &Store<K>) -> bool {
    store.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

pub(super) fn objects<K>(store: &Store<K>) -> Vec<Arc<K>> {
    let store = store.lock().unwrap_or_else(PoisonError::into_inner);
    store.iter().flat_map(BTreeMap::values).cloned().collect()
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
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Send + Sync + 'static,
{
    let store: Store<K> = Store::default();
    let follower = Follower {
        client: cluster.client.clone(),
        requests: requests::<K>(Some(cluster.namespace())),
        resource,
        store: Arc::clone(&store) as Arc<dyn Keep>,
        changed: Arc::clone(changed),
        trouble: Arc::clone(trouble),
    };
    tasks.spawn(follower.run().boxed());
    store
}

/// What a list or a watch tells.
enum News {
    Listed(Vec<Value>),
    Changed(Value),
    Deleted(Value),
}

/// A store that takes news of its kind.
trait Keep: Send + Sync {
    fn take(&self, news: News) -> Result<(), Error>;
}

impl<K: Resource + DeserializeOwned + Send + Sync> Keep for Mutex<Option<BTreeMap<String, Arc<K>>>> {
    fn take(&self, news: News) -> Result<(), Error> {
        let named = |object: Value| {
            let mut object: K = typed(object)?;
            object.managed_fields_mut().clear();
            Ok((object.name_any(), Arc::new(object)))
        };
        let known = || self.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            News::Listed(objects) => {
                let objects = objects.into_iter().map(named).collect::<Result<_, Error>>()?;
                *known() = Some(objects);
            }
            News::Changed(object) => known().get_or_insert_default().extend([named(object)?]),
            News::Deleted(object) => {
                let (name, _) = named(object)?;
                known().get_or_insert_default().remove(&name);
            }
        }
        Ok(())
    }
}

/// Lists and watches one kind.
struct Follower {
    client: Client,
    requests: Request,
    resource: &'static str,
    store: Arc<dyn Keep>,
    changed: Arc<watch::Sender<u64>>,
    trouble: Trouble,
}

impl Follower {
    async fn run(self) {
        loop {
            if let Err(error) = self.list_and_watch().await {
                self.trouble.lock().unwrap_or_else(PoisonError::into_inner).insert(self.resource, error);
            }
            self.tell();
            // Starting over with a new LIST is how one knows that the trouble is past.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Returns when the API server has forgotten what came after the last event, so that a new list is needed.
    async fn list_and_watch(&self) -> Result<(), ApiError> {
        let failed = |verb| move |error| ApiError::new(verb, self.resource, error);
        let listed = list(&self.client, &self.requests, &ListParams::default()).await;
        let (objects, mut known) = listed.map_err(failed("list"))?;
        self.store.take(News::Listed(objects)).map_err(failed("list"))?;
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).remove(self.resource);
        self.tell();
        loop {
            let request = self.requests.watch(&WatchParams::default(), &known).map_err(Error::BuildRequest);
            let request = request.map_err(failed("watch"))?;
            let events = self.client.request_events::<Value>(request).await.map_err(failed("watch"))?;
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.try_next().await.map_err(failed("watch"))? {
                let (object, news): (_, fn(Value) -> News) = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, News::Changed),
                    WatchEvent::Deleted(object) => (object, News::Deleted),
                    WatchEvent::Bookmark(bookmark) => {
                        known = bookmark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) if status.code == 410 => return Ok(()),
                    WatchEvent::Error(status) => return Err(failed("watch")(Error::Api(status))),
                };
                known = version(&object);
                self.store.take(news(object)).map_err(failed("watch"))?;
                self.tell();
            }
            // The API server ends each watch after some minutes; the next one goes on where it ended.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Wakes whoever waits for a change.
    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}
