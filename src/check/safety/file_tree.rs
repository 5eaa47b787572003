//! `file-tree`: many small files in nested folders, written at once, arrive complete and with their times, which are old:
//! the time of the copy is another one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::parameter::Span;
use crate::check::sync::ground::{self, Ground};
use crate::check::sync::scene::{Delivery, Scene, Wanted, counted};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};

/// So many files of which the time is wrong are kept.
const MOST: usize = 3;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileTree {
    /// The longest time from the acknowledged write to the arrival of all files, and from there to the cycle's end.
    pub within: Span,
    /// How many files.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub files: usize,
    /// How far a file's time may be from that in the export.
    pub tolerance: Span,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    delivery: Delivery,
    /// What else was in the folder.
    strangers: Vec<String>,
    times: Option<Times>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Times {
    compared: usize,
    /// The greatest difference, in seconds.
    worst: u64,
    /// Files with too great a difference, and that.
    wrong: Vec<(String, u64)>,
}

impl Kind for FileTree {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn writes(&self) -> Option<u8> {
        Some(1)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        let folder = ground.place("tree").name;
        let line = ground::line();
        let files = Operation::tree(&line, self.files).into_iter();
        let wanted: Vec<Wanted> =
            files.map(|(path, content)| (format!("{folder}/{path}"), Digest::of(content))).collect();
        let write = Operation::Tree { folder: ground.path(&folder), line, files: self.files };
        let delivery = ground.deliver(vec![write], &wanted).await?;
        if !delivery.is_whole() {
            return Ok(Observation { scene, delivery, strangers: Vec::new(), times: None });
        }
        let strangers = ground.strangers(&folder, &wanted).await?;
        let mut times = self.times(&ground, &folder).await?;
        if !times.wrong.is_empty() {
            // A cycle may have come between the writes and the old time that the files got after them.
            ground.ends(2).await?;
            times = self.times(&ground, &folder).await?;
        }
        Ok(Observation { scene, delivery, strangers, times: Some(times) })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let arrival =
            match seen.scene.delivered(Some(&seen.delivery), "a small file", system.sidecar_name(), self.within) {
                Ok(arrival) => arrival,
                Err(verdict) => return verdict,
            };
        let mut reasons = seen.scene.strange(&seen.strangers, system.sidecar_name());
        let times = seen.times.as_ref().filter(|times| times.compared == self.files && self.files > 0);
        let Some(times) = times else {
            let object = format!("export of pod {}", seen.scene.pod);
            let compared = seen.times.as_ref().map_or(0, |times| times.compared);
            let expected = format!("{} with their times, to compare them", counted(self.files));
            return Verdict::error(Reason::new(object, expected, counted(compared)));
        };
        for (name, off) in &times.wrong {
            let object = format!("file {name} in {}", seen.scene.folder);
            let expected = format!("the time that it has in the export, give or take {}", self.tolerance);
            let hint = format!("look whether {} runs rsync with -a or -t", system.sidecar_name());
            reasons.push(Reason::new(object, expected, format!("{off} s off")).hint(hint));
        }
        let summary = format!(
            "{} in nested folders arrived whole {} ms after the write was acknowledged, times at most {} s off, \
             no temporary left",
            counted(arrival.files),
            arrival.millis,
            times.worst
        );
        Verdict::judged(summary, reasons).at(Hop::Sidecar)
    }
}

impl FileTree {
    /// Compares the files' times here with those in the export.
    async fn times(&self, ground: &Ground<'_>, folder: &str) -> Result<Times, Verdict> {
        let host = &ground.site.shared.host;
        let unknown = |object: String, problem: String| {
            Verdict::error(Reason::new(object, "to tell when its files were changed", problem))
        };
        let (outputs, problem) = ground.perform(vec![Operation::Times { folder: ground.path(folder) }]).await?;
        if let Some(problem) = problem {
            return Err(unknown(format!("folder {}", ground.path(folder)), problem));
        }
        let text: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
        let exported: BTreeMap<&str, i64> = text.lines().filter_map(time).collect();
        let found = host.files_in(ground.site.server(), folder, 2 * self.files + 100).await;
        let found = found.map_err(|error| unknown(format!("folder {folder}"), error.to_string()))?;
        let off = found.into_iter().filter_map(|(path, stat)| {
            let there = *exported.get(path.as_str())?;
            Some((path, stat.modified.div_euclid(1000).abs_diff(there)))
        });
        let off: Vec<_> = off.collect();
        let worst = off.iter().map(|(_, off)| *off).max().unwrap_or_default();
        let compared = off.len();
        let wrong = off.into_iter().filter(|(_, off)| *off > self.tolerance.0.as_secs());
        let wrong = wrong.take(MOST).map(|(path, off)| (format!("{folder}/{path}"), off)).collect();
        Ok(Times { compared, worst, wrong })
    }
}

/// A path and its time, from a line of the export's.
fn time(line: &str) -> Option<(&str, i64)> {
    let (seconds, path) = line.split_once(' ')?;
    Some((path.strip_prefix("./").unwrap_or(path), seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::sync::scene::tests::{arrived, judged};
    use crate::event::Outcome;

    #[test]
    fn all_must_be_there_with_their_times() {
        let seen = json!({"delivery": arrived(), "strangers": []});
        for (times, outcome) in [
            (json!({"compared": 2, "worst": 1, "wrong": []}), Outcome::Pass),
            (json!({"compared": 2, "worst": 9, "wrong": [["a", 9]]}), Outcome::Fail),
            (json!({"compared": 1, "worst": 0, "wrong": []}), Outcome::Error),
            (Value::Null, Outcome::Error),
        ] {
            let verdict = judged::<FileTree>(&json!({"files": 2, "tolerance": "2s"}), &seen, &json!({"times": times}));
            assert_eq!(verdict.outcome, outcome, "{times}");
        }
    }
}
