//! `multi-write`: several cycles in a row with new and replaced files of different sizes end whole in the tester's folder.

use serde::{Deserialize, Serialize};

use super::ground::Ground;
use super::scene::{Delivery, Scene};
use super::trail::Trail;
use super::way::Obstacle;
use crate::check::parameter::{Export, Sidecar, Span};
use crate::check::{Kind, Need, Site};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
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

    fn cycles(&self) -> u8 {
        self.rounds
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) =
            Ground::enter(site, &self.export, &self.sidecar, self.restart_window, self.within).await?;
        let Scene { pod, folder, obstacle } = scene;
        let mut seen = Observation { pod, folder, obstacle, rounds: Vec::new() };
        let Some(ground) = ground else { return Ok(seen) };
        for round in 0..self.rounds {
            let (files, delivery) = self.round(&ground, usize::from(round)).await?;
            let is_whole = delivery.is_whole();
            seen.rounds.push(Round::new(files, delivery));
            if !is_whole {
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
        // Of older recordings, there are more.
        let is_complete = seen.rounds.len() >= usize::from(self.rounds);
        if !reasons.is_empty() {
            return Verdict::judged("", reasons).at(hop);
        }
        if !is_complete || seen.rounds.iter().any(|round| !round.ended) || files().next().is_none() {
            let end = &self.sidecar.cycle_end.0;
            let object = format!("pod {}, container {}", seen.pod, self.sidecar.container);
            let expected = format!("a line like {end} in its log after each of {} rounds", self.rounds);
            return Verdict::error(Reason::new(object, expected, format!("none after round {}", seen.rounds.len())));
        }
        let bytes: usize = files().map(|file| file.bytes).sum();
        let slowest = files().filter_map(|file| file.arrived.as_ref().ok()).max().copied().unwrap_or_default();
        let (files, rounds) = (files().count(), seen.rounds.len());
        let summary =
            format!("{files} writes in {rounds} cycles, {bytes} bytes, all whole; the slowest after {slowest} ms");
        Verdict::judged(summary, reasons)
    }
}

impl MultiWrite {
    /// Writes the files of a round and follows them until the cycle has ended that brought them; returns their names and sizes.
    async fn round(&self, ground: &Ground<'_>, round: usize) -> Result<(Vec<(String, usize)>, Delivery), Verdict> {
        let (mut files, mut writes, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        // One more file than in the round before.
        for index in 0..=round + 1 {
            let bytes = self.bytes.get((index + round) % self.bytes.len().max(1)).copied().unwrap_or_default();
            let (name, line) = (ground.place(&format!("{index}.txt")).name, random::text(61));
            wanted.push((name.clone(), Digest::of(Operation::filling(&line, bytes))));
            writes.push(Operation::Fill { path: ground.path(&name), line, bytes });
            files.push((name, bytes));
        }
        Ok((files, ground.deliver(writes, &wanted).await?))
    }
}

impl Round {
    fn new(files: Vec<(String, usize)>, delivery: Delivery) -> Self {
        let arrival = match delivery.0 {
            Ok(arrival) => arrival,
            Err(problem) => {
                // They are written one right after the other: which of them was refused matters to nobody.
                let (names, sizes): (Vec<String>, Vec<usize>) = files.into_iter().unzip();
                let refused = File {
                    name: names.join(", "),
                    bytes: sizes.iter().sum(),
                    not_written: Some(problem),
                    arrived: Err("it was not written".to_owned()),
                    changed: None,
                };
                return Self { files: vec![refused], ended: false, trail: None };
            }
        };
        let wrong = |name: &str, had_arrived: bool| {
            let wrong = arrival.wrong.iter().find(|wrong| wrong.name == name && wrong.had_arrived == had_arrived);
            wrong.map(|wrong| wrong.seen.clone())
        };
        let file = |(name, bytes): (String, usize)| {
            let arrived = wrong(&name, false).map_or(Ok(arrival.millis), Err);
            File { changed: wrong(&name, true), name, bytes, not_written: None, arrived }
        };
        let ended = arrival.wrong.iter().all(|wrong| wrong.had_arrived);
        let trail = arrival.wrong.iter().find_map(|wrong| Some((wrong.name.clone(), wrong.trail.clone()?)));
        Self { files: files.into_iter().map(file).collect(), ended, trail }
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
