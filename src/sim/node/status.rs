//! What the kubelet says of a pod and its containers, as Kubernetes has it in `status`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sim::object::{stamp, text};

pub(super) struct Slot {
    pub spec: Value,
    pub role: Role,
    /// Whether a life of it is under way, or it has completed.
    pub begun: bool,
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
    pub fn new(spec: &Value, is_init: bool) -> Self {
        let role = match is_init {
            true if spec["restartPolicy"] == "Always" => Role::Sidecar,
            true => Role::Init,
            false => Role::Main,
        };
        let (state, last) = (json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
        Self { spec: spec.clone(), role, begun: false, ready: false, starts: 0, state, last }
    }

    pub fn name(&self) -> &str {
        text(&self.spec["name"])
    }

    pub fn runs(&self) -> bool {
        self.state["running"].is_object()
    }

    /// Whether those behind it may start.
    pub fn lets_others_start(&self) -> bool {
        match self.role {
            Role::Init => self.state["terminated"]["exitCode"] == 0,
            Role::Sidecar => self.runs(),
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

    /// It ended; returns how often it was started again before.
    pub fn end(&mut self, code: i32, now: Timestamp) -> u32 {
        let reason = if code == 0 { "Completed" } else { "Error" };
        let started = self.state["running"]["startedAt"].take();
        let ended = json!({"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": stamp(now)});
        self.state = json!({"terminated": ended});
        self.ready = self.role == Role::Init && code == 0;
        self.starts.saturating_sub(1)
    }

    fn becomes(&mut self, state: Value) {
        if self.state["terminated"].is_object() {
            self.last = self.state.take();
        }
        self.state = state;
    }

    fn status(&self) -> Value {
        let started = self.runs() && (self.ready || self.role != Role::Main);
        json!({"name": self.name(), "ready": self.ready, "started": started, "restartCount": self.starts.saturating_sub(1),
            "state": self.state, "lastState": self.last, "image": self.spec["image"], "imageID": "",
            "volumeMounts": self.spec["volumeMounts"]})
    }
}

/// A pod's status, with the addresses of its node and its own.
pub(super) fn pod(slots: &[Slot], [host, ip]: [&str; 2], is_initialized: bool) -> Value {
    let (main, init): (Vec<&Slot>, Vec<&Slot>) = slots.iter().partition(|slot| slot.role == Role::Main);
    let has_started = is_initialized && main.iter().all(|slot| slot.starts > 0);
    let is_ready = is_initialized && slots.iter().all(|slot| slot.ready);
    let [init, main] = [init, main].map(|slots| slots.into_iter().map(Slot::status).collect::<Vec<_>>());
    let ready = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }});
    let phase = if has_started { "Running" } else { "Pending" };
    json!({"phase": phase, "conditions": [ready], "hostIP": host, "podIP": ip, "podIPs": [{"ip": ip}],
        "initContainerStatuses": init, "containerStatuses": main})
}
