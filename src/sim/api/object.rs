//! GET, LIST and DELETE of objects. Imports the store and what was asked.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::World;
use super::super::store::Kind;
use super::failure::Failure;
use super::request::Asked;
use super::selector::Selector;

/// An object as the API shows it, alone or in an event.
pub(super) fn shown(object: &Value, kind: Kind, is_partial: bool) -> Value {
    let [api_version, kind, _] = kind.names();
    if is_partial {
        let metadata = &object["metadata"];
        return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
    }
    let mut object = object.clone();
    object["kind"] = json!(kind);
    object["apiVersion"] = json!(api_version);
    object
}

/// One object.
pub(super) fn get(world: &World, asked: &Asked, kind: Kind) -> Result<Value, Failure> {
    let name = asked.name.as_deref().unwrap_or_default();
    let object = world.store.get(kind, name).filter(|_| asked.has_objects());
    object.map(|object| shown(&object, kind, asked.is_partial)).ok_or_else(|| Failure::not_found(asked))
}

/// All objects that a selector matches.
pub(super) fn list(world: &World, asked: &Asked, kind: Kind) -> Result<Value, Failure> {
    let selector = Selector::read(asked)?;
    let (version, objects) = world.store.list(kind);
    let objects = objects.iter().filter(|object| asked.has_objects() && selector.matches(object));
    let items = objects.map(|object| {
        let mut item = shown(object, kind, asked.is_partial);
        // The list says what its items are, unless they are parts.
        if let (false, Some(item)) = (asked.is_partial, item.as_object_mut()) {
            item.remove("kind");
            item.remove("apiVersion");
        }
        item
    });
    let items: Vec<Value> = items.collect();
    let [api_version, kind, _] = kind.names();
    let (api_version, kind) =
        if asked.is_partial { ("meta.k8s.io/v1", "PartialObjectMetadata") } else { (api_version, kind) };
    let metadata = json!({"resourceVersion": version.to_string()});
    Ok(json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": metadata, "items": items}))
}

/// Tells the node to end a pod and to remove it then.
pub(super) fn delete(world: &World, asked: &Asked, body: &[u8]) -> Result<Value, Failure> {
    let options = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(body) };
    let options = options.map_err(|error| Failure::bad(format!("cannot read the DeleteOptions: {error}")))?;
    let pod = get(world, asked, Kind::Pod)?;
    let name = asked.name.as_deref().unwrap_or_default();
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    if let Some(wanted) = options["preconditions"]["uid"].as_str().filter(|wanted| *wanted != uid) {
        return Err(Failure::other_uid(name, wanted, uid));
    }
    let grace = options["gracePeriodSeconds"].as_i64();
    let grace = grace.or_else(|| asked.get("gracePeriodSeconds")?.parse().ok());
    let grace = grace.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0);
    let now = world.now();
    let end = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    world.store.edit(Kind::Pod, name, |pod| {
        let metadata = &mut pod["metadata"];
        // Asking again can only shorten it.
        if metadata["deletionGracePeriodSeconds"].as_i64().is_none_or(|before| grace < before) {
            metadata["deletionTimestamp"] = json!(format!("{end:.0}"));
            metadata["deletionGracePeriodSeconds"] = json!(grace);
        }
    });
    Ok(get(world, asked, Kind::Pod).unwrap_or(pod))
}
