//! Looks for a file that did not arrive in all places on its route at once, within a time limit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, VolumeMount};
use tokio::time::{Instant, timeout_at};

use super::checkpoint::Checkpoint;
use super::route::Route;
use super::trace::{LogTail, SidecarState, Trace};
use crate::check::millis;
use crate::check::{Export, System};
use crate::cluster::container;
use crate::cluster::{Cluster, LogLine, Operation, ResourceExt, SyncLog, gathered};
use crate::digest::Digest;
use crate::host::Seen;

const TIMEOUT: Duration = Duration::from_secs(10);
/// For the containers and the log; the rest is for this machine's folder, afterwards.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(7);
/// How long a file in the container's mount may take to show up on this machine.
const MOUNT_LATENCY: Duration = Duration::from_secs(2);
/// Larger files are compared by digest: the output of a command is limited, together with that of its batch.
const MAX_CONTENT: u64 = 64 << 10;
const LINES: i64 = 200;
const BYTES: i64 = 1 << 20;

impl Route<'_> {
    /// Looks for a file that did not arrive; its write was acknowledged at `written`.
    pub async fn trace(&self, name: &str, content: &Digest, written: Instant) -> Trace {
        let Self { site, pod, log, .. } = self;
        let (shared, export, container) = (&site.shared, &site.system.export, site.system.sidecar_name());
        let deadline = Instant::now() + TIMEOUT;
        let cluster_deadline = Instant::now() + CLUSTER_TIMEOUT;
        // The pod as it is now, if it still exists.
        let snapshot = shared.watch.snapshot().ok();
        let is_it = |other: &&Arc<Pod>| other.metadata.uid == pod.metadata.uid;
        let current = snapshot.as_ref().and_then(|snapshot| snapshot.pods.iter().find(is_it)).unwrap_or(pod);
        let mount_at = mount_of(current, site.server(), container);
        let pod_name = pod.name_any();
        let look = |at| self.look(current, at, name, content, cluster_deadline);
        let (exported, view, mount, lines) = tokio::join!(
            look(Ok((export.container.clone(), export.folder.clone()))),
            async { Some(look(view_of(current, export, container)?).await) },
            look(mount_at.clone().map(|(container, _, folder)| (container, folder))),
            timeout_at(cluster_deadline, shared.cluster.log_tail(&pod_name, container, LINES, BYTES)),
        );
        let folder = shared.host.folder(site.server()).display().to_string();
        let latency = if mount.seen == Seen::Complete { MOUNT_LATENCY } else { Duration::ZERO };
        let arrival_deadline = deadline.min(Instant::now() + latency);
        let here = match timeout_at(deadline, shared.host.arrival(site.server(), name, content, arrival_deadline)).await
        {
            Ok(Ok(_)) => Seen::Complete,
            Ok(Err(seen)) => seen,
            Err(_) => Seen::Unknown("no reply".to_owned()),
        };
        let log = log.state();
        let patterns = site.system.log_patterns();
        let last_error = |lines: &[LogLine]| SyncLog::read(lines, patterns.as_ref()?).last_error().cloned();
        let has_ended_since = log.any_cycle_ended_since(written);
        let log_tail = match lines {
            Ok(Ok(lines)) => Ok(LogTail { has_ended_since, error: last_error(&lines) }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no reply".to_owned()),
        };
        let sidecar = container::named(current, container);
        Trace {
            context: shared.cluster.context().to_owned(),
            namespace: shared.cluster.namespace().to_owned(),
            pod: pod_name,
            root: shared.host.root.display().to_string(),
            host_path: mount_at.map(|(_, path, _)| path).unwrap_or_default(),
            bytes: usize::try_from(content.bytes()).unwrap_or(usize::MAX),
            waited: millis(written.elapsed()),
            export: exported,
            view,
            mount,
            folder: Checkpoint { label: folder, seen: here },
            sidecar: SidecarState {
                container: container.to_owned(),
                is_running: sidecar.is_some_and(|view| view.running_since().is_some()),
                state: sidecar.map_or("no such container".to_owned(), |view| view.describe()),
                is_listed: !log.listings(name).is_empty(),
                log: log_tail,
            },
            by_nfs: false,
        }
    }

    async fn look(
        &self,
        current: &Pod,
        at: Result<(String, String), String>,
        name: &str,
        content: &Digest,
        deadline: Instant,
    ) -> Checkpoint {
        let (container, folder) = match at {
            Ok(at) => at,
            Err(why) => return Checkpoint { label: String::new(), seen: Seen::NoMount(why) },
        };
        let label = format!("{folder} in {container}");
        let unknown = |why: String| Checkpoint { label: label.clone(), seen: Seen::Unknown(why) };
        if !container::runs(current, &container) {
            return unknown(format!("{container} is not running"));
        }
        let is_large = content.bytes() > MAX_CONTENT;
        let operation = if is_large {
            Operation::Digest { path: format!("{folder}/{name}") }
        } else {
            Operation::Gather { folder, prefix: name.to_owned() }
        };
        let seen = match timeout_at(deadline, self.site.try_exec(&self.pod, &container, &operation)).await {
            Err(_) => return unknown("no reply".to_owned()),
            Ok(Err(verdict)) => {
                return unknown(verdict.reasons.into_iter().next().map(|reason| reason.seen).unwrap_or_default());
            }
            Ok(Ok((_, Some(problem)))) => Seen::Unreadable(problem),
            Ok(Ok((output, None))) if is_large => compare_digest(&String::from_utf8_lossy(&output.stdout), content),
            Ok(Ok((output, None))) => compare_listing(&output.stdout, name, content),
        };
        Checkpoint { label, seen }
    }
}

/// The time from one sync cycle to the next, by the sidecar's log; `None` if unknown.
pub async fn period(cluster: &Cluster, pod: &Pod, system: &System) -> Option<Duration> {
    let lines = cluster.log_tail(&pod.name_any(), system.sidecar_name(), LINES, BYTES).await.ok()?;
    SyncLog::read(&lines, &system.log_patterns()?).period()
}

fn compare_digest(output: &str, content: &Digest) -> Seen {
    match output.trim_end() {
        "" => Seen::Absent,
        digest if digest == content.to_string() => Seen::Complete,
        other => Seen::Different(other.split(' ').next().and_then(|size| size.parse().ok()).unwrap_or_default()),
    }
}

/// Looks for a file in the output of [`Operation::Gather`], which may hold files with longer names too.
pub fn compare_listing(listing: &[u8], name: &str, content: &Digest) -> Seen {
    match gathered(listing).find(|(listed, _)| *listed == name.as_bytes()) {
        None => Seen::Absent,
        Some((_, found)) if Digest::of(found) == *content => Seen::Complete,
        Some((_, found)) => Seen::Different(found.len() as u64),
    }
}

/// Where the sidecar mounts the export: the same volume. An error explains why it does not; `None` where it mounts another
/// part of the volume, which may or may not hold the export.
fn view_of(pod: &Pod, export: &Export, sidecar: &str) -> Option<Result<(String, String), String>> {
    let [server, view] = [&export.container, sidecar].map(|name| container::named(pod, name));
    let below = |mount: &VolumeMount| Some(Path::new(&export.folder).strip_prefix(&mount.mount_path).ok()?.to_owned());
    let holding = server.iter().flat_map(|server| server.mounts).filter_map(|mount| Some((mount, below(mount)?)));
    let (mount, below) = holding.min_by_key(|(_, below)| below.components().count())?;
    let mounts: Vec<_> = view.iter().flat_map(|view| view.mounts).filter(|other| other.name == mount.name).collect();
    let part = |mount: &VolumeMount| (mount.sub_path.clone(), mount.sub_path_expr.clone());
    match mounts.iter().find(|other| part(other) == part(mount)) {
        Some(same) => {
            // A Linux path, even where the program runs on Windows.
            let below = below.iter().flat_map(|part| ["/".into(), part.to_string_lossy()]).collect::<String>();
            Some(Ok((sidecar.to_owned(), format!("{}{below}", same.mount_path.trim_end_matches('/')))))
        }
        None if mounts.is_empty() => Some(Err(format!("{sidecar} does not mount volume {}", mount.name))),
        None => None,
    }
}

/// A container that mounts the host folder, preferably a running one and the sidecar, with the path on the node and in the
/// container; or why there is none.
fn mount_of(pod: &Pod, server: &str, sidecar: &str) -> Result<(String, String, String), String> {
    let mut views = container::all(pod);
    views.retain(|view| view.name == sidecar || view.running_since().is_some());
    views.sort_by_key(|view| (view.running_since().is_none(), view.name != sidecar));
    let found = views.iter().find_map(|view| {
        let mount = *container::host_folders(pod, view, server).first()?;
        Some((view.name.to_owned(), mount.path.to_owned(), mount.mount_path.to_owned()))
    });
    found.ok_or_else(|| format!("{sidecar} mounts no hostPath"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::system::tests::system;
    use crate::cluster::example::{output_pod, with};

    fn pod(changes: &[(&str, Value)]) -> Pod {
        serde_json::from_value(with(output_pod(), changes)).unwrap()
    }

    #[test]
    fn the_mount_is_the_sidecars_or_that_of_another_running_container() {
        let at = |changes: &[(&str, Value)]| mount_of(&pod(changes), "nas-output-1", "sync-to-windows");
        let (container, path, folder) = at(&[]).unwrap();
        let found = (container.as_str(), path.as_str(), folder.as_str());
        assert_eq!(found, ("sync-to-windows", "/mnt/simulator-data/nas-output-1", "/windows-mount"));
        let down = ("/status/initContainerStatuses/1/state", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert_eq!(at(std::slice::from_ref(&down)).unwrap().0, "sync-to-windows");
        let also = ("/spec/containers/0/volumeMounts/-", json!({"name": "windows-data", "mountPath": "/w"}));
        assert_eq!(at(&[down, also]).unwrap().0, "nfs-server");
        assert!(at(&[("/spec/initContainers/1/volumeMounts", json!([]))]).is_err());
    }

    #[test]
    fn the_sidecar_sees_the_export_where_it_mounts_the_same_part_of_the_volume() {
        let export = system().export;
        let deep = Export { folder: "/data/a/b".into(), ..export.clone() };
        let seen = |export, changes: &[(&str, Value)]| view_of(&pod(changes), export, "sync-to-windows");
        let (container, folder) = seen(&export, &[]).unwrap().unwrap();
        assert_eq!(container, "sync-to-windows");
        assert_eq!(seen(&deep, &[]).unwrap().unwrap().1, format!("{folder}/a/b"));
        let slash = ("/spec/containers/0/volumeMounts/0/mountPath", json!("/data/"));
        assert_eq!(seen(&export, &[slash]).unwrap().unwrap().1, folder);
        let other = seen(&export, &[("/spec/initContainers/1/volumeMounts/0/name", json!("other"))]);
        assert!(other.unwrap().unwrap_err().contains("does not mount volume"));
        assert!(seen(&export, &[("/spec/initContainers/1/volumeMounts/0/subPath", json!("part"))]).is_none());
    }

    #[test]
    fn a_listed_file_is_compared_by_content_and_a_large_one_by_digest() {
        let content = Digest::of("whole");
        let compare = |listing: &[u8]| compare_listing(listing, "a.txt", &content);
        assert_eq!(compare(b"a.txt\0whole\0a.txt.bak\0x\0"), Seen::Complete);
        assert_eq!(compare(b"a.txt\0who\0"), Seen::Different(3));
        assert_eq!(compare(b"a.txt\0whole and more\0"), Seen::Different(14));
        assert_eq!([compare(b"a.txt.bak\0whole\0"), compare(b"")], [Seen::Absent, Seen::Absent]);
        assert_eq!(compare_listing(b"a.txt\0\0", "a.txt", &Digest::default()), Seen::Complete);
        assert_eq!(compare_digest("", &content), Seen::Absent);
        assert_eq!(compare_digest(&format!("{content}\n"), &content), Seen::Complete);
        assert_eq!(compare_digest(&Digest::of("WHOLE!!").to_string(), &content), Seen::Different(7));
    }
}
