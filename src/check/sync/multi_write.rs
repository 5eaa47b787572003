//! `multi-write`: several cycles in a row with new and replaced files of different sizes end whole in the tester's folder.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::search::{Lost, Search};
use super::trail::Trail;
use super::way::{self, Obstacle};
use crate::check::parameter::{Export, Sidecar, Span};
use crate::check::{Kind, Need, Placed, Site, millis};
use crate::cluster::{CycleLog, Cycles, Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;
use crate::random;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MultiWrite {
    /// Where the files are written.
    pub export: Export,
    /// What copies them to the tester's folder.
    pub sidecar: Sidecar,
    /// A sidecar that was restarted must have been running for so long since, or its mount is not probed through it.
    pub restart_window: Span,
    /// The longest time from the acknowledged write to the arrival of all files.
    pub within: Span,
    /// How many cycles in a row are written.
    #[serde(deserialize_with = "crate::check::parameter::some")]
    #[schemars(range(min = 1))]
    pub rounds: u8,
    /// The sizes of the files; each has another of them in each round.
    #[serde(deserialize_with = "crate::check::parameter::some")]
    #[schemars(length(min = 1))]
    pub bytes: Vec<usize>,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    folder: String,
    obstacle: Option<Obstacle>,
    rounds: Vec<Round>,
}

/// One round: every file is written anew, and one is new.
#[derive(Debug, Serialize, Deserialize)]
struct Round {
    files: Vec<File>,
    /// Whether the end of the cycle that brought them was seen.
    ended: bool,
    /// Where one of the files was that did not arrive, and its name.
    #[serde(default)]
    trail: Option<(String, Trail)>,
}

/// A file of a round.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    name: String,
    bytes: usize,
    /// Why it could not be written.
    not_written: Option<String>,
    /// When it arrived, in milliseconds after the write was acknowledged; or what was there at last.
    arrived: Result<u64, String>,
    /// What was there after the cycle; `None` if it was whole.
    changed: Option<String>,
}

impl Kind for MultiWrite {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];

    fn writes(&self) -> Option<(&Export, Option<&Sidecar>)> {
        Some((&self.export, Some(&self.sidecar)))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, population) = site.pod().await?;
        let folder = site.shared.host.folder(site.server()).display().to_string();
        let mut seen = Observation { pod: pod.name_any(), folder, obstacle: None, rounds: Vec::new() };
        let cycles = match way::cycles(site, &pod, &self.export, &self.sidecar)? {
            Err(obstacle) => {
                seen.obstacle = Some(obstacle);
                return Ok(seen);
            }
            Ok(cycles) => cycles,
        };
        way::mounted(site, &pod, &population, &self.sidecar, self.restart_window).await?;
        for round in 0..self.rounds {
            let round = self.round(site, &pod, &cycles, usize::from(round)).await?;
            let has_ended = round.ended;
            seen.rounds.push(round);
            if !has_ended {
                break;
            }
        }
        Ok(seen)
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        if let Some(obstacle) = &seen.obstacle {
            return obstacle.verdict(&seen.pod, &self.sidecar);
        }
        let mut reasons = Vec::new();
        let mut hop = Hop::Sidecar;
        for (number, round) in (1..).zip(&seen.rounds) {
            for file in &round.files {
                let object = format!("file {} of pod {}, {} bytes, round {number}", file.name, seen.pod, file.bytes);
                let whole = format!("whole in {}", seen.folder);
                let hint =
                    format!("look at the log of {} and at what else writes to the folder", self.sidecar.container);
                match file {
                    File { not_written: Some(problem), .. } => {
                        hop = Hop::Export;
                        let reason = Reason::new(object, "to be written into the export", problem);
                        reasons.push(reason.hint("look whether the export is full or read-only"));
                    }
                    File { arrived: Err(last), .. } => {
                        let (seen, hint) = match &round.trail {
                            Some((name, trail)) if *name == file.name => {
                                let finding = trail.finding();
                                hop = finding.hop;
                                (finding.seen, finding.hint)
                            }
                            Some((name, _)) => (last.clone(), format!("see what is said of {name}")),
                            // As it was recorded before files were looked for.
                            None => (last.clone(), hint),
                        };
                        reasons.push(Reason::new(object, format!("{whole} within {}", self.within), seen).hint(hint));
                    }
                    File { changed: Some(changed), .. } => {
                        reasons.push(Reason::new(object, format!("still {whole} after the cycle"), changed).hint(hint));
                    }
                    File { .. } => {}
                }
            }
        }
        let files = || seen.rounds.iter().flat_map(|round| &round.files);
        let is_complete = seen.rounds.len() == usize::from(self.rounds);
        if reasons.is_empty()
            && (!is_complete || seen.rounds.iter().any(|round| !round.ended) || files().next().is_none())
        {
            let end = &self.sidecar.cycle_end.0;
            let object = format!("pod {}, container {}", seen.pod, self.sidecar.container);
            let expected = format!("a line like {end} in its log after each of {} rounds", self.rounds);
            return Verdict::error(Reason::new(object, expected, format!("none after round {}", seen.rounds.len())));
        }
        let bytes: usize = files().map(|file| file.bytes).sum();
        let slowest = files().filter_map(|file| file.arrived.as_ref().ok()).max().copied().unwrap_or_default();
        let (files, rounds) = (files().count(), self.rounds);
        let summary =
            format!("{files} writes in {rounds} cycles, {bytes} bytes, all whole; the slowest after {slowest} ms");
        Verdict::judged(summary, reasons).at(hop)
    }
}

impl MultiWrite {
    /// Writes the files of a round and follows them until the cycle has ended that brought them.
    async fn round(&self, site: &Site, pod: &Arc<Pod>, cycles: &Cycles, round: usize) -> Result<Round, Verdict> {
        let what = format!("round {} of {}: files on their way", round + 1, self.rounds);
        site.waiting_for_cycle(cycles, what, self.within.0);
        // One more file than in the round before.
        let files = (0..=round + 1).map(|index| site.file(&format!("{index}.txt")));
        let before = cycles.log();
        let written = files.enumerate().map(|(index, file)| {
            let bytes = self.bytes.get((index + round) % self.bytes.len().max(1)).copied().unwrap_or_default();
            self.write(site, pod, file, bytes)
        });
        let written = join_all(written).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let all_written = Instant::now();
        let limit = all_written + self.within.0;
        let arriving = written.iter().map(|(file, content, problem)| async move {
            let start = Instant::now();
            let arrived = match problem {
                Some(_) => Err("it was not written".to_owned()),
                None => site
                    .shared
                    .host
                    .arrival(site.server(), &file.name, content, limit)
                    .await
                    .map_err(|last| last.to_string()),
            };
            arrived.map(|at| millis(at - start))
        });
        let arrived = join_all(arriving).await;
        let noticed = Instant::now();
        let has_arrived = arrived.iter().all(Result::is_ok);
        let has_ended = |log: &CycleLog| {
            let ended = |name: &str| log.ended_after(name, before.listings(name).len(), noticed);
            written.iter().all(|(file, ..)| ended(&file.name)) || log.is_denied()
        };
        let ended =
            has_arrived && cycles.wait_for(noticed + self.within.0, has_ended).await && !cycles.log().is_denied();
        let mut trail = None;
        if !has_arrived {
            way::is_there(site).await?;
            // The smallest, which says as much as any other.
            let all = written.iter().zip(&arrived);
            let missing = all.filter(|((.., problem), arrived)| problem.is_none() && arrived.is_err());
            if let Some(((file, content, _), _)) = missing.min_by_key(|((_, content, _), _)| content.len()) {
                let search = Search { site, pod, export: &self.export, sidecar: &self.sidecar, cycles };
                let found = search.find(&Lost { name: &file.name, content, written: all_written }).await;
                trail = Some((file.name.clone(), found));
            }
        }
        let mut files = Vec::new();
        for ((file, content, not_written), arrived) in written.into_iter().zip(arrived) {
            let changed = match site.shared.host.look(site.server(), &file.name, &content).await {
                Seen::Whole => None,
                other => Some(other.to_string()),
            };
            files.push(File { name: file.name, bytes: content.len(), not_written, arrived, changed });
        }
        Ok(Round { files, ended, trail })
    }

    /// Writes a file with content of its own; returns why it could not be written.
    async fn write(
        &self,
        site: &Site,
        pod: &Arc<Pod>,
        file: Placed,
        bytes: usize,
    ) -> Result<(Placed, Vec<u8>, Option<String>), Verdict> {
        let line = random::text(61);
        site.place(pod, &self.export, Some(&self.sidecar), &file);
        let content = Operation::filling(&line, bytes);
        let operation = Operation::Fill { path: format!("{}/{}", self.export.folder, file.name), line, bytes };
        let (_, problem) = site.try_exec(pod, &self.export.container, &operation).await?;
        Ok((file, content, problem))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    fn judged(rounds: &[Value]) -> Verdict {
        let check: MultiWrite = serde_json::from_value(json!({
            "export": {"container": "nfs-server", "folder": "/data"},
            "sidecar": {"container": "sync-to-windows", "cycle-end": "Synced", "interval": r"^Sync interval: (\d+)s"},
            "restart-window": "10m", "within": "60s", "rounds": 2, "bytes": [0, 4096]
        }))
        .unwrap();
        let seen = json!({"pod": "p", "folder": "f", "obstacle": null, "rounds": rounds});
        check.judge(&serde_json::from_value(seen).unwrap())
    }

    fn round(changes: &Value, ended: bool) -> Value {
        let mut file =
            json!({"name": "a", "bytes": 4096, "not_written": null, "arrived": {"Ok": 900}, "changed": null});
        file.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"files": [file], "ended": ended})
    }

    #[test]
    fn every_file_of_every_round_must_end_whole() {
        let good = || round(&json!({}), true);
        assert_eq!(judged(&[good(), good()]).outcome, Outcome::Pass);
        for change in [
            json!({"not_written": "No space left", "arrived": {"Err": "it was not written"}}),
            json!({"arrived": {"Err": "no file of that name"}}),
            json!({"changed": "a file of 4093 bytes with other content"}),
        ] {
            assert_eq!(judged(&[good(), round(&change, true)]).outcome, Outcome::Fail, "{change}");
        }
    }

    #[test]
    fn the_hop_is_the_one_behind_which_a_file_was_not_found() {
        let mut lost = round(&json!({"arrived": {"Err": "no file of that name"}}), false);
        assert_eq!(judged(std::slice::from_ref(&lost)).hop, Some(Hop::Sidecar), "as it was recorded before");
        let [whole, absent] = ["Whole", "Absent"].map(|seen| json!({"place": "x", "seen": seen}));
        let work = json!({
            "container": "c", "is_running": true, "state": "running", "restarts": 0, "last_exit": null, "is_listed": true,
            "tail": {"Err": "forbidden"}
        });
        let trail = json!({
            "context": "c", "namespace": "n", "pod": "p", "root": "/r", "host_path": "/m/s", "bytes": 1, "waited": 60_000,
            "export": whole, "view": whole, "mount": whole, "folder": absent, "work": work
        });
        lost["trail"] = json!(["a", trail]);
        let verdict = judged(&[lost]);
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Mount)));
        assert!(verdict.reasons[0].seen.contains("not one folder"), "{verdict:?}");
    }

    #[test]
    fn rounds_that_were_not_seen_to_end_are_not_judged() {
        let good = || round(&json!({}), true);
        assert_eq!(judged(&[]).outcome, Outcome::Error);
        assert_eq!(judged(&[good()]).outcome, Outcome::Error);
        assert_eq!(judged(&[good(), round(&json!({}), false)]).outcome, Outcome::Error);
    }
}
