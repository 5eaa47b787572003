//! Where files are written and where they must arrive: what all tests do alike that follow files from the export to the tester's
//! folder, and what may stand in their way before the first is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::scene::{Arrival, Delivery, Scene, Wanted, Wrong, counted};
use crate::check::parameter::Span;
use crate::check::storage::HostMount;
use crate::check::{Kind, Placed, Site, millis};
use crate::cluster::{CycleLog, Cycles, Operation, Output, ResourceExt, container};
use crate::digest::Digest;
use crate::event::{Hop, Outcome, Reason, Verdict};
use crate::host::Host;
use crate::random;

/// How long all looks into the host folder may take beyond the wait for what is looked at.
const LOOKS: Duration = Duration::from_secs(30);
/// How long the two sides of the host folder may differ while it is probed.
const MOUNT_WITHIN: Duration = Duration::from_secs(5);

/// More files than this are not looked through in a folder of the test's own.
const MOST_FILES: usize = 10_000;
/// What no file is called: with it only the ends of cycles count.
pub const NO_FILE: &str = "\0";

/// A pod whose export is copied to this machine's folder.
pub struct Ground<'a> {
    pub site: &'a Site,
    pub pod: Arc<Pod>,
    pub cycles: Arc<Cycles>,
    pub within: Span,
}

impl<'a> Ground<'a> {
    /// The ground of a test.
    ///
    /// # Errors
    /// FAIL, because nothing would copy what is written; ERROR where nothing can be written, or the host folder is seen not
    /// to be the one that the pod mounts. Where the mount cannot be probed, or only through a container that may end meanwhile,
    /// a file is the better witness.
    pub async fn enter(site: &'a Site, within: Span) -> Result<(Scene, Self), Verdict> {
        let (pod, population) = site.pod().await?;
        let cycles = followed(site, &pod)?;
        if let Ok(Some(blocked)) = another_folder(site, &pod, population.now).await {
            return Err(blocked);
        }
        let folder = site.shared.host.folder(site.server()).display().to_string();
        let scene = Scene { pod: pod.name_any(), folder };
        Ok((scene, Self { site, pod, cycles, within }))
    }

    /// A file or folder of the test's, noted in the ledger here and in the export; `what` tells it from its others.
    pub fn place(&self, what: &str) -> Placed {
        let placed = self.site.file(what);
        self.site.place(&self.pod, &placed);
        placed
    }

    pub fn path(&self, name: &str) -> String {
        self.site.path(name)
    }

    /// How a file is written into a folder of the test's own in the export, and what must arrive then.
    pub fn nested(&self, folder: &str, name: &str, content: String) -> (Operation, Wanted) {
        let wanted = (format!("{folder}/{name}"), Digest::of(&content));
        (Operation::WriteNested { folder: self.path(folder), name: name.to_owned(), content }, wanted)
    }

    /// Does operations in the export's container, one right after the other, and says what went wrong first, if anything did.
    pub async fn perform(&self, operations: Vec<Operation>) -> Result<(Vec<Output>, Option<String>), Verdict> {
        let outputs = self.site.exec_all(&self.pod, &self.site.system.export.container, operations).await?;
        let problem = outputs.iter().find_map(Output::problem);
        Ok((outputs, problem))
    }

    /// Writes, and follows the files until the cycle has ended that brought them.
    pub async fn deliver(&self, writes: Vec<Operation>, wanted: &[Wanted]) -> Result<Delivery, Verdict> {
        let listed: Vec<usize> = wanted.iter().map(|(name, _)| self.listed(name)).collect();
        let what = format!("{} on the way to the folder", counted(wanted.len()));
        self.site.waiting(what, self.within.0);
        match self.perform(writes).await? {
            (_, Some(problem)) => Ok(Delivery(Err(problem))),
            _ => self.follow(wanted, &listed, Instant::now()).await,
        }
    }

    pub fn listed(&self, name: &str) -> usize {
        self.cycles.log().listings(name).len()
    }

    /// Follows files until the cycle has ended that brought them, and looks for the first that did not arrive; each had been
    /// listed so often before it was written.
    pub async fn follow(&self, wanted: &[Wanted], listed: &[usize], written: Instant) -> Result<Delivery, Verdict> {
        let limit = written + self.within.0;
        let (host, server) = (&self.site.shared.host, self.site.server());
        let looked = not_whole(host, server, wanted, Some(limit), limit + LOOKS).await;
        let mut wrong = looked.map_err(|unknown| self.no_answer(unknown))?;
        let noticed = Instant::now();
        if wrong.is_empty() {
            let ended = self.cycles.wait_for(noticed + self.within.0, |log| {
                let mut files = wanted.iter().zip(listed);
                log.is_denied() || files.all(|((name, _), listed)| log.ended_after(name, *listed, noticed))
            });
            let has_ended = ended.await && !self.cycles.log().is_denied();
            let looked = not_whole(host, server, wanted, None, Instant::now() + LOOKS).await;
            wrong = looked.map_err(|unknown| self.no_answer(unknown))?;
            if wrong.is_empty() && !has_ended {
                return Err(self.no_end());
            }
        }
        if let Some(first) = wrong.first_mut() {
            self.site.still_there().await?;
            let lost = wanted.iter().find(|(name, _)| *name == first.name && !first.had_arrived);
            if let Some((name, content)) = lost {
                first.trail = Some(self.search(name, content, written).await);
            }
        }
        Ok(Delivery(Ok(Arrival { files: wanted.len(), millis: millis(noticed - written), wrong })))
    }

    /// ERROR, because the host folder did not answer for so many files.
    fn no_answer(&self, unknown: usize) -> Verdict {
        let object = format!("folder {}", self.site.shared.host.folder(self.site.server()).display());
        let seen = format!("no answer for {} within {}s", counted(unknown), LOOKS.as_secs());
        let hint = "look whether it is on a network, or a virus scanner is at work, and run the test again";
        Verdict::error(Reason::new(object, "to be readable", seen).hint(hint)).at(Hop::Host)
    }

    /// Waits until so many cycles have ended. All but the first began after this was called.
    ///
    /// # Errors
    /// One took longer than it may.
    pub async fn ends(&self, count: u8) -> Result<(), Verdict> {
        for _ in 0..count {
            let since = Instant::now();
            let has_ended = |log: &CycleLog| log.is_denied() || log.ended_after(NO_FILE, 0, since);
            if !self.cycles.wait_for(since + self.within.0, has_ended).await || self.cycles.log().is_denied() {
                return Err(self.no_end());
            }
        }
        Ok(())
    }

    /// ERROR, because the log told of no end of a cycle.
    fn no_end(&self) -> Verdict {
        let log = self.cycles.log();
        if let Some(error) = log.error.as_ref().filter(|_| log.is_denied()) {
            return self.site.no_answer(error);
        }
        let object = container::place(&self.pod, self.site.system.sidecar_name());
        let end = self.site.system.sidecar.as_ref().map_or("", |sidecar| sidecar.cycle_end.0.as_str());
        let expected = format!("a line like {end} in its log within {}", self.within);
        let seen = log.error.map_or("none".to_owned(), |error| error.to_string());
        Verdict::error(Reason::new(object, expected, seen).hint("look at its log")).at(Hop::Sidecar)
    }

    /// What is in a folder of the test's own, beside the files that it wants there.
    pub async fn strangers(&self, folder: &str, wanted: &[Wanted]) -> Result<Vec<String>, Verdict> {
        let host = &self.site.shared.host;
        let found = host.files_in(self.site.server(), folder, MOST_FILES).await.map_err(|error| {
            let object = format!("folder {}", host.folder(self.site.server()).join(folder).display());
            Verdict::error(Reason::new(object, "to be listed", error.to_string())).at(Hop::Host)
        })?;
        let names: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        let found = found.into_iter().map(|(path, _)| format!("{folder}/{path}"));
        Ok(found.filter(|name| !names.contains(name.as_str())).collect())
    }
}

/// The sidecar's followed log.
///
/// # Errors
/// FAIL, because nothing copies the export: there is no sidecar, or it is down and will not come up soon. ERROR, because
/// nothing can be written in the export's container.
pub fn followed(site: &Site, pod: &Pod) -> Result<Arc<Cycles>, Verdict> {
    let name = site.system.sidecar_name();
    let fail = |reason: Reason| Verdict::fail(reason).at(Hop::Sidecar);
    let no_sidecar = || {
        let expected = format!("a container {name}, which copies the export");
        let reason = Reason::new(format!("pod {}", pod.name_any()), expected, "no such container");
        fail(reason.hint("enable the server's sidecar in the values and run helm upgrade"))
    };
    let view = container::named(pod, name).ok_or_else(no_sidecar)?;
    if view.is_stuck() {
        let object = container::place(pod, name);
        let reason = Reason::new(object, "to run, because it copies the export", view.describe());
        return Err(fail(reason.hint("look at its log and the pod's events")));
    }
    site.running(pod, &site.system.export.container)?;
    site.cycles(pod).ok_or_else(no_sidecar)
}

/// ERROR, blocked by the test `host-mount`, where the host folder is seen not to be the one that the pod mounts.
///
/// # Errors
/// The mount could not be probed.
pub async fn another_folder(site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<Option<Verdict>, Verdict> {
    let probe = HostMount { within: Span(MOUNT_WITHIN) };
    let verdict = probe.judge(&site.system, &probe.once(site, pod, now).await?);
    let hop = verdict.hop.unwrap_or(Hop::Mount);
    let wrong = verdict.reasons.into_iter().next().filter(|_| verdict.outcome == Outcome::Fail);
    Ok(wrong.map(|reason| Verdict::blocked(format!("host-mount::{}", site.server()), reason).at(hop)))
}

/// A line that no other file has.
pub fn line() -> String {
    // With its end a power of two, so that pieces are easily of whole lines.
    random::text(63)
}

/// Those of the files that are not whole, looked at in turn: each is awaited until the limit, if there is one; then it has
/// not arrived, else it was whole before. After the end none is looked at.
///
/// # Errors
/// All that were looked at are whole, and the folder did not answer in time for the others: so many.
async fn not_whole(
    host: &Host,
    server: &str,
    wanted: &[Wanted],
    limit: Option<Instant>,
    end: Instant,
) -> Result<Vec<Wrong>, usize> {
    let (mut wrong, mut unknown) = (Vec::new(), 0);
    for (name, content) in wanted {
        let look = host.arrival(server, name, content, limit.unwrap_or_else(Instant::now));
        let looked = if Instant::now() < end { tokio::time::timeout_at(end, look).await.ok() } else { None };
        match looked {
            None => unknown += 1,
            Some(Ok(_)) => {}
            Some(Err(seen)) => {
                let seen = seen.to_string();
                wrong.push(Wrong { name: name.clone(), had_arrived: limit.is_none(), seen, trail: None });
            }
        }
    }
    if wrong.is_empty() && unknown > 0 { Err(unknown) } else { Ok(wrong) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_does_not_answer_is_not_asked_for_each_of_many_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        // Whoever reads it waits for a writer.
        let silent = root.path().join("nas/silent");
        assert!(std::process::Command::new("mkfifo").arg(&silent).status().unwrap().success());
        std::fs::write(root.path().join("nas/there"), "whole").unwrap();
        let wanted = ["there", "silent", "there", "missing"].map(|name| (name.to_owned(), Digest::of("whole")));
        let host = Host::new(root.path().to_owned());
        for limit in [Some(Instant::now()), None] {
            let end = Instant::now() + Duration::from_millis(300);
            let unknown = not_whole(&host, "nas", &wanted, limit, end).await.unwrap_err();
            assert_eq!(unknown, 3, "all but the first");
            // Lets the reader go.
            std::fs::OpenOptions::new().write(true).open(&silent).unwrap();
        }
        let wrong = not_whole(&host, "nas", &wanted[2..], None, Instant::now() + LOOKS).await.unwrap();
        assert!(wrong.len() == 1 && wrong[0].name == "missing" && wrong[0].had_arrived, "{wrong:?}");
    }
}
