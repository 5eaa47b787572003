//! `sidecar-set-up`: a sidecar's mounts, resources and start-up log lines.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::resources;
use crate::check::findings::{EDITED, Findings};
use crate::check::parameter::{Expected, Pattern};
use crate::check::{Kind, Need, Part, Sidecar, Site, System};
use crate::cluster::container::{self, View};
use crate::cluster::{LogLine, ResourceExt, script};
use crate::event::{Hop, Reason, Verdict};

/// A log whose first line comes later than this after the container's start was rotated.
const ROTATED: SignedDuration = SignedDuration::from_secs(10);
/// Time within which a sidecar logs its start-up lines, even if it installs rsync first.
const START_UP: SignedDuration = SignedDuration::from_secs(60);
/// How much longer than its interval a sidecar may log nothing.
const SILENCE: SignedDuration = SignedDuration::from_secs(5);
/// Bytes read from the start of the log: the output of apk precedes the start-up lines.
const HEAD_BYTES: i64 = 8192;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SidecarSetUp {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    pod: Arc<Pod>,
    resources: Expected,
    interval: Expected,
    /// The start of the log; `None` if the sidecar does not run.
    head: Option<Vec<LogLine>>,
    /// Candidates for the interval in its command and environment, in seconds.
    live: Vec<String>,
}

impl Kind for SidecarSetUp {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar, Part::Folder];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, snapshot) = site.steady_pod().await?;
        let (sidecar, facts) = (site.system.sidecar()?, &site.system.facts);
        let resources = site.expected(facts.sidecar_resources.as_ref())?;
        let interval = site.expected(facts.sync_interval.as_ref())?;
        let name = &sidecar.container;
        let since = container::named(&pod, name).and_then(|view| view.running_since());
        let mut head = None;
        if let Some(since) = since {
            // A freshly rotated log is empty until the next cycle; a starting sidecar may install rsync first.
            let cycle = interval.text().and_then(|text| text.parse().ok()).map_or(START_UP, SignedDuration::from_secs);
            let starting = (START_UP - snapshot.now.duration_since(since)).min(START_UP);
            let [cycle, starting] =
                [cycle + SILENCE, starting].map(|time| Duration::try_from(time).unwrap_or_default());
            let begun = tokio::time::Instant::now();
            loop {
                let read = site.shared.cluster.log(&pod.name_any(), name, None, HEAD_BYTES).await;
                let lines = read.map_err(|error| site.request_failed(&error))?;
                let left = if lines.is_empty() { cycle } else { starting };
                let is_logged = |pattern: &Pattern| lines.iter().any(|(_, line)| pattern.0.is_match(line));
                let is_complete = is_logged(&sidecar.interval) && sidecar.direction.as_ref().is_none_or(is_logged);
                let is_over = is_logged(&sidecar.cycle_end) || begun.elapsed() >= left;
                let is_first = head.replace(lines).is_none();
                if is_complete || is_over {
                    break;
                }
                if is_first {
                    site.waiting("the sidecar to log its start-up lines", left);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        let live = container::named(&pod, name).map(|view| intervals(&view)).unwrap_or_default();
        Ok(Observation { server: site.server().to_owned(), pod, resources, interval, head, live })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let sidecar = match system.sidecar() {
            Ok(sidecar) => sidecar,
            Err(undescribed) => return undescribed,
        };
        let name = &sidecar.container;
        let object = container::label(&seen.pod, name);
        let Some(view) = container::named(&seen.pod, name) else {
            let hint = "enable the server's sidecar in the values and run helm upgrade";
            let reason = Reason::new(object, "a sidecar", container::missing(&seen.pod));
            return Verdict::fail(reason.hint(hint)).at(Hop::Sidecar);
        };
        let mut found = Findings::default();
        for (volume, read_only) in [(&system.export.volume, true), (&system.folder_volume, false)] {
            mounts(&mut found, &object, &view, volume, read_only);
        }
        resources::compare(&mut found, &object, view.resources, &seen.resources);
        match &seen.head {
            Some(head) => start_up(&mut found, &object, sidecar, &view, seen, head),
            None if found.passes() => {
                let reason = Reason::new(object, "running", view.describe());
                return Verdict::blocked(format!("pods::{}", seen.server), reason);
            }
            None => {}
        }
        let interval = seen.interval.text().unwrap_or_default();
        let summary = format!(
            "{name} mounts {} read-only and {} writable, has a sync interval of {interval}s, {}",
            system.export.volume,
            system.folder_volume,
            resources::described(view.resources)
        );
        found.verdict(summary).at(Hop::Sidecar)
    }
}

/// Judges the start-up log lines; without them, the interval in the command and environment.
fn start_up(
    found: &mut Findings,
    object: &str,
    sidecar: &Sidecar,
    view: &View<'_>,
    seen: &Observation,
    head: &[LogLine],
) {
    let Observation { interval, live, .. } = seen;
    let wanted = interval.text().unwrap_or_default();
    let repair = "restart the pod; if its start-up log lines stay the same, run helm upgrade with the intended values";
    let Some((first, _)) = head.first() else {
        let lines: Vec<_> = [Some(&sidecar.interval), sidecar.direction.as_ref()].into_iter().flatten().collect();
        let lines: Vec<_> = lines.into_iter().map(|line| line.0.as_str()).collect();
        let expected = format!("start-up log lines that match {}", lines.join(" and "));
        return found.add_finding(object, expected, "an empty log, even after a full sync cycle", repair);
    };
    let is_rotated = first.duration_since(view.running_since().unwrap_or(Timestamp::UNIX_EPOCH)) > ROTATED;
    let logged = |pattern: &Pattern| head.iter().find_map(|(_, line)| pattern.0.captures(line));
    let none = format!("no such line in the first {HEAD_BYTES} bytes of its log");
    let seconds = logged(&sidecar.interval).and_then(|groups| Some(groups.get(1)?.as_str().to_owned()));
    if !is_rotated && (seconds.is_none() || interval.value.is_some() && seconds.as_ref() != Some(&wanted)) {
        let expected =
            format!("a start-up log line that matches {} with {wanted} ({})", sidecar.interval.0, interval.source);
        found.add_finding(object, expected, seconds.unwrap_or(none.clone()), repair);
    } else if interval.value.is_some() && !live.is_empty() && !live.contains(&wanted) {
        // No other test fails for an interval longer than the logged one: a slow cycle alone is not a fault.
        let expected = format!("a sync interval of {wanted}s ({})", interval.source);
        found.add_finding(object, expected, format!("{}s in its command or environment", live.join("s, ")), repair);
    } else if is_rotated {
        found.note(format!(
            "{object}: log rotation removed its start-up lines; only its command, its environment and the cadence of \
             its cycles show the interval"
        ));
    }
    let direction = sidecar.direction.as_ref().filter(|direction| !is_rotated && logged(direction).is_none());
    if let Some(direction) = direction {
        found.add_finding(object, format!("a start-up log line that matches {}", direction.0), none, repair);
    }
}

fn mounts(found: &mut Findings, object: &str, view: &View<'_>, volume: &str, read_only: bool) {
    let (wanted, other) = if read_only { ("read-only", "writable") } else { ("writable", "read-only") };
    let expected = format!("volume {volume} mounted {wanted}");
    let mut declared = view.mounts.iter().filter(|mount| mount.name == volume).peekable();
    if declared.peek().is_none() {
        return found.add_finding(object, expected, "not mounted", EDITED);
    }
    let declared = declared.filter(|mount| (mount.read_only == Some(true)) != read_only);
    let mut wrong: Vec<_> = declared.map(|mount| format!("{other} at {}", mount.mount_path)).collect();
    if wrong.is_empty() {
        // Since Kubernetes 1.31 the status has the actual mounts.
        let status = view.status.and_then(|status| status.volume_mounts.as_ref()).into_iter().flatten();
        let status = status.filter(|mount| mount.name == volume && (mount.read_only == Some(true)) != read_only);
        wrong.extend(status.map(|mount| format!("{other} at {}, according to the status", mount.mount_path)));
    }
    for seen in wrong {
        found.add_finding(object, &expected, seen, EDITED);
    }
}

/// The seconds that a container's command sleeps. If the spec does not show them, or if they are only shorter steps of
/// an interval, the intervals in the environment.
fn intervals(view: &View<'_>) -> Vec<String> {
    let (runs, doubt) = script::invocations(view, "sleep");
    let seconds = |text: &str| text.trim_end_matches('s').parse().ok();
    let sleeps: Option<Vec<u32>> = runs.iter().flatten().map(|time| time.known().and_then(seconds)).collect();
    let named = view.env.iter().filter(|variable| variable.name.to_ascii_uppercase().contains("INTERVAL"));
    // Only numbers: the environment may hold secrets.
    let named: Vec<u32> = named.filter_map(|variable| seconds(variable.value.as_deref()?)).collect();
    let is_longest = |sleep: &u32| named.iter().all(|interval| sleep >= interval);
    let sleeps = sleeps.filter(|sleeps| doubt.is_none() && sleeps.iter().any(is_longest));
    sleeps.unwrap_or(named).iter().map(u32::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    const SIDECAR: &str = "/spec/initContainers/1";
    const LINES: [&str; 3] = ["=== Starting ===", "Sync interval: 30s", "Direction: NFS export -> Windows mount"];

    /// Judges a log that begins `after` seconds after its container, and a changed pod.
    fn judged(lines: Option<&[&str]>, after: i64, changes: &[(&str, Value)]) -> Verdict {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let at = start + SignedDuration::from_secs(after);
        let head = lines.map(|lines| lines.iter().map(|line| (at, (*line).to_owned())).collect::<Vec<LogLine>>());
        let pod: Pod = serde_json::from_value(with(output_pod(), changes)).unwrap();
        let live = container::named(&pod, "sync-to-windows").map(|view| intervals(&view)).unwrap_or_default();
        let seen = json!({
            "server": "nas-output-1", "pod": pod, "head": head, "live": live,
            "resources": {"value": null, "source": "values"}, "interval": {"value": 30, "source": "values"}
        });
        judged_by::<SidecarSetUp>(json!({}), seen)
    }

    #[test]
    fn a_mount_that_is_missing_or_wrong_only_in_the_status_fails() {
        let status = json!([{"name": "nfs-export", "mountPath": "/nfs-data"}]);
        for (pointer, value) in [
            (&*format!("{SIDECAR}/volumeMounts/0/name"), json!("other")),
            ("/status/initContainerStatuses/1/volumeMounts", status),
        ] {
            let verdict = judged(Some(&LINES), 0, &[(pointer, value)]);
            assert_eq!((verdict.reasons.len(), verdict.hop), (1, Some(Hop::Sidecar)), "{pointer}: {verdict:?}");
        }
    }

    #[test]
    fn missing_or_different_start_up_lines_fail_unless_the_log_was_rotated() {
        for (lines, after, reasons) in [
            (&LINES[..], 0, 0),
            (&["Sync interval: 300s", LINES[2]], 0, 1),
            (&["Sync interval: 300s", LINES[2]], 10, 1),
            (&["Sync interval: 300s", LINES[2]], 11, 0),
            (&LINES[..1], 0, 2),
            (&LINES[..2], 0, 1),
            // It never logged a line.
            (&[], 0, 1),
        ] {
            assert_eq!(judged(Some(lines), after, &[]).reasons.len(), reasons, "{lines:?} after {after}s");
        }
    }

    #[test]
    fn the_interval_in_the_command_or_environment_counts_with_and_without_start_up_lines() {
        let rotated = (&["a.txt"][..], 3600);
        for (script, interval, (lines, after), outcome) in [
            ("while true; do rsync; sleep 30; done", "", rotated, Outcome::Pass),
            ("while true; do rsync; sleep 300; done", "", rotated, Outcome::Fail),
            ("while true; do rsync; sleep 300; done", "", (&LINES, 0), Outcome::Fail),
            ("while true; do echo 'sleep 300'; run; sleep 30s; done # sleep 300", "", rotated, Outcome::Pass),
            ("echo sleep 30; sleep 300", "", rotated, Outcome::Fail),
            ("while true; do rsync; sleep $(cat /interval); sleep 1; done", "", rotated, Outcome::Pass),
            ("exec sync", "", rotated, Outcome::Pass),
            ("i=0; while [ $i -lt $SYNC_INTERVAL ]; do sleep 1; i=$((i+1)); done", "30", (&LINES, 0), Outcome::Pass),
            ("until mountpoint -q /nfs; do sleep 1; done; exec /scripts/sync.sh", "30", (&LINES, 0), Outcome::Pass),
            ("exec sync", "1", rotated, Outcome::Fail),
            ("sleep \"$SYNC_INTERVAL\"", "1", rotated, Outcome::Fail),
            ("sleep $(cat /interval)", "1", rotated, Outcome::Fail),
        ] {
            let changes = [
                (&*format!("{SIDECAR}/command"), json!(["sh", "-c", script])),
                (&*format!("{SIDECAR}/env"), json!([{"name": "SYNC_INTERVAL", "value": interval}])),
            ];
            let verdict = judged(Some(lines), after, &changes);
            assert_eq!(verdict.outcome, outcome, "{script}");
            let notes = usize::from(after > 0 && outcome == Outcome::Pass);
            assert_eq!(verdict.notes.len(), notes, "{script}: a rotated log is a note");
        }
    }

    #[test]
    fn a_sidecar_that_does_not_run_is_blocked_unless_its_spec_is_wrong() {
        assert_eq!(judged(None, 0, &[]).blocked_by.as_deref(), Some("pods::nas-output-1"));
        let read_only = (&*format!("{SIDECAR}/volumeMounts/1/readOnly"), json!(true));
        assert_eq!(judged(None, 0, &[read_only]).outcome, Outcome::Fail);
    }
}
