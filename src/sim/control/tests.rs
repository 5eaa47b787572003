//! What the controllers make of changes; the node's part is played by the tests.

use super::super::example::{SERVER, cluster, pods, unmade};
use super::super::object::{is_deleted, is_ready};
use super::*;

/// The only pod of the server beside `old`.
fn other(world: &World, old: &str) -> String {
    let pods = pods(world);
    let [pod] = pods.iter().filter(|pod| name(pod) != old).collect::<Vec<_>>()[..] else {
        panic!("{pods:?}");
    };
    name(pod).to_owned()
}

/// What the node says when a pod has become Ready.
fn run(world: &World, pod: &str) {
    let status = json!({"podIP": "10.244.0.7", "conditions": [{"type": "Ready", "status": "True"}]});
    world.store.edit(Kind::Pod, pod, |pod| pod["status"] = status);
    settle(world, world.now());
}

fn edit(world: &World, kind: Kind, pointer: &str, value: Value) {
    world.store.edit(kind, &format!("{PREFIX}{SERVER}"), |object| *object.pointer_mut(pointer).unwrap() = value);
    settle(world, world.now());
}

fn is_terminating(world: &World, pod: &str) -> bool {
    is_deleted(&world.store.get(Kind::Pod, pod).unwrap())
}

#[test]
fn a_rolling_update_waits_for_the_new_pod_and_then_ends_the_old_one() {
    let (_folder, world) = cluster(&json!([]));
    let old = other(&world, "");
    run(&world, &old);
    edit(&world, Kind::Deployment, "/spec/template/spec/containers/0/image", json!("alpine:next"));
    let new = other(&world, &old);
    assert!(!is_terminating(&world, &old), "the new one is not Ready yet");
    run(&world, &new);
    assert!(is_terminating(&world, &old) && !is_terminating(&world, &new));
    let deployment = world.store.get(Kind::Deployment, &format!("{PREFIX}{SERVER}")).unwrap();
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    world.terminate(&new);
    settle(&world, world.now());
    assert_eq!(pods(&world).len(), 3, "a deleted pod is replaced at once");
    edit(&world, Kind::Deployment, "/spec/replicas", json!(2));
    let unready = pods(&world).iter().filter(|pod| !is_ready(pod) && !is_deleted(pod)).count();
    edit(&world, Kind::Deployment, "/spec/replicas", json!(0));
    assert!(unready == 2 && pods(&world).iter().all(|pod| is_deleted(pod)));
}

#[test]
fn a_scenario_that_does_not_fit_is_refused() {
    for kind in ["service", "pod"] {
        let steps = json!([{"op": "replace", "path": "/spec/nothing/here", "value": 1}]);
        let (_folder, world) = unmade(&json!([{"patch": {"kind": kind, "steps": steps}}]));
        let error = format!("{:#}", install(&world, world.now()).unwrap_err());
        assert!(error.contains(SERVER), "{kind}: {error}");
    }
}
