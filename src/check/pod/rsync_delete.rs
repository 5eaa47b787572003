//! `rsync-delete`: the init container's rsync removes what the tester's folder does not have, or does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Site};
use crate::cluster::container;
use crate::cluster::script::delete_flag;
use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RsyncDelete {
    /// The init container.
    pub container: String,
    /// Whether it must have the flag; else it must not.
    pub wanted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    /// By container, the flag that its rsync has.
    flags: BTreeMap<String, String>,
    /// By container, why its spec does not tell whether there is one.
    #[serde(default)]
    unknown: BTreeMap<String, String>,
}

impl Kind for RsyncDelete {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.pod().await?;
        let (mut flags, mut unknown) = (BTreeMap::new(), BTreeMap::new());
        for view in container::all(&pod) {
            match delete_flag(&view) {
                Ok(flag) => flags.extend(flag.map(|flag| (view.name.to_owned(), flag))),
                Err(why) => drop(unknown.insert(view.name.to_owned(), why)),
            }
        }
        Ok(Observation { pod, flags, unknown })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let Observation { pod, flags, unknown } = seen;
        let object = container::place(pod, &self.container);
        let init = match super::init(pod, &self.container) {
            Ok(init) => init,
            Err(reason) => return Verdict::judged("", vec![reason]).at(Hop::Init),
        };
        let expected = if self.wanted { "rsync with --delete" } else { "rsync without --delete" };
        let runs = format!("{} runs rsync", self.container);
        let verdict = match (flags.get(init.name), unknown.get(init.name)) {
            (Some(flag), _) => {
                let hint = "take it out of the command and its environment: where the container runs again over a kept \
                            export, as after a node's restart, it removes what clients wrote";
                let reason = (!self.wanted).then(|| Reason::new(object, expected, flag).hint(hint));
                Verdict::judged(format!("{runs} with {flag}"), reason.into_iter().collect())
            }
            (None, Some(why)) => {
                let hint = "write rsync and its flags into the container's command, or the flags into its env as plain \
                            values: what else it runs was not looked at";
                Verdict::error(Reason::new(object, expected, format!("its spec does not tell: {why}")).hint(hint))
            }
            (None, None) => {
                let hint = "give it to the rsync of the command: where the container runs again over a kept export, as after \
                            a node's restart, files that testers took out of the folder stay in it";
                let reason =
                    self.wanted.then(|| Reason::new(object, expected, "its rsync does not have it").hint(hint));
                Verdict::judged(format!("{runs} without --delete"), reason.into_iter().collect())
            }
        };
        verdict.at(Hop::Init)
    }
}
