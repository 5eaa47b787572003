//! What the controllers make of changes; the node's part is played by the tests.

use tempfile::TempDir;

use super::*;

const SERVER: &str = "file-sim-file-simulator-nas-output-1";

/// A cluster without a node, in which a scenario's faults have been applied.
fn cluster(faults: &Value) -> (TempDir, Arc<World>) {
    let folder = tempfile::tempdir().unwrap();
    let scenario = json!({"name": "test", "broken": "something", "server": "nas-output-1", "faults": faults});
    let world = World::new(folder.path(), serde_json::from_value(scenario).unwrap(), 2);
    let world = Arc::new(world);
    install(&world, world.now() - AGE).unwrap();
    (folder, world)
}

/// The server's pods.
fn pods(world: &World) -> Vec<Arc<Value>> {
    let (_, pods) = world.store.list(Kind::Pod);
    pods.into_iter().filter(|pod| name(pod).starts_with(SERVER)).collect()
}

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
    let conditions = json!([{"type": "Ready", "status": "True"}]);
    let status = json!({"phase": "Running", "podIP": "10.244.0.7", "conditions": conditions});
    world.store.edit(Kind::Pod, pod, |pod| pod["status"] = status);
    settle(world, world.now());
}

fn edit(world: &World, kind: Kind, pointer: &str, value: Value) {
    world.store.edit(kind, SERVER, |object| {
        *object.pointer_mut(pointer).unwrap() = value;
        object["metadata"]["generation"] = json!(2);
    });
    settle(world, world.now());
}

fn is_terminating(world: &World, pod: &str) -> bool {
    world.store.get(Kind::Pod, pod).unwrap()["metadata"]["deletionTimestamp"].is_string()
}

fn deployment(world: &World) -> Arc<Value> {
    world.store.get(Kind::Deployment, SERVER).unwrap()
}

/// The addresses and ports of the server's only slice.
fn slice(world: &World) -> [Value; 2] {
    let owned = owned(world, Kind::EndpointSlice, &world.store.get(Kind::Service, SERVER).unwrap());
    let [slice] = owned.as_slice() else { panic!("{owned:?}") };
    [slice["endpoints"].clone(), slice["ports"].clone()]
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";

#[test]
fn a_rolling_update_waits_for_the_new_pod_and_then_ends_the_old_one() {
    let (_folder, world) = cluster(&json!([]));
    let old = other(&world, "");
    run(&world, &old);
    let status = deployment(&world)["status"].clone();
    assert_eq!([&status["updatedReplicas"], &status["availableReplicas"]], [1, 1]);

    edit(&world, Kind::Deployment, IMAGE, json!("alpine:next"));
    let new = other(&world, &old);
    assert!(!is_terminating(&world, &old), "the new one is not Ready yet");
    let status = deployment(&world)["status"].clone();
    assert_eq!([&status["observedGeneration"], &status["replicas"], &status["unavailableReplicas"]], [2, 2, 1]);
    world.store.edit(Kind::Pod, &old, |pod| pod["status"] = json!({"phase": "Running"}));
    settle(&world, world.now());
    assert!(!is_terminating(&world, &old), "not even one that is not Ready either");
    run(&world, &new);
    assert!(is_terminating(&world, &old) && !is_terminating(&world, &new));
    let status = deployment(&world)["status"].clone();
    assert_eq!([&status["replicas"], &status["readyReplicas"]], [1, 1]);
    assert_eq!(deployment(&world)["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");

    terminate(&world, &new);
    settle(&world, world.now());
    assert_eq!(pods(&world).len(), 3, "a deleted pod is replaced at once");
}

#[test]
fn recreate_waits_until_the_old_pod_is_gone() {
    let strategy = json!([{"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}]);
    let (_folder, world) = cluster(&json!([{"patch": {"kind": "deployment", "steps": strategy}}]));
    let old = other(&world, "");
    run(&world, &old);
    edit(&world, Kind::Deployment, IMAGE, json!("alpine:next"));
    assert!(pods(&world).len() == 1 && is_terminating(&world, &old));
    world.store.remove(Kind::Pod, &old);
    settle(&world, world.now());
    assert_ne!(other(&world, ""), old);
}

#[test]
fn a_deployment_has_as_many_pods_as_it_says_and_none_without_it() {
    let (_folder, world) = cluster(&json!([]));
    run(&world, &other(&world, ""));
    edit(&world, Kind::Deployment, "/spec/replicas", json!(2));
    let second = pods(&world).iter().find(|pod| !is_ready(pod)).map(|pod| name(pod).to_owned()).unwrap();
    edit(&world, Kind::Deployment, "/spec/replicas", json!(1));
    assert!(is_terminating(&world, &second), "the one that is not Ready goes");
    world.store.remove(Kind::Deployment, SERVER);
    settle(&world, world.now());
    assert!(pods(&world).iter().all(|pod| is_terminating(&world, name(pod))));
    assert!(!world.store.list(Kind::ReplicaSet).1.iter().any(|set| name(set).starts_with(SERVER)));
}

#[test]
fn a_slice_has_the_pods_that_the_service_selects_and_the_ports_that_they_name() {
    let (_folder, world) = cluster(&json!([]));
    let pod = other(&world, "");
    assert_eq!(slice(&world), [json!([]), Value::Null], "a pod without an address is no endpoint");
    run(&world, &pod);
    let [endpoints, ports] = slice(&world);
    assert_eq!(ports, json!([{"name": "nfs", "port": 2049, "protocol": "TCP"}]));
    assert_eq!([&endpoints[0]["targetRef"]["name"], &endpoints[0]["addresses"][0]], [pod.as_str(), "10.244.0.7"]);

    edit(&world, Kind::Service, "/spec/ports/0/targetPort", json!("nfsd"));
    let [endpoints, ports] = slice(&world);
    assert_eq!((&endpoints[0]["conditions"]["ready"], ports), (&json!(true), Value::Null));
    edit(&world, Kind::Service, "/spec/ports/0/targetPort", json!(2050));
    assert_eq!(slice(&world)[1][0]["port"], 2050);

    terminate(&world, &pod);
    settle(&world, world.now());
    let conditions = json!({"ready": false, "serving": true, "terminating": true});
    assert_eq!(slice(&world)[0][0]["conditions"], conditions);
    edit(&world, Kind::Service, "/spec/selector", json!({"app.kubernetes.io/component": "nas-output-9"}));
    assert_eq!(slice(&world), [json!([]), Value::Null]);
}

#[tokio::test]
async fn a_scenario_that_does_not_fit_is_refused() {
    let patch = |kind: &str, after: Option<&str>| {
        let steps = json!([{"op": "replace", "path": "/spec/nothing/here", "value": 1}]);
        let fault = json!([{"patch": {"kind": kind, "steps": steps, "after": after}}]);
        let scenario = json!({"name": "test", "broken": "-", "server": "nas-output-1", "faults": fault});
        let folder = tempfile::tempdir().unwrap();
        let world = Arc::new(World::new(folder.path(), serde_json::from_value(scenario).unwrap(), 2));
        let mut tasks = JoinSet::new();
        start(&world, &mut tasks).and_then(|()| begin(&world, &mut tasks)).unwrap_err()
    };
    for (kind, after) in [("service", None), ("pod", None), ("service", Some("1h")), ("replica-set", None)] {
        let error = format!("{:#}", patch(kind, after));
        assert!(error.contains("nas-output-1"), "{kind} {after:?}: {error}");
    }
}

#[test]
fn the_release_is_the_one_that_the_harness_expects() {
    let (_folder, world) = cluster(&json!([{"release": "failed"}]));
    let [secrets, services] = [Kind::Secret, Kind::Service].map(|kind| world.store.list(kind).1);
    let statuses = secrets.iter().map(|secret| secret["metadata"]["labels"]["status"].as_str().unwrap());
    assert_eq!(statuses.collect::<Vec<_>>(), ["deployed", "failed"]);
    let ports: BTreeSet<_> = services.iter().map(|service| service["spec"]["ports"][0]["nodePort"].as_u64()).collect();
    let ips: BTreeSet<_> = services.iter().map(|service| service["spec"]["clusterIP"].as_str()).collect();
    assert_eq!([ports.len(), ips.len(), world.store.list(Kind::Pod).1.len()], [7; 3]);
    let sidecar = &pods(&world)[0]["spec"]["initContainers"][1];
    let interval = sidecar["env"].as_array().unwrap().iter().find(|variable| variable["name"] == "SYNC_INTERVAL");
    assert_eq!(interval.unwrap()["value"], "2");
}
