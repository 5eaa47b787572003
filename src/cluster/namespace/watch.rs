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
use kube::{Error, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::autoscaler;
use super::changes::{Bell, Changes, Counts};
use super::population::{Network, Population};
use super::store::Store;
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, answered};
use crate::cluster::deadline::ANSWER;
use crate::cluster::object::{list, requests, version};
use crate::cluster::select::Wanted;
use crate::cluster::server::Announced;

/// How long a watch lasts, in seconds: it may have been mute all the while, by something on the way.
const LASTS: u32 = 15;
const RETRY: Duration = Duration::from_millis(500);
const PODS: &str = "pods";

/// The running watches; ends them when dropped.
pub struct Watch {
    cluster: Cluster,
    pods: Arc<Store<Pod>>,
    deployments: Arc<Store<Deployment>>,
    replica_sets: Arc<Store<ReplicaSet>>,
    /// These two are empty where they are not watched.
    services: Arc<Store<Service>>,
    slices: Arc<Store<EndpointSlice>>,
    counts: watch::Receiver<Counts>,
    /// What was there after so many changes, so that not every look gathers it.
    last: Mutex<Option<(u64, Population)>>,
    announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// An error where what is known of a kind may be wrong.
    pub fn population(&self) -> Result<Population, ApiError> {
        self.pods.trusted().and(self.deployments.trusted()).and(self.replica_sets.trusted())?;
        let changes = self.counts.borrow().of(None);
        let mut last = locked(&self.last);
        let known = last.take().filter(|(of, _)| *of == changes);
        let gathered = || {
            let (pods, deployments) = (self.pods.objects(), self.deployments.objects());
            Population::new(pods, deployments, self.replica_sets.objects(), self.cluster.now())
        };
        let (_, population) = last.insert(known.unwrap_or_else(|| (changes, gathered())));
        let mut population = population.clone();
        population.now = self.cluster.now();
        population.announced.clone_from(&locked(&self.announced));
        Ok(population)
    }

    /// The Services of the namespace now; none if they are not watched.
    pub fn network(&self) -> Result<Network, ApiError> {
        self.services.trusted().and(self.slices.trusted())?;
        Ok(Network { services: self.services.objects(), slices: self.slices.objects() })
    }

    /// Something to wait on for the next change that may matter to a server, or to any; create it before looking.
    pub fn changes(&self, server: Option<&str>) -> Changes {
        Changes::new(self.counts.clone(), server)
    }
}

impl Cluster {
    /// Watches the pods, Deployments and ReplicaSets of the namespace that are wanted, and on demand Services and
    /// EndpointSlices; returns when each was listed once, or could not be. Without pods nothing can be judged.
    pub async fn watch(&self, wanted: Wanted, with_services: bool) -> Result<Watch, ApiError> {
        let about = Arc::new(About { cluster: self.clone(), wanted, bell: Arc::default() });
        let mut tasks = JoinSet::new();
        let pods = reflect(&about, PODS, OWN, &mut tasks);
        let deployments = reflect(&about, "deployments.apps", TEMPLATE, &mut tasks);
        let replica_sets = reflect(&about, "replicasets.apps", OWN, &mut tasks);
        let (services, slices) = if with_services {
            let services = reflect(&about, "services", OWN, &mut tasks);
            (services, reflect(&about, "endpointslices.discovery.k8s.io", OWN, &mut tasks))
        } else {
            Default::default()
        };
        let announced = Arc::default();
        let (known, bell) = (Arc::clone(&announced), Arc::clone(&about.bell));
        tasks.spawn(autoscaler::ask(self.clone(), Arc::clone(&pods), known, bell).boxed());
        let watch = Watch {
            cluster: self.clone(),
            pods,
            deployments,
            replica_sets,
            services,
            slices,
            counts: about.bell.listen(),
            last: Mutex::default(),
            announced,
            _tasks: tasks,
        };
        let is_listed = || {
            let is_network_listed = !with_services || watch.services.is_listed() && watch.slices.is_listed();
            let are_sets_listed = watch.deployments.is_listed() && watch.replica_sets.is_listed();
            watch.pods.is_listed() && are_sets_listed && is_network_listed
        };
        let listed = async {
            let mut changes = watch.changes(None);
            while !is_listed() {
                // The sender lives in the tasks, which live in `watch`.
                let _ = changes.changed().await;
            }
            watch.pods.trusted()
        };
        let silent = ApiError::Silent { verb: "list", resource: PODS, waited: ANSWER };
        tokio::time::timeout(ANSWER, listed).await.map_err(|_| silent)??;
        Ok(watch)
    }
}

/// What all kinds of objects have in common.
struct About {
    cluster: Cluster,
    wanted: Wanted,
    bell: Arc<Bell>,
}

/// Where the labels of an object are that say whether it is wanted: its own, by which the API selects, or those that it gives its
/// pods, which may differ.
const OWN: &str = "/metadata/labels";
const TEMPLATE: &str = "/spec/template/metadata/labels";

/// Keeps the objects of a kind up to date in the background.
fn reflect<K>(
    about: &Arc<About>,
    resource: &'static str,
    labels: &'static str,
    tasks: &mut JoinSet<()>,
) -> Arc<Store<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Default + Send + Sync + 'static,
{
    let store = Arc::default();
    let reflector = Reflector {
        about: Arc::clone(about),
        requests: requests::<K>(Some(about.cluster.namespace())),
        selector: if labels == OWN { about.wanted.selector() } else { String::new() },
        labels,
        resource,
        store: Arc::clone(&store),
    };
    tasks.spawn(reflector.run().boxed());
    store
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a store what the API server has, by one LIST and a watch after the other.
struct Reflector<K> {
    about: Arc<About>,
    requests: Request,
    selector: String,
    labels: &'static str,
    resource: &'static str,
    store: Arc<Store<K>>,
}

impl<K: Resource + DeserializeOwned + Send + Sync> Reflector<K> {
    async fn run(self) {
        loop {
            if let Err(error) = self.list_and_watch().await {
                self.store.distrust(error);
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
