//! `host-mount`: the host folder and the folder that a container of the pod mounts are the same, in both directions.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::parameter::DurationParam;
use crate::check::{Kind, Need, Part, Site, System, millis};
use crate::cluster::container;
use crate::cluster::{Operation, ResourceExt};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostMount {
    /// How long each side may take to show a change made on the other.
    pub within: DurationParam,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    context: String,
    namespace: String,
    pod: String,
    container: String,
    root: String,
    folder: String,
    host_path: String,
    path: String,
    is_folder: bool,
    /// A file written on this machine, as seen in the pod.
    to_pod: Option<Crossing>,
    /// A file written in the pod, as seen on this machine.
    to_host: Option<Crossing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Crossing {
    /// The same content, after this many milliseconds.
    Same(u64),
    /// What was there instead.
    Other(String),
    Unwritable(String),
}

impl Kind for HostMount {
    type Observation = Mount;
    const HOPS: &'static [Hop] = &[Hop::Host, Hop::Mount];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    async fn observe(&self, site: &Site) -> Result<Mount, Verdict> {
        let (pod, snapshot) = site.pod().await?;
        self.once(site, &pod, snapshot.now).await
    }

    fn judge(&self, _: &System, seen: &Mount) -> Verdict {
        let object = format!("folder {}", seen.folder);
        if !seen.is_folder {
            let hint = seen.hint();
            return Verdict::fail(Reason::new(object, "a folder", "not a folder").hint(hint)).at(Hop::Host);
        }
        let mount = format!("pod {}, container {}, {}", seen.pod, seen.container, seen.path);
        let (origin, what) = match (&seen.to_pod, &seen.to_host) {
            (Some(Crossing::Same(to_pod)), Some(Crossing::Same(to_host))) => {
                let summary = format!("{} is {mount}: {to_pod} ms to the pod, {to_host} ms back", seen.folder);
                return Verdict::pass(summary);
            }
            (Some(Crossing::Unwritable(why)), _) => return seen.unwritable(&seen.folder, why).at(Hop::Host),
            (_, Some(Crossing::Unwritable(why))) => return seen.unwritable(&mount, why).at(Hop::Mount),
            (Some(Crossing::Same(_)), Some(Crossing::Other(other))) => ("in the pod", other.clone()),
            (Some(Crossing::Other(other)), _) => ("on this machine", other.clone()),
            (to_pod, to_host) => ("on either side", format!("probe incomplete: {to_pod:?}, {to_host:?}")),
        };
        let expected = format!("to be the folder that {mount} shows");
        let what = format!("a file written {origin} differs on the other side: {what}");
        Verdict::fail(Reason::new(object, expected, what).hint(seen.hint())).at(Hop::Mount)
    }
}

impl HostMount {
    /// Probes the mount of the server under test, once per run.
    pub async fn once(&self, site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<Mount, Verdict> {
        let container = site.system.sidecar_name();
        let place = container::label(pod, container);
        if let Some(view) = container::named(pod, container)
            && container::restarted_recently(pod, &view, site.system.restart_window.signed(), now)
        {
            return Err(site.blocked(Reason::new(
                place,
                format!("no restart within {}", site.system.restart_window),
                view.describe(),
            )));
        }
        site.shared.once(place, self.probe(site, pod)).await
    }

    /// Writes a file on this machine and reads it in the pod, then changes it in the pod and reads it on this machine.
    async fn probe(&self, site: &Site, pod: &Pod) -> Result<Mount, Verdict> {
        let (shared, container) = (&site.shared, site.system.sidecar_name());
        let object = || container::label(pod, container);
        let view = container::named(pod, container);
        let mounts = view.as_ref().map(|view| container::host_folders(pod, view, site.server())).unwrap_or_default();
        let Some(mount) = mounts.first() else {
            let seen = if view.is_some() { "it mounts no hostPath" } else { "no such container" };
            let expected = "to mount the host folder, so that the test can probe it";
            return Err(Verdict::error(Reason::new(object(), expected, seen)));
        };
        site.require_running(pod, container)?;
        let folder = shared.host.folder(site.server());
        let mut seen = Mount {
            context: shared.cluster.context().to_owned(),
            namespace: shared.cluster.namespace().to_owned(),
            pod: pod.name_any(),
            container: container.to_owned(),
            root: shared.host.root.display().to_string(),
            is_folder: shared.host.is_folder(site.server()).await,
            folder: folder.display().to_string(),
            host_path: mount.path.to_owned(),
            path: mount.mount_path.to_owned(),
            to_pod: None,
            to_host: None,
        };
        if !seen.is_folder {
            return Ok(seen);
        }
        // Follows the log, so that the clean-up knows when it may remove the file.
        site.followed_log(pod);
        // A sidecar with --delete removes the file if a cycle runs between write and read, which is likelier while
        // commands queue.
        for attempt in ["mount.txt", "mount-again.txt", "mount-once-more.txt"] {
            let file = site.file(attempt);
            shared.ledger.register(file.clone());
            let vanished = self.both_directions(site, pod, &file.name, &mut seen).await?;
            // The folder existed a moment ago.
            site.require_host_folder().await?;
            if !vanished {
                return Ok(seen);
            }
        }
        let expected = format!("a file written into {} to stay there for a second", seen.folder);
        let hint = "find what keeps removing files there, such as a sidecar with --delete and a very short interval";
        Err(Verdict::error(Reason::new(object(), expected, "it vanished each time").hint(hint)))
    }

    /// Probes both directions; `true` if the file vanished in between.
    async fn both_directions(&self, site: &Site, pod: &Pod, name: &str, seen: &mut Mount) -> Result<bool, Verdict> {
        let (container, within) = (site.system.sidecar_name(), self.within.0);
        let host = &site.shared.host;
        let path = format!("{}/{name}", seen.path);
        let (here, there) = (format!("{name} written here"), format!("{name} written in the pod"));
        if let Err(error) = host.create(site.server(), name, here.as_bytes()).await {
            seen.to_pod = Some(Crossing::Unwritable(error.to_string()));
            return Ok(false);
        }
        let has_vanished = async || host.look(site.server(), name, &Digest::of(&here)).await == Seen::Absent;
        let mut first = None;
        let mut pause = PAUSE;
        loop {
            let (output, problem) = site.try_exec(pod, container, &Operation::Read { path: path.clone() }).await?;
            // The limit starts at the end of the first read: slow commands would leave no time for a second one.
            let (started, first_read) = *first.get_or_insert((output.sent, output.ended));
            if problem.is_none() && output.stdout == here.as_bytes() {
                seen.to_pod = Some(Crossing::Same(millis(started.elapsed())));
                break;
            }
            let different = || format!("{} bytes of different content", output.stdout.len());
            seen.to_pod = Some(Crossing::Other(problem.unwrap_or_else(different)));
            if has_vanished().await {
                return Ok(true);
            }
            if first_read.elapsed() + pause > within {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let write = Operation::Write { path, content: there.clone() };
        let (output, problem) = site.try_exec(pod, container, &write).await?;
        if let Some(problem) = problem {
            seen.to_host = Some(Crossing::Unwritable(problem));
            return Ok(false);
        }
        seen.to_host =
            Some(match host.arrival(site.server(), name, &Digest::of(&there), output.ended + within).await {
                Ok(_) => Crossing::Same(millis(output.sent.elapsed())),
                Err(last) => Crossing::Other(last.to_string()),
            });
        Ok(matches!(seen.to_host, Some(Crossing::Other(_))) && has_vanished().await)
    }
}

impl Mount {
    /// A full, read-only or forbidden folder does not show whether both sides are the same.
    fn unwritable(&self, side: &str, why: &str) -> Verdict {
        let seen = format!("cannot write a file in {side}: {why}");
        let reason = Reason::new(format!("folder {}", self.folder), "writable on this machine and in the pod", seen);
        let hint =
            "check whether its disk is full or read-only, its permissions, and which programs hold files in it open";
        Verdict::fail(reason.hint(hint))
    }

    fn hint(&self) -> String {
        let Self { context, namespace, pod, root, host_path, .. } = self;
        remount_hint([context, namespace, pod], root, host_path)
    }
}

/// The commands that make a host folder and a pod's hostPath the same folder again.
pub fn remount_hint([context, namespace, pod]: [&str; 3], root: &str, host_path: &str) -> String {
    // A server's hostPath is <minikube's mount>/<server>, in the node's syntax.
    let mounted = host_path.rsplit_once('/').map_or(host_path, |(parent, _)| parent);
    format!(
        "on minikube, run in another terminal: minikube -p {context} mount {root}:{mounted}\n\
         if the folder was deleted and recreated, restart the pod, which still mounts the old one: \
         kubectl --context={context} -n {namespace} delete pod {pod}\n\
         if {root} is not the folder behind {mounted}, set --host-data to the right one"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::system::tests::system;
    use crate::event::Outcome;

    #[test]
    fn both_directions_must_agree_and_an_unwritable_folder_has_its_own_hint() {
        let (same, other, full) =
            (json!({"Same": 80}), json!({"Other": "no such file"}), json!({"Unwritable": "full"}));
        let mount = r"minikube -p file-simulator mount C:\simulator-data:/mnt/simulator-data";
        for (to_pod, to_host, hop, hint) in [
            (&same, &other, Hop::Mount, mount),
            (&other, &Value::Null, Hop::Mount, mount),
            (&same, &Value::Null, Hop::Mount, mount),
            (&Value::Null, &Value::Null, Hop::Mount, mount),
            (&full, &Value::Null, Hop::Host, "full or read-only"),
            (&same, &full, Hop::Mount, "full or read-only"),
        ] {
            let seen: Mount = serde_json::from_value(json!({
                "context": "file-simulator", "namespace": "n", "pod": "p", "container": "c", "is_folder": true,
                "root": "C:\\simulator-data", "folder": "C:\\simulator-data\\nas-output-1",
                "host_path": "/mnt/simulator-data/nas-output-1", "path": "/windows-mount",
                "to_pod": to_pod, "to_host": to_host
            }))
            .unwrap();
            let verdict = HostMount { within: DurationParam(PAUSE) }.judge(&system(), &seen);
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(hop)), "{to_pod} {to_host}");
            assert!(verdict.reasons[0].hint.contains(hint), "{verdict:?}");
        }
    }
}
