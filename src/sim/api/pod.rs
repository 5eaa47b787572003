//! Reading pods: which container a request is about, and how it is. Imports how requests fail.

use serde_json::Value;

use super::super::World;
use super::super::store::Kind;
use super::failure::Failure;
use super::request::Asked;

/// The pod that was asked for, and the name of its container: the one that was named, or the only ordinary one.
pub(super) fn container(world: &World, asked: &Asked) -> Result<(String, String), Failure> {
    let name = asked.name.clone().unwrap_or_default();
    let pod = world.store.get(Kind::Pod, &name).filter(|_| asked.has_objects());
    let pod = pod.ok_or_else(|| Failure::not_found(asked))?;
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
    };
    let (ordinary, init) = (names("containers"), names("initContainers"));
    match (asked.get("container").filter(|container| !container.is_empty()), ordinary.as_slice()) {
        (Some(container), _) if ordinary.iter().chain(&init).any(|own| own == container) => {
            Ok((name, container.to_owned()))
        }
        (Some(container), _) => Err(Failure::bad(format!("container {container} is not valid for pod {name}"))),
        (None, [only]) => Ok((name, only.clone())),
        (None, _) => {
            let or = if init.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", init.join(" "))
            };
            let choose = format!("choose one of: [{}]{or}", ordinary.join(" "));
            Err(Failure::bad(format!("a container name must be specified for pod {name}, {choose}")))
        }
    }
}

/// What the kubelet says of a container: `state` in its status.
pub(super) fn state(world: &World, pod: &str, container: &str) -> Value {
    let Some(pod) = world.store.get(Kind::Pod, pod) else { return Value::Null };
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array());
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|status| status["name"] == container).map_or(Value::Null, |status| status["state"].clone())
}
