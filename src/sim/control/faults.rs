//! What a scenario does to objects, folders and logs: from the beginning, or some time after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::scenario::{Fault, Patch, Span};
use super::super::{NAMESPACE, World, node};
use super::{Kind, NODE, PREFIX, chart, is_active, name, release, terminate};

/// Does what is done before there are pods.
pub(super) fn before(world: &Arc<World>, created: Timestamp) -> anyhow::Result<()> {
    let faults = world.scenario.faults.iter();
    faults
        .filter(|fault| after(fault).is_none() && !is_of_pods(fault))
        .try_for_each(|fault| strike(world, fault, created))
}

/// Does what is done to pods as soon as they run, and begins to wait for what is done later.
pub(in super::super) fn begin(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let faults = world.scenario.faults.iter();
    for fault in faults.clone().filter(|fault| after(fault).is_none() && is_of_pods(fault)) {
        strike(world, fault, world.now())?;
    }
    let mut timed: Vec<_> = faults.clone().filter_map(|fault| Some((after(fault)?, fault.clone()))).collect();
    timed.sort_by_key(|(after, _)| *after);
    try_patches(world, &timed)?;
    for (after, fault) in timed {
        let world = Arc::clone(world);
        tasks.spawn(async move {
            world.at(after).await;
            if let Err(error) = strike(&world, &fault, world.now()) {
                // Nobody waits for this task; whoever sees odd results is to see why.
                eprintln!("simulated cluster, scenario {}, after {after:?}: {error:#}", world.scenario.name);
            }
        });
    }
    for fault in faults {
        let Fault::Rotate(rotation) = fault.clone() else { continue };
        let world = Arc::clone(world);
        tasks.spawn(async move {
            world.at(rotation.after.0).await;
            if let Some(pod) = current_pod(&world, &world.scenario.server) {
                world.logs.begin(&pod, &rotation.name);
            }
        });
    }
    Ok(())
}

/// How long after the start it is done; `None` for what is done before, or not here.
fn after(fault: &Fault) -> Option<Duration> {
    let after = match fault {
        Fault::Patch(patch) => patch.after,
        Fault::Remove(removal) => removal.after,
        Fault::Folder(folder) => folder.after,
        _ => None,
    };
    after.map(|Span(after)| after)
}

/// Whether it is done to what there is only when pods run.
fn is_of_pods(fault: &Fault) -> bool {
    match fault {
        Fault::Patch(patch) => patch.kind == Kind::Pod,
        Fault::Remove(removal) => removal.kind == Kind::Pod,
        Fault::Folder(_) => true,
        _ => false,
    }
}

/// Does it.
fn strike(world: &Arc<World>, fault: &Fault, created: Timestamp) -> anyhow::Result<()> {
    let server = world.scenario.server.as_str();
    match fault {
        Fault::Patch(patch) => {
            let name = target(world, patch)?;
            let mut outcome = Ok(());
            world.store.edit(patch.kind, &name, |object| outcome = apply(object, patch));
            outcome
        }
        Fault::Add(addition) => {
            let object = chart::admitted(world, addition.kind, addition.object.clone());
            world.store.put(addition.kind, object, created);
            Ok(())
        }
        Fault::Remove(removal) => {
            let name = named(world, removal.kind, server)?;
            match removal.kind {
                Kind::Pod => terminate(world, &name),
                kind => world.store.remove(kind, &name),
            }
            Ok(())
        }
        Fault::Folder(folder) => {
            node::folder(world, server, folder.is).with_context(|| format!("the folder of server {server}"))
        }
        _ => Ok(()),
    }
}

/// Tries later patches on copies, one after another: what does not fit is to be known at once.
fn try_patches(world: &World, timed: &[(Duration, Fault)]) -> anyhow::Result<()> {
    let mut copies: BTreeMap<(Kind, String), Value> = BTreeMap::new();
    for (_, fault) in timed {
        let Fault::Patch(patch) = fault else { continue };
        let name = target(world, patch)?;
        let live = || world.store.get(patch.kind, &name).map(|object| Value::clone(&object)).unwrap_or_default();
        apply(copies.entry((patch.kind, name.clone())).or_insert_with(live), patch)?;
    }
    Ok(())
}

/// Patches an object as the API server does: whoever changes a spec makes a new generation of it.
fn apply(object: &mut Value, patch: &Patch) -> anyhow::Result<()> {
    let spec = object["spec"].clone();
    json_patch::patch(object, &patch.steps)
        .with_context(|| format!("a patch does not fit {:?} {}", patch.kind, name(object)))?;
    if let Some(generation) = object["metadata"]["generation"].as_u64().filter(|_| object["spec"] != spec) {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    Ok(())
}

fn target(world: &World, patch: &Patch) -> anyhow::Result<String> {
    named(world, patch.kind, patch.server.as_deref().unwrap_or(&world.scenario.server))
}

/// The name of a server's object, or of the only one of its kind.
fn named(world: &World, kind: Kind, server: &str) -> anyhow::Result<String> {
    let name = match kind {
        Kind::Pod => current_pod(world, server),
        Kind::Service | Kind::Deployment => Some(format!("{PREFIX}{server}")),
        Kind::Secret => Some(release::secret_name(1)),
        Kind::Node => Some(NODE.to_owned()),
        Kind::Namespace => Some(NAMESPACE.to_owned()),
        // They are the controllers'.
        Kind::ReplicaSet | Kind::EndpointSlice => None,
    };
    let name = name.filter(|name| world.store.get(kind, name).is_some());
    name.with_context(|| format!("there is no {kind:?} of server `{server}` that a scenario could change"))
}

/// The youngest of a server's pods that count.
fn current_pod(world: &World, server: &str) -> Option<String> {
    let stem = format!("{PREFIX}{server}-");
    let (_, pods) = world.store.list(Kind::Pod);
    let own = pods.iter().filter(|pod| name(pod).starts_with(&stem) && is_active(pod));
    Some(name(own.max_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str())?).to_owned())
}
