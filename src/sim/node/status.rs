//! Maintains the `status` of a pod and its containers, as the kubelet does.

use serde_json::{Map, Value, json};

use super::container::Container;
use crate::sim::object::{Kind, items, name, stamp, state, uid};
use crate::sim::store::State;
use crate::sim::world::World;

/// The waiting reason of a container that has never run.
const INITIALIZING: &str = "PodInitializing";

/// The status of a pod that has an address and whose containers have not run yet.
pub(super) fn initialize(world: &World, pod: &Value, ip: &str) {
    let [init, main] = ["initContainers", "containers"].map(|list| {
        let waiting = |spec: &Value| {
            json!({"name": spec["name"], "ready": false, "started": false, "restartCount": 0, "image": spec["image"],
                "imageID": "", "state": {"waiting": {"reason": INITIALIZING}}, "lastState": {},
                "volumeMounts": spec["volumeMounts"]})
        };
        items(&pod["spec"][list]).map(waiting).collect::<Vec<_>>()
    });
    let status = json!({"phase": "Pending", "hostIP": world.address.to_string(), "podIP": ip, "podIPs": [{"ip": ip}],
        "initContainerStatuses": init, "containerStatuses": main});
    world.store.edit(Kind::Pod, name(pod), |live| live["status"] = status);
}

impl Container {
    fn update(&self, change: impl FnOnce(&mut Value)) {
        self.world.store.edit(Kind::Pod, name(&self.pod), |live| {
            if uid(live) != uid(&self.pod) {
                return;
            }
            let lists = live["status"].as_object_mut().into_iter().flat_map(Map::values_mut);
            let mut all = lists.filter_map(Value::as_array_mut).flatten();
            let _ = all.find(|status| status["name"] == self.name.as_str()).map(change);
            let status = &live["status"];
            let main = || items(&status["containerStatuses"]);
            let is_ready = items(&status["initContainerStatuses"]).chain(main()).all(|status| status["ready"] == true);
            let is_running = main().all(|status| status["state"]["waiting"]["reason"] != INITIALIZING);
            let ready = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }});
            live["status"]["conditions"] = json!([ready]);
            live["status"]["phase"] = json!(if is_running { "Running" } else { "Pending" });
        });
    }

    /// A container with a probe is `started` and `ready` only once it listens.
    pub(super) fn started(&self, restarts: u32) {
        let now = stamp(self.world.node_now());
        let is_started = self.spec()["readinessProbe"].is_null();
        self.update(|status| {
            set_state(status, json!({"running": {"startedAt": now}}));
            status["restartCount"] = json!(restarts);
            status["started"] = json!(is_started);
            status["ready"] = json!(is_started && !self.must_complete());
        });
    }

    pub(super) fn listens(&self) {
        self.update(|status| [status["started"], status["ready"]] = [json!(true), json!(true)]);
    }

    pub(super) fn terminated(&self, code: i32) {
        let now = stamp(self.world.node_now());
        let reason = if code == 0 { "Completed" } else { "Error" };
        self.update(|status| {
            let started = status["state"]["running"]["startedAt"].take();
            let ended = json!({"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now});
            status["state"] = json!({"terminated": ended});
            status["started"] = json!(false);
            status["ready"] = json!(self.must_complete() && code == 0);
        });
    }

    pub(super) fn backs_off(&self) {
        self.update(|status| set_state(status, json!({"waiting": {"reason": "CrashLoopBackOff"}})));
    }

    /// Whether the next container may start: an init container must have completed, any other started once.
    pub(super) fn unblocks_next(&self, now: &State) -> bool {
        now.get(Kind::Pod, name(&self.pod)).is_some_and(|pod| {
            let state = state(pod, &self.name);
            if self.must_complete() {
                state["terminated"]["exitCode"] == 0
            } else {
                state["waiting"]["reason"] != INITIALIZING
            }
        })
    }
}

fn set_state(status: &mut Value, state: Value) {
    if status["state"]["terminated"].is_object() {
        status["lastState"] = status["state"].take();
    }
    status["state"] = state;
}
