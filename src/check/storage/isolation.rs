//! `isolation`: a marker written into one export is there, whole, and in no other server's.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::findings::Findings;
use crate::check::{Export, Kind, Need, Site, System};
use crate::cluster::container;
use crate::cluster::{Operation, Population, ResourceExt, SLOW, gathered};
use crate::event::{Hop, Reason, Verdict};
use crate::random;

const MARKER: &str = "marker.txt";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Isolation {}

/// What to do about exports that could not be looked at.
const AGAIN: &str = "look whether the server's containers restart, and run the test again";
/// What to do about exports that are not each other's own.
const SHARED: &str = "look at the volumes of both pods: each must have an emptyDir of its own";

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    exports: Vec<Look>,
}

/// One pod's export, after all markers had been written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Look {
    server: String,
    pod: String,
    /// The marker that was written, and what it says.
    marker: (String, String),
    not_written: Option<String>,
    /// The markers of all servers that are there, and what they say; or why that is not known.
    found: Result<BTreeMap<String, String>, String>,
}

impl Kind for Isolation {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export];
    const NEEDS: &'static [Need] = &[Need::Commands];

    fn writes(&self) -> Option<u8> {
        Some(0)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let population = site.all_settled().await?;
        let (pod, _) = site.pod().await?;
        site.running(&pod, &site.system.export.container)?;
        let exports = site.shared.once(site.prefix(), look(site, &population)).await;
        Ok(Observation { server: site.server().to_owned(), exports })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let (own, others): (Vec<_>, Vec<_>) = seen.exports.iter().partition(|look| look.server == seen.server);
        let (mut findings, mut unknown) = (Findings::default(), None);
        for look in own.iter().chain(&others) {
            let is_own = look.server == seen.server;
            let object = format!("export {} of pod {}", system.export.folder, look.pod);
            let full = "look whether the export is full or read-only";
            let (name, text) = &look.marker;
            if let (Some(problem), true) = (&look.not_written, is_own) {
                findings.wrong(object, format!("to take the file {name}"), problem, full);
                continue;
            }
            let found = match &look.found {
                Ok(found) => found,
                Err(problem) => {
                    unknown = Some(Reason::new(object, "to be listed", problem).hint(AGAIN));
                    continue;
                }
            };
            if is_own && found.get(name) != Some(text) {
                let other = |text: &String| format!("{} other bytes", text.len());
                let seen = found.get(name).map_or("no such file".to_owned(), other);
                let expected = format!("the file {name}, as it was written");
                findings.wrong(&object, expected, seen, full);
            }
            let (strange, expected, place) = if is_own {
                (&others, "only files of its own".to_owned(), "another server's export".to_owned())
            } else {
                (&own, format!("nothing of {}", seen.server), format!("the export of {}", seen.server))
            };
            for (name, _) in strange.iter().map(|other| &other.marker).filter(|(name, _)| found.contains_key(name)) {
                let seen = format!("the file {name}, which was written into {place}");
                findings.wrong(&object, &expected, seen, SHARED);
            }
        }
        if own.is_empty() || others.is_empty() {
            let expected = "its own export and another to compare it with, in containers that run";
            let what = format!("{} of its own, {} of others", own.len(), others.len());
            unknown = Some(Reason::new(format!("server {}", seen.server), expected, what).hint(AGAIN));
        }
        if let Some(unknown) = unknown.filter(|_| findings.are_good()) {
            return Verdict::error(unknown);
        }
        let summary = format!("its marker is in its own export and in none of {} others", others.len());
        findings.verdict(summary).at(Hop::Export)
    }
}

/// Writes a marker into every export that can be reached, then looks at them all: once for the tests of all servers.
async fn look(site: &Site, population: &Population) -> Vec<Look> {
    let servers: Vec<_> = site.system.names().map(|name| population.server(&site.system.pods, name)).collect();
    let pods = servers.iter().flat_map(|server| server.current().into_iter().map(|pod| (server.name.as_str(), pod)));
    // A server that has no running container has no export that anything could have come into.
    let pods: Vec<_> = pods.filter(|(_, pod)| container::runs(pod, &site.system.export.container)).collect();
    let mut looks = join_all(pods.iter().map(|(server, pod)| write(site, server, pod))).await;
    // Each may remove its own right after looking. Of two that are one and the same, the first still sees the other's.
    let found = join_all(pods.iter().map(|(server, pod)| gather(site, server, pod))).await;
    for (look, found) in looks.iter_mut().zip(found) {
        // Of a command of which nothing is known, neither is what came of it.
        if look.found.is_ok() {
            look.found = found;
        }
    }
    looks
}

/// Writes a marker; what came of it, before anything was looked at.
async fn write(site: &Site, server: &str, pod: &Pod) -> Look {
    let (file, text) = (site.file_of(server, MARKER), random::text(64));
    site.place(pod, &file);
    let operation = Operation::Write { path: site.path(&file.name), content: text.clone() };
    let pod = pod.name_any();
    let output = site.shared.exec(server, &pod, &site.system.export.container, &operation);
    let (not_written, found) = match site.patiently(&pod, output).await {
        Ok(output) if output.ended_by_itself() => (output.problem(), Ok(BTreeMap::new())),
        Ok(output) => (None, Err(output.problem().unwrap_or_default())),
        Err(error) => (None, Err(error.to_string())),
    };
    Look { server: server.to_owned(), pod, marker: (file.name, text), not_written, found }
}

/// The markers of all servers in one export, which loses its own.
async fn gather(site: &Site, server: &str, pod: &Pod) -> Result<BTreeMap<String, String>, String> {
    let file = site.file_of(server, MARKER);
    let Export { container, folder, .. } = &site.system.export;
    let mut operations = vec![Operation::Gather { folder: folder.clone(), prefix: site.prefix() }];
    // In the middle of a cycle the ledger keeps it for later; so it does on a slow node, which may lose what the first one
    // says, and it could not be asked again.
    if site.cycles(pod).is_none_or(|cycles| cycles.is_quiet()) && site.shared.cluster.load().0 <= SLOW {
        operations.push(Operation::Remove { path: site.path(&file.name) });
    }
    let pod = pod.name_any();
    let outputs = site.patiently(&pod, site.shared.exec_all(server, &pod, container, operations)).await;
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

    fn look(server: &str, found: &Value) -> Value {
        json!({"server": server, "pod": format!("{server}-pod"), "marker": [server, "text"], "not_written": null,
            "found": found})
    }

    #[test]
    fn a_marker_must_be_whole_in_its_own_export_and_there_must_be_another() {
        let own = look("a", &json!({"Ok": {"a": "text"}}));
        let other = look("b", &json!({"Ok": {"b": "text"}}));
        for (exports, outcome) in [
            (vec![look("a", &json!({"Ok": {}})), other.clone()], Outcome::Fail),
            (vec![look("a", &json!({"Ok": {"a": "te"}})), other.clone()], Outcome::Fail),
            (vec![own.clone(), look("b", &json!({"Err": "the connection broke"}))], Outcome::Error),
            // Nobody to compare with, its own was not looked at, and none was.
            (vec![own], Outcome::Error),
            (vec![other], Outcome::Error),
            (vec![], Outcome::Error),
        ] {
            let seen = json!({"server": "a", "exports": exports});
            assert_eq!(judged::<Isolation>(json!({}), seen).outcome, outcome, "{exports:?}");
        }
    }
}
