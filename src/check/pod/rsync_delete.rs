//! `rsync-delete`: the init container's rsync runs with `--delete`, or without it, as the suite requires.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::init;
use crate::check::findings::Findings;
use crate::check::{Kind, Part, Site, System};
use crate::cluster::container;
use crate::cluster::script::delete_flag;
use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RsyncDelete {
    /// Whether the init container must run rsync with `--delete`; if `false`, it must run rsync without it.
    pub wanted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    /// By container, its rsync's flag for deletion.
    flags: BTreeMap<String, String>,
    /// By container, why its spec does not show whether rsync has such a flag.
    #[serde(default)]
    unknown: BTreeMap<String, String>,
}

impl Kind for RsyncDelete {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init];
    const PARTS: &'static [Part] = &[Part::Init];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        Ok(Observation::new(site.pod().await?.0))
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let Observation { pod, flags, unknown } = seen;
        let mut found = Findings::default();
        let sidecar = system.sidecar_name();
        let place = container::label(pod, sidecar);
        if let Some(flag) = flags.get(sidecar) {
            let deletes = "it deletes files that testers put into the host folder within one sync interval";
            found.note(format!("{place} runs rsync with {flag}: {deletes}"));
        } else if let Some(why) = unknown.get(sidecar) {
            found.note(format!("{place}: its spec does not show whether rsync runs with --delete: {why}"));
        }
        let name = &system.init_container;
        let object = container::label(pod, name);
        let expected = if self.wanted { "rsync with --delete" } else { "rsync without --delete" };
        let verdict = match (init(pod, name), flags.get(name), unknown.get(name)) {
            (Err(missing), ..) => found.fail(missing.hint("run helm upgrade")),
            (_, Some(flag), _) => {
                if !self.wanted {
                    let hint = "remove it from the command and its environment; when the container runs again on an \
                                existing export, for example after a node restart, it deletes files that clients wrote";
                    found.add_finding(object, expected, flag, hint);
                }
                found.verdict(format!("{name} runs rsync with {flag}"))
            }
            (_, None, Some(why)) => {
                let hint = "put rsync and its flags into the container's command, or the flags into its env as literal \
                            values; nothing else that it runs was examined";
                found.error(Reason::new(object, expected, format!("its spec does not show it: {why}")).hint(hint))
            }
            (_, None, None) => {
                if self.wanted {
                    let hint = "add --delete to the command's rsync; when the container runs again on an existing export, \
                                for example after a node restart, it keeps files that testers removed from the folder";
                    found.add_finding(object, expected, "rsync without it", hint);
                }
                found.verdict(format!("{name} runs rsync without --delete"))
            }
        };
        verdict.at(Hop::Init)
    }
}

impl Observation {
    fn new(pod: Arc<Pod>) -> Self {
        let (mut flags, mut unknown) = (BTreeMap::new(), BTreeMap::new());
        for view in container::all(&pod) {
            match delete_flag(&view) {
                Ok(flag) => flags.extend(flag.map(|flag| (view.name.to_owned(), flag))),
                Err(why) => drop(unknown.insert(view.name.to_owned(), why)),
            }
        }
        Self { pod, flags, unknown }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::system::tests::system;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let pod = serde_json::from_value(with(output_pod(), changes)).unwrap();
        RsyncDelete { wanted: false }.judge(&system(), &Observation::new(pod))
    }

    #[test]
    fn a_sidecar_that_has_or_may_have_the_flag_is_a_note() {
        for (script, words) in [
            ("while true; do rsync -av --delete /a/ /b/; sleep 30; done", Some("within one sync interval")),
            ("rsync -av $(cat /flags) /a/ /b/", Some("its spec does not show")),
            ("echo no --delete; rsync -av /a/ /b/", None),
        ] {
            let command = |script: &str| json!(["sh", "-c", script]);
            let init = ("/spec/initContainers/0/command", command("rsync -a /a/ /b/"));
            let verdict = judged(&[init, ("/spec/initContainers/1/command", command(script))]);
            let said = verdict.notes.iter().map(|note| words.is_some_and(|words| note.contains(words)));
            assert_eq!(said.collect::<Vec<_>>(), vec![true; usize::from(words.is_some())], "{:?}", verdict.notes);
            assert_eq!(verdict.outcome, Outcome::Pass, "{script}");
        }
        assert_eq!(
            judged(&[("/spec/initContainers/0/name", json!("other"))]).outcome,
            Outcome::Fail,
            "the init container is missing"
        );
    }
}
