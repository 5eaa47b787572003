//! `host-folder`: the tester's folder of a server exists on this machine.

use serde::{Deserialize, Serialize};

use crate::check::{Kind, Need, Site};
use crate::cluster::ResourceExt;
use crate::cluster::server::has_ended;
use crate::event::{Hop, Reason, Verdict};
use crate::host::Entry;

/// It has no parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostFolder {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    folder: String,
    entry: Entry,
    /// The server's pods, which mount the folder that was there when they started.
    pods: Vec<String>,
    kubectl: String,
}

impl Kind for HostFolder {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let shared = &site.shared;
        // A watch that was just cut comes back.
        let population = site.settled(None, |_| None).await?;
        let server = population.server(&site.select, site.server());
        let pods = server.pods.iter().filter(|pod| !has_ended(pod)).map(|pod| pod.name_any());
        Ok(Observation {
            folder: shared.host.folder(site.server()).display().to_string(),
            entry: shared.host.entry(site.server()).await,
            pods: pods.collect(),
            kubectl: format!("kubectl --context={} -n {}", shared.cluster.context(), shared.cluster.namespace()),
        })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        if seen.entry == Entry::Folder {
            return Verdict::judged(format!("{} is a folder", seen.folder), Vec::new());
        }
        let make = if seen.folder.contains('\\') { "New-Item -ItemType Directory -Path" } else { "mkdir" };
        let make = format!("make it: {make} '{}'", seen.folder);
        let hint = match (&seen.entry, seen.pods.as_slice()) {
            (Entry::Missing, []) => make,
            // One made again under a running pod stays invisible to it for ever.
            (Entry::Missing, pods) => format!(
                "{make}; then restart the server's pod, which would never see the new folder: {} delete pod {}",
                seen.kubectl,
                pods.join(" ")
            ),
            _ => "look what stands there, and whether --host-data names the right folder".to_owned(),
        };
        let reason = Reason::new(format!("folder {}", seen.folder), "a folder", seen.entry.to_string());
        Verdict::judged("", vec![reason.hint(hint)]).at(Hop::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    #[test]
    fn only_a_folder_passes() {
        for (entry, outcome) in [
            (Entry::Folder, Outcome::Pass),
            (Entry::Missing, Outcome::Fail),
            (Entry::Other, Outcome::Fail),
            (Entry::Unreadable("denied".into()), Outcome::Fail),
        ] {
            let seen = Observation { folder: "f".into(), entry, pods: Vec::new(), kubectl: "kubectl".into() };
            assert_eq!(HostFolder {}.judge(&seen).outcome, outcome, "{seen:?}");
        }
    }
}
