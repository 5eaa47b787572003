//! The watched objects of one kind, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::api_error::ApiError;
use crate::cluster::object::typed;

#[derive(Default)]
pub(super) struct Store<K>(Mutex<State<K>>);

#[derive(Default)]
struct State<K> {
    objects: BTreeMap<String, Arc<K>>,
    /// The result of the last LIST or watch; `None` before the first LIST.
    result: Option<Result<(), ApiError>>,
}

impl<K> Store<K> {
    pub fn objects(&self) -> Vec<Arc<K>> {
        self.state().objects.values().cloned().collect()
    }

    /// Whether the first LIST has ended, or failed.
    pub fn is_listed(&self) -> bool {
        self.state().result.is_some()
    }

    /// An error if listing or watching failed: the objects may be outdated.
    pub fn check(&self) -> Result<(), ApiError> {
        self.state().result.clone().unwrap_or(Ok(()))
    }

    pub fn fail(&self, error: ApiError) {
        self.state().result = Some(Err(error));
    }

    pub fn remove(&self, name: &str) -> bool {
        self.state().objects.remove(name).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource + DeserializeOwned> Store<K> {
    pub fn replace(&self, objects: Vec<Value>) -> Result<(), Error> {
        let objects = objects.into_iter().map(named).collect::<Result<_, _>>()?;
        *self.state() = State { objects, result: Some(Ok(())) };
        Ok(())
    }

    pub fn insert(&self, object: Value) -> Result<(), Error> {
        let (name, object) = named(object)?;
        self.state().objects.insert(name, object);
        Ok(())
    }
}

fn named<K: Resource + DeserializeOwned>(object: Value) -> Result<(String, Arc<K>), Error> {
    let mut object: K = typed(object)?;
    object.managed_fields_mut().clear();
    Ok((object.name_any(), Arc::new(object)))
}
