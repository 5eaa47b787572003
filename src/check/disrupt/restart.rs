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
use crate::check::sync::ground::Ground;
use crate::check::sync::way;
use crate::check::{Disturbed, Kind, Need, Part, Place, Placed, Site, System};
use crate::cluster::{ApiError, Operation, ResourceExt, Server};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::{Entry, Seen};
use crate::random;

/// More files than this in a folder are not compared.
const MOST: usize = 5000;
/// The last part of the name of the file that is written into the export.
const WRITTEN: &str = "written.txt";
/// The same of the one that is put into the tester's folder.
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
    const DISTURBS: bool = true;

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
            Observation::Spared(danger) => Verdict::judged("", vec![danger.clone()]).at(Hop::Sidecar),
            Observation::Restarted(restarted) => judge::verdict(self, system, restarted),
        }
    }
}

impl Restart {
    /// Whether a sidecar is to copy what is written: what is lost by design, none copies.
    fn copies(&self, site: &Site) -> bool {
        self.written == Written::Kept && site.system.sidecar.is_some()
    }

    /// ERROR where the tester's folder is not there, or is seen not to be the one that the pod mounts.
    async fn mounted(&self, site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<(), Verdict> {
        let entry = site.shared.host.entry(site.server()).await;
        if entry != Entry::Folder {
            let folder = site.shared.host.folder(site.server()).display().to_string();
            let reason = Reason::new(format!("folder {folder}"), "the tester's folder", entry.to_string());
            return Err(Verdict::error(reason.hint("make it, or name the right one with --host-data")).at(Hop::Host));
        }
        if self.copies(site) { way::probed(site, pod, now).await? } else { Ok(()) }
    }

    /// Prepares, deletes the pod, and follows what comes.
    async fn restart(&self, site: &Site, server: &Server, pod: &Arc<Pod>, owner: String) -> Result<Restarted, Verdict> {
        let (shared, name) = (&site.shared, site.server());
        let new = |what| File { name: site.file(what).name, content: random::text(64) };
        let (written, file) = (new(WRITTEN), new(PUT));
        self.write(site, pod, &written).await?;
        self.forget_probe(site).await;
        let before = shared.host.files(name, MOST).await;
        let put = site.file(PUT);
        // Wherever the pod's containers may copy it.
        shared.ledger.place(site.exported(&put));
        shared.ledger.place(put);
        if let Err(error) = shared.host.create(name, &file.name, file.content.as_bytes()).await {
            let folder = shared.host.folder(name).display().to_string();
            let reason = Reason::new(format!("folder {folder}"), "to take a file of the tester's", error.to_string());
            return Err(Verdict::error(reason.hint("look at the permissions of the folder")).at(Hop::Host));
        }
        let known: BTreeSet<String> = server.pods.iter().filter_map(|pod| pod.uid()).collect();
        let sent = Instant::now();
        self.delete(site, pod, sent).await?;
        let limit = sent + shared.wishes.settle;
        let deleted = Deleted { site, known, owner, sent, limit };
        site.waiting(format!("the replacement of pod {}", pod.name_any()), shared.wishes.settle);
        let (came, arrival) = join(deleted.ready(), deleted.arrival(&file, self.within)).await;
        let (came, replacement) = came?;
        let mut old = None;
        let mut found = None;
        let mut limit = Instant::now();
        if let (Came::Ready { .. }, Some(pod)) = (&came, &replacement) {
            found = Some(deleted.look(pod, &written).await);
            site.waiting("the old pod's end", shared.wishes.settle);
            old = deleted.old_gone().await;
            limit = Instant::now() + self.synced_within.unwrap_or(self.within).0;
            if let Some(cycles) = site.cycles(pod).filter(|_| self.copies(site)) {
                // What the first cycle removes is gone then. The next one may bring back what the old pod's removed.
                cycles.wait_for(limit, |log| log.ends_after(Timestamp::UNIX_EPOCH) > 0 || log.is_denied()).await;
            }
        }
        // What is not in the export is brought back by no cycle.
        if !self.copies(site) || arrival.there.is_none() {
            limit = Instant::now();
        }
        let kept = shared.host.arrival(name, &file.name, &Digest::of(&file.content), limit).await;
        let kept = kept.map_or_else(|last| last, |_| Seen::Whole);
        let vanished = match (before, shared.host.files(name, 2 * MOST).await) {
            (Ok(before), Ok(after)) => Some(gone(before, after, &shared.run)),
            _ => None,
        };
        let removed = match (&vanished, &replacement) {
            (Some(vanished), Some(pod)) if !vanished.is_empty() => deleted.removed(pod, vanished).await,
            _ => Vec::new(),
        };
        let vanished = vanished.map(|names| (names.len(), names.into_iter().take(NAMED).collect()));
        Ok(Restarted {
            server: name.to_owned(),
            folder: shared.host.folder(name).display().to_string(),
            deleted: pod.name_any(),
            put: file.name,
            wrote: written.name,
            came,
            arrival,
            written: found,
            kept,
            vanished,
            removed,
            old,
        })
    }

    /// Writes a file into the export and, where it is to be kept, waits until it was copied to the tester's folder.
    async fn write(&self, site: &Site, pod: &Arc<Pod>, file: &File) -> Result<(), Verdict> {
        let path = site.path(&file.name);
        let write = Operation::Write { path, content: file.content.clone() };
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
        if self.written == Written::Kept {
            let wanted = [(file.name.clone(), Digest::of(&file.content))];
            match ground.deliver(vec![write], &wanted).await?.0.map(|arrival| arrival.wrong.into_iter().next()) {
                Err(problem) => return refused(problem),
                Ok(Some(wrong)) => {
                    return astray(Hop::Sidecar, "in the folder, whole, before its pod is deleted", wrong.seen);
                }
                Ok(None) => {}
            }
        } else if let Err(problem) = ground.perform(vec![write]).await? {
            return refused(problem);
        }
        // Right after a cycle, so that the next one is far: a sidecar with --delete would remove what is put in the folder.
        ground.cycles.quiet(Instant::now() + within.0).await;
        Ok(())
    }

    /// Removes the probe of the mount, which the new pod would copy into its export.
    async fn forget_probe(&self, site: &Site) {
        let is_probe =
            |placed: &Placed| placed.case == site.id && placed.place == Place::Host && !placed.name.ends_with(WRITTEN);
        for placed in site.shared.ledger.placed(is_probe) {
            // What cannot be removed stays in the ledger, and also for the export.
            if site.shared.host.remove(&placed.server, &placed.name).await.is_ok() {
                site.shared.ledger.removed(&placed);
            } else {
                site.shared.ledger.place(site.exported(&placed));
            }
        }
    }

    async fn delete(&self, site: &Site, pod: &Pod, at: Instant) -> Result<(), Verdict> {
        let shared = &site.shared;
        let uid = pod.uid().unwrap_or_default();
        let (server, select) = (site.server().to_owned(), site.system.pods.clone());
        let disturbed = Disturbed { case: site.id.clone(), server, select, deletes: uid.clone(), at };
        shared.disturb(disturbed.clone());
        let Err(error) = shared.cluster.delete_pod(&pod.name_any(), &uid).await else { return Ok(()) };
        if let ApiError::Forbidden { .. } | ApiError::Unauthorized { .. } | ApiError::NotFound { .. } = error {
            shared.recovered(&disturbed);
        }
        let object = format!("pod {}", pod.name_any());
        Err(Verdict::error(Reason::new(object, "to be deleted", error.to_string()).hint(error.hint())))
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
