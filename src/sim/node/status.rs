//! What the kubelet says of a pod and its containers, as Kubernetes has it in `status`.

use serde_json::{Map, Value, json};

use super::container::Container;
use crate::sim::object::{Kind, items, name, stamp, state, uid};
use crate::sim::store::State;
use crate::sim::world::World;

/// Why a container waits that has never run.
const FIRST: &str = "PodInitializing";

/// Says of a pod that it has an address, and none of its containers ran yet.
pub(super) fn begin(world: &World, pod: &Value, ip: &str) {
    let [init, main] = ["initContainers", "containers"].map(|list| {
        let waits = |spec: &Value| {
            json!({"name": spec["name"], "ready": false, "started": false, "restartCount": 0, "image": spec["image"],
                "imageID": "", "state": {"waiting": {"reason": FIRST}}, "lastState": {},
                "volumeMounts": spec["volumeMounts"]})
        };
        items(&pod["spec"][list]).map(waits).collect::<Vec<_>>()
    });
    let status = json!({"phase": "Pending", "hostIP": world.address.to_string(), "podIP": ip, "podIPs": [{"ip": ip}],
        "initContainerStatuses": init, "containerStatuses": main});
    world.store.edit(Kind::Pod, name(pod), |live| live["status"] = status);
}

impl Container {
    /// Changes what is said of it, and what follows for the pod.
    fn tell(&self, change: impl FnOnce(&mut Value)) {
        self.world.store.edit(Kind::Pod, name(&self.pod), |live| {
            if uid(live) != uid(&self.pod) {
                return;
            }
            let lists = live["status"].as_object_mut().into_iter().flat_map(Map::values_mut);
            let mut all = lists.filter_map(Value::as_array_mut).flatten();
            let _ = all.find(|own| own["name"] == self.name.as_str()).map(change);
            let status = &live["status"];
            let main = || items(&status["containerStatuses"]);
            let is_ready = items(&status["initContainerStatuses"]).chain(main()).all(|own| own["ready"] == true);
            let is_running = main().all(|own| own["state"]["waiting"]["reason"] != FIRST);
            let ready = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }});
            live["status"]["conditions"] = json!([ready]);
            live["status"]["phase"] = json!(if is_running { "Running" } else { "Pending" });
        });
    }

    /// It runs, after so many restarts. One with a probe is ready and started when it listens.
    pub(super) fn runs(&self, restarts: u32) {
        let now = stamp(self.world.node_now());
        let is_started = self.spec()["readinessProbe"].is_null();
        self.tell(|own| {
            becomes(own, json!({"running": {"startedAt": now}}));
            own["restartCount"] = json!(restarts);
            own["started"] = json!(is_started);
            own["ready"] = json!(is_started && !self.must_complete());
        });
    }

    pub(super) fn listens(&self) {
        self.tell(|own| [own["started"], own["ready"]] = [json!(true), json!(true)]);
    }

    pub(super) fn ended(&self, code: i32) {
        let now = stamp(self.world.node_now());
        let reason = if code == 0 { "Completed" } else { "Error" };
        self.tell(|own| {
            let started = own["state"]["running"]["startedAt"].take();
            let ended = json!({"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now});
            own["state"] = json!({"terminated": ended});
            own["started"] = json!(false);
            own["ready"] = json!(self.must_complete() && code == 0);
        });
    }

    pub(super) fn waits(&self) {
        self.tell(|own| becomes(own, json!({"waiting": {"reason": "CrashLoopBackOff"}})));
    }

    /// Whether those behind it may start. One that started once is enough, where it need not complete: others do not end with it.
    pub(super) fn lets_others_start(&self, now: &State) -> bool {
        now.get(Kind::Pod, name(&self.pod)).is_some_and(|pod| {
            let state = state(pod, &self.name);
            if self.must_complete() {
                state["terminated"]["exitCode"] == 0
            } else {
                state["waiting"]["reason"] != FIRST
            }
        })
    }
}

fn becomes(own: &mut Value, state: Value) {
    if own["state"]["terminated"].is_object() {
        own["lastState"] = own["state"].take();
    }
    own["state"] = state;
}
