//! What is in the namespace, kept up to date: one LIST and one watch for each kind of object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::{Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::autoscaler::{self, Announced};
use super::object::{list, requests, typed, version};
use super::wake::{Bell, Changes, Counts};
use super::{ANSWER, ApiError, Cluster, Network, Population, Wanted, answered};

/// How long a watch lasts, in seconds: it may have been mute all the while, by something on the way.
const LASTS: u32 = 15;
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
    counts: watch::Receiver<Counts>,
    /// What was there after so many changes, so that not every look gathers it.
    last: Mutex<Option<(u64, Population)>>,
    listed: Listed,
    announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    _tasks: JoinSet<()>,
}

/// Of each resource that was listed, or could not be: what is wrong with it, if anything is.
type Listed = Arc<Mutex<BTreeMap<&'static str, Option<ApiError>>>>;

/// By their names.
pub(super) type Store<K> = Arc<Mutex<BTreeMap<String, Arc<K>>>>;

impl Watch {
    /// An error where a resource could not be listed or is no longer watched: what is known of it may be wrong.
    pub fn population(&self) -> Result<Population, ApiError> {
        self.untroubled(&[PODS, DEPLOYMENTS, REPLICA_SETS])?;
        let changes = self.counts.borrow().of(None);
        let mut last = locked(&self.last);
        let known = last.take().filter(|(of, _)| *of == changes);
        let gathered = || {
            let (pods, deployments) = (objects(&self.pods), objects(&self.deployments));
            Population::new(pods, deployments, objects(&self.replica_sets), self.cluster.now())
        };
        let (_, population) = last.insert(known.unwrap_or_else(|| (changes, gathered())));
        let mut population = population.clone();
        population.now = self.cluster.now();
        population.announced.clone_from(&locked(&self.announced));
        Ok(population)
    }

    /// The Services of the namespace now; none if they are not watched.
    pub fn network(&self) -> Result<Network, ApiError> {
        self.untroubled(&[SERVICES, SLICES])?;
        let network = self.network.as_ref();
        Ok(network.map_or_else(Network::default, |(services, slices)| Network {
            services: objects(services),
            slices: objects(slices),
        }))
    }

    /// Something to wait on for the next change that may matter to a server, or to any; create it before looking.
    pub fn changes(&self, server: Option<&str>) -> Changes {
        Changes::new(self.counts.clone(), server)
    }

    fn is_listed(&self) -> bool {
        locked(&self.listed).len() == if self.network.is_some() { 5 } else { 3 }
    }

    fn untroubled(&self, resources: &[&str]) -> Result<(), ApiError> {
        let listed = locked(&self.listed);
        let trouble = resources.iter().find_map(|resource| listed.get(resource)?.as_ref());
        trouble.map_or(Ok(()), |error| Err(error.clone()))
    }
}

impl Cluster {
    /// Watches the pods, Deployments and ReplicaSets of the namespace that are wanted, and on demand Services and
    /// EndpointSlices; returns when each was listed once, or could not be. Without pods nothing can be judged.
    pub async fn watch(&self, wanted: Wanted, with_services: bool) -> Result<Watch, ApiError> {
        let cluster = self.clone();
        let about = Arc::new(About { cluster: self.clone(), wanted, bell: Arc::default(), listed: Listed::default() });
        let mut tasks = JoinSet::new();
        let pods = follow(&about, PODS, OWN, &mut tasks);
        let deployments = follow(&about, DEPLOYMENTS, TEMPLATE, &mut tasks);
        let replica_sets = follow(&about, REPLICA_SETS, OWN, &mut tasks);
        let network = with_services.then(|| {
            let services = follow(&about, SERVICES, OWN, &mut tasks);
            (services, follow(&about, SLICES, OWN, &mut tasks))
        });
        let announced = Arc::default();
        let (known, bell) = (Arc::clone(&announced), Arc::clone(&about.bell));
        tasks.spawn(autoscaler::follow(self.clone(), Arc::clone(&pods), known, bell).boxed());
        let (counts, listed) = (about.bell.listen(), Arc::clone(&about.listed));
        let last = Mutex::default();
        let watch =
            Watch { cluster, pods, deployments, replica_sets, network, counts, last, listed, announced, _tasks: tasks };
        let listed = async {
            let mut changes = watch.changes(None);
            while !watch.is_listed() {
                // The sender lives in the tasks, which live in `watch`.
                let _ = changes.changed().await;
            }
            watch.untroubled(&[PODS])
        };
        let silent = ApiError::Silent { verb: "list", resource: PODS, waited: ANSWER };
        tokio::time::timeout(ANSWER, listed).await.map_err(|_| silent)??;
        Ok(watch)
    }
}

pub(super) fn objects<K>(store: &Store<K>) -> Vec<Arc<K>> {
    locked(store).values().cloned().collect()
}

struct About {
    cluster: Cluster,
    wanted: Wanted,
    bell: Arc<Bell>,
    listed: Listed,
}

/// Where the labels of an object are that say whether it is wanted: its own, by which the API selects, or those that it gives its
/// pods, which may differ.
const OWN: &str = "/metadata/labels";
const TEMPLATE: &str = "/spec/template/metadata/labels";

fn follow<K>(about: &Arc<About>, resource: &'static str, labels: &'static str, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Send + Sync + 'static,
{
    let store: Store<K> = Store::default();
    let follower = Follower {
        about: Arc::clone(about),
        requests: requests::<K>(Some(about.cluster.namespace())),
        selector: if labels == OWN { about.wanted.selector() } else { String::new() },
        labels,
        resource,
        store: Arc::clone(&store) as Arc<dyn Keep>,
    };
    tasks.spawn(follower.run().boxed());
    store
}

trait Keep: Send + Sync {
    /// Takes these for all that there are.
    fn replace(&self, objects: Vec<Value>) -> Result<(), Error>;
    fn put(&self, object: Value) -> Result<(), Error>;
    /// Drops an object that is no more, or not wanted any more; `false` if it was not there.
    fn remove(&self, name: &str) -> bool;
}

impl<K: Resource + DeserializeOwned + Send + Sync> Keep for Mutex<BTreeMap<String, Arc<K>>> {
    fn replace(&self, objects: Vec<Value>) -> Result<(), Error> {
        let objects = objects.into_iter().map(named).collect::<Result<_, _>>()?;
        *locked(self) = objects;
        Ok(())
    }

    fn put(&self, object: Value) -> Result<(), Error> {
        let (name, object) = named(object)?;
        locked(self).insert(name, object);
        Ok(())
    }

    fn remove(&self, name: &str) -> bool {
        locked(self).remove(name).is_some()
    }
}

fn named<K: Resource + DeserializeOwned>(object: Value) -> Result<(String, Arc<K>), Error> {
    let mut object: K = typed(object)?;
    object.managed_fields_mut().clear();
    Ok((object.name_any(), Arc::new(object)))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Follower {
    about: Arc<About>,
    requests: Request,
    selector: String,
    labels: &'static str,
    resource: &'static str,
    store: Arc<dyn Keep>,
}

impl Follower {
    async fn run(self) {
        loop {
            if let Err(error) = self.list_and_watch().await {
                locked(&self.about.listed).insert(self.resource, Some(error));
            }
            self.about.bell.ring(None);
            // Starting over with a new LIST is how one knows that the trouble is past.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Returns when the API server has forgotten what came after the last event, so that a new list is needed.
    async fn list_and_watch(&self) -> Result<(), ApiError> {
        let failed = |error| ApiError::new("watch", self.resource, error);
        let client = &self.about.cluster.client;
        let params = ListParams::default().labels(&self.selector);
        let mut wanted = Vec::new();
        let take = |object| {
            wanted.extend(Some(object).filter(|object| self.is_wanted(object)));
            Ok(())
        };
        let mut known = answered("list", self.resource, list(client, &self.requests, &params, take)).await?;
        self.store.replace(wanted).map_err(failed)?;
        locked(&self.about.listed).insert(self.resource, None);
        self.about.bell.ring(None);
        let params = WatchParams::default().labels(&self.selector).timeout(LASTS);
        loop {
            let end = Instant::now() + Duration::from_secs(LASTS.into()) + ANSWER;
            let request = self.requests.watch(&params, &known).map_err(Error::BuildRequest);
            let request = request.map_err(failed)?;
            // Some gateways hold back even its beginning until something happens.
            let Ok(opened) = timeout_at(end, client.request_events::<Value>(request)).await else { continue };
            let events = opened.map_err(failed)?;
            let mut events = std::pin::pin!(events);
            while let Ok(next) = timeout_at(end, events.try_next()).await
                && let Some(event) = next.map_err(failed)?
            {
                let (object, is_there) = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                    WatchEvent::Deleted(object) => (object, false),
                    WatchEvent::Bookmark(bookmark) => {
                        known = bookmark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) if status.code == 410 => return Ok(()),
                    WatchEvent::Error(status) => return Err(failed(Error::Api(status))),
                };
                known = version(&object);
                self.take(object, is_there).map_err(failed)?;
            }
            // The next one goes on where it ended.
            tokio::time::sleep(RETRY).await;
        }
    }

    fn is_wanted(&self, object: &Value) -> bool {
        self.about.wanted.matches(object.pointer(self.labels).unwrap_or(&Value::Null))
    }

    /// Takes what a watch tells of an object, and wakes whoever waits for it.
    fn take(&self, object: Value, is_there: bool) -> Result<(), Error> {
        if is_there && self.is_wanted(&object) {
            let server =
                object.pointer(self.labels).and_then(|labels| self.about.wanted.server(labels)).map(str::to_owned);
            self.store.put(object)?;
            self.about.bell.ring(server.as_deref());
        } else if let Some(name) = object["metadata"]["name"].as_str()
            && self.store.remove(name)
        {
            // What goes makes room for others' pods, too.
            self.about.bell.ring(None);
        }
        Ok(())
    }
}
