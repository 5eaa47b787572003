//! `file-sync`: a file written into the export appears in the tester's folder, whole, in time, and is the tester's.

use std::num::NonZeroU16;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};

use super::way::{self, Obstacle};
use crate::check::parameter::{Export, Sidecar, Span};
use crate::check::{Kind, Need, Placed, Site, millis};
use crate::cluster::container;
use crate::cluster::{Cycles, Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSync {
    /// Where the file is written.
    pub export: Export,
    /// What copies it to the tester's folder.
    pub sidecar: Sidecar,
    /// A sidecar that was restarted must have been running for so long since, or its mount is not probed through it.
    pub restart_window: Span,
    /// The longest time from the acknowledged write to the file's arrival.
    pub within: Span,
    /// The size of the file.
    pub bytes: NonZeroU16,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    folder: String,
    file: String,
    /// How far the file came.
    progress: Progress,
    /// Whether the sidecar's log listed the file as copied.
    listed: bool,
    /// What the sidecar was doing at the end.
    sidecar: String,
}

/// How far the file came; times are milliseconds on this machine's monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub enum Progress {
    /// Nothing was written, because nothing would copy it.
    Obstacle(Obstacle),
    /// It could not be written into the export.
    NotWritten(String),
    /// It did not arrive in time; what was there instead.
    NotArrived(String),
    /// It arrived and was not whole any more after the cycle.
    Changed(Arrival, String),
    /// It arrived, and no end of the cycle was seen.
    NoCycleEnd(Arrival, String),
    /// It arrived whole, but the tester cannot use it.
    Unusable(Arrival, String),
    /// It arrived whole, and the tester can open, extend and remove it.
    Usable(Arrival),
}

/// When a file arrived.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Arrival {
    /// After the write was sent.
    since_sent: u64,
    /// After the write was acknowledged.
    since_acknowledged: u64,
}

impl std::fmt::Display for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ms after the write was sent, {} ms after it was acknowledged",
            self.since_sent, self.since_acknowledged
        )
    }
}

impl Kind for FileSync {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, population) = site.pod().await?;
        let file = site.file("sync.txt");
        let folder = site.shared.host.folder(site.server()).display().to_string();
        let mut seen = Observation {
            pod: pod.name_any(),
            folder,
            file: file.name.clone(),
            progress: Progress::Obstacle(Obstacle::NoSidecar),
            listed: false,
            sidecar: container::named(&pod, &self.sidecar.container).map(|view| view.describe()).unwrap_or_default(),
        };
        match way::cycles(site, &pod, &self.export, &self.sidecar)? {
            Err(obstacle) => seen.progress = Progress::Obstacle(obstacle),
            Ok(cycles) => {
                way::mounted(site, &pod, &population, &self.sidecar, self.restart_window).await?;
                seen.progress = self.follow(site, &pod, &cycles, &file).await?;
                seen.listed = !cycles.log().listings(&file.name).is_empty();
            }
        }
        Ok(seen)
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let sidecar = &self.sidecar.container;
        let file = format!("file {} of pod {}", seen.file, seen.pod);
        let fail = |hop, reason: Reason| Verdict::judged("", vec![reason]).at(hop);
        match &seen.progress {
            Progress::Obstacle(obstacle) => obstacle.verdict(&seen.pod, &self.sidecar),
            Progress::NotWritten(problem) => {
                let Export { container, folder } = &self.export;
                let expected = format!("to be written in container {container} at {folder}");
                fail(
                    Hop::Export,
                    Reason::new(file, expected, problem).hint("look whether the export is full or read-only"),
                )
            }
            Progress::NotArrived(last) => {
                let expected = format!("in {} within {}", seen.folder, self.within);
                let hint = if seen.listed {
                    format!("the log of {sidecar} lists the file as copied: look at the target of its rsync")
                } else {
                    format!("the log of {sidecar} does not list the file: look at its last lines")
                };
                fail(
                    Hop::Sidecar,
                    Reason::new(file, expected, format!("{last}; {sidecar} was {}", seen.sidecar)).hint(hint),
                )
            }
            Progress::Changed(arrival, last) => {
                let expected = format!("to stay whole in {} after the cycle that brought it", seen.folder);
                let hint = format!("look for what else {sidecar} or a second pod does to the folder");
                fail(
                    Hop::Sidecar,
                    Reason::new(file, expected, format!("{last}; it had arrived whole {arrival}")).hint(hint),
                )
            }
            Progress::NoCycleEnd(arrival, why) => {
                let end = &self.sidecar.cycle_end.0;
                let expected = format!("a line like {end} in the log of {sidecar} after it arrived");
                Verdict::error(Reason::new(file, expected, format!("{why}; the file arrived {arrival}")))
                    .at(Hop::Sidecar)
            }
            Progress::Unusable(arrival, problem) => {
                let expected = format!("to be opened, extended and removed in {} by the user", seen.folder);
                let hint = "look at the permissions of the folder and whether a program holds the file open";
                fail(Hop::Host, Reason::new(file, expected, format!("{problem}; it had arrived {arrival}")).hint(hint))
            }
            Progress::Usable(arrival) => {
                Verdict::judged(format!("arrived {arrival}; limit {}", self.within), Vec::new())
            }
        }
    }
}

impl FileSync {
    /// Writes the file and follows it until it is used and removed, or goes astray.
    async fn follow(&self, site: &Site, pod: &Arc<Pod>, cycles: &Cycles, hosted: &Placed) -> Result<Progress, Verdict> {
        let (host, ledger) = (&site.shared.host, &site.shared.ledger);
        let (server, name) = (site.server(), hosted.name.as_str());
        let random = rand::rng().sample_iter(Alphanumeric);
        let content: String = random.take(usize::from(self.bytes.get())).map(char::from).collect();
        let path = format!("{}/{name}", self.export.folder);
        let exported = site.place(pod, &self.export, Some(&self.sidecar), hosted);
        site.waiting(format!("a file on its way to {}", host.folder(server).display()), self.within.0);
        let operation = Operation::Write { path: path.clone(), content: content.clone() };
        let writer = &self.export.container;
        let (write, problem) = site.try_exec(pod, writer, &operation).await?;
        if let Some(problem) = problem {
            return Ok(Progress::NotWritten(problem));
        }
        let noticed = match host.arrival(server, name, content.as_bytes(), write.ended + self.within.0).await {
            Ok(noticed) => noticed,
            Err(last) => {
                way::is_there(site).await?;
                return Ok(Progress::NotArrived(last.to_string()));
            }
        };
        let arrival =
            Arrival { since_sent: millis(noticed - write.sent), since_acknowledged: millis(noticed - write.ended) };
        let limit = noticed + self.within.0;
        cycles.wait_for(limit, |log| log.ended_after(name, 0, noticed) || log.is_denied()).await;
        let log = cycles.log();
        let has_ended = log.ended_after(name, 0, noticed);
        match host.look(server, name, content.as_bytes()).await {
            Seen::Whole if has_ended => {}
            Seen::Whole => {
                let why = log.trouble.map_or_else(|| format!("none within {}", self.within), |error| error.to_string());
                return Ok(Progress::NoCycleEnd(arrival, why));
            }
            changed => {
                way::is_there(site).await?;
                return Ok(Progress::Changed(arrival, changed.to_string()));
            }
        }
        if let Err(error) = host.append(server, name, b" and the tester's own words").await {
            return Ok(Progress::Unusable(arrival, format!("it cannot be extended: {error}")));
        }
        // Right after a cycle, so that nothing vanishes under rsync; here first, so that nothing brings it back.
        let (_, problem) = site.try_exec(pod, writer, &Operation::Remove { path }).await?;
        if let Some(problem) = problem {
            let object = container::place(pod, writer);
            return Err(Verdict::error(Reason::new(object, format!("to remove {name}"), problem)));
        }
        ledger.removed(&exported);
        if let Err(error) = host.remove(server, name).await {
            return Ok(Progress::Unusable(arrival, format!("it cannot be removed: {error}")));
        }
        ledger.removed(hosted);
        Ok(Progress::Usable(arrival))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    fn judged(progress: &Value) -> Verdict {
        let check: FileSync = serde_json::from_value(json!({
            "export": {"container": "nfs-server", "folder": "/data"},
            "sidecar": {"container": "sync-to-windows", "cycle-end": "Synced", "interval": r"^Sync interval: (\d+)s"},
            "restart-window": "10m", "within": "60s", "bytes": 4096
        }))
        .unwrap();
        let seen =
            json!({"pod": "p", "folder": "f", "file": "x", "progress": progress, "listed": true, "sidecar": "running"});
        check.judge(&serde_json::from_value(seen).unwrap())
    }

    #[test]
    fn only_a_file_that_the_tester_can_use_passes() {
        let arrival = json!({"since_sent": 12_034, "since_acknowledged": 11_920});
        let passed = judged(&json!({"Usable": arrival}));
        assert_eq!(passed.outcome, Outcome::Pass);
        assert!(passed.summary.contains("12034 ms") && passed.summary.contains("11920 ms"), "{}", passed.summary);
        for (progress, outcome, hop) in [
            (json!({"Obstacle": "NoSidecar"}), Outcome::Fail, Hop::Sidecar),
            (json!({"Obstacle": {"SidecarDown": "waiting"}}), Outcome::Fail, Hop::Sidecar),
            (json!({"NotWritten": "exit code 1"}), Outcome::Fail, Hop::Export),
            (json!({"NotArrived": "no file"}), Outcome::Fail, Hop::Sidecar),
            (json!({"Changed": [arrival, "5 bytes"]}), Outcome::Fail, Hop::Sidecar),
            (json!({"Unusable": [arrival, "denied"]}), Outcome::Fail, Hop::Host),
            (json!({"NoCycleEnd": [arrival, "none"]}), Outcome::Error, Hop::Sidecar),
        ] {
            let verdict = judged(&progress);
            assert_eq!((verdict.outcome, verdict.hop), (outcome, Some(hop)), "{progress}");
        }
    }
}
