//! Keeps the namespace's objects up to date: one LIST and one watch for each kind.

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
use super::changes::{Changes, Counts, Notifier};
use super::snapshot::{Network, Snapshot};
use super::store::Store;
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, with_deadline};
use crate::cluster::deadline::REPLY_TIMEOUT;
use crate::cluster::object::{list, requests, version};
use crate::cluster::select::Wanted;
use crate::cluster::server::Announced;

/// The duration of a watch in seconds. Short, because something on the way may mute a watch without closing it.
const WATCH_SECONDS: u32 = 15;
const RETRY: Duration = Duration::from_millis(500);
const PODS: &str = "pods";

/// The running watches; ends them when dropped.
pub struct Watch {
    cluster: Cluster,
    pods: Arc<Store<Pod>>,
    deployments: Arc<Store<Deployment>>,
    replica_sets: Arc<Store<ReplicaSet>>,
    /// Empty unless watched, like `slices`.
    services: Arc<Store<Service>>,
    slices: Arc<Store<EndpointSlice>>,
    counts: watch::Receiver<Counts>,
    /// The last snapshot and its number of changes: taken again only after a change.
    last: Mutex<Option<(u64, Snapshot)>>,
    announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// The pods, Deployments and ReplicaSets now; an error if those of any kind may be outdated.
    pub fn snapshot(&self) -> Result<Snapshot, ApiError> {
        self.pods.check().and(self.deployments.check()).and(self.replica_sets.check())?;
        let changes = self.counts.borrow().of(None);
        let mut last = locked(&self.last);
        let known = last.take().filter(|(of, _)| *of == changes);
        let take = || {
            let (pods, deployments) = (self.pods.objects(), self.deployments.objects());
            Snapshot::new(pods, deployments, self.replica_sets.objects(), self.cluster.now())
        };
        let (_, snapshot) = last.insert(known.unwrap_or_else(|| (changes, take())));
        let mut snapshot = snapshot.clone();
        snapshot.now = self.cluster.now();
        snapshot.announced.clone_from(&locked(&self.announced));
        Ok(snapshot)
    }

    /// The Services and EndpointSlices now; none unless watched.
    pub fn network(&self) -> Result<Network, ApiError> {
        self.services.check().and(self.slices.check())?;
        Ok(Network { services: self.services.objects(), slices: self.slices.objects() })
    }

    /// Waits for changes that may concern a server, or any. Create it before looking at the objects, to miss no change.
    pub fn changes(&self, server: Option<&str>) -> Changes {
        Changes::new(self.counts.clone(), server)
    }
}

impl Cluster {
    /// Watches the wanted pods, Deployments and ReplicaSets, and optionally Services and EndpointSlices; returns when each
    /// kind was listed once, or listing it failed. Failing to list pods is an error.
    pub async fn watch(&self, wanted: Wanted, with_services: bool) -> Result<Watch, ApiError> {
        let shared = Arc::new(Shared { cluster: self.clone(), wanted, notifier: Arc::default() });
        let mut tasks = JoinSet::new();
        let pods = reflect(&shared, PODS, OWN, &mut tasks);
        let deployments = reflect(&shared, "deployments.apps", TEMPLATE, &mut tasks);
        let replica_sets = reflect(&shared, "replicasets.apps", OWN, &mut tasks);
        let (services, slices) = if with_services {
            let services = reflect(&shared, "services", OWN, &mut tasks);
            (services, reflect(&shared, "endpointslices.discovery.k8s.io", OWN, &mut tasks))
        } else {
            Default::default()
        };
        let announced = Arc::default();
        let (known, notifier) = (Arc::clone(&announced), Arc::clone(&shared.notifier));
        tasks.spawn(autoscaler::watch(self.clone(), Arc::clone(&pods), known, notifier).boxed());
        let watch = Watch {
            cluster: self.clone(),
            pods,
            deployments,
            replica_sets,
            services,
            slices,
            counts: shared.notifier.subscribe(),
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
                // Never an error: the tasks in `watch` own the sender.
                let _ = changes.changed().await;
            }
            watch.pods.check()
        };
        let no_reply = ApiError::NoReply { verb: "list", resource: PODS, limit: REPLY_TIMEOUT };
        tokio::time::timeout(REPLY_TIMEOUT, listed).await.map_err(|_| no_reply)??;
        Ok(watch)
    }
}

struct Shared {
    cluster: Cluster,
    wanted: Wanted,
    notifier: Arc<Notifier>,
}

/// Where an object's decisive labels are: its own, by which the API can select, or those of its pods, which may differ.
const OWN: &str = "/metadata/labels";
const TEMPLATE: &str = "/spec/template/metadata/labels";

fn reflect<K>(
    shared: &Arc<Shared>,
    resource: &'static str,
    labels: &'static str,
    tasks: &mut JoinSet<()>,
) -> Arc<Store<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Default + Send + Sync + 'static,
{
    let store = Arc::default();
    let reflector = Reflector {
        shared: Arc::clone(shared),
        requests: requests::<K>(Some(shared.cluster.namespace())),
        selector: if labels == OWN { shared.wanted.selector() } else { String::new() },
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

/// Keeps a store up to date by a LIST, followed by one watch after the other.
struct Reflector<K> {
    shared: Arc<Shared>,
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
                self.store.fail(error);
            }
            self.shared.notifier.notify(None);
            // Start over with a new LIST.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Returns when the last resource version has expired, so that a new LIST is needed.
    async fn list_and_watch(&self) -> Result<(), ApiError> {
        let failed = |error| ApiError::new("watch", self.resource, error);
        let client = &self.shared.cluster.client;
        let params = ListParams::default().labels(&self.selector);
        let mut wanted = Vec::new();
        let take = |object| {
            wanted.extend(Some(object).filter(|object| self.is_wanted(object)));
            Ok(())
        };
        let mut known = with_deadline("list", self.resource, list(client, &self.requests, &params, take)).await?;
        self.store.replace(wanted).map_err(failed)?;
        self.shared.notifier.notify(None);
        let params = WatchParams::default().labels(&self.selector).timeout(WATCH_SECONDS);
        loop {
            let end = Instant::now() + Duration::from_secs(WATCH_SECONDS.into()) + REPLY_TIMEOUT;
            let request = self.requests.watch(&params, &known).map_err(Error::BuildRequest);
            let request = request.map_err(failed)?;
            // Some gateways withhold even the response headers until the first event.
            let Ok(opened) = timeout_at(end, client.request_events::<Value>(request)).await else { continue };
            let events = opened.map_err(failed)?;
            let mut events = std::pin::pin!(events);
            while let Ok(next) = timeout_at(end, events.try_next()).await
                && let Some(event) = next.map_err(failed)?
            {
                let (object, exists) = match event {
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
                self.apply(object, exists).map_err(failed)?;
            }
            // The next watch continues where this one ended.
            tokio::time::sleep(RETRY).await;
        }
    }

    fn is_wanted(&self, object: &Value) -> bool {
        self.shared.wanted.matches(object.pointer(self.labels).unwrap_or(&Value::Null))
    }

    /// Applies a watch event to the store, and wakes the waiters.
    fn apply(&self, object: Value, exists: bool) -> Result<(), Error> {
        if exists && self.is_wanted(&object) {
            let server =
                object.pointer(self.labels).and_then(|labels| self.shared.wanted.server(labels)).map(str::to_owned);
            self.store.insert(object)?;
            self.shared.notifier.notify(server.as_deref());
        } else if let Some(name) = object["metadata"]["name"].as_str()
            && self.store.remove(name)
        {
            // A removed object may make room for pods of other servers.
            self.shared.notifier.notify(None);
        }
        Ok(())
    }
}
