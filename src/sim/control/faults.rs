//! What a scenario does to objects and folders: from the beginning, or some time after it.

use std::sync::Arc;

use anyhow::Context;
use futures::FutureExt;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::output;
use crate::sim::node;
use crate::sim::object::{Kind, is_deleted, name, server};
use crate::sim::scenario::Fault;
use crate::sim::world::{NAMESPACE, PREFIX, World};

/// Does what is done before there are pods.
pub(super) fn before(world: &World) -> anyhow::Result<()> {
    let mut early = world.scenario.faults.iter().filter(|fault| fault.after().is_none());
    early.try_for_each(|fault| strike(world, fault))
}

/// Begins to wait for what is done later.
pub(in crate::sim) fn begin(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    for (index, fault) in world.scenario.faults.iter().enumerate() {
        let Some(after) = fault.after() else { continue };
        let world = Arc::clone(world);
        let strike = async move {
            world.at(after).await;
            if let Err(error) = strike(&world, &world.scenario.faults[index]) {
                // Nobody waits for this task; whoever sees odd results is to see why.
                let name = &world.scenario.name;
                output::print_error(format!("simulated cluster, scenario {name}, after {after:?}: {error:#}"));
            }
        };
        tasks.spawn(strike.boxed());
    }
}

fn strike(world: &World, fault: &Fault) -> anyhow::Result<()> {
    let own = world.scenario.server.as_str();
    match fault {
        Fault::Patch { kind, server, steps, .. } => {
            let mut outcome = Ok(());
            let name = named(world, *kind, server.as_deref().unwrap_or(own))?;
            world.store.edit(*kind, &name, |object| outcome = patch(object, steps));
            outcome.with_context(|| format!("a patch does not fit {kind:?} {name}"))?;
        }
        Fault::Add { kind, object } => world.put(*kind, object.clone()),
        Fault::Remove { kind: Kind::Pod, .. } => world.terminate(&named(world, Kind::Pod, own)?),
        Fault::Remove { kind, .. } => world.store.remove(*kind, &named(world, *kind, own)?),
        Fault::FolderVanishes { .. } => {
            node::vanish(world, own).with_context(|| format!("the folder of server {own}"))?;
        }
        _ => {}
    }
    Ok(())
}

/// Patches an object as the API server does: whoever changes a spec makes a new generation of it.
fn patch(object: &mut Value, steps: &json_patch::Patch) -> anyhow::Result<()> {
    let spec = object["spec"].clone();
    json_patch::patch(object, steps)?;
    if let Some(generation) = object["metadata"]["generation"].as_u64().filter(|_| object["spec"] != spec) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
    Ok(())
}

fn named(world: &World, kind: Kind, of: &str) -> anyhow::Result<String> {
    let name = match kind {
        Kind::Namespace => Some(NAMESPACE.to_owned()),
        Kind::Pod => {
            let pods = world.store.list(kind);
            pods.iter().find(|pod| server(pod) == of && !is_deleted(pod)).map(|pod| name(pod).to_owned())
        }
        _ => Some(format!("{PREFIX}{of}")).filter(|name| world.store.get(kind, name).is_some()),
    };
    name.with_context(|| format!("there is no {kind:?} of server `{of}` that a scenario could change"))
}
