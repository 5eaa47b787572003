//! The objects of one kind that are wanted, by their names, as the watch of that kind tells of them.

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
    /// What became of the last attempt to list and watch them; `None` before the first.
    listed: Option<Result<(), ApiError>>,
}

impl<K> Store<K> {
    pub fn objects(&self) -> Vec<Arc<K>> {
        self.state().objects.values().cloned().collect()
    }

    /// Whether they were listed, or could not be.
    pub fn is_listed(&self) -> bool {
        self.state().listed.is_some()
    }

    /// An error where they could not be listed or are no longer watched: what is known of them may be wrong.
    pub fn trusted(&self) -> Result<(), ApiError> {
        self.state().listed.clone().unwrap_or(Ok(()))
    }

    pub fn distrust(&self, error: ApiError) {
        self.state().listed = Some(Err(error));
    }

    /// Drops an object that is no more, or not wanted any more; `false` if it was not there.
    pub fn remove(&self, name: &str) -> bool {
        self.state().objects.remove(name).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource + DeserializeOwned> Store<K> {
    /// Takes these for all that there are.
    pub fn replace(&self, objects: Vec<Value>) -> Result<(), Error> {
        let objects = objects.into_iter().map(named).collect::<Result<_, _>>()?;
        *self.state() = State { objects, listed: Some(Ok(())) };
        Ok(())
    }

    pub fn put(&self, object: Value) -> Result<(), Error> {
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
