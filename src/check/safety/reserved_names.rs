//! `reserved-names`: what becomes of files with names that Windows cannot hold, and that all is well again without
//! them.
//!
//! On a folder of Windows they make rsync fail, which may end the sidecar, and with it the server is not Ready.

use indexmap::IndexSet;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::check::parameter::{Export, Pattern, Sidecar, Span};
use crate::check::sync::ground::{self, Ground};
use crate::check::sync::scene::Scene;
use crate::check::sync::{search, way};
use crate::check::{Disturbed, Kind, Need, Site};
use crate::cluster::server::is_ready;
use crate::cluster::{Operation, ResourceExt, container};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// So many cycles that end with the names in the export are enough.
const CYCLES: u8 = 2;
/// So many cycles may take place with them: a sidecar may give up only when this many have failed.
const TRIES: u32 = 3;
/// So much of the log's end is looked through for errors.
const LINES: i64 = 500;
const BYTES: i64 = 1 << 20;
/// So many errors are told.
const MOST_ERRORS: usize = 3;
/// So many names are listed.
const MOST_FILES: usize = 1_000;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReservedNames {
    /// Where the files are written.
    pub export: Export,
    /// What copies them to the tester's folder.
    pub sidecar: Sidecar,
    /// A sidecar that was restarted must have been running for so long since, or its mount is not probed through it.
    pub restart_window: Span,
    /// How long each of three cycles may take with the names there; two that end, or a restart of the sidecar, are enough.
    pub within: Span,
    /// The names.
    #[serde(deserialize_with = "crate::check::parameter::some")]
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// Lines of the sidecar's log that tell of errors.
    pub error: Pattern,
    /// The longest time from the names' removal until the server is Ready and a cycle has ended.
    pub recovers: Span,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    not_written: Option<String>,
    /// Each name, and what was there; `None` if it arrived.
    names: Vec<(String, Option<String>)>,
    /// What else was in the folder.
    strangers: Vec<String>,
    /// Errors of the sidecar's that name these files.
    errors: Vec<String>,
    restarts: i32,
    was_ready: bool,
    /// How the pod and its sidecar were in the end, if not well.
    broken: Option<String>,
}

impl Kind for ReservedNames {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const DISTURBS: bool = true;

    fn writes(&self) -> Option<(&Export, Option<&Sidecar>)> {
        Some((&self.export, Some(&self.sidecar)))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) =
            Ground::enter(site, &self.export, &self.sidecar, self.restart_window, self.within).await?;
        let (names, strangers, errors) = Default::default();
        let (not_written, restarts, was_ready, broken) = (None, 0, true, None);
        let mut seen = Observation { scene, not_written, names, strangers, errors, restarts, was_ready, broken };
        let Some(ground) = ground else { return Ok(seen) };
        let folder = ground.place("reserved").name;
        let files = self.names.iter().map(|name| ground.nested(&folder, name, ground::line()));
        let (writes, wanted): (Vec<_>, Vec<_>) = files.unzip();
        let (server, select) = (site.server().to_owned(), site.select.clone());
        let disturbed = Disturbed { case: site.id.clone(), server, select, deletes: None, at: Instant::now() };
        site.shared.disturb(disturbed.clone());
        if let Err(problem) = ground.perform(writes).await? {
            // Some may have been written: the server stays noted.
            seen.not_written = Some(problem);
            return Ok(seen);
        }
        (seen.restarts, seen.was_ready) = suffered(self, &ground).await;
        let (host, server) = (&site.shared.host, site.server());
        for (name, (path, content)) in self.names.iter().zip(&wanted) {
            let last = host.look(server, path, content).await;
            seen.names.push((name.clone(), (last != Seen::Whole).then(|| last.to_string())));
        }
        let found = host.files_in(server, &folder, MOST_FILES).await.unwrap_or_default();
        seen.strangers = found.into_iter().map(|(path, _)| path).filter(|path| !self.names.contains(path)).collect();
        // Without a word of the log there is less to tell, and nothing to judge.
        let pod = ground.pod.name_any();
        let lines = site.shared.cluster.log_tail(&pod, &self.sidecar.container, LINES, BYTES).await;
        let lines = lines.unwrap_or_default().into_iter().map(|(_, line)| line);
        let is_its = |line: &String| line.contains(&site.shared.run) && self.error.0.is_match(line);
        // Each cycle says the same of each name.
        let said: IndexSet<String> = lines.filter(is_its).collect();
        seen.errors = said.into_iter().take(MOST_ERRORS).collect();
        seen.broken = self.recover(&ground, &folder).await?;
        if seen.broken.is_none() {
            site.shared.recovered(&disturbed);
        }
        Ok(seen)
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let name = &self.sidecar.container;
        if let Some(obstacle) = &seen.scene.obstacle {
            return obstacle.verdict(&seen.scene.pod, &self.sidecar);
        }
        if let Some(problem) = &seen.not_written {
            return seen.scene.refused("files of such names", problem);
        }
        let object = format!("pod {}, container {name}", seen.scene.pod);
        if seen.names.is_empty() {
            return Verdict::error(Reason::new(object, "names to try", "none"));
        }
        let broken = seen.broken.iter().map(|broken| {
            let expected = format!("to be Ready and to sync within {} after the names were removed", self.recovers);
            let hint = "look at its log, and remove by hand what is left of these names on both sides";
            Reason::new(&object, expected, broken).hint(hint)
        });
        let (there, lost): (Vec<_>, Vec<_>) = seen.names.iter().partition(|(_, problem)| problem.is_none());
        let quoted = |names: &[&(String, Option<String>)]| {
            names.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        let mut notes = Vec::new();
        if !there.is_empty() {
            notes.push(format!("{} holds files of the names {}", seen.scene.folder, quoted(&there)));
        }
        if !lost.is_empty() {
            notes.push(format!("{} does not hold files of the names {}", seen.scene.folder, quoted(&lost)));
        }
        if !seen.strangers.is_empty() {
            notes.push(format!("{} got other names instead: {}", seen.scene.folder, seen.strangers.join(", ")));
        }
        notes.extend(seen.errors.iter().map(|error| format!("{object}: {error}")));
        if seen.restarts > 0 || !seen.was_ready {
            let ready = if seen.was_ready { "" } else { "not " };
            notes.push(format!(
                "{object}: restarts with these names: {}; the pod was {ready}always Ready",
                seen.restarts
            ));
        }
        let summary = format!(
            "of {} names that Windows cannot hold {} arrived; without them all is well again",
            seen.names.len(),
            there.len()
        );
        Verdict::judged(summary, broken.collect()).notes(notes).at(Hop::Sidecar)
    }
}

impl ReservedNames {
    /// Removes the names and waits until the server is well; says how it is, if it is not in time.
    async fn recover(&self, ground: &Ground<'_>, folder: &str) -> Result<Option<String>, Verdict> {
        let site = ground.site;
        ground.cycles.quiet(Instant::now() + ground.within.0).await;
        if let Err(problem) = ground.perform(vec![Operation::Remove { path: ground.path(folder) }]).await? {
            return Ok(Some(format!("the names cannot be removed from the export: {problem}")));
        }
        let limit = Instant::now() + self.recovers.0;
        site.waiting("the server to be well again without these names", self.recovers.0);
        loop {
            let mut changes = site.shared.watch.changes(Some(site.server()));
            let pod = ground.newest();
            let is_well =
                pod.as_ref().is_some_and(|pod| is_ready(pod) && container::runs(pod, &self.sidecar.container));
            if is_well {
                break;
            }
            if !matches!(tokio::time::timeout_at(limit, changes.changed()).await, Ok(Ok(()))) {
                let view = pod.as_deref().and_then(|pod| container::named(pod, &self.sidecar.container));
                return Ok(Some(view.map_or("it is gone".to_owned(), |view| view.describe())));
            }
        }
        way::is_there(site).await?;
        Ok(ground.ends(1).await.err().map(|_| format!("no sync cycle ended within {}", self.within)))
    }
}

/// Waits until enough cycles have ended with the names there, the sidecar was restarted, or neither has come in time;
/// how often it was restarted, and whether the pod was Ready all the while.
async fn suffered(check: &ReservedNames, ground: &Ground<'_>) -> (i32, bool) {
    let (site, sidecar) = (ground.site, &check.sidecar.container);
    // A cycle that fails takes no longer than one and its pause, both again to be sure.
    let period = search::period(&site.shared.cluster, &ground.pod, &check.sidecar).await;
    let within = TRIES * period.map_or(ground.within.0, |period| ground.within.0.min(2 * period));
    let what = "what sync cycles make of names that Windows cannot hold";
    site.waiting_for_cycle(&ground.cycles, what, within);
    let restarts = |pod: &Pod| container::named(pod, sidecar).map_or(0, |view| view.restarts());
    let before = restarts(&ground.pod);
    let (mut restarted, mut was_ready) = (0, true);
    let watched = async {
        let mut changes = site.shared.watch.changes(Some(site.server()));
        loop {
            let pod = ground.newest();
            restarted = pod.as_ref().map_or(restarted, |pod| restarts(pod).saturating_sub(before));
            was_ready &= pod.is_some_and(|pod| is_ready(&pod));
            if restarted > 0 || changes.changed().await.is_err() {
                return;
            }
        }
    };
    // That no cycle ends is one of the things that may come of it.
    tokio::select! {
        () = watched => {}
        _ = ground.ended(CYCLES, Instant::now() + within) => {}
    }
    (restarted, was_ready)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::sync::scene::tests::{parameters, scene};
    use crate::event::Outcome;

    #[test]
    fn what_came_of_the_names_is_a_note_and_the_recovery_is_judged() {
        let own = json!({"names": ["a:b", "con.txt"], "error": "^rsync", "recovers": "120s"});
        let check: ReservedNames = serde_json::from_value(parameters(&own)).unwrap();
        let judged = |changes: &Value| {
            let mut seen = json!({
                "scene": scene(), "not_written": null, "names": [["a:b", "no file"], ["con.txt", null]],
                "strangers": ["a"], "errors": ["rsync: failed"], "restarts": 2, "was_ready": false, "broken": null
            });
            seen.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            check.judge(&serde_json::from_value(seen).unwrap())
        };
        let passed = judged(&json!({}));
        assert_eq!((passed.outcome, passed.notes.len()), (Outcome::Pass, 5), "{:?}", passed.notes);
        let unharmed = judged(&json!({"restarts": 0, "was_ready": true}));
        assert_eq!((unharmed.outcome, unharmed.notes.len()), (Outcome::Pass, 4), "{:?}", unharmed.notes);
        assert_eq!(judged(&json!({"broken": "waiting"})).outcome, Outcome::Fail);
        assert_eq!(judged(&json!({"not_written": "denied"})).hop, Some(Hop::Export));
        assert_eq!(judged(&json!({"names": []})).outcome, Outcome::Error);
    }
}
