//! The objects of the simulated cluster, with their resource versions and history.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::object::{Kind, name, stamp};

/// The version before the first change; earlier versions count as compacted.
const FIRST: u64 = 1000;

pub struct Change {
    pub kind: Kind,
    pub verb: &'static str,
    /// The object after the change; its last state if it was deleted.
    pub object: Arc<Value>,
}

pub struct Store(watch::Sender<State>);

pub struct State {
    pub version: u64,
    objects: BTreeMap<(Kind, String), Arc<Value>>,
    history: Vec<Change>,
}

impl Default for Store {
    fn default() -> Self {
        Self(watch::Sender::new(State { version: FIRST, objects: BTreeMap::new(), history: Vec::new() }))
    }
}

impl Store {
    pub fn list(&self, kind: Kind) -> Vec<Arc<Value>> {
        self.0.borrow().list(kind)
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<Arc<Value>> {
        self.0.borrow().get(kind, name).cloned()
    }

    /// Do not hold a borrow while changing the store.
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Creates or replaces an object; a replaced one keeps its uid and creation time.
    pub fn put(&self, kind: Kind, mut object: Value, created: Timestamp) {
        let key = (kind, name(&object).to_owned());
        self.0.send_if_modified(|state| {
            let before = state.objects.get(&key);
            let new = json!({"uid": format!("{:032x}", rand::random::<u128>()), "creationTimestamp": stamp(created)});
            let metadata = before.map_or(&new, |before| &before["metadata"]);
            for field in ["uid", "creationTimestamp", "resourceVersion"] {
                object["metadata"][field] = metadata[field].clone();
            }
            state.set(key, object)
        });
    }

    pub fn edit(&self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        self.0.send_if_modified(|state| {
            let Some(before) = state.get(kind, name) else { return false };
            let mut object = Value::clone(before);
            change(&mut object);
            state.set((kind, name.to_owned()), object)
        });
    }

    pub fn remove(&self, kind: Kind, name: &str) {
        self.0.send_if_modified(|state| {
            let Some(object) = state.objects.remove(&(kind, name.to_owned())) else { return false };
            state.record(kind, "DELETED", Value::clone(&object));
            true
        });
    }
}

impl State {
    pub fn list(&self, kind: Kind) -> Vec<Arc<Value>> {
        self.objects.iter().filter(|((of, _), _)| *of == kind).map(|(_, object)| Arc::clone(object)).collect()
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// The changes after a version; `None` if that is too old.
    pub fn since(&self, version: u64) -> Option<&[Change]> {
        // Each version has exactly one change.
        let known = usize::try_from(version.checked_sub(FIRST)?).ok()?;
        Some(self.history.get(known..).unwrap_or_default())
    }

    /// Returns whether anything changed.
    fn set(&mut self, key: (Kind, String), object: Value) -> bool {
        let before = self.objects.get(&key);
        if before.is_some_and(|before| **before == object) {
            return false;
        }
        let verb = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let object = self.record(key.0, verb, object);
        self.objects.insert(key, object);
        true
    }

    fn record(&mut self, kind: Kind, verb: &'static str, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.history.push(Change { kind, verb, object: Arc::clone(&object) });
        object
    }
}
