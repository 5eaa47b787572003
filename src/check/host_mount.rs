//! `host-mount`: the tester's folder and what a container of the pod mounts are one folder, both ways.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use super::mount::{Mount, Way};
use super::parameter::{Pattern, Span};
use super::{Kind, Site, millis};
use crate::cluster::container::{self, Restarts};
use crate::cluster::{End, Operation, Output, ResourceExt};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// The first pause between two looks through the mount; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostMount {
    /// The container that mounts the tester's folder.
    pub container: String,
    /// A container that was restarted must have been running for so long since, or it cannot be relied on.
    pub restart_window: Span,
    /// The line of its log that ends a sync cycle: the probe is removed between two of them.
    pub cycle_end: Pattern,
    /// How long the two sides may differ.
    pub within: Span,
}

impl Kind for HostMount {
    type Observation = Mount;
    const HOPS: &'static [Hop] = &[Hop::Host, Hop::Mount];

    async fn observe(&self, site: &Site) -> Result<Mount, Verdict> {
        let (pod, population) = site.pod().await?;
        let (container, cycle_end, within) = (&self.container, &self.cycle_end, self.within.0);
        let probe = Probe { site, pod: &pod, container, cycle_end, within };
        probe.once(self.restart_window, population.now).await
    }

    fn judge(&self, seen: &Mount) -> Verdict {
        seen.verdict()
    }
}

/// What a probe of the mount needs.
pub struct Probe<'a> {
    /// The test that probes.
    pub site: &'a Site,
    /// The pod of its server.
    pub pod: &'a Arc<Pod>,
    /// The container that mounts the tester's folder.
    pub container: &'a str,
    /// The line of its log that ends a sync cycle.
    pub cycle_end: &'a Pattern,
    /// How long the two sides may differ.
    pub within: Duration,
}

impl Probe<'_> {
    /// The mount of the server under test, probed once in a run.
    ///
    /// # Errors
    /// The container has no such mount, does not run steadily, or nothing could be run in it.
    pub async fn once(&self, restart_window: Span, now: Timestamp) -> Result<Mount, Verdict> {
        if let Some(view) = container::named(self.pod, self.container)
            && let Restarts::Recent = container::restarts(self.pod, &view, restart_window.signed(), now)
        {
            let reason = Reason::new(container::place(self.pod, self.container), "to run steadily", view.describe());
            return Err(self.site.blocked(reason));
        }
        self.site.mount_cell(self.pod, self.container).get_or_init(|| self.probe()).await.clone()
    }

    /// Writes a file here and looks at it there, then changes it there and looks at it here.
    async fn probe(&self) -> Result<Mount, Verdict> {
        let Self { site, pod, container, .. } = *self;
        let shared = &site.shared;
        let object = || container::place(pod, container);
        let view = container::named(pod, container);
        let mounts = view.as_ref().map(|view| container::tester_folders(pod, view, site.server())).unwrap_or_default();
        let (Some(view), Some(mount)) = (view, mounts.first()) else {
            let seen = if view.is_some() { "it mounts no hostPath" } else { "there is no such container" };
            return Err(Verdict::error(Reason::new(
                object(),
                "to mount the tester's folder, so that it can be probed",
                seen,
            )));
        };
        if view.running_since().is_none() {
            return Err(site.blocked(Reason::new(object(), "running", view.describe())));
        }
        let folder = shared.host.folder(site.server());
        let mut seen = Mount {
            context: shared.cluster.context().to_owned(),
            namespace: shared.cluster.namespace().to_owned(),
            pod: pod.name_any(),
            container: container.to_owned(),
            root: shared.host.root().display().to_string(),
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
        // Followed so that tidying up knows when the probe can go.
        site.cycles(pod, container, &self.cycle_end.0);
        // A sidecar with --delete removes the file when its cycle falls between writing and looking: try once more then.
        for attempt in ["mount", "mount-again"] {
            let placed = site.file(attempt);
            shared.ledger.place(placed.clone());
            let vanished = self.both_ways(&placed.name, &mut seen).await?;
            if !vanished {
                return Ok(seen);
            }
        }
        let expected = format!("a file written into {} to stay there for a second", seen.folder);
        let hint =
            "something removes files there all the time, such as a sidecar with --delete and a very short interval";
        Err(Verdict::error(Reason::new(object(), expected, "it vanished twice").hint(hint)))
    }

    /// Fills in both ways; `true` if the file vanished meanwhile.
    async fn both_ways(&self, name: &str, seen: &mut Mount) -> Result<bool, Verdict> {
        let Self { site, pod, container, within, .. } = *self;
        let host = &site.shared.host;
        let path = format!("{}/{name}", seen.path);
        let (here, there) = (format!("{name} written here"), format!("{name} written in the pod"));
        if let Err(error) = host.create(site.server(), name, here.as_bytes()).await {
            seen.to_pod = Some(Way::Other(format!("it cannot be written: {error}")));
            return Ok(false);
        }
        let has_vanished = async || host.look(site.server(), name, here.as_bytes()).await == Seen::Absent;
        let object = container::place(pod, container);
        let mut first = None;
        let mut pause = PAUSE;
        loop {
            let output = site.exec(pod, container, &Operation::Read { path: path.clone() }).await?;
            let started = *first.get_or_insert(output.sent);
            let problem = judgeable(&object, &output)?;
            if problem.is_none() && output.stdout == here.as_bytes() {
                seen.to_pod = Some(Way::Same(millis(started.elapsed())));
                break;
            }
            let other = || format!("{} other bytes", output.stdout.len());
            seen.to_pod = Some(Way::Other(problem.unwrap_or_else(other)));
            if has_vanished().await {
                return Ok(true);
            }
            if started.elapsed() + pause > within {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let output = site.exec(pod, container, &Operation::Write { path, content: there.clone() }).await?;
        if let Some(problem) = judgeable(&object, &output)? {
            seen.to_host = Some(Way::Other(format!("it cannot be written: {problem}")));
            return Ok(false);
        }
        seen.to_host = Some(match host.arrival(site.server(), name, there.as_bytes(), output.ended + within).await {
            Ok(_) => Way::Same(millis(output.sent.elapsed())),
            Err(last) => Way::Other(last.to_string()),
        });
        Ok(matches!(seen.to_host, Some(Way::Other(_))) && has_vanished().await)
    }
}

/// What a command said is wrong; a verdict if the container ended under it, which says nothing about the mount.
fn judgeable(object: &str, output: &Output) -> Result<Option<String>, Verdict> {
    let problem = output.problem();
    match &output.end {
        // A command that a signal ended has 128 and the signal's number.
        End::Exited(code) if *code <= 128 => Ok(problem),
        _ => {
            let seen = problem.unwrap_or_default();
            Err(Verdict::error(
                Reason::new(object, "to run a command to its end", seen).hint("look whether it restarts"),
            ))
        }
    }
}
