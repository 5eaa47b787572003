//! GET, LIST, WATCH and DELETE of objects. Imports the store and the request.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::reply::{Failure, bad_request, failure, not_found};
use super::request::RequestInfo;
use crate::sim::object::{Kind, containers, name, uid};
use crate::sim::store::State;
use crate::sim::world::World;

fn type_meta(kind: Kind, info: &RequestInfo) -> [&'static str; 2] {
    let [version, kind, _] = kind.names();
    if info.is_partial { ["meta.k8s.io/v1", "PartialObjectMetadata"] } else { [version, kind] }
}

fn render(object: &Value, kind: Kind, info: &RequestInfo) -> Value {
    let mut rendered = if info.is_partial { json!({"metadata": object["metadata"]}) } else { object.clone() };
    [rendered["apiVersion"], rendered["kind"]] = type_meta(kind, info).map(Value::from);
    rendered
}

pub(super) fn find(world: &World, info: &RequestInfo, kind: Kind) -> Result<Arc<Value>, Failure> {
    let object = world.store.get(kind, info.name.as_deref().unwrap_or_default());
    object.filter(|_| info.has_objects()).ok_or_else(|| not_found(info))
}

/// The requested pod and container's name.
pub(super) fn container(world: &World, info: &RequestInfo) -> Result<(Arc<Value>, String), Failure> {
    let pod = find(world, info, Kind::Pod)?;
    let requested = info.get("container").unwrap_or_default();
    if containers(&pod).all(|spec| spec["name"] != requested) {
        let name = info.name.as_deref().unwrap_or_default();
        return Err(bad_request(&format!("container {requested} is not valid for pod {name}")));
    }
    Ok((pod, requested.to_owned()))
}

pub(super) fn get(world: &World, info: &RequestInfo, kind: Kind) -> Result<Value, Failure> {
    find(world, info, kind).map(|object| render(&object, kind, info))
}

pub(super) fn list(world: &World, info: &RequestInfo, kind: Kind) -> Value {
    let (version, objects) = {
        let state = world.store.state();
        let state = state.borrow();
        (state.version.to_string(), state.list(kind))
    };
    // A `continue` token holds the first page's version, at which clients start their watch, and the last listed name.
    let (version, from) = match info.get("continue").and_then(|token| token.split_once(' ')) {
        Some((version, name)) => (version.to_owned(), name),
        None => (version, ""),
    };
    let limit = info.parsed("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut rest = objects.iter().filter(|object| info.selects(object) && name(object) > from);
    let page: Vec<&Arc<Value>> = rest.by_ref().take(limit).collect();
    let next = page.last().filter(|_| rest.next().is_some()).map(|last| format!("{version} {}", name(last)));
    let items: Vec<Value> = page.into_iter().map(|object| render(object, kind, info)).collect();
    let metadata = json!({"resourceVersion": version, "continue": next.unwrap_or_default()});
    let [version, kind] = type_meta(kind, info);
    json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": metadata, "items": items})
}

pub(super) fn delete(world: &World, info: &RequestInfo, options: &Value) -> Result<Value, Failure> {
    let pod = find(world, info, Kind::Pod)?;
    let name = info.name.as_deref().unwrap_or_default();
    if let Some(requested) = options["preconditions"]["uid"].as_str().filter(|requested| *requested != uid(&pod)) {
        let why = format!("the UID in the precondition ({requested}) does not match the UID in record ({})", uid(&pod));
        return Err(failure(409, "Conflict", &format!("Operation cannot be fulfilled on Pod \"{name}\": {why}")));
    }
    world.terminate(name);
    get(world, info, Kind::Pod)
}

pub(super) fn watch(world: &Arc<World>, info: RequestInfo, kind: Kind) -> BoxStream<'static, Bytes> {
    let state = world.store.state();
    let since = info.parsed("resourceVersion").unwrap_or_else(|| state.borrow().version);
    let lifetime = info.parsed("timeoutSeconds").map_or(Duration::MAX, Duration::from_secs);
    let events = stream::unfold((state, info, Some(since)), move |(mut state, info, mut since)| async move {
        loop {
            let lines;
            (lines, since) = events(&state.borrow_and_update(), &info, kind, since?);
            if !lines.is_empty() {
                return Some((lines.into(), (state, info, since)));
            }
            state.changed().await.ok()?;
        }
    });
    events.take_until(tokio::time::sleep(lifetime)).boxed()
}

/// The events after a version, one per line, and the version of the last; an error event and `None` if it is too old.
fn events(state: &State, info: &RequestInfo, kind: Kind, since: u64) -> (String, Option<u64>) {
    let Some(changes) = state.since(since) else {
        let message = format!("too old resource version: {since} ({})", state.version);
        return (line("ERROR", &failure(410, "Expired", &message)), None);
    };
    let selected = changes.iter().filter(|change| change.kind == kind && info.selects(&change.object));
    let lines = selected.map(|change| line(change.verb, &render(&change.object, kind, info)));
    (lines.collect(), Some(state.version))
}

fn line(verb: &str, object: &impl Serialize) -> String {
    format!("{}\n", json!({"type": verb, "object": object}))
}
