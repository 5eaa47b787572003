//! What stands in a file's way from the export to the tester's folder before one is written.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::check::parameter::Span;
use crate::check::storage::HostMount;
use crate::check::{Kind, Site};
use crate::cluster::{Cycles, ResourceExt, container};
use crate::event::{Hop, Outcome, Reason, Verdict};
use crate::host::Entry;

/// How long the two sides of the tester's folder may differ while it is probed.
const MOUNT_WITHIN: Duration = Duration::from_secs(5);

/// The sidecar's followed log.
///
/// # Errors
/// FAIL, because nothing copies the export: there is no sidecar, or it is down and will not come up soon. ERROR, because
/// nothing can be written in the export's container.
pub fn cycles(site: &Site, pod: &Pod) -> Result<Arc<Cycles>, Verdict> {
    let name = site.system.sidecar_name();
    let fail = |reason: Reason| Verdict::judged("", vec![reason]).at(Hop::Sidecar);
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

/// Whether the tester's folder is seen not to be the one that the pod mounts: ERROR, blocked by the test `host-mount`.
///
/// # Errors
/// The mount could not be probed.
pub async fn probed(site: &Site, pod: &Arc<Pod>, now: Timestamp) -> Result<Result<(), Verdict>, Verdict> {
    let probe = HostMount { within: Span(MOUNT_WITHIN) };
    let verdict = probe.judge(&site.system, &probe.once(site, pod, now).await?);
    let hop = verdict.hop.unwrap_or(Hop::Mount);
    Ok(match verdict.reasons.into_iter().next() {
        Some(reason) if verdict.outcome == Outcome::Fail => {
            Err(Verdict::blocked(format!("host-mount::{}", site.server()), reason).at(hop))
        }
        _ => Ok(()),
    })
}

/// ERROR where the tester's folder is no longer there: then nothing could arrive in it.
pub async fn is_there(site: &Site) -> Result<(), Verdict> {
    let entry = site.shared.host.entry(site.server()).await;
    if entry == Entry::Folder {
        return Ok(());
    }
    let folder = site.shared.host.folder(site.server()).display().to_string();
    let hint = "make it again, restart the server's pod, which mounts the old one, and run the test again";
    Err(Verdict::error(
        Reason::new(format!("folder {folder}"), "to be there during the whole test", entry.to_string()).hint(hint),
    )
    .at(Hop::Host))
}
