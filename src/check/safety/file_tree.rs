//! `file-tree`: many small files in nested folders, written at once, arrive complete and with their mtimes, which are old to
//! differ from the time of copying.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::parameter::DurationParam;
use crate::check::sync::delivery::{Delivery, ExpectedFile, SyncPair, count_files};
use crate::check::sync::route::{self, Route};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};

const MAX_WRONG: usize = 3;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileTree {
    /// The longest time from the acknowledged write to the arrival of all files, and from there to the end of the sync cycle.
    pub within: DurationParam,
    /// The number of files.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub files: usize,
    /// How far a file's mtime may be from that in the export.
    pub tolerance: DurationParam,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pair: SyncPair,
    delivery: Delivery,
    #[serde(rename = "strangers")]
    unexpected: Vec<String>,
    times: Option<Times>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Times {
    compared: usize,
    /// The greatest difference, in seconds.
    worst: u64,
    /// Files over the tolerance, with their differences.
    wrong: Vec<(String, u64)>,
}

impl Kind for FileTree {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn sync_cycles(&self) -> Option<u8> {
        Some(1)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        let folder = route.register("tree").name;
        let line = route::random_line();
        let files = Operation::tree(&line, self.files).into_iter();
        let expected: Vec<ExpectedFile> =
            files.map(|(path, content)| (format!("{folder}/{path}"), Digest::of(content))).collect();
        let write = Operation::Tree { folder: route.path(&folder), line, files: self.files };
        let delivery = route.deliver(vec![write], &expected).await?;
        if !delivery.is_complete() {
            return Ok(Observation { pair, delivery, unexpected: Vec::new(), times: None });
        }
        let unexpected = route.unexpected_files(&folder, &expected).await?;
        let mut times = self.times(&route, &folder).await?;
        if !times.wrong.is_empty() {
            // A sync cycle may have copied files before their mtimes were set to the old time.
            route.wait_for_cycles(2).await?;
            times = self.times(&route, &folder).await?;
        }
        Ok(Observation { pair, delivery, unexpected, times: Some(times) })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let arrival =
            match seen.pair.check_arrival(Some(&seen.delivery), "the file", system.sidecar_name(), self.within) {
                Ok(arrival) => arrival,
                Err(verdict) => return verdict,
            };
        let mut reasons = seen.pair.unexpected_files(&seen.unexpected, system.sidecar_name());
        let times = seen.times.as_ref().filter(|times| times.compared == self.files && self.files > 0);
        let Some(times) = times else {
            let object = format!("export of pod {}", seen.pair.pod);
            let compared = seen.times.as_ref().map_or(0, |times| times.compared);
            let expected = format!("the mtimes of {}", count_files(self.files));
            return Verdict::error(Reason::new(object, expected, format!("the mtimes of {}", count_files(compared))));
        };
        for (name, off) in &times.wrong {
            let object = format!("file {name} in {}", seen.pair.folder);
            let expected = format!("its mtime from the export, give or take {}", self.tolerance);
            let hint = format!("check whether {} runs rsync with -a or -t", system.sidecar_name());
            reasons.push(Reason::new(object, expected, format!("{off} s off")).hint(hint));
        }
        let summary = format!(
            "{} in nested folders arrived complete {} ms after the acknowledged write; mtimes at most {} s off; no temporary \
             files left",
            count_files(arrival.files),
            arrival.millis,
            times.worst
        );
        Verdict::judged(summary, reasons).at(Hop::Sidecar)
    }
}

impl FileTree {
    async fn times(&self, route: &Route<'_>, folder: &str) -> Result<Times, Verdict> {
        let host = &route.site.shared.host;
        let unknown =
            |object: String, problem: String| Verdict::error(Reason::new(object, "the mtimes of its files", problem));
        let (outputs, problem) = route.run(vec![Operation::Times { folder: route.path(folder) }]).await?;
        if let Some(problem) = problem {
            return Err(unknown(format!("folder {}", route.path(folder)), problem));
        }
        let text: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
        let exported: BTreeMap<&str, i64> = text.lines().filter_map(parse_time).collect();
        let found = host.files_in(route.site.server(), folder, 2 * self.files + 100).await;
        let found = found.map_err(|error| unknown(format!("folder {folder}"), error.to_string()))?;
        let off = found.into_iter().filter_map(|(path, stat)| {
            let there = *exported.get(path.as_str())?;
            Some((path, stat.modified.div_euclid(1000).abs_diff(there)))
        });
        let off: Vec<_> = off.collect();
        let worst = off.iter().map(|(_, off)| *off).max().unwrap_or_default();
        let compared = off.len();
        let wrong = off.into_iter().filter(|(_, off)| *off > self.tolerance.0.as_secs());
        let wrong = wrong.take(MAX_WRONG).map(|(path, off)| (format!("{folder}/{path}"), off)).collect();
        Ok(Times { compared, worst, wrong })
    }
}

/// A path and its mtime, from a line of [`Operation::Times`].
fn parse_time(line: &str) -> Option<(&str, i64)> {
    let (seconds, path) = line.split_once(' ')?;
    Some((path.strip_prefix("./").unwrap_or(path), seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::sync::delivery::tests::{arrived, judged};
    use crate::event::Outcome;

    #[test]
    fn all_files_must_arrive_with_their_mtimes() {
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
