//! Applies a scenario's faults to objects and folders, before the cluster starts or during the run.

use std::sync::Arc;

use anyhow::Context;
use futures::FutureExt;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::output;
use crate::sim::node;
use crate::sim::object::{Kind, is_terminating, name, server};
use crate::sim::scenario::Fault;
use crate::sim::world::{NAMESPACE, PREFIX, World};

/// The cluster has no pods yet.
pub(super) fn apply_initial(world: &World) -> anyhow::Result<()> {
    let mut initial = world.scenario.faults.iter().filter(|fault| fault.after().is_none());
    initial.try_for_each(|fault| apply(world, fault))
}

pub(in crate::sim) fn schedule_faults(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    for (index, fault) in world.scenario.faults.iter().enumerate() {
        let Some(after) = fault.after() else { continue };
        let world = Arc::clone(world);
        let apply = async move {
            world.sleep_until(after).await;
            if let Err(error) = apply(&world, &world.scenario.faults[index]) {
                // Nothing reads this task's result, but the message explains unexpected results of tests.
                let name = &world.scenario.name;
                output::print_error(format!("simulated cluster, scenario {name}: fault after {after:?}: {error:#}"));
            }
        };
        tasks.spawn(apply.boxed());
    }
}

fn apply(world: &World, fault: &Fault) -> anyhow::Result<()> {
    let target = world.scenario.server.as_str();
    match fault {
        Fault::Patch { kind, server, steps, .. } => {
            let mut outcome = Ok(());
            let name = named(world, *kind, server.as_deref().unwrap_or(target))?;
            world.store.edit(*kind, &name, |object| outcome = patch(object, steps));
            outcome.with_context(|| format!("cannot patch {kind:?} {name}"))?;
        }
        Fault::Add { kind, object } => world.put(*kind, object.clone()),
        Fault::Remove { kind: Kind::Pod, .. } => world.terminate(&named(world, Kind::Pod, target)?),
        Fault::Remove { kind, .. } => world.store.remove(*kind, &named(world, *kind, target)?),
        Fault::FolderVanishes { .. } => {
            node::move_folder_away(world, target)
                .with_context(|| format!("cannot move the folder of {target} away"))?;
        }
        _ => {}
    }
    Ok(())
}

/// A changed spec increments the generation, as in the API server.
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
            pods.iter().find(|pod| server(pod) == of && !is_terminating(pod)).map(|pod| name(pod).to_owned())
        }
        _ => Some(format!("{PREFIX}{of}")).filter(|name| world.store.get(kind, name).is_some()),
    };
    name.with_context(|| format!("server `{of}` has no {kind:?}"))
}
