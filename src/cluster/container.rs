//! One container of a pod: its spec and its status side by side. Pure.

use std::fmt;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, EnvVar, Pod, ResourceRequirements, SecurityContext,
    VolumeMount,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// Reasons for waiting that do not resolve themselves while a test waits.
const STUCK: [&str; 7] = [
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Init,
    /// An init container with `restartPolicy: Always`: runs alongside the ordinary containers.
    /// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>
    NativeSidecar,
    Ordinary,
    Ephemeral,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "an ordinary init container",
            Self::NativeSidecar => "a native sidecar",
            Self::Ordinary => "an ordinary container",
            Self::Ephemeral => "an ephemeral container",
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub name: &'a str,
    pub kind: Kind,
    /// Its position in its list (`initContainers`, `containers` or `ephemeralContainers`).
    pub index: usize,
    pub image: Option<&'a str>,
    pub mounts: &'a [VolumeMount],
    /// Empty if the image defines it.
    pub command: &'a [String],
    pub args: &'a [String],
    pub env: &'a [EnvVar],
    pub has_env_from: bool,
    pub resources: Option<&'a ResourceRequirements>,
    pub security: Option<&'a SecurityContext>,
    /// `None` until the kubelet reports it.
    pub status: Option<&'a ContainerStatus>,
}

/// A view of a `Container` or an `EphemeralContainer`, which have the same fields.
macro_rules! view {
    ($container:expr, $kind:expr, $index:expr, $status:expr) => {
        View {
            name: &$container.name,
            kind: $kind,
            index: $index,
            image: $container.image.as_deref(),
            mounts: $container.volume_mounts.as_deref().unwrap_or_default(),
            command: $container.command.as_deref().unwrap_or_default(),
            args: $container.args.as_deref().unwrap_or_default(),
            has_env_from: $container.env_from.as_ref().is_some_and(|from| !from.is_empty()),
            env: $container.env.as_deref().unwrap_or_default(),
            resources: $container.resources.as_ref(),
            security: $container.security_context.as_ref(),
            status: $status,
        }
    };
}

pub fn names(pod: &Pod) -> String {
    all(pod).iter().map(|view| view.name).collect::<Vec<_>>().join(", ")
}

pub fn missing(pod: &Pod) -> String {
    format!("no such container; the pod has {}", names(pod))
}

/// All containers of a pod: init, then ordinary, then ephemeral ones, each in their order.
pub fn all(pod: &Pod) -> Vec<View<'_>> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let ordinary = status.and_then(|status| status.container_statuses.as_ref());
    let ephemeral = status.and_then(|status| status.ephemeral_container_statuses.as_ref());
    let mut views = Vec::new();
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let kind = if container.restart_policy.as_deref() == Some("Always") { Kind::NativeSidecar } else { Kind::Init };
        views.push(view!(container, kind, index, find(init, &container.name)));
    }
    for (index, container) in spec.containers.iter().enumerate() {
        views.push(view!(container, Kind::Ordinary, index, find(ordinary, &container.name)));
    }
    for (index, container) in spec.ephemeral_containers.iter().flatten().enumerate() {
        views.push(view!(container, Kind::Ephemeral, index, find(ephemeral, &container.name)));
    }
    views
}

pub fn label(pod: &Pod, name: &str) -> String {
    format!("pod {}, container {name}", pod.name_any())
}

pub fn named<'a>(pod: &'a Pod, name: &str) -> Option<View<'a>> {
    all(pod).into_iter().find(|view| view.name == name)
}

pub fn runs(pod: &Pod, name: &str) -> bool {
    named(pod, name).is_some_and(|view| view.running_since().is_some())
}

fn find<'a>(statuses: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    statuses.into_iter().flatten().find(|status| status.name == name)
}

impl<'a> View<'a> {
    pub fn running_since(&self) -> Option<Timestamp> {
        let running = self.state()?.running.as_ref()?;
        Some(running.started_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
    }

    pub fn restarts(&self) -> i32 {
        self.status.map_or(0, |status| status.restart_count)
    }

    pub fn is_stuck(&self) -> bool {
        let waiting = self.state().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|reason| STUCK.contains(&reason))
    }

    pub fn describe(&self) -> String {
        let Some(state) = self.state() else { return "no status yet".to_owned() };
        let restarts = match self.restarts() {
            0 => String::new(),
            1 => ", restarted once".to_owned(),
            n => format!(", restarted {n} times"),
        };
        if let Some(running) = &state.running {
            let since = running.started_at.as_ref().map(|time| format!(" since {:.0}", time.0)).unwrap_or_default();
            return format!("running{since}{restarts}");
        }
        if let Some(ended) = &state.terminated {
            let reason = ended.reason.as_deref().unwrap_or("ended");
            return format!("terminated: {reason}, exit code {}{restarts}", ended.exit_code);
        }
        let waiting = state.waiting.as_ref();
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or("unknown");
        let message =
            waiting.and_then(|waiting| waiting.message.as_deref()).map(|text| format!(" ({text})")).unwrap_or_default();
        format!("waiting: {reason}{message}{restarts}")
    }

    pub fn last_termination(&self) -> Option<&'a ContainerStateTerminated> {
        let status = self.status?;
        [&status.state, &status.last_state].into_iter().flatten().find_map(|state| state.terminated.as_ref())
    }

    pub fn ended_at(&self) -> Option<Timestamp> {
        Some(self.terminated()?.finished_at.as_ref()?.0)
    }

    pub fn has_completed(&self) -> bool {
        self.terminated().is_some_and(|ended| ended.exit_code == 0)
    }

    /// How it terminated; `None` if it is running or waiting.
    fn terminated(&self) -> Option<&'a ContainerStateTerminated> {
        self.state()?.terminated.as_ref()
    }

    fn state(&self) -> Option<&'a ContainerState> {
        self.status?.state.as_ref()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPath<'a> {
    pub path: &'a str,
    pub mount_path: &'a str,
}

pub fn host_paths<'a>(pod: &'a Pod, view: &View<'a>) -> Vec<HostPath<'a>> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let path = |name: &str| volumes.clone().find(|volume| volume.name == name)?.host_path.as_ref();
    let mount =
        |mount: &'a VolumeMount| Some(HostPath { path: &path(&mount.name)?.path, mount_path: &mount.mount_path });
    view.mounts.iter().filter_map(mount).collect()
}

/// The hostPath volumes of a container that may be the server's host folder: those named like the server, else all.
pub fn host_folders<'a>(pod: &'a Pod, view: &View<'a>, server: &str) -> Vec<HostPath<'a>> {
    let all = host_paths(pod, view);
    let is_named = |mount: &&HostPath| mount.path.trim_end_matches('/').rsplit('/').next() == Some(server);
    let named: Vec<_> = all.iter().filter(is_named).copied().collect();
    if named.is_empty() { all } else { named }
}

/// Whether a restarted container is down, or has been running for less than the window. It may be in a crash loop, and a
/// single look may catch the one second in which it runs (observed: pod Ready for 1 s in every 10 to 40 s).
pub fn restarted_recently(pod: &Pod, view: &View<'_>, window: SignedDuration, now: Timestamp) -> bool {
    let is_steady = |since| restarted_with_sandbox(pod, view) || now.duration_since(since) >= window;
    view.restarts() > 0 && !view.running_since().is_some_and(is_steady)
}

/// Whether the container restarted with its pod's sandbox: the init containers ran again since its previous run ended.
/// (Observed when the sandbox is killed; a container that exits by itself does not rerun init containers.)
fn restarted_with_sandbox(pod: &Pod, view: &View<'_>) -> bool {
    let ended = view.last_termination().and_then(|ended| ended.finished_at.as_ref());
    let Some(ended) = ended else { return false };
    let init = all(pod).into_iter().filter(|other| other.kind == Kind::Init);
    let began = init.map(|init| Some(init.terminated()?.started_at.as_ref()?.0));
    began.min().flatten().is_some_and(|began| began >= ended.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{NOW, output_pod, with};

    const SIDECAR: &str = "/status/initContainerStatuses/1";

    fn pod(changes: &[(&str, Value)]) -> Pod {
        serde_json::from_value(with(output_pod(), changes)).unwrap()
    }

    #[test]
    fn a_restart_is_recent_until_the_window_has_passed() {
        let window = SignedDuration::from_mins(10);
        let judged = |changes: &[(&str, Value)]| {
            let pod = pod(changes);
            restarted_recently(&pod, &named(&pod, "sync-to-windows").unwrap(), window, NOW.parse().unwrap())
        };
        let count = (&*format!("{SIDECAR}/restartCount"), json!(2));
        let since = |time: &str| (format!("{SIDECAR}/state/running/startedAt"), json!(time));
        let (pointer, just) = since("2026-11-21T03:50:00Z");
        assert!(!judged(&[count.clone(), (&pointer, just)]));
        let (_, later) = since("2026-11-21T03:50:01Z");
        assert!(judged(&[count.clone(), (&pointer, later.clone())]));
        assert!(!judged(&[(&pointer, later)]), "the first start is no restart");
        assert!(judged(&[count, (&format!("{SIDECAR}/state"), json!({"waiting": {}}))]));
    }

    #[test]
    fn the_host_folder_is_the_volume_named_like_the_server() {
        let volumes = json!([
            {"name": "windows-data", "hostPath": {"path": "/mnt/simulator-data/nas-output-1/"}},
            {"name": "nfs-export", "hostPath": {"path": "/mnt/nas-output-10"}}
        ]);
        let pod = pod(&[("/spec/volumes", volumes)]);
        let folders = |server: &str| {
            let view = named(&pod, "sync-to-windows").unwrap();
            host_folders(&pod, &view, server).iter().map(|folder| folder.mount_path).collect::<Vec<_>>()
        };
        assert_eq!(folders("nas-output-1"), ["/windows-mount"]);
        assert_eq!(folders("nas-output-2"), ["/nfs-data", "/windows-mount"], "no volume is named like the server");
    }
}
