//! `file-update`: a newer version in the export replaces the one in the host folder, even one of the same size and one that
//! the tester has edited.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::check::parameter::DurationParam;
use crate::check::sync::delivery::{Delivery, SyncPair};
use crate::check::sync::route::{self, Route};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::event::{Hop, Reason, Verdict};

/// The time between two versions: to rsync, a version of the same size and the same second is not newer, and FAT stores only even
/// seconds.
const VERSION_GAP: Duration = Duration::from_millis(2_100);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileUpdate {
    /// The longest time from an acknowledged write to the arrival of all files, and from there to the end of the sync cycle.
    pub within: DurationParam,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pair: SyncPair,
    first: Delivery,
    not_edited: Option<String>,
    second: Option<Delivery>,
    /// Whether a file that was removed from the export is still in the folder, if that is known.
    removed_stays: Option<bool>,
}

impl Kind for FileUpdate {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn sync_cycles(&self) -> Option<u8> {
        Some(2)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        let folder = route.register("update").name;
        let [edited, removed] = ["edited.txt", "removed.txt"].map(|name| format!("{folder}/{name}"));
        let version = |(name, lines): (&str, usize)| route.nested(&folder, name, route::random_line().repeat(lines));
        let first = [("same-size.txt", 2), ("shorter.txt", 2), ("edited.txt", 2), ("removed.txt", 2)].map(version);
        let (writes, expected): (_, Vec<_>) = first.into_iter().unzip();
        let first = route.deliver(writes, &expected).await?;
        let written = Instant::now();
        let mut seen = Observation { pair, first, not_edited: None, second: None, removed_stays: None };
        if !seen.first.is_complete() {
            return Ok(seen);
        }
        let edit = site.shared.host.append(site.server(), &edited, b" and the tester's own words").await;
        if let Err(error) = edit {
            seen.not_edited = Some(format!("{edited}: {error}"));
            return Ok(seen);
        }
        tokio::time::sleep_until(written + VERSION_GAP).await;
        // Between two cycles, so that nothing vanishes under rsync, and a cycle that copies a newer version sees the removal too.
        let is_pausing = route.log.wait_for_pause(Instant::now() + route.within.0).await;
        let second = [("same-size.txt", 2), ("shorter.txt", 1), ("edited.txt", 2)].map(version);
        let (mut writes, expected): (Vec<_>, Vec<_>) = second.into_iter().unzip();
        if is_pausing {
            writes.insert(0, Operation::Remove { path: route.path(&removed) });
        }
        let second = seen.second.insert(route.deliver(writes, &expected).await?);
        if second.is_complete() && is_pausing {
            seen.removed_stays = site.shared.host.stat(site.server(), &removed).await.ok().map(|stat| stat.is_some());
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let judged = |delivery, what| seen.pair.check_arrival(delivery, what, system.sidecar_name(), self.within);
        if let Err(verdict) = judged(Some(&seen.first), "the first version") {
            return verdict;
        }
        if let Some(problem) = &seen.not_edited {
            let object = format!("folder {}", seen.pair.folder);
            let hint = "check the permissions of the folder, and whether a program locks the file";
            let reason = Reason::new(object, "to let a tester extend a file", problem).hint(hint);
            return Verdict::fail(reason).at(Hop::Host);
        }
        let millis = match judged(seen.second.as_ref(), "the newer version") {
            Ok(arrival) => arrival.millis,
            Err(verdict) => return verdict,
        };
        let sidecar = system.sidecar_name();
        let note = seen.removed_stays.map(|stays| {
            let what = if stays { "leaves it in" } else { "also removes it from" };
            format!("after a file is removed from the export, {sidecar} {what} {}", seen.pair.folder)
        });
        let summary = format!(
            "newer versions replaced the older ones {millis} ms after the acknowledged write: one of the same size, one \
             shorter, and one that the tester had edited"
        );
        Verdict::pass(summary).notes(note.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::sync::delivery::tests::{arrived, judged, wrong};
    use crate::event::Outcome;

    #[test]
    fn the_newer_version_must_win_and_the_effect_of_a_removal_is_a_note() {
        let sidecar = Some(Hop::Sidecar);
        let seen = json!({"first": arrived(), "not_edited": null, "second": arrived(), "removed_stays": true});
        for (changes, outcome, hop, notes) in [
            (json!({}), Outcome::Pass, None, 1),
            (json!({"removed_stays": false}), Outcome::Pass, None, 1),
            (json!({"removed_stays": null}), Outcome::Pass, None, 0),
            (json!({"second": wrong(false)}), Outcome::Fail, sidecar, 0),
            (json!({"first": wrong(true), "second": null}), Outcome::Fail, sidecar, 0),
            (json!({"not_edited": "denied", "second": null}), Outcome::Fail, Some(Hop::Host), 0),
            (json!({"second": null}), Outcome::Error, None, 0),
        ] {
            let verdict = judged::<FileUpdate>(&json!({}), &seen, &changes);
            assert_eq!((verdict.outcome, verdict.hop, verdict.notes.len()), (outcome, hop, notes), "{changes}");
        }
    }
}
