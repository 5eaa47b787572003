//! The route from a pod's export to the host folder: writing files, waiting until they arrive, and what blocks a test before
//! the first write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::delivery::{Arrival, Delivery, ExpectedFile, SyncPair, WrongFile, count_files};
use crate::check::parameter::DurationParam;
use crate::check::storage::HostMount;
use crate::check::{Kind, Site, System, TestFile, millis};
use crate::cluster::{ApiError, FollowedLog, LogState, Operation, Output, ResourceExt, container};
use crate::digest::Digest;
use crate::event::{Hop, Outcome, Reason, Verdict};
use crate::host::Host;
use crate::random;

/// How long reading all files in the host folder may take, beyond the wait for them.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the two sides of the host folder may differ while the mount is probed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_FILES: usize = 10_000;

/// From a pod's export, by its sidecar, to this machine's folder.
pub struct Route<'a> {
    pub site: &'a Site,
    pub pod: Arc<Pod>,
    pub log: Arc<FollowedLog>,
    pub within: DurationParam,
}

impl<'a> Route<'a> {
    /// The route of the test's server, with the names of its ends.
    /// Errors: FAIL where no sidecar copies files. ERROR where nothing can be written, or the host folder is known not
    /// to be the one that the pod mounts. Where the mount cannot be probed, or only through a container that may end,
    /// the test's files show more than the probe.
    pub async fn open(site: &'a Site, within: DurationParam) -> Result<(SyncPair, Self), Verdict> {
        let (pod, snapshot) = site.pod().await?;
        let log = require_followed_log(site, &pod)?;
        if let Ok(Some(blocked)) = blocked_by_mount(site, &pod, snapshot.now).await {
            return Err(blocked);
        }
        let folder = site.shared.host.folder(site.server()).display().to_string();
        let pair = SyncPair { pod: pod.name_any(), folder };
        Ok((pair, Self { site, pod, log, within }))
    }

    /// Registers a file or folder of the test in the ledger, in the export and in the host folder.
    pub fn register(&self, what: &str) -> TestFile {
        let file = self.site.file(what);
        self.site.register(&self.pod, &file);
        file
    }

    pub fn path(&self, name: &str) -> String {
        self.site.path(name)
    }

    /// The operation that writes a file into the test's folder in the export, and the file that must arrive.
    pub fn nested(&self, folder: &str, name: &str, content: String) -> (Operation, ExpectedFile) {
        let expected = (format!("{folder}/{name}"), Digest::of(&content));
        (Operation::WriteNested { folder: self.path(folder), name: name.to_owned(), content }, expected)
    }

    /// Runs operations in the export's container, one after the other; their outputs, and the first problem.
    pub async fn run(&self, operations: Vec<Operation>) -> Result<(Vec<Output>, Option<String>), Verdict> {
        let outputs = self.site.exec_all(&self.pod, &self.site.system.export.container, operations).await?;
        let problem = outputs.iter().find_map(Output::problem);
        Ok((outputs, problem))
    }

    /// Writes files, and waits until the sync cycle that copied them has ended.
    pub async fn deliver(&self, writes: Vec<Operation>, expected: &[ExpectedFile]) -> Result<Delivery, Verdict> {
        let listed: Vec<usize> = expected.iter().map(|(name, _)| self.listing_count(name)).collect();
        let what = format!("{} to arrive in the host folder", count_files(expected.len()));
        self.site.waiting(what, self.within.0);
        match self.run(writes).await? {
            (_, Some(problem)) => Ok(Delivery(Err(problem))),
            _ => self.follow(expected, &listed, Instant::now()).await,
        }
    }

    pub fn listing_count(&self, name: &str) -> usize {
        self.log.state().listings(name).len()
    }

    /// Waits until the sync cycle that copied the files has ended, and traces the first that did not arrive; `listed` is how
    /// often the log had listed each before it was written.
    pub async fn follow(
        &self,
        expected: &[ExpectedFile],
        listed: &[usize],
        written: Instant,
    ) -> Result<Delivery, Verdict> {
        let deadline = written + self.within.0;
        let (host, server) = (&self.site.shared.host, self.site.server());
        let looked = incomplete(host, server, expected, Some(deadline), deadline + LOOK_TIMEOUT).await;
        let mut wrong = looked.map_err(|unknown| self.no_folder_reply(unknown))?;
        let noticed = Instant::now();
        if wrong.is_empty() {
            let ended = self.log.wait_for(noticed + self.within.0, |log| {
                let mut files = expected.iter().zip(listed);
                log.is_denied() || files.all(|((name, _), listed)| log.copying_cycle_ended(name, *listed, noticed))
            });
            let has_ended = ended.await && !self.log.state().is_denied();
            let looked = incomplete(host, server, expected, None, Instant::now() + LOOK_TIMEOUT).await;
            wrong = looked.map_err(|unknown| self.no_folder_reply(unknown))?;
            if wrong.is_empty() && !has_ended {
                return Err(self.no_cycle_end());
            }
        }
        if let Some(first) = wrong.first_mut() {
            self.site.require_host_folder().await?;
            let lost = expected.iter().find(|(name, _)| *name == first.name && !first.had_arrived);
            if let Some((name, content)) = lost {
                first.trace = Some(self.trace(name, content, written).await);
            }
        }
        Ok(Delivery(Ok(Arrival { files: expected.len(), millis: millis(noticed - written), wrong })))
    }

    fn no_folder_reply(&self, unknown: usize) -> Verdict {
        let object = format!("folder {}", self.site.shared.host.folder(self.site.server()).display());
        let seen = format!("no reply for {} within {} s", count_files(unknown), LOOK_TIMEOUT.as_secs());
        let hint = "check whether it is a network folder or a virus scanner is busy, and run the test again";
        Verdict::error(Reason::new(object, "to be readable", seen).hint(hint)).at(Hop::Host)
    }

    /// Waits until so many sync cycles have ended. All but the first begin after this call.
    /// Errors: a cycle takes longer than `within`.
    pub async fn wait_for_cycles(&self, count: u8) -> Result<(), Verdict> {
        for _ in 0..count {
            let since = Instant::now();
            let has_ended = |log: &LogState| log.is_denied() || log.any_cycle_ended_since(since);
            if !self.log.wait_for(since + self.within.0, has_ended).await || self.log.state().is_denied() {
                return Err(self.no_cycle_end());
            }
        }
        Ok(())
    }

    fn no_cycle_end(&self) -> Verdict {
        let log = self.log.state();
        match log.error.as_ref().filter(|_| log.is_denied()) {
            Some(error) => self.site.request_failed(error),
            None => no_cycle_end(&self.pod, &self.site.system, self.within, log.error.as_ref()),
        }
    }

    pub async fn unexpected_files(&self, folder: &str, expected: &[ExpectedFile]) -> Result<Vec<String>, Verdict> {
        let host = &self.site.shared.host;
        let found = host.files_in(self.site.server(), folder, MAX_FILES).await.map_err(|error| {
            let object = format!("folder {}", host.folder(self.site.server()).join(folder).display());
            Verdict::error(Reason::new(object, "to be listed", error.to_string())).at(Hop::Host)
        })?;
        let names: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let found = found.into_iter().map(|(path, _)| format!("{folder}/{path}"));
        Ok(found.filter(|name| !names.contains(name.as_str())).collect())
    }
}

fn no_cycle_end(pod: &Pod, system: &System, within: DurationParam, error: Option<&ApiError>) -> Verdict {
    let end = system.sidecar.as_ref().map_or("", |sidecar| sidecar.cycle_end.0.as_str());
    let expected = format!("a line like {end} in its log within {within}");
    let seen = error.map_or("no such line".to_owned(), ApiError::to_string);
    let reason = Reason::new(container::label(pod, system.sidecar_name()), expected, seen);
    Verdict::error(reason.hint("read its log")).at(Hop::Sidecar)
}

/// The sidecar's followed log.
/// Errors: FAIL where nothing copies the export: the sidecar is missing or stuck. ERROR where the export's container
/// does not run.
pub fn require_followed_log(site: &Site, pod: &Pod) -> Result<Arc<FollowedLog>, Verdict> {
    let name = site.system.sidecar_name();
    let fail = |reason: Reason| Verdict::fail(reason).at(Hop::Sidecar);
    let no_sidecar = || {
        let expected = format!("a sidecar {name} that copies the export");
        let reason = Reason::new(format!("pod {}", pod.name_any()), expected, "no such container");
        fail(reason.hint("enable the server's sidecar in the values and run helm upgrade"))
    };
    let view = container::named(pod, name).ok_or_else(no_sidecar)?;
    if view.is_stuck() {
        let object = container::label(pod, name);
        let reason = Reason::new(object, "running, to copy the export", view.describe());
        return Err(fail(reason.hint("read its log and check the pod's events")));
    }
    site.require_running(pod, &site.system.export.container)?;
    site.followed_log(pod).ok_or_else(no_sidecar)
}

/// ERROR, blocked by the test `host-mount`, where the pod is known to mount a folder other than the host folder.
pub async fn blocked_by_mount(site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<Option<Verdict>, Verdict> {
    let probe = HostMount { within: DurationParam(PROBE_TIMEOUT) };
    let verdict = probe.judge(&site.system, &probe.once(site, pod, now).await?);
    let hop = verdict.hop.unwrap_or(Hop::Mount);
    let wrong = verdict.reasons.into_iter().next().filter(|_| verdict.outcome == Outcome::Fail);
    Ok(wrong.map(|reason| Verdict::blocked(format!("host-mount::{}", site.server()), reason).at(hop)))
}

/// Unique content; with its line end 64 bytes, so that pieces of a file are made of whole lines.
pub fn random_line() -> String {
    random::text(63)
}

/// The files that are not complete. With a limit, waits for each until then: it has not arrived. Without, it had arrived
/// before. No file is read after `end`.
/// Errors: all files that were read are complete, and the folder did not reply in time for so many others.
async fn incomplete(
    host: &Host,
    server: &str,
    expected: &[ExpectedFile],
    deadline: Option<Instant>,
    end: Instant,
) -> Result<Vec<WrongFile>, usize> {
    let (mut wrong, mut unknown) = (Vec::new(), 0);
    for (name, content) in expected {
        let look = host.arrival(server, name, content, deadline.unwrap_or_else(Instant::now));
        let looked = if Instant::now() < end { tokio::time::timeout_at(end, look).await.ok() } else { None };
        match looked {
            None => unknown += 1,
            Some(Ok(_)) => {}
            Some(Err(seen)) => {
                let seen = seen.to_string();
                wrong.push(WrongFile { name: name.clone(), had_arrived: deadline.is_none(), seen, trace: None });
            }
        }
    }
    if wrong.is_empty() && unknown > 0 { Err(unknown) } else { Ok(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::system::tests::system;
    use crate::cluster::example::output_pod;

    #[test]
    fn a_log_without_the_end_of_a_cycle_is_an_error_of_the_sidecar() {
        let pod = serde_json::from_value(output_pod()).unwrap();
        let verdict = no_cycle_end(&pod, &system(), DurationParam(Duration::from_secs(60)), None);
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Error, Some(Hop::Sidecar)));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_that_does_not_reply_is_not_asked_for_each_of_many_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        // Readers of a FIFO wait for a writer.
        let silent = root.path().join("nas/silent");
        assert!(std::process::Command::new("mkfifo").arg(&silent).status().unwrap().success());
        std::fs::write(root.path().join("nas/there"), "whole").unwrap();
        let expected = ["there", "silent", "there", "missing"].map(|name| (name.to_owned(), Digest::of("whole")));
        let host = Host::new(root.path().to_owned());
        for deadline in [Some(Instant::now()), None] {
            let end = Instant::now() + Duration::from_millis(300);
            let unknown = incomplete(&host, "nas", &expected, deadline, end).await.unwrap_err();
            assert_eq!(unknown, 3, "all but the first");
            // Releases the reader.
            std::fs::OpenOptions::new().write(true).open(&silent).unwrap();
        }
        let wrong = incomplete(&host, "nas", &expected[2..], None, Instant::now() + LOOK_TIMEOUT).await.unwrap();
        assert!(wrong.len() == 1 && wrong[0].name == "missing" && wrong[0].had_arrived, "{wrong:?}");
    }
}
