//! `host-folder`: a server's host folder exists on this machine.

use serde::{Deserialize, Serialize};

use crate::check::{Kind, Need, Site, System};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Entry;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostFolder {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    folder: String,
    entry: Entry,
}

impl Kind for HostFolder {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let host = &site.shared.host;
        let folder = host.folder(site.server()).display().to_string();
        Ok(Observation { folder, entry: host.entry(site.server()).await })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        if seen.entry == Entry::Folder {
            return Verdict::pass(format!("{} is a folder", seen.folder));
        }
        let mkdir = if seen.folder.contains('\\') { "New-Item -ItemType Directory -Path" } else { "mkdir" };
        let hint = match &seen.entry {
            Entry::Missing => format!(
                "create it: {mkdir} '{}'; then delete the server's pod if it runs: it cannot see the new folder",
                seen.folder
            ),
            _ => "check what exists there, and whether --host-data names the right folder".to_owned(),
        };
        let reason = Reason::new(format!("folder {}", seen.folder), "a folder", seen.entry.to_string());
        Verdict::fail(reason.hint(hint)).at(Hop::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::system::tests::system;
    use crate::event::Outcome;

    #[test]
    fn only_a_folder_passes() {
        for (entry, outcome) in [
            (Entry::Folder, Outcome::Pass),
            (Entry::Missing, Outcome::Fail),
            (Entry::Other, Outcome::Fail),
            (Entry::Unreadable("denied".into()), Outcome::Fail),
        ] {
            let seen = Observation { folder: "f".into(), entry };
            assert_eq!(HostFolder {}.judge(&system(), &seen).outcome, outcome, "{seen:?}");
        }
    }
}
