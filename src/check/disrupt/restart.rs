//! `restart`: deletes a server's pod; its replacement must have the right files in time.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::replacement::{Deletion, File};
use super::seen::{Observation, Replacement, Restarted};
use super::{Restart, Written, judge, precheck};
use crate::check::sync::route::{self, Route};
use crate::check::{Kind, Location, Need, Part, Site, System, TestFile};
use crate::cluster::{Operation, ResourceExt, Server};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::{Entry, Seen};
use crate::random;

const MAX_FILES: usize = 5000;
const MAX_NAMES: usize = 3;
const EXPORT_FILE: &str = "written.txt";
const HOST_FILE: &str = "put.txt";
const NOT_DELETED: &str = "run the suites phase2 and phase3 to find the cause; no pod was deleted";

impl Kind for Restart {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Host, Hop::Mount, Hop::Init, Hop::Export];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs, Need::Deletion];
    const PARTS: &'static [Part] = &[Part::Init];
    const DISRUPTS: bool = true;

    fn sync_cycles(&self) -> Option<u8> {
        Some((self.written == Written::Kept).into())
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (server, snapshot) = site.settled_server().await?;
        let pod = precheck::steady_pod(&server, site.system.restart_window, snapshot.now)
            .map_err(|reason| site.blocked(reason))?;
        let owner = precheck::owner(&server, &pod).map_err(Verdict::error)?;
        let sidecar = self.copies(site).then_some(site.system.sidecar_name());
        if let Some(danger) = precheck::danger(&pod, &site.system.init_container, sidecar).map_err(Verdict::error)? {
            return Ok(Observation::NotDeleted(danger));
        }
        site.require_running(&pod, &site.system.export.container)?;
        self.mounted(site, &pod, snapshot.now).await?;
        Ok(Observation::Restarted(Box::new(self.restart(site, &server, &pod, owner).await?)))
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        match seen {
            Observation::NotDeleted(danger) => Verdict::fail(danger.clone()).at(Hop::Sidecar),
            Observation::Restarted(restarted) => judge::verdict(self, system, restarted),
        }
    }
}

impl Restart {
    /// Whether a sidecar must copy the export file: it copies none that must be lost.
    fn copies(&self, site: &Site) -> bool {
        self.written == Written::Kept && site.system.sidecar.is_some()
    }

    /// ERROR where the host folder is missing, or is known not to be the one that the pod mounts.
    async fn mounted(&self, site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<(), Verdict> {
        let entry = site.shared.host.entry(site.server()).await;
        if entry != Entry::Folder {
            let folder = site.shared.host.folder(site.server()).display().to_string();
            let reason = Reason::new(format!("folder {folder}"), "the host folder", entry.to_string());
            return Err(
                Verdict::error(reason.hint("create it, or set the right folder with --host-data")).at(Hop::Host)
            );
        }
        let blocked = if self.copies(site) { route::blocked_by_mount(site, pod, now).await? } else { None };
        blocked.map_or(Ok(()), Err)
    }

    async fn restart(&self, site: &Site, server: &Server, pod: &Arc<Pod>, owner: String) -> Result<Restarted, Verdict> {
        let (host, name, settle) = (&site.shared.host, site.server(), site.shared.settings.settle);
        let [export_file, host_file] =
            [EXPORT_FILE, HOST_FILE].map(|what| File { name: site.file(what).name, content: random::text(64) });
        self.write_export_file(site, pod, &export_file).await?;
        self.remove_probe(site).await;
        let before = host.files(name, MAX_FILES).await;
        self.create_host_file(site, &host_file).await?;
        let deletion = Deletion::send(site, server, pod, owner).await?;
        site.waiting(format!("the replacement of pod {}", pod.name_any()), settle);
        let (replacement, arrival) =
            join(deletion.wait_for_replacement(), deletion.arrival(&host_file, self.within)).await;
        let (replacement, new) = replacement?;
        let (mut export_file_seen, mut old_pod) = (None, None);
        let ready = new.as_ref().filter(|_| matches!(replacement, Replacement::Ready { .. }));
        if let Some(new) = ready {
            export_file_seen = Some(deletion.look(new, &export_file).await);
            site.waiting("the end of the old pod", settle);
            old_pod = deletion.wait_for_old_pod().await;
        }
        let host_file_seen = self.look_for_host_file(site, ready, &host_file, arrival.present.is_some()).await;
        let after = host.files(name, 2 * MAX_FILES).await;
        let vanished = before.ok().zip(after.ok()).map(|(before, after)| vanished(before, after, &site.shared.run));
        let mut removed = Vec::new();
        if let (Some(vanished), Some(new)) = (&vanished, &new) {
            removed = deletion.removed(new, vanished).await;
        }
        Ok(Restarted {
            server: name.to_owned(),
            folder: host.folder(name).display().to_string(),
            deleted: pod.name_any(),
            host_file: host_file.name,
            export_file: export_file.name,
            replacement,
            arrival,
            export_file_seen,
            host_file_seen,
            vanished: vanished.map(|names| (names.len(), names.into_iter().take(MAX_NAMES).collect())),
            removed,
            old_pod,
        })
    }

    /// Writes a file to the export and, where it must be kept, waits until it is copied to the host folder.
    async fn write_export_file(&self, site: &Site, pod: &Arc<Pod>, file: &File) -> Result<(), Verdict> {
        let write = Operation::Write { path: site.path(&file.name), content: file.content.clone() };
        let failed = |hop, expected: &str, seen: String| {
            let object = format!("file {} from pod {}", file.name, pod.name_any());
            Err(Verdict::error(Reason::new(object, expected, seen).hint(NOT_DELETED)).at(hop))
        };
        let refused = |problem| failed(Hop::Export, "to be written to the export", problem);
        let Some(log) = site.followed_log(pod).filter(|_| self.copies(site)) else {
            site.register(pod, &site.file(EXPORT_FILE));
            let (_, problem) = site.in_export(pod, &write).await?;
            return problem.map_or(Ok(()), refused);
        };
        let within = self.synced_within.unwrap_or(self.within);
        let route = Route { site, pod: Arc::clone(pod), log, within };
        route.register(EXPORT_FILE);
        let expected = [(file.name.clone(), Digest::of(&file.content))];
        match route.deliver(vec![write], &expected).await?.0.map(|arrival| arrival.wrong.into_iter().next()) {
            Err(problem) => return refused(problem),
            Ok(Some(wrong)) => {
                return failed(Hop::Sidecar, "complete in the host folder before its pod is deleted", wrong.seen);
            }
            Ok(None) => {}
        }
        // Long before the next cycle: a sidecar with --delete would remove the host file.
        route.log.wait_for_pause(Instant::now() + within.0).await;
        Ok(())
    }

    /// Creates a file in the host folder, which the replacement must copy to its export.
    async fn create_host_file(&self, site: &Site, file: &File) -> Result<(), Verdict> {
        let (shared, host_file) = (&site.shared, site.file(HOST_FILE));
        // In the export too, to which the pod's containers may copy it.
        shared.ledger.register(site.exported(&host_file));
        shared.ledger.register(host_file);
        shared.host.create(site.server(), &file.name, file.content.as_bytes()).await.map_err(|error| {
            let folder = shared.host.folder(site.server()).display().to_string();
            let reason = Reason::new(format!("folder {folder}"), "to accept a tester's file", error.to_string());
            Verdict::error(reason.hint("check the permissions of the folder")).at(Hop::Host)
        })
    }

    /// Looks for the host file in the host folder at the end, after a sync cycle of a Ready replacement.
    async fn look_for_host_file(&self, site: &Site, ready: Option<&Arc<Pod>>, file: &File, is_exported: bool) -> Seen {
        let mut deadline = Instant::now();
        if let Some(pod) = ready.filter(|_| self.copies(site)) {
            let cycle_deadline = deadline + self.synced_within.unwrap_or(self.within).0;
            if let Some(log) = site.followed_log(pod) {
                // The first cycle removes what it removes; the next may bring back what the old pod removed.
                log.wait_for(cycle_deadline, |log| log.ends_after(Timestamp::UNIX_EPOCH) > 0 || log.is_denied()).await;
            }
            // No cycle brings back what is not in the export.
            if is_exported {
                deadline = cycle_deadline;
            }
        }
        let arrival = site.shared.host.arrival(site.server(), &file.name, &Digest::of(&file.content), deadline).await;
        arrival.map_or_else(|last| last, |_| Seen::Complete)
    }

    /// Removes the probe of the mount, which the new pod would copy to its export.
    async fn remove_probe(&self, site: &Site) {
        let is_probe = |file: &TestFile| {
            file.test == site.id && file.location == Location::Host && !file.name.ends_with(EXPORT_FILE)
        };
        for file in site.shared.ledger.files(is_probe) {
            // A probe that cannot be removed stays in the ledger, for the export too.
            if site.shared.host.remove(&file.server, &file.name).await.is_ok() {
                site.shared.ledger.removed(&file);
            } else {
                site.shared.ledger.register(site.exported(&file));
            }
        }
    }
}

/// The files that vanished, except those of the run and hidden ones, such as rsync's temporary files.
fn vanished(before: Vec<String>, after: Vec<String>, run: &str) -> Vec<String> {
    let after: BTreeSet<String> = after.into_iter().collect();
    let is_own =
        |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with('.') || name.starts_with(run));
    let mut names: Vec<String> = before.into_iter().filter(|path| !after.contains(path) && !is_own(path)).collect();
    names.sort_unstable();
    names
}
