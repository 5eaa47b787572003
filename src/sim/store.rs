//! The objects of the simulated cluster, their versions, and what happened to them. Imports nothing of ours.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

/// How many changes are remembered; a watch that asks for older ones has to list again.
const MEMORY: usize = 2000;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A Pod.
    Pod,
    /// A Deployment.
    Deployment,
    /// A `ReplicaSet`.
    ReplicaSet,
    /// A Service.
    Service,
    /// An `EndpointSlice`.
    EndpointSlice,
    /// A Secret.
    Secret,
    /// A Node; in no namespace.
    Node,
    /// A Namespace; in no namespace.
    Namespace,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pod,
        Self::Deployment,
        Self::ReplicaSet,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::Node,
        Self::Namespace,
    ];

    /// Its `apiVersion`, `kind` and plural, as in the API's paths.
    pub fn names(self) -> [&'static str; 3] {
        match self {
            Self::Pod => ["v1", "Pod", "pods"],
            Self::Deployment => ["apps/v1", "Deployment", "deployments"],
            Self::ReplicaSet => ["apps/v1", "ReplicaSet", "replicasets"],
            Self::Service => ["v1", "Service", "services"],
            Self::EndpointSlice => ["discovery.k8s.io/v1", "EndpointSlice", "endpointslices"],
            Self::Secret => ["v1", "Secret", "secrets"],
            Self::Node => ["v1", "Node", "nodes"],
            Self::Namespace => ["v1", "Namespace", "namespaces"],
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version that the change made.
    pub version: u64,
    /// The object's kind.
    pub kind: Kind,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub verb: &'static str,
    /// The object after it, or its last state.
    pub object: Arc<Value>,
}

/// The objects of one namespace, and the cluster's own.
pub struct Store {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<(Kind, String), Arc<Value>>,
    history: VecDeque<Change>,
}

impl Store {
    /// An empty one.
    pub fn new() -> Self {
        // As on any cluster, not the first version.
        let inner = Inner { version: 1000, ..Inner::default() };
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(0) }
    }

    /// The objects of a kind, and the version that they are of.
    pub fn list(&self, kind: Kind) -> (u64, Vec<Arc<Value>>) {
        let inner = self.lock();
        let its = inner.objects.iter().filter(|((of, _), _)| *of == kind);
        (inner.version, its.map(|(_, object)| Arc::clone(object)).collect())
    }

    /// One object.
    pub fn get(&self, kind: Kind, name: &str) -> Option<Arc<Value>> {
        self.lock().objects.get(&(kind, name.to_owned())).cloned()
    }

    /// Makes an object: gives it a uid, `created` and a version; one of that name is replaced and keeps both.
    pub fn put(&self, kind: Kind, mut object: Value, created: Timestamp) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let inner = self.lock();
        let before = inner.objects.get(&(kind, name.clone())).cloned();
        let kept = |field: &str| before.as_ref().map(|before| before["metadata"][field].clone());
        let uid = kept("uid").unwrap_or_else(|| json!(format!("{:032x}", rand::random::<u128>())));
        let created = kept("creationTimestamp").unwrap_or_else(|| json!(format!("{created:.0}")));
        object["metadata"]["uid"] = uid;
        object["metadata"]["creationTimestamp"] = created;
        let verb = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.change(inner, kind, verb, name, object);
    }

    /// Changes an object, if it is there and the change is one.
    pub fn edit(&self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        let inner = self.lock();
        let Some(before) = inner.objects.get(&(kind, name.to_owned())) else { return };
        let mut object = Value::clone(before);
        change(&mut object);
        if object != **before {
            self.change(inner, kind, "MODIFIED", name.to_owned(), object);
        }
    }

    /// Removes an object, if it is there.
    pub fn remove(&self, kind: Kind, name: &str) {
        let inner = self.lock();
        if let Some(object) = inner.objects.get(&(kind, name.to_owned())) {
            let object = Value::clone(object);
            self.change(inner, kind, "DELETED", name.to_owned(), object);
        }
    }

    /// What happened after a version; `None` if that is no longer remembered.
    pub fn since(&self, version: u64) -> Option<Vec<Change>> {
        let inner = self.lock();
        let oldest = inner.history.front().map_or(inner.version + 1, |change| change.version);
        (version + 1 >= oldest)
            .then(|| inner.history.iter().filter(|change| change.version > version).cloned().collect())
    }

    /// Something to wait on for the next change; create it before looking.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.subscribe();
        changes.mark_unchanged();
        changes
    }

    fn change(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        kind: Kind,
        verb: &'static str,
        name: String,
        mut object: Value,
    ) {
        inner.version += 1;
        let version = inner.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let object = Arc::new(object);
        if verb == "DELETED" {
            inner.objects.remove(&(kind, name));
        } else {
            inner.objects.insert((kind, name), Arc::clone(&object));
        }
        inner.history.push_back(Change { version, kind, verb, object });
        if inner.history.len() > MEMORY {
            inner.history.pop_front();
        }
        drop(inner);
        self.changed.send_replace(version);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
