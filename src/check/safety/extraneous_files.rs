//! `extraneous-files`: files that exist only in the host folder, because a tester created them there, are left alone.
//!
//! rsync calls files in its target but not in its source extraneous; with `--delete` it removes them.

use futures::TryFutureExt;
use serde::{Deserialize, Serialize};

use crate::check::findings::{Findings, listed};
use crate::check::parameter::DurationParam;
use crate::check::sync::delivery::{Delivery, SyncPair};
use crate::check::sync::route::{self, Route};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// How far an unchanged mtime may be off, in milliseconds: FAT stores only even seconds.
const TOLERANCE: u64 = 2_000;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtraneousFiles {
    /// The longest time for a file to arrive, and for each sync cycle.
    pub within: DurationParam,
    /// How many sync cycles must end while the tester's files exist; all but the first begin after the files were created.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub cycles: u8,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pair: SyncPair,
    companion: Delivery,
    #[serde(rename = "not_put")]
    not_created: Option<String>,
    files: Vec<Kept>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    name: String,
    place: String,
    /// What became of its content, if it changed.
    changed: Option<String>,
    /// By how many milliseconds its mtime changed.
    retimed: u64,
    /// Whether it is in the export as well.
    exported: bool,
}

impl Kind for ExtraneousFiles {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn sync_cycles(&self) -> Option<u8> {
        Some(self.cycles.saturating_add(1))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        // Registered in the export too: a broken sidecar may copy them back.
        let [alone, own, both] = ["tester.txt", "tester", "both"].map(|what| route.register(what).name);
        let (write, expected) = route.nested(&both, "exported.txt", route::random_line());
        // Only its folder matters here; other tests judge how it arrives.
        let companion = route.deliver(vec![write], &[expected]).await?;
        let mut seen = Observation { pair, companion, not_created: None, files: Vec::new() };
        let (host, server) = (&site.shared.host, site.server());
        if !host.stat(server, &both).await.is_ok_and(|stat| stat.is_some()) {
            return Ok(seen);
        }
        let places = [
            (alone, "in the server's folder"),
            (format!("{own}/own.txt"), "in a tester's subfolder"),
            (format!("{both}/tester.txt"), "next to a file from the export"),
        ];
        let mut created = Vec::new();
        if let Err(error) = host.make_folder_in(server, &own).await {
            seen.not_created = Some(format!("{own}: {error}"));
            return Ok(seen);
        }
        for (name, place) in places {
            let content = route::random_line();
            let stat = host.create(server, &name, content.as_bytes()).and_then(|()| host.stat(server, &name));
            match stat.await {
                Ok(stat) => created.push((name, place, content, stat)),
                Err(error) => {
                    seen.not_created = Some(format!("{name}: {error}"));
                    return Ok(seen);
                }
            }
        }
        site.waiting(format!("{} sync cycles after the tester's files were created", self.cycles), route.within.0);
        route.wait_for_cycles(self.cycles).await?;
        for (name, place, content, before) in created {
            let looked = host.look(server, &name, &Digest::of(&content)).await;
            let changed = (looked != Seen::Complete).then(|| looked.to_string());
            let after = host.stat(server, &name).await.ok().flatten();
            let retimed = before.zip(after).map_or(0, |(before, after)| before.modified.abs_diff(after.modified));
            let exported = route.run(vec![Operation::Read { path: route.path(&name) }]).await?.1.is_none();
            seen.files.push(Kept { name, place: place.to_owned(), changed, retimed, exported });
        }
        if seen.files.iter().any(|file| file.changed.is_some()) {
            site.require_host_folder().await?;
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let pair = &seen.pair;
        let name = system.sidecar_name();
        if let Some(problem) = &seen.not_created {
            let object = format!("folder {}", pair.folder);
            let hint = "check the permissions of the folder and of its files";
            let reason = Reason::new(object, "to accept a tester's file", problem).hint(hint);
            return Verdict::fail(reason).at(Hop::Host);
        }
        if seen.files.is_empty() {
            if let Err(verdict) =
                pair.check_arrival(Some(&seen.companion), "the file", system.sidecar_name(), self.within)
            {
                return verdict;
            }
            let object = format!("folder {}", pair.folder);
            return Verdict::error(Reason::new(object, "tester's files to check", "none"));
        }
        let mut findings = Findings::default();
        for file in &seen.files {
            let object = format!("file {} in {}, {}", file.name, pair.folder, file.place);
            let expected = format!("unchanged after {} sync cycles of {name}: only the tester has it", self.cycles);
            if let Some(changed) = &file.changed {
                let hint = format!(
                    "check whether {name} or a second pod runs rsync --delete: kubectl get pods -o yaml shows the commands"
                );
                findings.add_finding(object, expected, changed, hint);
            } else if file.retimed > TOLERANCE {
                let hint = format!("check whether {name} also copies from the folder to the export");
                findings.add_finding(object, expected, format!("its mtime changed by {} ms", file.retimed), hint);
            } else if file.exported {
                findings.note(format!("{object}: it is in the export of pod {} too, where clients see it", pair.pod));
            }
        }
        let summary = format!(
            "the tester's {} files are unchanged after {} sync cycles: {}",
            seen.files.len(),
            self.cycles,
            listed(seen.files.iter().map(|file| &file.place))
        );
        findings.verdict(summary).at(Hop::Sidecar)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::sync::delivery::tests::{arrived, judged, wrong};
    use crate::cluster::example::with;
    use crate::event::Outcome;

    #[test]
    fn a_testers_files_must_stay_unchanged() {
        let kept = json!({"name": "a", "place": "here", "changed": null, "retimed": 0, "exported": false});
        let file = |key: &str, value| json!({"files": [with(kept.clone(), &[(key, value)])]});
        let seen = json!({"companion": arrived(), "not_put": null, "files": [kept]});
        for (changes, outcome, hop, notes) in [
            (json!({}), Outcome::Pass, Hop::Sidecar, 0),
            (file("/retimed", json!(2_000)), Outcome::Pass, Hop::Sidecar, 0),
            (file("/exported", json!(true)), Outcome::Pass, Hop::Sidecar, 1),
            // Other tests judge that.
            (json!({"companion": wrong(true)}), Outcome::Pass, Hop::Sidecar, 0),
            (file("/changed", json!("no file")), Outcome::Fail, Hop::Sidecar, 0),
            (file("/retimed", json!(2_001)), Outcome::Fail, Hop::Sidecar, 0),
            (json!({"not_put": "denied"}), Outcome::Fail, Hop::Host, 0),
            (json!({"files": [], "companion": wrong(false)}), Outcome::Fail, Hop::Sidecar, 0),
        ] {
            let verdict = judged::<ExtraneousFiles>(&json!({"cycles": 2}), &seen, &changes);
            assert_eq!((verdict.outcome, verdict.notes.len()), (outcome, notes), "{changes}");
            assert!(outcome == Outcome::Pass || verdict.hop == Some(hop), "{changes}: {verdict:?}");
        }
        let none = judged::<ExtraneousFiles>(&json!({"cycles": 2}), &seen, &json!({"files": []}));
        assert_eq!(none.outcome, Outcome::Error);
    }
}
