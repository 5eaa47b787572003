//! `file-update`: a newer version in the export replaces the one in the host folder, also one of the same size and
//! one that the tester has changed meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::check::parameter::Span;
use crate::check::sync::ground::{self, Ground};
use crate::check::sync::scene::{Delivery, Scene};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::event::{Hop, Reason, Verdict};

/// So far are two versions apart: rsync compares whole seconds, and FAT has only every second one. A newer version of
/// the same size and second is no newer one for rsync.
const APART: Duration = Duration::from_millis(2_100);

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileUpdate {
    /// The longest time from an acknowledged write to the arrival of all files, and from there to the cycle's end.
    pub within: Span,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    first: Delivery,
    /// Why the tester could not change a file.
    not_edited: Option<String>,
    second: Option<Delivery>,
    /// Whether a file that was removed from the export is still in the folder; `None` if that is not known.
    removed_stays: Option<bool>,
}

impl Kind for FileUpdate {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn writes(&self) -> Option<u8> {
        Some(2)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        let folder = ground.place("update").name;
        let [edited, removed] = ["edited.txt", "removed.txt"].map(|name| format!("{folder}/{name}"));
        let version = |(name, lines): (&str, usize)| ground.nested(&folder, name, ground::line().repeat(lines));
        let first = [("same-size.txt", 2), ("shorter.txt", 2), ("edited.txt", 2), ("removed.txt", 2)].map(version);
        let (writes, wanted): (_, Vec<_>) = first.into_iter().unzip();
        let first = ground.deliver(writes, &wanted).await?;
        let written = Instant::now();
        let mut seen = Observation { scene, first, not_edited: None, second: None, removed_stays: None };
        if !seen.first.is_whole() {
            return Ok(seen);
        }
        let edit = site.shared.host.append(site.server(), &edited, b" and the tester's own words").await;
        if let Err(error) = edit {
            seen.not_edited = Some(format!("{edited}: {error}"));
            return Ok(seen);
        }
        // Nothing tells of a second's end but the clock.
        tokio::time::sleep_until(written + APART).await;
        // Between two cycles: one that sees a newer version has seen the removal too, and nothing vanishes under it.
        let is_quiet = ground.cycles.quiet(Instant::now() + ground.within.0).await;
        let second = [("same-size.txt", 2), ("shorter.txt", 1), ("edited.txt", 2)].map(version);
        let (mut writes, wanted): (Vec<_>, Vec<_>) = second.into_iter().unzip();
        if is_quiet {
            writes.insert(0, Operation::Remove { path: ground.path(&removed) });
        }
        let second = seen.second.insert(ground.deliver(writes, &wanted).await?);
        if second.is_whole() && is_quiet {
            seen.removed_stays = site.shared.host.stat(site.server(), &removed).await.ok().map(|stat| stat.is_some());
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let judged = |delivery, what| seen.scene.delivered(delivery, what, system.sidecar_name(), self.within);
        if let Err(verdict) = judged(Some(&seen.first), "its first version") {
            return verdict;
        }
        if let Some(problem) = &seen.not_edited {
            let object = format!("folder {}", seen.scene.folder);
            let hint = "look at the permissions of the folder and whether a program holds the file open";
            let reason = Reason::new(object, "a file that the tester can extend", problem).hint(hint);
            return Verdict::fail(reason).at(Hop::Host);
        }
        let millis = match judged(seen.second.as_ref(), "its newer version from the export") {
            Ok(arrival) => arrival.millis,
            Err(verdict) => return verdict,
        };
        let sidecar = system.sidecar_name();
        let note = seen.removed_stays.map(|stays| {
            let what = if stays { "stays in" } else { "is removed from" };
            format!("{sidecar}: a file that is removed from the export {what} {}", seen.scene.folder)
        });
        let summary = format!(
            "newer versions replaced the older ones {millis} ms after the write was acknowledged: one of the same \
             size, one shorter, and one that the tester had changed"
        );
        Verdict::pass(summary).notes(note.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::sync::scene::tests::{arrived, judged, wrong};
    use crate::event::Outcome;

    #[test]
    fn the_newer_version_must_win_and_what_deletions_do_is_a_note() {
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
