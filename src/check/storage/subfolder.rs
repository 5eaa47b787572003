//! `subfolder`: at run time, a nested folder can be created, written to, read and removed in the export.

use serde::{Deserialize, Serialize};

use crate::check::findings::Findings;
use crate::check::{Kind, Need, Site, System, millis};
use crate::cluster::{Operation, ResourceExt};
use crate::event::{Hop, Verdict};

/// Relative to a folder of this run.
const NESTED: &str = "nested/deeper";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subfolder {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    folder: String,
    written: String,
    read: String,
    problem: Option<String>,
    not_removed: Option<String>,
    millis: u64,
}

impl Kind for Subfolder {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export];
    const NEEDS: &'static [Need] = &[Need::Commands];

    fn sync_cycles(&self) -> Option<u8> {
        Some(0)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.pod().await?;
        site.require_running(&pod, &site.system.export.container)?;
        let own = site.file("folder");
        let exported = site.register(&pod, &own);
        let content = format!("written by {}", own.name);
        let folder = format!("{}/{NESTED}", site.path(&own.name));
        let write =
            Operation::WriteNested { folder: folder.clone(), name: "file.txt".into(), content: content.clone() };
        let (output, problem) = site.in_export(&pod, &write).await?;
        let not_removed = site.remove(&pod, &exported).await?;
        Ok(Observation {
            pod: pod.name_any(),
            folder,
            written: content,
            read: String::from_utf8_lossy(&output.stdout).into_owned(),
            problem,
            not_removed,
            millis: millis(output.ended - output.sent),
        })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let object = format!("pod {}, container {}, folder {}", seen.pod, system.export.container, seen.folder);
        let hint = "check whether the export is full or read-only";
        let mut findings = Findings::default();
        if let Some(problem) = &seen.problem {
            findings.add_finding(&object, "to be created, and a file in it written and read", problem, hint);
        } else if seen.read != seen.written {
            let read = format!("{} bytes: {}", seen.read.len(), seen.read);
            findings.add_finding(&object, format!("a file in it with the content: {}", seen.written), read, hint);
        }
        if let Some(problem) = &seen.not_removed {
            findings.add_finding(&object, "to be removed", problem, hint);
        }
        let summary = format!("{NESTED} was created, written and read in {} ms, and removed", seen.millis);
        findings.verdict(summary).at(Hop::Export)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::event::Outcome;

    #[test]
    fn different_content_and_a_folder_that_cannot_be_removed_fail() {
        for (read, not_removed) in [("tex", None), ("text", Some("busy"))] {
            let seen = json!({"pod": "p", "folder": "/data/x", "written": "text", "read": read, "problem": null,
                "not_removed": not_removed, "millis": 80});
            assert_eq!(judged::<Subfolder>(json!({}), seen).outcome, Outcome::Fail);
        }
    }
}
