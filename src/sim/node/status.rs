//! What the kubelet says of a pod and its containers, as Kubernetes has it in `status`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{array, text};

/// What is known of a container.
pub struct Slot {
    /// What it is to be.
    pub spec: Value,
    /// Its place in the pod.
    pub role: Role,
    /// Whether a life of it is under way, or it has completed.
    pub begun: bool,
    /// Whether it has all that a Ready pod needs of it.
    pub ready: bool,
    restarts: u32,
    state: Value,
    last: Value,
    id: String,
}

/// A container's place in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An init container, which must complete.
    Init,
    /// A native sidecar.
    Sidecar,
    /// An ordinary container.
    Main,
}

impl Slot {
    /// A container that has not run yet.
    pub fn new(spec: &Value, is_init: bool) -> Self {
        let role = match is_init {
            true if spec["restartPolicy"] == "Always" => Role::Sidecar,
            true => Role::Init,
            false => Role::Main,
        };
        let (state, last) = (json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
        Self { spec: spec.clone(), role, begun: false, ready: false, restarts: 0, state, last, id: String::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.spec["name"])
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state["running"].is_object()
    }

    /// Whether it ended well.
    pub fn is_done(&self) -> bool {
        self.state["terminated"]["exitCode"] == 0
    }

    /// It waits.
    pub fn wait(&mut self, reason: &str) {
        if self.state["terminated"].is_object() {
            self.last = self.state.take();
        }
        self.state =
            json!({"waiting": {"reason": reason, "message": format!("{reason} of container {}", self.name())}});
    }

    /// It runs; again, if it has before.
    pub fn start(&mut self, now: Timestamp) {
        if self.state["terminated"].is_object() {
            self.last = self.state.take();
        }
        self.restarts += u32::from(!self.id.is_empty());
        self.id = format!("containerd://{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        self.state = json!({"running": {"startedAt": stamp(now)}});
    }

    /// It ended; returns how often it was started again before.
    pub fn end(&mut self, code: i32, now: Timestamp) -> u32 {
        let reason = if code == 0 { "Completed" } else { "Error" };
        let started = self.state["running"]["startedAt"].take();
        self.state = json!({"terminated": {"containerID": self.id, "exitCode": code, "reason": reason,
            "startedAt": started, "finishedAt": stamp(now)}});
        self.ready = self.role == Role::Init && code == 0;
        self.restarts
    }

    /// Its entry in the pod's status.
    pub fn status(&self) -> Value {
        let image = text(&self.spec["image"]);
        let mounts = array(&self.spec["volumeMounts"]).map(|mount| {
            let mut mount = mount.clone();
            if mount["readOnly"] == true {
                mount["recursiveReadOnly"] = json!("Disabled");
            }
            mount
        });
        let mut status = json!({"name": self.name(), "ready": self.ready, "started": self.runs() && self.is_started(),
            "restartCount": self.restarts, "state": self.state, "lastState": self.last, "image": image, "imageID": "",
            "volumeMounts": mounts.collect::<Vec<_>>()});
        if !self.id.is_empty() {
            status["containerID"] = json!(self.id);
            status["image"] = json!(format!("docker.io/library/{image}"));
            status["imageID"] = json!("sha256:f9ebff10296fa2ec75b6f703f3caedae082a5fb77302706ac3871030c39a7263");
        }
        let resources = &self.spec["resources"];
        if resources.as_object().is_some_and(|resources| !resources.is_empty()) {
            status["resources"] = resources.clone();
            status["allocatedResources"] = resources["requests"].clone();
        }
        status
    }

    /// An ordinary container counts as started when its start-up probe has succeeded.
    fn is_started(&self) -> bool {
        self.role != Role::Main || self.ready || self.spec["startupProbe"].is_null()
    }
}

/// The conditions of a pod, each with the time of its last change.
pub type Conditions = BTreeMap<&'static str, (bool, Timestamp)>;

/// A pod's status, with the addresses of its node and its own.
pub fn pod(pod: &Value, slots: &[Slot], [host, ip]: [&str; 2], conditions: &Conditions, phase: &str) -> Value {
    let of = |is_init: bool| -> Vec<Value> {
        slots.iter().filter(|slot| (slot.role != Role::Main) == is_init).map(Slot::status).collect()
    };
    let unready: Vec<_> = slots.iter().filter(|slot| !slot.ready).map(Slot::name).collect();
    let conditions = conditions.iter().map(|(kind, (is_true, since))| {
        let status = if *is_true { "True" } else { "False" };
        let mut condition =
            json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": stamp(*since)});
        if !is_true {
            let incomplete = *kind == "Initialized";
            condition["reason"] = json!(if incomplete { "ContainersNotInitialized" } else { "ContainersNotReady" });
            let what = if incomplete { "incomplete" } else { "unready" };
            condition["message"] = json!(format!("containers with {what} status: [{}]", unready.join(" ")));
        }
        condition
    });
    let has_resources = |slot: &Slot| slot.spec["resources"].as_object().is_some_and(|resources| !resources.is_empty());
    let mut status = json!({"phase": phase, "conditions": conditions.collect::<Vec<_>>(),
        "hostIP": host, "hostIPs": [{"ip": host}], "podIP": ip, "podIPs": [{"ip": ip}],
        "startTime": pod["metadata"]["creationTimestamp"], "containerStatuses": of(false),
        "qosClass": if slots.iter().any(has_resources) { "Burstable" } else { "BestEffort" }});
    if slots.iter().any(|slot| slot.role != Role::Main) {
        status["initContainerStatuses"] = json!(of(true));
    }
    status
}

/// A time as Kubernetes has it: whole seconds.
fn stamp(time: Timestamp) -> String {
    format!("{time:.0}")
}
