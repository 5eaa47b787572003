//! What a scenario does to objects, folders and logs: from the beginning, or some time after it.

use std::sync::Arc;

use anyhow::Context;
use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::logs::Log;
use super::super::object::{is_deleted, name, server};
use super::super::scenario::{Fault, NoPod};
use super::super::{NAMESPACE, World, node};
use super::{Kind, PREFIX, install};
use crate::output;

/// Does what is done before there are pods.
pub(super) fn before(world: &World, created: Timestamp) -> anyhow::Result<()> {
    let is_early = |fault: &&Fault| fault.after().is_none() && !matches!(fault, Fault::Folder { .. });
    world.scenario.faults.iter().filter(is_early).try_for_each(|fault| strike(world, fault, created))
}

/// Does what is done to folders that pods have mounted already, and begins to wait for what is done later.
pub(in super::super) fn begin(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    for (index, fault) in world.scenario.faults.iter().enumerate() {
        let Some(after) = fault.after() else {
            if matches!(fault, Fault::Folder { .. }) {
                strike(world, fault, world.now())?;
            }
            continue;
        };
        let world = Arc::clone(world);
        let strike = async move {
            world.at(after).await;
            if let Err(error) = strike(&world, &world.scenario.faults[index], world.now()) {
                // Nobody waits for this task; whoever sees odd results is to see why.
                let name = &world.scenario.name;
                output::tell(format!("simulated cluster, scenario {name}, after {after:?}: {error:#}"));
            }
        };
        tasks.spawn(strike.boxed());
    }
    if let Some(end) = world.scenario.no_pod.as_ref().and_then(NoPod::end) {
        let world = Arc::clone(world);
        let relent = async move {
            world.at(end).await;
            relent(&world, &world.scenario.server);
        };
        tasks.spawn(relent.boxed());
    }
    Ok(())
}

fn strike(world: &World, fault: &Fault, created: Timestamp) -> anyhow::Result<()> {
    let own = world.scenario.server.as_str();
    match fault {
        Fault::Patch { kind, server, steps, .. } => {
            let mut outcome = Ok(());
            let name = named(world, *kind, server.as_deref().unwrap_or(own))?;
            world.store.edit(*kind, &name, |object| outcome = patch(object, steps));
            outcome.with_context(|| format!("a patch does not fit {kind:?} {name}"))
        }
        Fault::Add { kind, object } => {
            install::put(world, *kind, object.clone(), created);
            Ok(())
        }
        Fault::Remove { kind, .. } => {
            let name = named(world, *kind, own)?;
            if *kind == Kind::Pod {
                world.terminate(&name);
            } else {
                world.store.remove(*kind, &name);
            }
            Ok(())
        }
        Fault::Folder { is, .. } => {
            node::folder(world, own, *is).with_context(|| format!("the folder of server {own}"))
        }
        Fault::Rotate { name, .. } => {
            world.logs.of(&named(world, Kind::Pod, own)?, name).send_modify(Log::begin);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Lets pods of a server come again: the scheduler tries by itself, and the controller when its ReplicaSet has changed.
fn relent(world: &World, own: &str) {
    for set in world.store.list(Kind::ReplicaSet).iter().filter(|set| server(set) == own) {
        world.store.edit(Kind::ReplicaSet, name(set), |live| live["status"]["conditions"] = json!([]));
    }
    for pod in world.store.list(Kind::Pod).iter().filter(|pod| server(pod) == own) {
        world.store.edit(Kind::Pod, name(pod), |live| live["spec"]["nodeName"] = json!(install::NODE));
    }
}

/// Patches an object as the API server does: whoever changes a spec makes a new generation of it.
fn patch(object: &mut Value, steps: &json_patch::Patch) -> anyhow::Result<()> {
    let spec = object["spec"].clone();
    json_patch::patch(object, steps)?;
    if let Some(generation) = object["metadata"]["generation"].as_u64().filter(|_| object["spec"] != spec) {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    Ok(())
}

fn named(world: &World, kind: Kind, of: &str) -> anyhow::Result<String> {
    let name = if kind == Kind::Pod {
        let pods = world.store.list(kind);
        pods.iter().find(|pod| server(pod) == of && !is_deleted(pod)).map(|pod| name(pod).to_owned())
    } else if kind == Kind::Namespace {
        Some(NAMESPACE.to_owned())
    } else {
        Some(format!("{PREFIX}{of}")).filter(|name| world.store.get(kind, name).is_some())
    };
    name.with_context(|| format!("there is no {kind:?} of server `{of}` that a scenario could change"))
}
