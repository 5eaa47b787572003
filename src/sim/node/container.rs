//! A container of a pod: its spec, its log, and the scenario's fault for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::sim::logs::Log;
use crate::sim::object::{containers, items, name, server, text};
use crate::sim::scenario::Behaviour;
use crate::sim::world::World;

pub(in crate::sim) struct Container {
    pub world: Arc<World>,
    pub pod: Arc<Value>,
    pub name: String,
}

impl Container {
    pub fn spec(&self) -> &Value {
        containers(&self.pod).find(|spec| spec["name"] == self.name.as_str()).unwrap_or(&Value::Null)
    }

    pub fn env(&self, key: &str) -> &str {
        let variable = items(&self.spec()["env"]).find(|variable| variable["name"] == key);
        variable.map_or("", |variable| text(&variable["value"]))
    }

    /// Whether this is an init container other than a native sidecar.
    pub fn must_complete(&self) -> bool {
        let mut init = items(&self.pod["spec"]["initContainers"]);
        init.any(|spec| spec["name"] == self.name.as_str() && spec["restartPolicy"] != "Always")
    }

    pub fn does(&self, behaviour: Behaviour) -> bool {
        self.world.scenario.behaviour(server(&self.pod), &self.name) == Some(behaviour)
    }

    pub fn log(&self) -> watch::Sender<Log> {
        self.world.logs.of(name(&self.pod), &self.name)
    }

    pub fn print(&self, line: impl Into<String>) {
        self.log().send_modify(|log| log.lines.push((self.world.node_now(), line.into())));
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
