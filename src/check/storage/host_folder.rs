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
    made: bool,
    not_made: Option<String>,
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
        let mut seen = Observation {
            folder: shared.host.folder(site.server()).display().to_string(),
            entry: shared.host.entry(site.server()).await,
            made: false,
            not_made: None,
            pods: pods.collect(),
            kubectl: format!("kubectl --context={} -n {}", shared.cluster.context(), shared.cluster.namespace()),
        };
        // One made again under a running pod stays invisible to it for ever.
        if seen.entry == Entry::Missing && shared.wishes.create_folders && seen.pods.is_empty() {
            match shared.host.make_folder(site.server()).await {
                Ok(()) => (seen.made, seen.entry) = (true, Entry::Folder),
                Err(error) => {
                    // Another run may just have made it.
                    seen.entry = shared.host.entry(site.server()).await;
                    seen.not_made = Some(error.to_string());
                }
            }
        }
        Ok(seen)
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let object = format!("folder {}", seen.folder);
        let problem = match (&seen.entry, &seen.not_made) {
            (Entry::Folder, _) => {
                let made = if seen.made { ", made just now" } else { "" };
                return Verdict::judged(format!("{} is a folder{made}", seen.folder), Vec::new());
            }
            (entry, None) => entry.to_string(),
            (entry, Some(error)) => format!("{entry}, and it cannot be made: {error}"),
        };
        let hint = match (&seen.entry, seen.pods.as_slice()) {
            (Entry::Missing, []) => "run again with --create-host-folders, or make it".to_owned(),
            (Entry::Missing, pods) => format!(
                "make it, then restart the server's pod, which would never see the new folder: {} delete pod {}",
                seen.kubectl,
                pods.join(" ")
            ),
            _ => "look what stands there, and whether --host-data names the right folder".to_owned(),
        };
        Verdict::judged("", vec![Reason::new(object, "a folder", problem).hint(hint)]).at(Hop::Host)
    }
}
