//! `subfolder`: a nested folder can be made, written to, read and removed in the export at run time.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::check::parameter::{Export, Sidecar};
use crate::check::{Kind, Need, Site, Writes, millis};
use crate::cluster::{Operation, QUIET, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

/// How deep the folder is nested in the run's own.
const NESTED: &str = "nested/deeper";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subfolder {
    /// Where it is made.
    pub export: Export,
    /// What copies the export, where a server has that: the folder is removed between two of its cycles.
    pub sidecar: Option<Sidecar>,
}

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

    fn writes(&self) -> Option<Writes<'_>> {
        let sidecar = self.sidecar.as_ref();
        Some(Writes { export: &self.export, sidecar, cycles: 0 })
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.pod().await?;
        let container = &self.export.container;
        site.running(&pod, container)?;
        let own = site.file("folder");
        let exported = site.place(&pod, &self.export, self.sidecar.as_ref(), &own);
        let (path, content) = (format!("{}/{}", self.export.folder, own.name), format!("written by {}", own.name));
        let folder = format!("{path}/{NESTED}");
        let write =
            Operation::WriteNested { folder: folder.clone(), name: "file.txt".into(), content: content.clone() };
        let (output, problem) = site.try_exec(&pod, container, &write).await?;
        if let Some(cycles) = self.sidecar.as_ref().and_then(|sidecar| site.cycles(&pod, sidecar)) {
            // Removed in any case: if no quiet moment is seen, nothing is known to be in the middle of a cycle either.
            cycles.quiet(Instant::now() + QUIET).await;
        }
        let (_, not_removed) = site.try_exec(&pod, container, &Operation::Remove { path }).await?;
        if not_removed.is_none() {
            site.shared.ledger.removed(&exported);
        }
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

    fn judge(&self, seen: &Observation) -> Verdict {
        let object = format!("pod {}, container {}, folder {}", seen.pod, self.export.container, seen.folder);
        let hint = "look whether the export is full or read-only";
        let mut reasons = Vec::new();
        if let Some(problem) = &seen.problem {
            reasons.push(Reason::new(&object, "to be made, and a file in it written and read", problem).hint(hint));
        } else if seen.read != seen.written {
            let read = format!("{} bytes: {}", seen.read.len(), seen.read);
            reasons.push(Reason::new(&object, format!("a file in it that reads: {}", seen.written), read).hint(hint));
        }
        if let Some(problem) = &seen.not_removed {
            reasons.push(Reason::new(&object, "to be removed", problem).hint(hint));
        }
        let summary = format!("{NESTED} was made, written and read in {} ms, and removed", seen.millis);
        Verdict::judged(summary, reasons).at(Hop::Export)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Outcome;

    #[test]
    fn a_file_that_reads_otherwise_and_a_folder_that_stays_fail() {
        for (read, not_removed) in [("tex", None), ("text", Some("busy"))] {
            let check = json!({"export": {"container": "nfs-server", "folder": "/data"}});
            let seen = json!({"pod": "p", "folder": "/data/x", "written": "text", "read": read, "problem": null,
                "not_removed": not_removed, "millis": 80});
            let check: Subfolder = serde_json::from_value(check).unwrap();
            assert_eq!(check.judge(&serde_json::from_value(seen).unwrap()).outcome, Outcome::Fail);
        }
    }
}
