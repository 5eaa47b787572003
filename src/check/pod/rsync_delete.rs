//! `rsync-delete`: the init container's rsync removes what the tester's folder does not have, or does not.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::Pod;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Site};
use crate::cluster::container::{self, View};
use crate::event::{Hop, Reason, Verdict};

/// One of rsync's flags for removing, as a word of its own. Always there: the tests below see that it is a valid pattern.
static FLAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?-u)(?:^|[\s"'=])(--del(?:ete)?(?:-\w+)*)\b"#).ok());

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RsyncDelete {
    /// The init container.
    pub container: String,
    /// Whether it must have the flag; else it must not.
    pub wanted: bool,
    /// Another container, whose flag is worth a note.
    pub note_in: Option<String>,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    pod: Arc<Pod>,
    /// By container, the flag that it is started with.
    flags: BTreeMap<String, String>,
}

impl Kind for RsyncDelete {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        Ok(Observation::new(site.server(), site.pod().await?.0))
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let Observation { server, pod, flags } = seen;
        let object = container::place(pod, &self.container);
        let notes = self.note_in.as_ref().and_then(|name| Some((name, flags.get(name)?))).map(|(name, flag)| {
            let place = container::place(pod, name);
            format!(
                "{place} runs rsync with {flag}: files that a tester puts into the folder of {server} are deleted within \
                 one sync interval"
            )
        });
        let init = container::named(pod, &self.container).filter(|view| view.kind == container::Kind::Init);
        let Some(init) = init else {
            let found = format!("no such init container; the pod has {}", container::names(pod));
            let reason = Reason::new(object, "an init container", found).hint("run helm upgrade again");
            return Verdict::judged("", vec![reason]).notes(notes.into_iter().collect()).at(Hop::Init);
        };
        let found = flags.get(init.name);
        let reason = match &found {
            Some(flag) if !self.wanted => {
                let hint = "take it out of the command and its environment: where the container runs again over a kept \
                            export, as after a node's restart, it removes what clients wrote";
                Some(Reason::new(object, "rsync without --delete", *flag).hint(hint))
            }
            None if self.wanted => {
                let hint = "put it into the command or its environment: where the container runs again over a kept \
                            export, as after a node's restart, files that testers took out of the folder stay in it";
                let nowhere = "neither its command nor its environment has the flag";
                Some(Reason::new(object, "rsync with --delete", nowhere).hint(hint))
            }
            _ => None,
        };
        let summary = match found {
            Some(flag) => format!("{} runs rsync with {flag}", self.container),
            None => format!("{} runs rsync without --delete", self.container),
        };
        Verdict::judged(summary, reason.into_iter().collect()).notes(notes.into_iter().collect()).at(Hop::Init)
    }
}

impl Observation {
    fn new(server: &str, pod: Arc<Pod>) -> Self {
        let flags = container::all(&pod).iter().filter_map(|view| Some((view.name.to_owned(), flag(view)?))).collect();
        Self { server: server.to_owned(), flags, pod }
    }
}

/// The first of rsync's flags for removing that a container is started with, outside a script's comments.
fn flag(view: &View<'_>) -> Option<String> {
    let lines = view.words().flat_map(str::lines).filter(|line| !line.trim_start().starts_with('#'));
    let lines = lines.filter_map(|line| line.split(" #").next());
    let mut flags = lines.filter_map(|line| FLAG.as_ref()?.captures(line)?.get(1));
    Some(flags.next()?.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::output_pod;
    use crate::event::Outcome;

    fn judged(wanted: bool, init: Value, sidecar: Value) -> Verdict {
        let mut pod = output_pod();
        for (index, more) in [init, sidecar].into_iter().enumerate() {
            json_patch::merge(&mut pod["spec"]["initContainers"][index], &more);
        }
        let seen = Observation::new("nas-output-1", serde_json::from_value(pod).unwrap());
        let check =
            RsyncDelete { container: "sync-windows-data".into(), wanted, note_in: Some("sync-to-windows".into()) };
        check.judge(&seen)
    }

    fn script(script: &str) -> Value {
        json!({"command": ["sh", "-c", script]})
    }

    #[test]
    fn the_flag_counts_wherever_it_stands_and_however_it_is_spelt() {
        for init in [
            script("set -e\nrsync -av --delete /a/ /b/"),
            script("rsync -av --delete-after /a/ /b/ # as on the real ones"),
            script("flags='--del'\nrsync $flags /a/ /b/"),
            json!({"command": ["rsync"], "args": ["-a", "--delete", "/a/", "/b/"]}),
            json!({"command": ["sh"], "env": [{"name": "RSYNC_FLAGS", "value": "-v --delete"}]}),
        ] {
            assert_eq!(judged(true, init.clone(), json!({})).outcome, Outcome::Pass, "{init}");
            let forbidden = judged(false, init.clone(), json!({}));
            assert_eq!((forbidden.outcome, forbidden.hop), (Outcome::Fail, Some(Hop::Init)), "{init}");
        }
    }

    #[test]
    fn a_comment_and_other_flags_are_no_flag() {
        for init in [
            script("# never --delete here\nrsync -av --delay-updates --max-delete=0 /a/ /b/"),
            script("rsync -av /a/ /b/ # no --delete"),
            json!({"command": ["sh"], "env": [{"name": "RSYNC_FLAGS", "value": "--update"}, {"name": "A"}]}),
        ] {
            assert_eq!(judged(false, init.clone(), json!({})).outcome, Outcome::Pass, "{init}");
            assert_eq!(judged(true, init.clone(), json!({})).outcome, Outcome::Fail, "{init}");
        }
    }

    #[test]
    fn no_such_init_container_fails() {
        let renamed = judged(false, json!({"name": "other"}), json!({}));
        assert_eq!(renamed.outcome, Outcome::Fail);
        assert_eq!(judged(false, json!({"restartPolicy": "Always"}), json!({})).outcome, Outcome::Fail);
    }

    #[test]
    fn a_sidecar_with_the_flag_is_a_note() {
        let verdict = judged(false, json!({}), script("while true; do rsync -av --delete /a/ /b/; sleep 30; done"));
        assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1));
        assert!(verdict.notes[0].contains("folder of nas-output-1"), "{:?}", verdict.notes);
    }
}
