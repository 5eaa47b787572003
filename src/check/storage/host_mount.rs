//! `host-mount`: the tester's folder and what a container of the pod mounts are one folder, both ways.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use super::mount::{Mount, Way};
use crate::check::parameter::Span;
use crate::check::sync::way;
use crate::check::{Kind, Need, Part, Site, System, millis};
use crate::cluster::container;
use crate::cluster::{Operation, ResourceExt};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// The first pause between two looks through the mount; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostMount {
    /// How long the two sides may differ.
    pub within: Span,
}

impl Kind for HostMount {
    type Observation = Mount;
    const HOPS: &'static [Hop] = &[Hop::Host, Hop::Mount];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    async fn observe(&self, site: &Site) -> Result<Mount, Verdict> {
        let (pod, population) = site.pod().await?;
        self.once(site, &pod, population.now).await
    }

    fn judge(&self, _: &System, seen: &Mount) -> Verdict {
        seen.verdict()
    }
}

impl HostMount {
    /// The mount of the server under test, probed once in a run.
    pub async fn once(&self, site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<Mount, Verdict> {
        let container = site.system.sidecar_name();
        let place = container::place(pod, container);
        if let Some(view) = container::named(pod, container)
            && container::is_restless(pod, &view, site.system.restart_window.signed(), now)
        {
            return Err(site.blocked(Reason::new(place, "to run steadily", view.describe())));
        }
        site.shared.once(place, self.probe(site, pod)).await
    }

    /// Writes a file here and looks at it there, then changes it there and looks at it here.
    async fn probe(&self, site: &Site, pod: &Pod) -> Result<Mount, Verdict> {
        let (shared, container) = (&site.shared, site.system.sidecar_name());
        let object = || container::place(pod, container);
        let view = container::named(pod, container);
        let mounts = view.as_ref().map(|view| container::tester_folders(pod, view, site.server())).unwrap_or_default();
        let Some(mount) = mounts.first() else {
            let seen = if view.is_some() { "it mounts no hostPath" } else { "there is no such container" };
            let expected = "to mount the tester's folder, so that it can be probed";
            return Err(Verdict::error(Reason::new(object(), expected, seen)));
        };
        site.running(pod, container)?;
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
        // Followed so that tidying up knows when the probe can go.
        site.cycles(pod);
        // A sidecar with --delete removes the file when its cycle falls between writing and looking, for which a
        // command that waits for its turn leaves it more time: try again then.
        for attempt in ["mount.txt", "mount-again.txt", "mount-once-more.txt"] {
            let placed = site.file(attempt);
            shared.ledger.place(placed.clone());
            let vanished = self.both_ways(site, pod, &placed.name, &mut seen).await?;
            // It was there a moment ago.
            way::is_there(site).await?;
            if !vanished {
                return Ok(seen);
            }
        }
        let expected = format!("a file written into {} to stay there for a second", seen.folder);
        let hint =
            "something removes files there all the time, such as a sidecar with --delete and a very short interval";
        Err(Verdict::error(Reason::new(object(), expected, "it vanished each time").hint(hint)))
    }

    /// Fills in both ways; `true` if the file vanished meanwhile.
    async fn both_ways(&self, site: &Site, pod: &Pod, name: &str, seen: &mut Mount) -> Result<bool, Verdict> {
        let (container, within) = (site.system.sidecar_name(), self.within.0);
        let host = &site.shared.host;
        let path = format!("{}/{name}", seen.path);
        let (here, there) = (format!("{name} written here"), format!("{name} written in the pod"));
        if let Err(error) = host.create(site.server(), name, here.as_bytes()).await {
            seen.to_pod = Some(Way::Unwritable(error.to_string()));
            return Ok(false);
        }
        let has_vanished = async || host.look(site.server(), name, &Digest::of(&here)).await == Seen::Absent;
        let mut first = None;
        let mut pause = PAUSE;
        loop {
            let (output, problem) = site.try_exec(pod, container, &Operation::Read { path: path.clone() }).await?;
            // Not from when it was asked for: where commands are slow, there would be no second look.
            let (started, looked) = *first.get_or_insert((output.sent, output.ended));
            if problem.is_none() && output.stdout == here.as_bytes() {
                seen.to_pod = Some(Way::Same(millis(started.elapsed())));
                break;
            }
            let other = || format!("{} other bytes", output.stdout.len());
            seen.to_pod = Some(Way::Other(problem.unwrap_or_else(other)));
            if has_vanished().await {
                return Ok(true);
            }
            if looked.elapsed() + pause > within {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let write = Operation::Write { path, content: there.clone() };
        let (output, problem) = site.try_exec(pod, container, &write).await?;
        if let Some(problem) = problem {
            seen.to_host = Some(Way::Unwritable(problem));
            return Ok(false);
        }
        seen.to_host =
            Some(match host.arrival(site.server(), name, &Digest::of(&there), output.ended + within).await {
                Ok(_) => Way::Same(millis(output.sent.elapsed())),
                Err(last) => Way::Other(last.to_string()),
            });
        Ok(matches!(seen.to_host, Some(Way::Other(_))) && has_vanished().await)
    }
}
