//! `isolation`: a marker file written into one export appears there, complete, and in no other server's export.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::findings::Findings;
use crate::check::{Export, Kind, Need, Site, System};
use crate::cluster::container;
use crate::cluster::{Operation, ResourceExt, SLOW, Snapshot, gathered};
use crate::event::{Hop, Reason, Verdict};
use crate::random;

const MARKER: &str = "marker.txt";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Isolation {}

/// The hint for exports that could not be listed.
const AGAIN: &str = "check whether the server's containers restart, and run the test again";
const SHARED: &str = "check the volumes of both pods: each must have its own emptyDir";

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    exports: Vec<Listing>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Listing {
    server: String,
    pod: String,
    /// The name and content of the marker.
    marker: (String, String),
    not_written: Option<String>,
    /// The names and contents of all markers in the export, or why it could not be listed.
    found: Result<BTreeMap<String, String>, String>,
}

impl Kind for Isolation {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export];
    const NEEDS: &'static [Need] = &[Need::Commands];

    fn sync_cycles(&self) -> Option<u8> {
        Some(0)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let snapshot = site.all_settled().await?;
        let (pod, _) = site.pod().await?;
        site.require_running(&pod, &site.system.export.container)?;
        let exports = site.shared.once(site.prefix(), list_all(site, &snapshot)).await;
        Ok(Observation { server: site.server().to_owned(), exports })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let (own, others): (Vec<_>, Vec<_>) = seen.exports.iter().partition(|export| export.server == seen.server);
        let (mut findings, mut unknown) = (Findings::default(), None);
        for export in own.iter().chain(&others) {
            let is_own = export.server == seen.server;
            let object = format!("export {} of pod {}", system.export.folder, export.pod);
            let full = "check whether the export is full or read-only";
            let (name, text) = &export.marker;
            if let (Some(problem), true) = (&export.not_written, is_own) {
                findings.add_finding(object, format!("file {name} written to it"), problem, full);
                continue;
            }
            let found = match &export.found {
                Ok(found) => found,
                Err(problem) => {
                    unknown = Some(Reason::new(object, "a list of its files", problem).hint(AGAIN));
                    continue;
                }
            };
            if is_own && found.get(name) != Some(text) {
                let different = |text: &String| format!("{} bytes of different content", text.len());
                let seen = found.get(name).map_or("no such file".to_owned(), different);
                let expected = format!("file {name} with the written content");
                findings.add_finding(&object, expected, seen, full);
            }
            let (foreign, expected, place) = if is_own {
                (&others, "only its own files".to_owned(), "another server's export".to_owned())
            } else {
                (&own, format!("no files of {}", seen.server), format!("the export of {}", seen.server))
            };
            for (name, _) in foreign.iter().map(|other| &other.marker).filter(|(name, _)| found.contains_key(name)) {
                let seen = format!("file {name}, written into {place}");
                findings.add_finding(&object, &expected, seen, SHARED);
            }
        }
        if own.is_empty() || others.is_empty() {
            let expected = "its own export and another server's to compare it with, both with a running container";
            let what = format!("exports found: {} own, {} of other servers", own.len(), others.len());
            unknown = Some(Reason::new(format!("server {}", seen.server), expected, what).hint(AGAIN));
        }
        if let Some(unknown) = unknown.filter(|_| findings.passes()) {
            return Verdict::error(unknown);
        }
        let summary = format!("its marker is in its own export and in none of the {} others", others.len());
        findings.verdict(summary).at(Hop::Export)
    }
}

/// Writes a marker into every running server's export, then lists them all.
async fn list_all(site: &Site, snapshot: &Snapshot) -> Vec<Listing> {
    let servers: Vec<_> = site.system.names().map(|name| snapshot.server(&site.system.pods, name)).collect();
    let pods = servers.iter().flat_map(|server| server.current().into_iter().map(|pod| (server.name.as_str(), pod)));
    // A server without a running container has no export that a marker could appear in.
    let pods: Vec<_> = pods.filter(|(_, pod)| container::runs(pod, &site.system.export.container)).collect();
    let mut exports = join_all(pods.iter().map(|(server, pod)| write(site, server, pod))).await;
    // Each may remove its own marker right after the listing. If two exports are one, the first still shows the
    // other's marker.
    let found = join_all(pods.iter().map(|(server, pod)| gather(site, server, pod))).await;
    for (export, found) in exports.iter_mut().zip(found) {
        // If the result of the write is unknown, so is what the listing should show.
        if export.found.is_ok() {
            export.found = found;
        }
    }
    exports
}

async fn write(site: &Site, server: &str, pod: &Pod) -> Listing {
    let (file, text) = (site.file_of(server, MARKER), random::text(64));
    site.register(pod, &file);
    let operation = Operation::Write { path: site.path(&file.name), content: text.clone() };
    let pod = pod.name_any();
    let output = site.shared.exec(server, &pod, &site.system.export.container, &operation);
    let (not_written, found) = match site.await_command(&pod, output).await {
        Ok(output) if output.exited_normally() => (output.problem(), Ok(BTreeMap::new())),
        Ok(output) => (None, Err(output.problem().unwrap_or_default())),
        Err(error) => (None, Err(error.to_string())),
    };
    Listing { server: server.to_owned(), pod, marker: (file.name, text), not_written, found }
}

/// Lists the markers in one export, and removes the export's own.
async fn gather(site: &Site, server: &str, pod: &Pod) -> Result<BTreeMap<String, String>, String> {
    let file = site.file_of(server, MARKER);
    let Export { container, folder, .. } = &site.system.export;
    let mut operations = vec![Operation::Gather { folder: folder.clone(), prefix: site.prefix() }];
    // The ledger removes it later if a sync cycle is running, or if the node is slow: it may lose the list, which
    // could not be repeated once the marker is gone.
    if site.followed_log(pod).is_none_or(|log| log.is_pausing()) && site.shared.cluster.load().0 <= SLOW {
        operations.push(Operation::Remove { path: site.path(&file.name) });
    }
    let pod = pod.name_any();
    let outputs = site.await_command(&pod, site.shared.exec_all(server, &pod, container, operations)).await;
    let outputs = outputs.map_err(|error| error.to_string())?;
    let Some((output, removed)) = outputs.split_first() else { return Err("no output".to_owned()) };
    if removed.iter().any(|removed| removed.problem().is_none()) {
        site.shared.ledger.removed(&site.exported(&file));
    }
    if let Some(problem) = output.problem() {
        return Err(problem);
    }
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(gathered(&output.stdout).map(|(name, content)| (text(name), text(content))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::event::Outcome;

    fn export(server: &str, found: &Value) -> Value {
        json!({"server": server, "pod": format!("{server}-pod"), "marker": [server, "text"], "not_written": null,
            "found": found})
    }

    #[test]
    fn a_marker_must_be_complete_and_another_export_must_exist() {
        let own = export("a", &json!({"Ok": {"a": "text"}}));
        let other = export("b", &json!({"Ok": {"b": "text"}}));
        for (exports, outcome) in [
            (vec![export("a", &json!({"Ok": {}})), other.clone()], Outcome::Fail),
            (vec![export("a", &json!({"Ok": {"a": "te"}})), other.clone()], Outcome::Fail),
            (vec![own.clone(), export("b", &json!({"Err": "the connection broke"}))], Outcome::Error),
            // No other export, not its own export, and no export.
            (vec![own], Outcome::Error),
            (vec![other], Outcome::Error),
            (vec![], Outcome::Error),
        ] {
            let seen = json!({"server": "a", "exports": exports});
            assert_eq!(judged::<Isolation>(json!({}), seen).outcome, outcome, "{exports:?}");
        }
    }
}
