//! GET, LIST, WATCH and DELETE of objects. Imports the store and what was asked.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::reply::{Failure, bad, new, not_found};
use super::request::Asked;
use crate::sim::object::{Kind, containers, name, uid};
use crate::sim::store::State;
use crate::sim::world::World;

/// What an object of a kind calls itself: its `apiVersion` and `kind`.
fn called(kind: Kind, asked: &Asked) -> [&'static str; 2] {
    let [version, kind, _] = kind.names();
    if asked.is_partial { ["meta.k8s.io/v1", "PartialObjectMetadata"] } else { [version, kind] }
}

/// An object as the API shows it, alone or in an event.
fn shown(object: &Value, kind: Kind, asked: &Asked) -> Value {
    let mut shown = if asked.is_partial { json!({"metadata": object["metadata"]}) } else { object.clone() };
    [shown["apiVersion"], shown["kind"]] = called(kind, asked).map(Value::from);
    shown
}

pub(super) fn find(world: &World, asked: &Asked, kind: Kind) -> Result<Arc<Value>, Failure> {
    let object = world.store.get(kind, asked.name.as_deref().unwrap_or_default());
    object.filter(|_| asked.has_objects()).ok_or_else(|| not_found(asked))
}

/// The pod that was asked for, and the name of its container.
pub(super) fn container(world: &World, asked: &Asked) -> Result<(Arc<Value>, String), Failure> {
    let pod = find(world, asked, Kind::Pod)?;
    let wanted = asked.get("container").unwrap_or_default();
    if containers(&pod).all(|spec| spec["name"] != wanted) {
        let name = asked.name.as_deref().unwrap_or_default();
        return Err(bad(&format!("container {wanted} is not valid for pod {name}")));
    }
    Ok((pod, wanted.to_owned()))
}

pub(super) fn get(world: &World, asked: &Asked, kind: Kind) -> Result<Value, Failure> {
    find(world, asked, kind).map(|object| shown(&object, kind, asked))
}

/// The objects that a selector matches, in pages; each says where the next one begins.
pub(super) fn list(world: &World, asked: &Asked, kind: Kind) -> Value {
    let (version, objects) = {
        let state = world.store.state();
        let state = state.borrow();
        (state.version.to_string(), state.list(kind))
    };
    // Behind which object it goes on, and the version of the first page: what has changed since, a watch tells.
    let (version, from) = match asked.get("continue").and_then(|token| token.split_once(' ')) {
        Some((version, name)) => (version.to_owned(), name),
        None => (version, ""),
    };
    let limit = asked.parsed("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut its = objects.iter().filter(|object| asked.selects(object) && name(object) > from);
    let page: Vec<&Arc<Value>> = its.by_ref().take(limit).collect();
    let next = page.last().filter(|_| its.next().is_some()).map(|last| format!("{version} {}", name(last)));
    let items: Vec<Value> = page.into_iter().map(|object| shown(object, kind, asked)).collect();
    let metadata = json!({"resourceVersion": version, "continue": next.unwrap_or_default()});
    let [version, kind] = called(kind, asked);
    json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": metadata, "items": items})
}

/// Tells the node to end a pod and to remove it then.
pub(super) fn delete(world: &World, asked: &Asked, options: &Value) -> Result<Value, Failure> {
    let pod = find(world, asked, Kind::Pod)?;
    let name = asked.name.as_deref().unwrap_or_default();
    if let Some(wanted) = options["preconditions"]["uid"].as_str().filter(|wanted| *wanted != uid(&pod)) {
        let why = format!("the UID in the precondition ({wanted}) does not match the UID in record ({})", uid(&pod));
        return Err(new(409, "Conflict", &format!("Operation cannot be fulfilled on Pod \"{name}\": {why}")));
    }
    world.terminate(name);
    get(world, asked, Kind::Pod)
}

/// What happens to objects of a kind after the version that was named, as it happens.
pub(super) fn watch(world: &Arc<World>, asked: Asked, kind: Kind) -> BoxStream<'static, Bytes> {
    let state = world.store.state();
    let told = asked.parsed("resourceVersion").unwrap_or_else(|| state.borrow().version);
    let lasts = asked.parsed("timeoutSeconds").map_or(Duration::MAX, Duration::from_secs);
    let events = stream::unfold((state, asked, Some(told)), move |(mut state, asked, mut told)| async move {
        loop {
            let lines;
            (lines, told) = events(&state.borrow_and_update(), &asked, kind, told?);
            if !lines.is_empty() {
                return Some((lines.into(), (state, asked, told)));
            }
            state.changed().await.ok()?;
        }
    });
    events.take_until(tokio::time::sleep(lasts)).boxed()
}

/// What happened after a version, each event a line, and up to which version that is; none if it is too old.
fn events(state: &State, asked: &Asked, kind: Kind, told: u64) -> (String, Option<u64>) {
    let Some(changes) = state.since(told) else {
        let message = format!("too old resource version: {told} ({})", state.version);
        return (line("ERROR", &new(410, "Expired", &message)), None);
    };
    let its = changes.iter().filter(|change| change.kind == kind && asked.selects(&change.object));
    let lines = its.map(|change| line(change.verb, &shown(&change.object, kind, asked)));
    (lines.collect(), Some(state.version))
}

fn line(verb: &str, object: &impl Serialize) -> String {
    format!("{}\n", json!({"type": verb, "object": object}))
}
