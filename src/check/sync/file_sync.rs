//! `file-sync`: a file written into the export appears in the tester's folder, whole, in time, and is the tester's.

use std::num::NonZeroU16;

use futures::FutureExt;
use serde::{Deserialize, Serialize};

use super::delivery;
use super::ground::Ground;
use super::profile::Samples;
use super::trail::{Finding, Trail};
use super::way::{self, Obstacle};
use crate::check::nfs::{Target, Unwritten};
use crate::check::parameter::{Export, Sidecar, Span};
use crate::check::{Kind, Need, Site};
use crate::cluster::container;
use crate::event::{Hop, Reason, Timeline, Verdict};
use crate::profile::Profile;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
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
    /// How many files are written, spread evenly over one cycle of the sidecar.
    #[serde(default)]
    pub samples: Samples,
    /// How they are written.
    #[serde(default)]
    pub write: Write,
    /// With `write: nfs`, the port of the server's container.
    #[serde(default = "port")]
    port: u16,
    /// With `write: nfs`, the file that the server reads its exports from, in the format of exports(5).
    #[serde(default = "exports")]
    file: String,
}

/// The port of NFS, which needs no portmapper to be found.
fn port() -> u16 {
    2049
}

/// Where servers have their exports.
fn exports() -> String {
    "/etc/exports".to_owned()
}

/// How files are written into an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// By a command in the server's container.
    #[default]
    Exec,
    /// As clients do it: with NFSv3, over a port-forward.
    Nfs,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    folder: String,
    pub(super) file: String,
    /// How far the file came.
    pub(super) progress: Progress,
    /// Whether the sidecar's log listed the file as copied.
    listed: bool,
    /// What the sidecar was doing at the end.
    sidecar: String,
    /// When each of several files arrived, in the order of their writes; without those that did not.
    #[serde(default)]
    pub(super) samples: Vec<Arrival>,
    /// Where the file was that did not arrive.
    #[serde(default)]
    pub(super) trail: Option<Trail>,
    /// When the files and the cycles came.
    #[serde(default)]
    pub(super) timeline: Option<Timeline>,
}

/// How far the file came, of several the one that was used, or the first that went astray; times are milliseconds on this machine's monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub enum Progress {
    /// Nothing was written, because nothing would copy it.
    Obstacle(Obstacle),
    /// It could not be written into the export.
    NotWritten(String),
    /// The NFS server did not take it.
    NotServed(Box<Unwritten>),
    /// It did not arrive in time; what was there instead.
    NotArrived(String),
    /// It arrived and was not whole any more after the cycle.
    Changed(Arrival, String),
    /// It arrived whole, but the tester cannot use it.
    Unusable(Arrival, String),
    /// It arrived whole, and the tester can open, extend and remove it.
    Usable(Arrival),
}

/// When a file arrived.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Arrival {
    /// After the write was sent.
    pub(super) since_sent: u64,
    /// After the write was acknowledged.
    pub(super) since_acknowledged: u64,
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
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const MAY_NEED: &'static [Need] = &[Need::PortForward];

    fn needs(&self) -> &'static [Need] {
        match self.write {
            Write::Exec => Self::NEEDS,
            Write::Nfs => &[Need::Folder, Need::Commands, Need::Logs, Need::PortForward],
        }
    }

    fn writes(&self) -> Option<(&Export, Option<&Sidecar>)> {
        Some((&self.export, Some(&self.sidecar)))
    }

    fn cycles(&self) -> u8 {
        // Those that are written over one cycle arrive with the next.
        if self.samples.count() == 1 { 1 } else { 2 }
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) =
            Ground::enter(site, &self.export, &self.sidecar, self.restart_window, self.within).await?;
        let mut seen = Observation {
            pod: scene.pod,
            folder: scene.folder,
            file: delivery::file(site, 0).name,
            progress: Progress::Obstacle(scene.obstacle.unwrap_or(Obstacle::NoSidecar)),
            listed: false,
            sidecar: String::new(),
            samples: Vec::new(),
            trail: None,
            timeline: None,
        };
        let Some(ground) = ground else { return Ok(seen) };
        let view = container::named(&ground.pod, &self.sidecar.container);
        seen.sidecar = view.map(|view| view.describe()).unwrap_or_default();
        self.follow(&ground, &mut seen).boxed().await?;
        seen.listed = ground.listed(&seen.file) > 0;
        Ok(seen)
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        Verdict { timeline: seen.timeline.clone().map(Box::new), ..self.outcome(seen) }
    }
}

impl FileSync {
    /// Where files are put by NFS.
    pub(super) fn target(&self) -> Target<'_> {
        Target { export: &self.export, port: self.port, file: &self.file }
    }

    fn outcome(&self, seen: &Observation) -> Verdict {
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
            Progress::NotServed(unwritten) => unwritten.verdict(),
            Progress::NotArrived(_) if let Some(trail) = &seen.trail => {
                let Finding { hop, seen: said, hint } = trail.finding();
                let expected = format!("in {} within {}", seen.folder, self.within);
                fail(hop, Reason::new(file, expected, said).hint(hint)).notes(self.others(seen))
            }
            // As it was recorded before files were looked for.
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
                let hint = way::undone(sidecar, last);
                fail(
                    Hop::Sidecar,
                    Reason::new(file, expected, format!("{last}; it had arrived whole {arrival}")).hint(hint),
                )
            }
            Progress::Unusable(arrival, problem) => {
                let expected = format!("to be opened, extended and removed in {} by the user", seen.folder);
                let hint = "look at the permissions of the folder and whether a program holds the file open";
                fail(Hop::Host, Reason::new(file, expected, format!("{problem}; it had arrived {arrival}")).hint(hint))
            }
            Progress::Usable(_) if seen.samples.len() > 1 => {
                let profile = profile(&seen.samples).map(|profile| profile.to_string()).unwrap_or_default();
                Verdict::judged(format!("{profile}; limit {}", self.within), Vec::new())
            }
            Progress::Usable(arrival) => {
                Verdict::judged(format!("arrived {arrival}; limit {}", self.within), Vec::new())
            }
        }
    }

    /// What is known of the files that did arrive when one did not.
    fn others(&self, seen: &Observation) -> Vec<String> {
        let count = self.samples.count();
        let note = |profile| format!("of {count} files written over one cycle, these arrived: {profile}");
        profile(&seen.samples).map(note).into_iter().collect()
    }
}

/// Times from the acknowledged writes.
fn profile(samples: &[Arrival]) -> Option<Profile> {
    Profile::of(samples.iter().map(|arrival| arrival.since_acknowledged).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    fn check(changes: &Value) -> Result<FileSync, serde_json::Error> {
        let mut check = json!({
            "export": {"container": "nfs-server", "folder": "/data"},
            "sidecar": {"container": "sync-to-windows", "cycle-end": "Synced", "interval": r"^Sync interval: (\d+)s"},
            "restart-window": "10m", "within": "60s", "bytes": 4096
        });
        check.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(check)
    }

    /// What is judged of an observation; without `changes` of one as it was recorded before there were samples.
    fn judged_with(progress: &Value, changes: &Value) -> Verdict {
        let mut seen =
            json!({"pod": "p", "folder": "f", "file": "x", "progress": progress, "listed": true, "sidecar": "running"});
        seen.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        check(&json!({"samples": 4})).unwrap().judge(&serde_json::from_value(seen).unwrap())
    }

    fn judged(progress: &Value) -> Verdict {
        judged_with(progress, &json!({}))
    }

    #[test]
    fn samples_are_from_1_to_20() {
        assert_eq!(check(&json!({})).unwrap().samples.count(), 1);
        assert_eq!(check(&json!({"samples": 20})).unwrap().samples.count(), 20);
        for count in [0, 21] {
            let refused = check(&json!({"samples": count})).unwrap_err().to_string();
            assert!(refused.contains(&format!("samples must be from 1 to 20, not {count}")), "{refused}");
        }
    }

    #[test]
    fn a_port_is_forwarded_only_where_files_are_written_by_nfs() {
        let needs = |write: &str| check(&json!({"write": write})).unwrap().needs().contains(&Need::PortForward);
        assert_eq!(["exec", "nfs"].map(needs), [false, true]);
    }

    #[test]
    fn several_files_make_a_profile() {
        let arrival = |millis: u64| json!({"since_sent": millis + 90, "since_acknowledged": millis});
        let samples = json!({"samples": Vec::from([28_149, 20_600, 7_800, 320].map(arrival))});
        let passed = judged_with(&json!({"Usable": arrival(320)}), &samples);
        assert_eq!(passed.summary, "4 files: 0.3 to 28.1 s, median 14.2 s, p95 28.1 s; limit 1m");
    }

    #[test]
    fn a_server_that_does_not_take_a_file_fails_but_for_one_that_lacks_insecure() {
        let refused = |live: &[&str]| {
            let trouble = json!({"call": "MOUNT /data", "what": {"Refused": "MNT3ERR_ACCES"}});
            let unwritten = json!({"object": "NFS server of pod p", "trouble": trouble, "answered": 1, "live": live});
            judged(&json!({"NotServed": unwritten}))
        };
        let (secure, other) = (refused(&["rw", "sync"]), refused(&["rw", "insecure"]));
        assert_eq!((secure.outcome, other.outcome, other.hop), (Outcome::Skip, Outcome::Fail, Some(Hop::Nfs)));
        assert!(secure.summary.starts_with("export lacks insecure: add it to exportOptions"), "{}", secure.summary);
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
        ] {
            let verdict = judged(&progress);
            assert_eq!((verdict.outcome, verdict.hop), (outcome, Some(hop)), "{progress}");
        }
    }
}
