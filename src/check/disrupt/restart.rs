//! `restart`: a server's pod is deleted, and its replacement has the files that it should have, in time.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::replacement::{Deleted, File};
use super::seen::{Came, Observation, Restarted};
use super::{Restart, Written, judge, sound};
use crate::check::sync::ground::{self, Ground};
use crate::check::{Kind, Need, Part, Place, Placed, Site, System};
use crate::cluster::{Operation, ResourceExt, Server};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::{Entry, Seen};
use crate::random;

/// More files than this in a folder are not compared.
const MOST: usize = 5000;
/// The last part of the name of the file that is written into the export.
const WRITTEN: &str = "written.txt";
/// The same of the one that is put into the host folder.
const PUT: &str = "put.txt";
/// So many of those that are gone are named.
const NAMED: usize = 3;
/// What to do where the server was left alone.
const SPARED: &str = "nothing was deleted; run phase2 and phase3, which say more";

impl Kind for Restart {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Host, Hop::Mount, Hop::Init, Hop::Export];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs, Need::Deletion];
    const PARTS: &'static [Part] = &[Part::Init];
    const DISRUPTS: bool = true;

    fn writes(&self) -> Option<u8> {
        Some((self.written == Written::Kept).into())
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (server, population) = site.settled_server().await?;
        let pod = sound::steady(&server, site.system.restart_window, population.now)
            .map_err(|reason| site.blocked(reason))?;
        let owner = sound::owner(&server, &pod).map_err(Verdict::error)?;
        let sidecar = self.copies(site).then_some(site.system.sidecar_name());
        if let Some(danger) = sound::danger(&pod, &site.system.init_container, sidecar).map_err(Verdict::error)? {
            return Ok(Observation::Spared(danger));
        }
        site.running(&pod, &site.system.export.container)?;
        self.mounted(site, &pod, population.now).await?;
        Ok(Observation::Restarted(Box::new(self.restart(site, &server, &pod, owner).await?)))
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        match seen {
            Observation::Spared(danger) => Verdict::fail(danger.clone()).at(Hop::Sidecar),
            Observation::Restarted(restarted) => judge::verdict(self, system, restarted),
        }
    }
}

impl Restart {
    /// Whether a sidecar is to copy what is written: what is lost by design, none copies.
    fn copies(&self, site: &Site) -> bool {
        self.written == Written::Kept && site.system.sidecar.is_some()
    }

    /// ERROR where the host folder is not there, or is seen not to be the one that the pod mounts.
    async fn mounted(&self, site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<(), Verdict> {
        let entry = site.shared.host.entry(site.server()).await;
        if entry != Entry::Folder {
            let folder = site.shared.host.folder(site.server()).display().to_string();
            let reason = Reason::new(format!("folder {folder}"), "the host folder", entry.to_string());
            return Err(Verdict::error(reason.hint("make it, or name the right one with --host-data")).at(Hop::Host));
        }
        let blocked = if self.copies(site) { ground::another_folder(site, pod, now).await? } else { None };
        blocked.map_or(Ok(()), Err)
    }

    /// Prepares, deletes the pod, and follows what comes.
    async fn restart(&self, site: &Site, server: &Server, pod: &Arc<Pod>, owner: String) -> Result<Restarted, Verdict> {
        let (host, name, settle) = (&site.shared.host, site.server(), site.shared.settings.settle);
        let [written, put] = [WRITTEN, PUT].map(|what| File { name: site.file(what).name, content: random::text(64) });
        self.write(site, pod, &written).await?;
        self.forget_probe(site).await;
        let before = host.files(name, MOST).await;
        self.put(site, &put).await?;
        let deleted = Deleted::delete(site, server, pod, owner).await?;
        site.waiting(format!("the replacement of pod {}", pod.name_any()), settle);
        let (came, arrival) = join(deleted.ready(), deleted.arrival(&put, self.within)).await;
        let (came, replacement) = came?;
        let (mut found, mut old) = (None, None);
        let ready = replacement.as_ref().filter(|_| matches!(came, Came::Ready { .. }));
        if let Some(new) = ready {
            found = Some(deleted.look(new, &written).await);
            site.waiting("the old pod's end", settle);
            old = deleted.old_gone().await;
        }
        let kept = self.kept(site, ready, &put, arrival.there.is_some()).await;
        let after = host.files(name, 2 * MOST).await;
        let gone = before.ok().zip(after.ok()).map(|(before, after)| gone(before, after, &site.shared.run));
        let mut removed = Vec::new();
        if let (Some(gone), Some(new)) = (&gone, &replacement) {
            removed = deleted.removed(new, gone).await;
        }
        Ok(Restarted {
            server: name.to_owned(),
            folder: host.folder(name).display().to_string(),
            deleted: pod.name_any(),
            put: put.name,
            wrote: written.name,
            came,
            arrival,
            written: found,
            kept,
            vanished: gone.map(|names| (names.len(), names.into_iter().take(NAMED).collect())),
            removed,
            old,
        })
    }

    /// Writes a file into the export and, where it is to be kept, waits until it was copied to the host folder.
    async fn write(&self, site: &Site, pod: &Arc<Pod>, file: &File) -> Result<(), Verdict> {
        let write = Operation::Write { path: site.path(&file.name), content: file.content.clone() };
        let astray = |hop, expected: &str, seen: String| {
            let object = format!("file {} of pod {}", file.name, pod.name_any());
            Err(Verdict::error(Reason::new(object, expected, seen).hint(SPARED)).at(hop))
        };
        let refused = |problem| astray(Hop::Export, "to be written into the export", problem);
        let Some(cycles) = site.cycles(pod).filter(|_| self.copies(site)) else {
            site.place(pod, &site.file(WRITTEN));
            let (_, problem) = site.in_export(pod, &write).await?;
            return problem.map_or(Ok(()), refused);
        };
        let within = self.synced_within.unwrap_or(self.within);
        let ground = Ground { site, pod: Arc::clone(pod), cycles, within };
        ground.place(WRITTEN);
        let wanted = [(file.name.clone(), Digest::of(&file.content))];
        match ground.deliver(vec![write], &wanted).await?.0.map(|arrival| arrival.wrong.into_iter().next()) {
            Err(problem) => return refused(problem),
            Ok(Some(wrong)) => {
                return astray(Hop::Sidecar, "in the folder, whole, before its pod is deleted", wrong.seen);
            }
            Ok(None) => {}
        }
        // Right after a cycle, so that the next one is far: a sidecar with --delete would remove what is put in the folder.
        ground.cycles.quiet(Instant::now() + within.0).await;
        Ok(())
    }

    /// Puts a file into the host folder, which the replacement is to have.
    async fn put(&self, site: &Site, file: &File) -> Result<(), Verdict> {
        let (shared, placed) = (&site.shared, site.file(PUT));
        // Wherever the pod's containers may copy it.
        shared.ledger.place(site.exported(&placed));
        shared.ledger.place(placed);
        shared.host.create(site.server(), &file.name, file.content.as_bytes()).await.map_err(|error| {
            let folder = shared.host.folder(site.server()).display().to_string();
            let reason = Reason::new(format!("folder {folder}"), "to take a file of the tester's", error.to_string());
            Verdict::error(reason.hint("look at the permissions of the folder")).at(Hop::Host)
        })
    }

    /// What the file in the host folder is at the end, after a cycle of the replacement that is Ready.
    async fn kept(&self, site: &Site, ready: Option<&Arc<Pod>>, file: &File, is_back: bool) -> Seen {
        let mut limit = Instant::now();
        if let Some(pod) = ready.filter(|_| self.copies(site)) {
            let brought = limit + self.synced_within.unwrap_or(self.within).0;
            if let Some(cycles) = site.cycles(pod) {
                // What the first cycle removes is gone then. The next one may bring back what the old pod's removed.
                cycles.wait_for(brought, |log| log.ends_after(Timestamp::UNIX_EPOCH) > 0 || log.is_denied()).await;
            }
            // What is not in the export is brought back by no cycle.
            if is_back {
                limit = brought;
            }
        }
        let arrival = site.shared.host.arrival(site.server(), &file.name, &Digest::of(&file.content), limit).await;
        arrival.map_or_else(|last| last, |_| Seen::Whole)
    }

    /// Removes the probe of the mount, which the new pod would copy into its export.
    async fn forget_probe(&self, site: &Site) {
        let is_probe =
            |placed: &Placed| placed.test == site.id && placed.place == Place::Host && !placed.name.ends_with(WRITTEN);
        for placed in site.shared.ledger.placed(is_probe) {
            // What cannot be removed stays in the ledger, and also for the export.
            if site.shared.host.remove(&placed.server, &placed.name).await.is_ok() {
                site.shared.ledger.removed(&placed);
            } else {
                site.shared.ledger.place(site.exported(&placed));
            }
        }
    }
}

/// The files that are gone and are not the run's own, nor hidden ones such as rsync's temporary files.
fn gone(before: Vec<String>, after: Vec<String>, run: &str) -> Vec<String> {
    let after: BTreeSet<String> = after.into_iter().collect();
    let is_own =
        |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with('.') || name.starts_with(run));
    let mut names: Vec<String> = before.into_iter().filter(|path| !after.contains(path) && !is_own(path)).collect();
    names.sort_unstable();
    names
}
