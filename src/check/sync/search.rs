//! Looks for a file that did not arrive, everywhere on its way, side by side and within a bound.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, VolumeMount};
use tokio::time::{Instant, timeout_at};

use super::ground::{Ground, NO_FILE};
use super::stop::{Found, Stop};
use super::trail::{Tail, Trail, Work};
use crate::check::millis;
use crate::check::{Export, System};
use crate::cluster::container;
use crate::cluster::{Cluster, LogLine, Operation, ResourceExt, SyncLog, gathered};
use crate::digest::Digest;
use crate::host::Seen;

/// The longest that is looked.
const LIMIT: Duration = Duration::from_secs(10);
/// So much of that is for the looks into containers and at the log; the rest is for the folder here, afterwards.
const INSIDE: Duration = Duration::from_secs(7);
/// How long a file that is in the container's mount may take to be seen here.
const MOUNT: Duration = Duration::from_secs(2);
/// What is larger is not read, but its digest: outputs of commands are cut off, and others' go with them.
const LARGEST: u64 = 64 << 10;
/// How much of the end of a log is read.
const LINES: i64 = 200;
const BYTES: i64 = 1 << 20;

impl Ground<'_> {
    /// Looks for a file that did not arrive; its write was acknowledged at `written`.
    pub async fn search(&self, name: &str, content: &Digest, written: Instant) -> Trail {
        let Self { site, pod, cycles, .. } = self;
        let (shared, export, container) = (&site.shared, &site.system.export, site.system.sidecar_name());
        let limit = Instant::now() + LIMIT;
        let inside = Instant::now() + INSIDE;
        // As it is now, unless it is gone, or that is not known.
        let population = shared.watch.population().ok();
        let is_it = |other: &&Arc<Pod>| other.metadata.uid == pod.metadata.uid;
        let newest = population.as_ref().and_then(|population| population.pods.iter().find(is_it)).unwrap_or(pod);
        let mount_at = mount_of(newest, site.server(), container);
        let pod_name = pod.name_any();
        let look = |at| self.look(newest, at, name, content, inside);
        let (export_stop, view, mount, lines) = tokio::join!(
            look(Ok((export.container.clone(), export.folder.clone()))),
            async { Some(look(view_of(newest, export, container)?).await) },
            look(mount_at.clone().map(|(container, _, folder)| (container, folder))),
            timeout_at(inside, shared.cluster.log_tail(&pod_name, container, LINES, BYTES)),
        );
        let folder = shared.host.folder(site.server()).display().to_string();
        let patience = if mount.seen == Found::Whole { MOUNT } else { Duration::ZERO };
        let patience = limit.min(Instant::now() + patience);
        let here = match timeout_at(limit, shared.host.arrival(site.server(), name, content, patience)).await {
            Ok(Ok(_) | Err(Seen::Whole)) => Found::Whole,
            Ok(Err(Seen::Absent)) => Found::Absent,
            Ok(Err(Seen::Different(bytes))) => Found::Other(usize::try_from(bytes).unwrap_or(usize::MAX)),
            Ok(Err(Seen::Unreadable(error))) => Found::Trouble(error),
            Err(_) => Found::Unknown("no answer".to_owned()),
        };
        let log = cycles.log();
        let words = site.system.log_patterns();
        let last_error = |lines: &[LogLine]| SyncLog::read(lines, words.as_ref()?).last_error().cloned();
        let has_ended_since = log.ended_after(NO_FILE, 0, written);
        let tail = match lines {
            Ok(Ok(lines)) => Ok(Tail { has_ended_since, error: last_error(&lines) }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        let its = container::named(newest, container);
        Trail {
            context: shared.cluster.context().to_owned(),
            namespace: shared.cluster.namespace().to_owned(),
            pod: pod_name,
            root: shared.host.root.display().to_string(),
            host_path: mount_at.map(|(_, path, _)| path).unwrap_or_default(),
            bytes: usize::try_from(content.bytes()).unwrap_or(usize::MAX),
            waited: millis(written.elapsed()),
            export: export_stop,
            view,
            mount,
            folder: Stop { place: folder, seen: here },
            work: Work {
                container: container.to_owned(),
                is_running: its.is_some_and(|view| view.running_since().is_some()),
                state: its.map_or("no such container".to_owned(), |view| view.describe()),
                is_listed: !log.listings(name).is_empty(),
                tail,
            },
            by_nfs: false,
        }
    }

    /// Looks for the file in a folder of a container.
    async fn look(
        &self,
        newest: &Pod,
        at: Result<(String, String), String>,
        name: &str,
        content: &Digest,
        limit: Instant,
    ) -> Stop {
        let (container, folder) = match at {
            Ok(at) => at,
            Err(why) => return Stop { place: String::new(), seen: Found::NoMount(why) },
        };
        let place = format!("{folder} of {container}");
        let unknown = |why: String| Stop { place: place.clone(), seen: Found::Unknown(why) };
        if !container::runs(newest, &container) {
            return unknown(format!("{container} does not run"));
        }
        let is_large = content.bytes() > LARGEST;
        let look = if is_large {
            Operation::Digest { path: format!("{folder}/{name}") }
        } else {
            Operation::Gather { folder, prefix: name.to_owned() }
        };
        let seen = match timeout_at(limit, self.site.try_exec(&self.pod, &container, &look)).await {
            Err(_) => return unknown("no answer".to_owned()),
            Ok(Err(verdict)) => {
                return unknown(verdict.reasons.into_iter().next().map(|reason| reason.seen).unwrap_or_default());
            }
            Ok(Ok((_, Some(problem)))) => Found::Trouble(problem),
            Ok(Ok((output, None))) if is_large => digested(&String::from_utf8_lossy(&output.stdout), content),
            Ok(Ok((output, None))) => found(&output.stdout, name, content),
        };
        Stop { place, seen }
    }
}

/// How far the sidecar's cycles are apart, as its log says; `None` if that is not known.
pub async fn period(cluster: &Cluster, pod: &Pod, system: &System) -> Option<Duration> {
    let lines = cluster.log_tail(&pod.name_any(), system.sidecar_name(), LINES, BYTES).await.ok()?;
    SyncLog::read(&lines, &system.log_patterns()?).period()
}

/// What the digest of the file with that name says.
fn digested(said: &str, content: &Digest) -> Found {
    // Line breaks at an output's end are not its own.
    match said.trim_end() {
        "" => Found::Absent,
        digest if digest == content.to_string() => Found::Whole,
        other => Found::Other(other.split(' ').next().and_then(|size| size.parse().ok()).unwrap_or_default()),
    }
}

/// What a list of the files with that name, or a longer one, says: a shell sorts the shorter first.
fn found(listed: &[u8], name: &str, content: &Digest) -> Found {
    match gathered(listed).next().filter(|(first, _)| *first == name.as_bytes()) {
        None => Found::Absent,
        Some((_, found)) if Digest::of(found) == *content => Found::Whole,
        Some((_, found)) => Found::Other(found.len()),
    }
}

/// Where the sidecar sees the folder of the export: the same volume, mounted there. An error says that it does not; `None`
/// where it mounts another part of it, which may hold the folder or not.
fn view_of(pod: &Pod, export: &Export, sidecar: &str) -> Option<Result<(String, String), String>> {
    let [server, view] = [&export.container, sidecar].map(|name| container::named(pod, name));
    let below = |mount: &VolumeMount| Some(Path::new(&export.folder).strip_prefix(&mount.mount_path).ok()?.to_owned());
    let held = server.iter().flat_map(|server| server.mounts).filter_map(|mount| Some((mount, below(mount)?)));
    let (mount, below) = held.min_by_key(|(_, below)| below.components().count())?;
    let seen: Vec<_> = view.iter().flat_map(|view| view.mounts).filter(|other| other.name == mount.name).collect();
    let part = |mount: &VolumeMount| (mount.sub_path.clone(), mount.sub_path_expr.clone());
    match seen.iter().find(|other| part(other) == part(mount)) {
        Some(same) => {
            // A path of Linux, also where the harness runs on Windows.
            let below = below.iter().flat_map(|part| ["/".into(), part.to_string_lossy()]).collect::<String>();
            Some(Ok((sidecar.to_owned(), format!("{}{below}", same.mount_path.trim_end_matches('/')))))
        }
        None if seen.is_empty() => Some(Err(format!("{sidecar} does not mount volume {}", mount.name))),
        None => None,
    }
}

/// A container that mounts the host folder, rather the sidecar than another, and one that runs; with the path on the
/// node and the folder in the container. Or why there is none.
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
    fn the_mount_is_the_sidecars_or_that_of_another_container_that_runs() {
        let at = |changes: &[(&str, Value)]| mount_of(&pod(changes), "nas-output-1", "sync-to-windows");
        let (container, path, folder) = at(&[]).unwrap();
        let seen = (container.as_str(), path.as_str(), folder.as_str());
        assert_eq!(seen, ("sync-to-windows", "/mnt/simulator-data/nas-output-1", "/windows-mount"));
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
    fn what_a_container_lists_is_compared_and_of_a_large_file_its_digest() {
        let content = Digest::of("whole");
        let said = |listed: &[u8]| found(listed, "a.txt", &content);
        assert_eq!(said(b"a.txt\0whole\0a.txt.bak\0x\0"), Found::Whole);
        assert_eq!(said(b"a.txt\0who\0"), Found::Other(3));
        assert_eq!(said(b"a.txt\0whole and more\0"), Found::Other(14));
        assert_eq!([said(b"a.txt.bak\0whole\0"), said(b"")], [Found::Absent, Found::Absent]);
        assert_eq!(found(b"a.txt\0\0", "a.txt", &Digest::default()), Found::Whole);
        assert_eq!(digested("", &content), Found::Absent);
        assert_eq!(digested(&format!("{content}\n"), &content), Found::Whole);
        assert_eq!(digested(&Digest::of("WHOLE!!").to_string(), &content), Found::Other(7));
    }
}
