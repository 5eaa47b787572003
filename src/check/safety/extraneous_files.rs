//! `extraneous-files`: files that only the tester has put into the folder are left alone.
//!
//! So rsync calls what is in its target and not in its source; with `--delete` it removes them.

use futures::TryFutureExt;
use serde::{Deserialize, Serialize};

use crate::check::findings::{Findings, listed};
use crate::check::parameter::Span;
use crate::check::sync::ground::{self, Ground};
use crate::check::sync::scene::{Delivery, Scene};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// How far a time may be off without having been changed: FAT counts in two seconds.
const TOLERANCE: u64 = 2_000;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtraneousFiles {
    /// The longest time until a file has arrived, and until each cycle has ended.
    pub within: Span,
    /// How many cycles must end while the tester's files are there; all but the first begin after the files were put.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub cycles: u8,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    companion: Delivery,
    not_put: Option<String>,
    files: Vec<Kept>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    name: String,
    place: String,
    /// What became of its content; `None` if it is as it was.
    changed: Option<String>,
    /// By how many milliseconds its time was changed.
    retimed: u64,
    /// Whether it is in the export too.
    exported: bool,
}

impl Kind for ExtraneousFiles {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn writes(&self) -> Option<u8> {
        Some(self.cycles.saturating_add(1))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        // All are in the ledger for both places: what is broken may copy them back.
        let [alone, own, both] = ["tester.txt", "tester", "both"].map(|what| ground.place(what).name);
        let (write, wanted) = ground.nested(&both, "exported.txt", ground::line());
        // How whole it arrives is for others to judge: it is here for its folder.
        let companion = ground.deliver(vec![write], &[wanted]).await?;
        let mut seen = Observation { scene, companion, not_put: None, files: Vec::new() };
        let (host, server) = (&site.shared.host, site.server());
        if !host.stat(server, &both).await.is_ok_and(|stat| stat.is_some()) {
            return Ok(seen);
        }
        let places = [
            (alone, "in the server's folder"),
            (format!("{own}/own.txt"), "in a folder of the tester's own"),
            (format!("{both}/tester.txt"), "beside a file that is in the export"),
        ];
        let mut put = Vec::new();
        if let Err(error) = host.make_folder_in(server, &own).await {
            seen.not_put = Some(format!("{own}: {error}"));
            return Ok(seen);
        }
        for (name, place) in places {
            let content = ground::line();
            let created = host.create(server, &name, content.as_bytes()).and_then(|()| host.stat(server, &name));
            match created.await {
                Ok(stat) => put.push((name, place, content, stat)),
                Err(error) => {
                    seen.not_put = Some(format!("{name}: {error}"));
                    return Ok(seen);
                }
            }
        }
        site.waiting(format!("{} sync cycles over the tester's own files", self.cycles), ground.within.0);
        ground.ends(self.cycles).await?;
        for (name, place, content, before) in put {
            let looked = host.look(server, &name, &Digest::of(&content)).await;
            let changed = (looked != Seen::Whole).then(|| looked.to_string());
            let after = host.stat(server, &name).await.ok().flatten();
            let retimed = before.zip(after).map_or(0, |(before, after)| before.modified.abs_diff(after.modified));
            // One that is not there cannot be read.
            let exported = ground.perform(vec![Operation::Read { path: ground.path(&name) }]).await?.1.is_none();
            seen.files.push(Kept { name, place: place.to_owned(), changed, retimed, exported });
        }
        if seen.files.iter().any(|file| file.changed.is_some()) {
            site.still_there().await?;
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let scene = &seen.scene;
        let name = system.sidecar_name();
        if let Some(problem) = &seen.not_put {
            let object = format!("folder {}", scene.folder);
            let hint = "look at the permissions of the folder and of what is in it";
            let reason = Reason::new(object, "to take a file of the tester's", problem).hint(hint);
            return Verdict::fail(reason).at(Hop::Host);
        }
        if seen.files.is_empty() {
            let what = "a file whose folder is in both places";
            if let Err(verdict) = scene.delivered(Some(&seen.companion), what, system.sidecar_name(), self.within) {
                return verdict;
            }
            let object = format!("folder {}", scene.folder);
            return Verdict::error(Reason::new(object, "files of the tester's", "none was looked at"));
        }
        let mut findings = Findings::default();
        for file in &seen.files {
            let object = format!("file {} in {}, {}", file.name, scene.folder, file.place);
            let expected =
                format!("to be as the tester put it after {} cycles of {name}: nobody else has it", self.cycles);
            if let Some(changed) = &file.changed {
                let hint = format!(
                    "look whether {name} runs rsync with --delete, or a second pod: \
                     kubectl get pods -o yaml shows its command"
                );
                findings.wrong(object, expected, changed, hint);
            } else if file.retimed > TOLERANCE {
                let hint = format!("look whether {name} also copies from the folder to the export");
                findings.wrong(object, expected, format!("its time was changed by {} ms", file.retimed), hint);
            } else if file.exported {
                findings.note(format!("{object}: it is in the export of pod {} too, so clients see it", scene.pod));
            }
        }
        let summary = format!(
            "{} files of the tester's are unchanged after {} cycles: {}",
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
    use crate::check::sync::scene::tests::{arrived, judged, wrong};
    use crate::cluster::example::with;
    use crate::event::Outcome;

    #[test]
    fn files_of_the_testers_must_stay_as_they_are() {
        let kept = json!({"name": "a", "place": "here", "changed": null, "retimed": 0, "exported": false});
        let file = |key: &str, value| json!({"files": [with(kept.clone(), &[(key, value)])]});
        let seen = json!({"companion": arrived(), "not_put": null, "files": [kept]});
        for (changes, outcome, hop, notes) in [
            (json!({}), Outcome::Pass, Hop::Sidecar, 0),
            (file("/retimed", json!(2_000)), Outcome::Pass, Hop::Sidecar, 0),
            (file("/exported", json!(true)), Outcome::Pass, Hop::Sidecar, 1),
            // Others judge that.
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
