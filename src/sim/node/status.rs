//! What the kubelet says of a pod and its containers, as Kubernetes has it in `status`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sim::object::{items, stamp, text};

pub(super) struct Slot {
    pub spec: Value,
    pub role: Role,
    /// Whether it has all that a Ready pod needs of it.
    pub ready: bool,
    starts: u32,
    state: Value,
    last: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// An init container, which must complete.
    Init,
    Sidecar,
    Main,
}

impl Slot {
    /// Those of a pod, in the order of their starts.
    pub fn all(pod: &Value) -> Vec<Self> {
        let new = |role, spec: &Value| {
            let (state, last) = (json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
            Self { spec: spec.clone(), role, ready: false, starts: 0, state, last }
        };
        let is_sidecar = |spec: &Value| spec["restartPolicy"] == "Always";
        let init = items(&pod["spec"]["initContainers"])
            .map(|spec| new(if is_sidecar(spec) { Role::Sidecar } else { Role::Init }, spec));
        init.chain(items(&pod["spec"]["containers"]).map(|spec| new(Role::Main, spec))).collect()
    }

    pub fn name(&self) -> &str {
        text(&self.spec["name"])
    }

    /// Whether those behind it may start. A sidecar that started once is enough: others do not end with it.
    pub fn lets_others_start(&self) -> bool {
        match self.role {
            Role::Init => self.state["terminated"]["exitCode"] == 0,
            Role::Sidecar => self.starts > 0,
            Role::Main => true,
        }
    }

    pub fn wait(&mut self) {
        self.becomes(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    }

    /// It runs; again, if it has before.
    pub fn start(&mut self, now: Timestamp) {
        self.starts += 1;
        self.becomes(json!({"running": {"startedAt": stamp(now)}}));
        // A server is when it listens.
        self.ready = match self.role {
            Role::Init => false,
            Role::Sidecar => true,
            Role::Main => self.spec["readinessProbe"].is_null(),
        };
    }

    pub fn end(&mut self, code: i32, now: Timestamp) {
        let reason = if code == 0 { "Completed" } else { "Error" };
        let started = self.state["running"]["startedAt"].take();
        let ended = json!({"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": stamp(now)});
        self.state = json!({"terminated": ended});
        self.ready = self.role == Role::Init && code == 0;
    }

    fn becomes(&mut self, state: Value) {
        if self.state["terminated"].is_object() {
            self.last = self.state.take();
        }
        self.state = state;
    }

    fn status(&self) -> Value {
        let started = self.state["running"].is_object() && (self.ready || self.role != Role::Main);
        json!({"name": self.name(), "ready": self.ready, "started": started, "restartCount": self.starts.saturating_sub(1),
            "state": self.state, "lastState": self.last, "image": self.spec["image"], "imageID": "",
            "volumeMounts": self.spec["volumeMounts"]})
    }
}

/// A pod's status, with the addresses of its node and its own.
pub(super) fn pod(slots: &[Slot], [host, ip]: [&str; 2]) -> Value {
    let (main, init): (Vec<&Slot>, Vec<&Slot>) = slots.iter().partition(|slot| slot.role == Role::Main);
    let is_running = main.iter().all(|slot| slot.starts > 0);
    let is_ready = slots.iter().all(|slot| slot.ready);
    let [init, main] = [init, main].map(|slots| slots.into_iter().map(Slot::status).collect::<Vec<_>>());
    let ready = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }});
    let phase = if is_running { "Running" } else { "Pending" };
    json!({"phase": phase, "conditions": [ready], "hostIP": host, "podIP": ip, "podIPs": [{"ip": ip}],
        "initContainerStatuses": init, "containerStatuses": main})
}
